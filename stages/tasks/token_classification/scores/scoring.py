"""What the predictions of a tagger are worth to the gate and to comparisons; see `Scores` in stages/scoring.py."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.scoring import CHANGES, Score
from stages.statistics.bootstrap import interval
from stages.statistics.measure import Measure, f1_measure
from stages.tasks.token_classification.scores import mistake_list
from stages.tasks.token_classification.scores import predictions as files
from stages.tasks.token_classification.scores.entities import OUTSIDE, Numbers, Tagging, Truths, ratios
from stages.tasks.token_classification.scores.label_set import read_types, types_of
from stages.tasks.token_classification.scores.metric import counts_by_sentence, scores
from stages.tasks.token_classification.scores.mistakes import MISSED, RELATIONS, SPURIOUS
from stages.tasks.token_classification.scores.predictions import Predictions

PRIMARY = "entity_strict/micro/f1"  # also its place among the tables of metrics.json
COMPARED_BY: dict[str, str] = {}
DEV_CURVE = "dev/entity_strict_f1"
TEST_LABELS = False
OLD_KEYS = {
    "f1": "score", "types": "labels", "per_type": "per_label", "sentence": "example", "sentences": "total"
}  # fmt: skip


def read_predictions(path: Path) -> dict[str, Predictions]:
    """The predictions of each split; ArtifactError if the file is missing, damaged or of another version."""
    return files.read_predictions(path)


def read_labels(config: Path) -> set[str]:
    """The types that a model knows, by its config.json; ArtifactError if the file is missing or names none."""
    return read_types(config)


def find_labels(predictions: Predictions) -> set[str]:
    """The types that occur in predictions, gold or predicted."""
    return types_of((*predictions.gold.tags, *predictions.predicted.tags))


def list_texts(predictions: Predictions) -> pa.ListArray:
    """The words of each sentence."""
    return predictions.words


def have_same_examples(first: Predictions, second: Predictions) -> bool:
    """Whether both are for the same sentences with the same gold tags, in the same order."""
    return bool(first.words.equals(second.words)) and np.array_equal(first.gold.tags_W, second.gold.tags_W)


def have_same_answers(first: Predictions, second: Predictions) -> bool:
    """Whether both predict the same tags for the same sentences, in the same order."""
    same_tags = np.array_equal(first.predicted.tags_W, second.predicted.tags_W)
    return bool(first.words.equals(second.words)) and same_tags


def keep_labels(predictions: Predictions, labels: Collection[str]) -> Predictions:
    """The same words without the entities of other types, gold and predicted: they become O."""
    tags = predictions.gold.tags if OUTSIDE in predictions.gold.tags else (*predictions.gold.tags, OUTSIDE)
    outside = tags.index(OUTSIDE)
    kept = np.array([number if tag[2:] in labels else outside for number, tag in enumerate(tags)])
    gold, predicted = (
        Tagging(kept[each.ids_W], each.bounds, tags) for each in (predictions.gold, predictions.predicted)
    )
    return Predictions(predictions.words, gold, predicted, predictions.probability_W)


def primary(predictions: Predictions, name: str = PRIMARY) -> dict[str, Any]:
    """The strict micro F1 as metrics.json has it."""
    counts_3S = count_entities(predictions)
    f1 = ratios(*counts_3S.sum(1, keepdims=True))[2]
    low, high = interval(f1_measure(counts_3S))
    return {"name": name, "value": float(f1[0]), "low": low, "high": high, "support": int(counts_3S[2].sum())}


def find_primary(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The primary score of a split among its tables in metrics.json, also of those that do not name it yet."""
    if "primary" in tables:
        found: dict[str, Any] = tables["primary"]
        return found
    micro = tables["entity_strict"]["micro"]
    return {
        "name": PRIMARY, "value": micro["f1"], "low": micro["f1_low"], "high": micro["f1_high"],
        "support": micro["support"],
    }  # fmt: skip


def measure(predictions: Predictions, name: str = PRIMARY) -> Measure:  # noqa: ARG001 - as of any task
    """The strict micro F1 as a function of the counts of each sentence."""
    return f1_measure(count_entities(predictions))


def score_labels(predictions: Predictions, name: str = PRIMARY) -> dict[str, Score]:  # noqa: ARG001
    """The strict F1 of each type that occurs; without gold entities its support is 0."""
    per_type = scores(predictions.gold, predictions.predicted)["entity_strict"]["per_type"]
    return {name: Score(row["f1"], row["f1_low"], row["f1_high"], row["support"]) for name, row in per_type.items()}


def measure_label(predictions: Predictions, label: str, name: str = PRIMARY) -> Measure:  # noqa: ARG001
    """The strict F1 of a type as a function of the counts of each sentence."""
    return f1_measure(count_entities(predictions, predictions.gold.types.index(label)))


def find_slices(predictions: Predictions) -> dict[str, pa.DictionaryArray]:  # noqa: ARG001 - as of any task
    """None: the sentences of a tagger have no columns beside their words."""
    return {}


def count_entities(predictions: Predictions, of_type: int | None = None) -> Numbers:
    """Correct, predicted and gold entities of each sentence, of all types or of one, of shape (3, sentences)."""
    gold, predicted = predictions.gold.entities(strict=True), predictions.predicted.entities(strict=True)
    return np.stack(counts_by_sentence(gold, predicted, predictions.gold.sentences, of_type))


def list_changes(before: Predictions, after: Predictions, *, limit: int) -> dict[str, Any]:
    """The sentences with other predictions; `gold`, `first` and `second` are their tags."""
    gold_W, first_W, second_W = before.gold.tags_W, before.predicted.tags_W, after.predicted.tags_W
    bounds = before.gold.bounds
    differs_S = _any_word(first_W != second_W, bounds)
    first_wrong_S, second_wrong_S = _any_word(first_W != gold_W, bounds), _any_word(second_W != gold_W, bounds)
    kinds = {
        "broken": differs_S & ~first_wrong_S,
        "fixed": differs_S & ~second_wrong_S,
        "otherwise": differs_S & first_wrong_S & second_wrong_S,
    }
    examples = []
    for kind in CHANGES:
        for sentence in np.flatnonzero(kinds[kind])[:limit].tolist():
            words = slice(bounds[sentence], bounds[sentence + 1])
            tags = {
                "gold": gold_W[words].tolist(), "first": first_W[words].tolist(), "second": second_W[words].tolist()
            }  # fmt: skip
            examples.append({"kind": kind, "example": sentence + 1, "words": before.words[sentence].as_py(), **tags})
    return {
        "total": before.gold.sentences,
        "counts": {kind: int(kinds[kind].sum()) for kind in CHANGES},
        "examples": examples,
    }


def mistake_kinds(predictions: Predictions) -> Sequence[str]:  # noqa: ARG001 - as of any task
    """The kinds that mistakes can have."""
    return (*RELATIONS[1:], MISSED, SPURIOUS)


def list_mistakes(predictions: Predictions) -> list[dict[str, Any]]:
    """The sentences with a mistake, the most confident first; `gold` and `predicted` are entities."""
    return mistake_list.list_mistakes(predictions)


def _any_word(mask_W: Truths, bounds: Numbers) -> Truths:
    """Whether the mask holds for any word of each sentence."""
    any_S: Truths = np.diff(np.append(0, np.cumsum(mask_W))[bounds]) > 0
    return any_S
