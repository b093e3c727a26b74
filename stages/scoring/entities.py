"""Entity and token scores of tag sequences in IOB2.

Two readings of the same tags, each under a name of its own, since published figures mix them:

    entity_strict     an entity opens with B- and counts if type and both ends agree (seqeval, strict, IOB2)
    entity_conlleval  the same, but an I- without its B- opens an entity too, as the CoNLL script conlleval reads it
    token             per tag of single words; its averages that count O flatter, since most words are O
"""

import warnings
from collections.abc import Sequence
from typing import Any

from seqeval.metrics import classification_report, f1_score
from seqeval.scheme import IOB2
from sklearn.metrics import precision_recall_fscore_support

Tags = Sequence[Sequence[str]]
Scores = dict[str, Any]
AVERAGES = ("micro", "macro", "weighted")


def scores(gold: Tags, predicted: Tags) -> Scores:
    """All three tables of one split: `{"entity_strict": {"micro": …, "per_type": {…}}, …}`."""
    with warnings.catch_warnings():
        # Both libraries warn of each type or tag that was never predicted; its 0 in the table says so already.
        warnings.simplefilter("ignore")
        strict = classification_report(gold, predicted, mode="strict", scheme=IOB2, output_dict=True, zero_division=0)
        conlleval = classification_report(gold, predicted, output_dict=True, zero_division=0)
        return {
            "entity_strict": _entity_table(strict),
            "entity_conlleval": _entity_table(conlleval),
            "token": _token_table(gold, predicted),
        }


def strict_f1(gold: Tags, predicted: Tags) -> float:
    """Micro-averaged F1 over entities, strict: the figure that chooses the best epoch."""
    return float(f1_score(gold, predicted, mode="strict", scheme=IOB2, zero_division=0))


def entities(tags: Sequence[str], *, strict: bool) -> list[tuple[str, int, int]]:
    """Entities as (type, first word, word after the last).

    Strict: an entity opens with B-, and an I- that continues none is nothing. Else it opens one, as in conlleval.
    """
    found: list[tuple[str, int, int]] = []
    open_type: str | None = None
    for index, tag in enumerate(tags):
        prefix, kind = tag[0], tag[2:]
        if prefix == "I" and kind == open_type:
            found[-1] = (kind, found[-1][1], index + 1)
        elif prefix == "B" or (prefix == "I" and not strict):
            found.append((kind, index, index + 1))
            open_type = kind
        else:
            open_type = None
    return found


def _entity_table(report: dict[str, dict[str, Any]]) -> Scores:
    averages = {kind: _entity_row(report[f"{kind} avg"]) for kind in AVERAGES}
    types = {name: _entity_row(row) for name, row in report.items() if not name.endswith(" avg")}
    return {**averages, "per_type": types}


def _token_table(gold: Tags, predicted: Tags) -> Scores:
    gold_tags = [tag for tags in gold for tag in tags]
    predicted_tags = [tag for tags in predicted for tag in tags]
    names = sorted({*gold_tags, *predicted_tags})
    entity_names = [name for name in names if name != "O"]

    def average(over: list[str], kind: str) -> Scores:
        precision, recall, f1, _ = precision_recall_fscore_support(
            gold_tags, predicted_tags, labels=over, average=kind, zero_division=0
        )
        support = sum(tag in over for tag in gold_tags)
        return {"precision": float(precision), "recall": float(recall), "f1": float(f1), "support": support}

    columns = precision_recall_fscore_support(gold_tags, predicted_tags, labels=names, zero_division=0)
    return {
        "per_tag": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f1), "support": int(n)}
            for name, p, r, f1, n in zip(names, *columns, strict=True)
        },
        "without_O": {kind: average(entity_names, kind) for kind in AVERAGES} if entity_names else {},
        "with_O": {kind: average(names, kind) for kind in AVERAGES},  # micro over all tags is plain accuracy
    }


def _entity_row(row: dict[str, Any]) -> Scores:
    return {
        "precision": float(row["precision"]),
        "recall": float(row["recall"]),
        "f1": float(row["f1-score"]),
        "support": int(row["support"]),
    }
