"""Tables of precision, recall, F1 and support, one for each reading, since published figures mix them.

    entity_strict     an entity counts if type and both ends agree; it opens with B- (seqeval, strict, IOB2)
    entity_conlleval  the same, but an I- that continues nothing opens an entity too (seqeval's default; conlleval)
    token             per tag of single words; averages that count O are inflated, since most words are O

The scores equal those of seqeval's and scikit-learn's reports to the last digit; a score without a denominator is 0.
"""

from typing import Any

import numpy as np

from stages.statistics.bootstrap import f1_interval
from stages.tasks.token_classification.scores.entities import (
    OUTSIDE,
    Entities,
    Floats,
    Numbers,
    Tagging,
    Truths,
    divide,
    ratios,
)

Scores = dict[str, Any]


def scores(gold: Tagging, predicted: Tagging) -> Scores:
    """All three tables of one split: `{"entity_strict": {"micro": …, "per_type": {…}}, …}`.

    Both taggings have the same words and the same `tags`. `f1_low` and `f1_high` bound the 95 % interval of the
    strict F1, over all entities and of each type.
    """
    in_gold, in_predicted = gold.entities(strict=True), predicted.entities(strict=True)
    table = _entity_table(gold.types, in_gold, in_predicted)
    rows = {None: table["micro"]} | {gold.types.index(name): row for name, row in table["per_type"].items()}
    for of_type, row in rows.items():
        counts = counts_by_sentence(in_gold, in_predicted, gold.sentences, of_type)
        row["f1_low"], row["f1_high"] = f1_interval(*counts)
    return {
        "entity_strict": table,
        "entity_conlleval": _entity_table(gold.types, gold.entities(strict=False), predicted.entities(strict=False)),
        "token": _token_table(gold, predicted),
    }


def counts_by_sentence(
    gold: Entities, predicted: Entities, sentences: int, of_type: int | None = None
) -> tuple[Numbers, Numbers, Numbers]:
    """Correct, predicted and gold entities of each sentence, of all types or of one."""

    def count(entities: Entities, chosen_E: Truths) -> Numbers:
        of_kind_E = chosen_E if of_type is None else chosen_E & (entities.type_E == of_type)
        return np.bincount(entities.sentence_E[of_kind_E], minlength=sentences)

    all_predicted_E, all_gold_E = np.ones(len(predicted), dtype=bool), np.ones(len(gold), dtype=bool)
    return count(predicted, predicted.is_in(gold)), count(predicted, all_predicted_E), count(gold, all_gold_E)


def _entity_table(types: tuple[str, ...], gold: Entities, predicted: Entities) -> Scores:
    """Rows of the types that occur, and their averages."""
    correct, in_predicted, in_gold = (
        np.bincount(type_E, minlength=len(types))
        for type_E in (predicted.type_E[predicted.is_in(gold)], predicted.type_E, gold.type_E)
    )
    occurs = np.flatnonzero(in_predicted + in_gold)
    counts = correct[occurs], in_predicted[occurs], in_gold[occurs]
    rows = _rows(*ratios(*counts), counts[2])
    micro = _rows(*ratios(*(count.sum(keepdims=True) for count in counts)), counts[2].sum(keepdims=True))
    return {
        "micro": micro[0],
        **_averages(*ratios(*counts), counts[2]),
        "per_type": {types[index]: row for index, row in zip(occurs, rows, strict=True)},
    }


def _token_table(gold: Tagging, predicted: Tagging) -> Scores:
    """Rows of the tags that occur, and averages over them with and without O."""
    tags = len(gold.tags)
    confusion = np.bincount(gold.ids_W * tags + predicted.ids_W, minlength=tags * tags).reshape(tags, tags)
    counts = np.stack([confusion.diagonal(), confusion.sum(0), confusion.sum(1)])
    occurs = [index for index in np.argsort(gold.tags) if counts[1:, index].any()]
    per_tag = _rows(*_token_ratios(*counts[:, occurs]), counts[2, occurs])

    def averages(over: list[int]) -> Scores:
        own = counts[:, over]
        summed = own.sum(1, keepdims=True)
        return {
            "micro": _rows(*_token_ratios(*summed), summed[2])[0],
            **_averages(*_token_ratios(*own), own[2]),
        }

    entity_tags = [index for index in occurs if gold.tags[index] != OUTSIDE]
    return {
        "per_tag": {gold.tags[index]: row for index, row in zip(occurs, per_tag, strict=True)},
        "without_O": averages(entity_tags) if entity_tags else {},
        "with_O": averages(occurs),  # micro over all tags is plain accuracy
    }


def _token_ratios(correct: Numbers, predicted: Numbers, gold: Numbers) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 as `ratios` has them, in scikit-learn's order of operations."""
    return divide(correct, predicted), divide(correct, gold), divide(2 * correct, gold + predicted)


def _averages(precision: Floats, recall: Floats, f1: Floats, support: Numbers) -> Scores:
    """The mean over rows: unweighted, and weighted by support."""
    total = int(support.sum())

    def row(weights: Numbers | None) -> Scores:
        if not len(support) or (weights is not None and not total):
            means = [0.0, 0.0, 0.0]
        else:
            means = [float(np.average(values, weights=weights)) for values in (precision, recall, f1)]
        return dict(zip(("precision", "recall", "f1"), means, strict=True)) | {"support": total}

    return {"macro": row(None), "weighted": row(support)}


def _rows(precision: Floats, recall: Floats, f1: Floats, support: Numbers) -> list[Scores]:
    return [
        {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for p, r, f, n in zip(precision, recall, f1, support, strict=True)
    ]
