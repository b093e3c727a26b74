"""Predictions of two models on the same examples, with a known difference, for each task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from stages.scoring import TaskParts
from stages.tasks.regression.scores import predictions as of_numbers
from stages.tasks.text_classification.scores import predictions as of_texts
from stages.tasks.text_classification.scores.thresholds import predict_one
from stages.tasks.token_classification.scores.entities import Tagging
from stages.tasks.token_classification.scores.predictions import Predictions as TagPredictions
from stages.tracking.version_artifacts import load_task

LABELS = ("cost", "delivery", "service", "taste")
AGREEMENT = 0.8  # of two models, beyond what easy and hard examples cause
COLUMN = "region"


@dataclass(frozen=True)
class Simulation:
    """A task, its labels, and two models: champion and challenger by the share that the challenger answers better."""

    task: TaskParts
    labels: tuple[str, ...]
    draw: Callable[..., tuple[Any, Any]]


def draw_right(generator: np.random.Generator, items: int, *, better_by: float) -> list[np.ndarray[Any, Any]]:
    """Which items each of two models gets right: some are easy and some hard for both."""
    ease, luck = generator.beta(4, 2, items), generator.random(items)
    own = [np.where(generator.random(items) < AGREEMENT, luck, generator.random(items)) for _ in range(2)]
    return [own[0] < ease, own[1] < ease + better_by]


def draw_tags(generator: np.random.Generator, examples: int, *, better_by: float = 0.0) -> tuple[Any, Any]:
    """Sentences of one entity each, which a model misses where it is wrong."""
    tags = (*(f"B-{label}" for label in LABELS), "O")
    gold = generator.integers(0, len(LABELS), examples)
    bounds = np.arange(examples + 1)
    words = pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), pa.array([f"word{n}" for n in range(examples)]))
    champion, challenger = (
        TagPredictions(
            words,
            Tagging(gold, bounds, tags),
            Tagging(np.where(right, gold, len(LABELS)), bounds, tags),
            np.ones(examples, np.float32),
        )
        for right in draw_right(generator, examples, better_by=better_by)
    )
    return champion, challenger


def classify(gold_EC: Any, right_EC: Any, *, multi_label: bool) -> of_texts.Predictions:
    """Texts whose labels are predicted as gold has them where the model is right, else the other way round."""
    examples, labels = gold_EC.shape
    if multi_label:
        predicted_EC = np.where(right_EC, gold_EC, ~gold_EC)
    else:
        predicted_EC = np.where(right_EC[:, :1], gold_EC, np.roll(gold_EC, 1, axis=1))
    probability_EC = np.where(predicted_EC, 0.7, 0.3 / (labels - 1)).astype(np.float32)
    if not multi_label:
        predicted_EC = predict_one(probability_EC)
    return of_texts.Predictions(
        texts=pa.array([f"text {number}" for number in range(examples)]),
        pairs=None,
        labels=LABELS,
        gold_EC=gold_EC,
        probability_EC=probability_EC,
        predicted_EC=predicted_EC,
        windows_E=np.ones(examples, np.int64),
        slices={COLUMN: pa.array(["north" if n % 10 else "south" for n in range(examples)]).dictionary_encode()},
        thresholds=(0.5,) * labels if multi_label else None,
    )


def draw_classes(generator: np.random.Generator, examples: int, *, better_by: float = 0.0) -> tuple[Any, Any]:
    gold_EC = np.eye(len(LABELS), dtype=bool)[generator.integers(0, len(LABELS), examples)]
    rights = draw_right(generator, examples, better_by=better_by)
    champion, challenger = (classify(gold_EC, right[:, None], multi_label=False) for right in rights)
    return champion, challenger


def draw_label_sets(generator: np.random.Generator, examples: int, *, better_by: float = 0.0) -> tuple[Any, Any]:
    gold_EC = generator.random((examples, len(LABELS))) < 0.4
    rights = draw_right(generator, gold_EC.size, better_by=better_by)
    champion, challenger = (classify(gold_EC, right.reshape(gold_EC.shape), multi_label=True) for right in rights)
    return champion, challenger


def draw_numbers(generator: np.random.Generator, examples: int, *, better_by: float = 0.0) -> tuple[Any, Any]:
    """Numbers of each target with errors, of which the challenger's are smaller by three times that share."""
    gold_ED = generator.normal(5, 2, (examples, len(LABELS)))
    shared_ED = generator.normal(0, 1, gold_ED.shape)
    champion, challenger = (
        of_numbers.Predictions(
            texts=pa.array([f"text {number}" for number in range(examples)]),
            pairs=None,
            targets=LABELS,
            gold_ED=gold_ED,
            predicted_ED=gold_ED + (1 - 3 * better) * (0.9 * shared_ED + generator.normal(0, 0.45, gold_ED.shape)),
            windows_E=np.ones(examples, np.int64),
            slices={},
        )
        for better in (0.0, better_by)
    )
    return champion, challenger


SIMULATIONS = {
    "token_classification": Simulation(load_task("token_classification"), LABELS, draw_tags),
    "one label": Simulation(load_task("text_classification", "accuracy"), LABELS, draw_classes),
    "one label, macro": Simulation(load_task("text_classification", "macro_f1"), LABELS, draw_classes),
    "several labels": Simulation(load_task("text_classification", "micro_f1"), LABELS, draw_label_sets),
    "numbers": Simulation(load_task("regression", "pearson"), LABELS, draw_numbers),
    "numbers, by an error": Simulation(load_task("regression", "rmse"), LABELS, draw_numbers),
}
