"""seqeval's own table of a split, and the proof that the scores of metric.py are those of seqeval."""

from itertools import pairwise
from typing import Any

import numpy as np

from stages.tasks.token_classification.scores.entities import OUTSIDE, Tagging, Truths
from stages.tasks.token_classification.scores.metric import Scores, scores

MAX_SENTENCES = 200_000  # that seqeval is given: it takes a minute for a million and reads them twice
DIGITS = 4
COLUMNS = {"precision": "precision", "recall": "recall", "f1": "f1-score", "support": "support"}  # ours -> seqeval's


def report_by_seqeval(split: str, gold: Tagging, predicted: Tagging, micro: Scores) -> str:
    """Return seqeval's classification_report of a split, strict and in IOB2, under a line that says what it covers.

    AssertionError with both figures if its micro average is not `micro`, to the last digit. Of more than 200,000
    sentences it covers a sample, evenly spaced, and so does the comparison.
    """
    covered = f"{gold.sentences:,} sentences"
    if gold.sentences > MAX_SENTENCES:
        kept_S = np.zeros(gold.sentences, dtype=bool)
        kept_S[np.arange(MAX_SENTENCES) * gold.sentences // MAX_SENTENCES] = True
        covered = f"a sample of {MAX_SENTENCES:,} of {covered}, evenly spaced"
        gold, predicted = _select(gold, kept_S), _select(predicted, kept_S)
        micro = scores(gold, predicted)["entity_strict"]["micro"]
    heading = f'{split}, {covered}: seqeval, classification_report(mode="strict", scheme=IOB2)\n'
    if not len(gold.entities(strict=True)) + len(predicted.entities(strict=True)):
        return f"{heading}\nno entity, neither in gold nor in the predictions, and so no table\n"

    table, text = _classification_report(gold, predicted)
    ours = {column: micro[column] for column in COLUMNS}
    theirs = {column: table["micro avg"][name].item() for column, name in COLUMNS.items()}
    if ours != theirs:
        raise AssertionError(
            f"seqeval's micro F1 on {split} is {theirs['f1']!r}, Tuneline's {ours['f1']!r}. That is a bug of "
            f"Tuneline: please report it, with both lines:\n  seqeval   {theirs}\n  Tuneline  {ours}"
        )
    return f"{heading}\n{text}"


def _classification_report(gold: Tagging, predicted: Tagging) -> tuple[dict[str, Any], str]:
    """seqeval's report as a table and as a text; it needs at least one entity."""
    from seqeval.metrics import classification_report  # with scikit-learn half a second
    from seqeval.scheme import IOB2

    lists = _tag_lists(gold), _tag_lists(predicted)
    strict: dict[str, Any] = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    return (
        classification_report(*lists, output_dict=True, **strict),
        classification_report(*lists, digits=DIGITS, **strict),
    )


def _tag_lists(tagging: Tagging) -> list[list[str]]:
    tags = [_protect_hyphens(tag) for tag in tagging.tags]
    ids = tagging.ids_W.tolist()
    return [[tags[number] for number in ids[first:after]] for first, after in pairwise(tagging.bounds.tolist())]


def _protect_hyphens(tag: str) -> str:
    """A tag of the same type for seqeval, which strips `-` from both ends of a type: with another hyphen there."""
    prefix, kind = tag[:2], tag[2:]
    return tag if tag == OUTSIDE or kind == kind.strip("-") else prefix + kind.replace("-", "\N{HYPHEN}")


def _select(tagging: Tagging, kept_S: Truths) -> Tagging:
    """The tags of some sentences."""
    words_S = np.diff(tagging.bounds)
    bounds = np.append(0, np.cumsum(words_S[kept_S]))
    return Tagging(tagging.ids_W[np.repeat(kept_S, words_S)], bounds, tagging.tags)
