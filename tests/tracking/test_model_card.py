"""The model card of a version of each kind: how to call it, what its answers say, how well it answers which texts."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stages.task import load_part
from stages.tracking.model_card import LIMIT, write_card
from tests.registry.simulated import COLUMN, SIMULATIONS
from tests.registry.versions import RECORDED
from tests.tasks.kinds import KINDS, Kind
from tests.tasks.language_modeling.reports import metrics_of, windows_of

OF_ENTITIES = ["mean probability of the tags of an entity's words, calibrated on dev (temperature 1.5000)"]
SAYS = {
    "entities": OF_ENTITIES,
    "entities-by-crf": OF_ENTITIES,
    "one-label": ["Each text gets one label, the most probable.", "calibrated on dev (temperature 1.5000)"],
    "several-labels": ["chosen on dev: `cost` 0.4000, `delivery` 0.5000, `taste` 0.4500."],
    "pairs": ["Reads two texts, `text` and `pair`; their order matters."],
    "symmetric-pairs": ["Reads two texts, `text` and `pair`; their order changes no answer."],
    "a-number": ["`number` is in points.", "Mean and standard deviation in train: `severity` 4 ± 2.5."],
    "several-numbers": ["`number` is in the unit of the training data.", "`severity` 4 ± 2.5, `length` 20 ± 10."],
    "numbers-of-pairs": ["`number` is in points.", "Reads two texts"],
    "masked-words": ["`masks` has for each [MASK] of a text", "with 15% of the tokens masked, as whole words"],
}


def measure(kind: Kind) -> dict[str, Any]:
    """The metrics.json of a simulated model of the kind's task, with slices if the task has some."""
    if kind.task == "language_modeling":
        return metrics_of(windows_of())
    by_kind = {"token_classification": "token_classification", "regression": "numbers"}
    several = "several labels" if kind.decision.get("thresholds") else "one label, macro"
    predictions, _ = SIMULATIONS[by_kind.get(kind.task, several)].draw(np.random.default_rng(1), 100)
    scores = kind.parts.scores
    if kind.task == "token_classification":
        tables = load_part(kind.task, "scores.metric").scores(predictions.gold, predictions.predicted)
        split = {"primary": scores.primary(predictions, scores.PRIMARY), **tables}
    else:
        analysis = load_part(kind.task, "report.analysis")
        split = analysis.list_metrics(analysis.analyze(predictions, scores.PRIMARY) | {"baselines": {}})
    return {"dev": split, "test": split}


def card_of(kind: Kind, metrics: dict[str, Any], **decision: Any) -> str:
    training = kind.record(**decision)
    return write_card("mine", training=training, config=kind.config, metrics=metrics, record=RECORDED, task=kind.parts)


@pytest.mark.parametrize("name", KINDS)
def test_card_says_how_to_call_the_model_and_what_it_answers(name: str) -> None:
    kind = KINDS[name]
    card = card_of(kind, measure(kind))
    for words in SAYS[name]:
        assert words in card
    (sample,) = re.findall(r'mlflow\.pyfunc\.load_model\("models:/mine/VERSION"\)\.predict\((.*)\)', card)
    assert json.loads(sample) == [kind.parts.presentation.make_sample(kind.config)]
    assert ('`params={"all_scores": True}`' in card) == ("all_scores" in kind.parts.presentation.SERVING_PARAMS)
    assert len(card) < LIMIT


@pytest.mark.parametrize(("primary", "score"), [("macro_f1", "macro F1"), ("mean_average_precision", "micro F1")])
def test_card_has_the_score_of_each_slice_those_answered_worst_first(primary: str, score: str) -> None:
    kind = KINDS["one-label"]
    metrics = measure(kind)
    metrics["test"]["primary"]["name"] = primary
    slices = metrics["test"]["slices"][COLUMN]
    card = card_of(kind, metrics)
    assert (
        f"| {COLUMN} | {score} | 95 % interval | gap | p | examples |" in card[card.index(f"## Slices by {COLUMN}") :]
    )
    worst = sorted(slices.items(), key=lambda item: item[1]["gap"])
    rows = [
        f"| {name} | {row['value']:.4f} | {row['low']:.4f} to {row['high']:.4f} | {row['gap']:+.4f} | "
        f"{row['p_value']:.4f} | {row['support']:,} |"
        for name, row in worst
    ]
    assert [card.index(row) for row in rows] == sorted(card.index(row) for row in rows)
    assert "## Slices" not in card_of(KINDS["entities"], measure(KINDS["entities"]))


def test_card_names_the_corpora_of_old_examples_and_what_was_forgotten() -> None:
    kind = KINDS["one-label"]
    metrics = measure(kind)
    assert "## Older corpora" not in card_of(kind, metrics)
    forgetting = {"value": 0.1, "low": 0.0, "high": 0.2, "before": 0.9, "after": 0.8}
    metrics["also"] = {"may": {"primary": metrics["test"]["primary"], "forgetting": forgetting}}
    training = kind.record()
    training = replace(
        training, parameters=training.parameters | {"train": {"seed": 1, "replay": {"corpus": "data/may"}}}
    )
    card = write_card("mine", training=training, config=kind.config, metrics=metrics, record=RECORDED, task=kind.parts)
    assert "with old examples of `data/may`" in card
    assert "- `may`: macro F1 " in card[card.index("## Older corpora") :]
    assert "forgotten +0.1000 (+0.0000 to +0.2000), from 0.9000 to 0.8000" in card


def test_card_of_many_labels_fits_into_the_database() -> None:
    labels = tuple(f"a label with a long name {number}" for number in range(150))
    kind = replace(KINDS["several-labels"], labels=labels)
    card = card_of(kind, measure(kind), thresholds=[0.1 + number / 1000 for number in range(150)])
    assert "`a label with a long name 19` 0.1190 and 130 more." in card
    assert len(card) < LIMIT


def test_card_of_a_model_from_before_there_was_a_temperature_says_so() -> None:
    kind = replace(KINDS["entities"], decision={})
    assert "of an entity's words, not calibrated." in card_of(kind, measure(kind))
