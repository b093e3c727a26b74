"""classification_report.txt: seqeval's own table, which must agree with ours."""

from typing import Any

import pytest
from hypothesis import given
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

from stages.tasks.token_classification.report import seqeval_report
from stages.tasks.token_classification.scores.entities import taggings
from stages.tasks.token_classification.scores.metric import scores
from tests.tasks.token_classification.conftest import SENTENCE_PAIRS, Pairs, confuse, random_tags, sides

Tags = list[list[str]]
STRICT: dict[str, Any] = {"mode": "strict", "scheme": IOB2, "zero_division": 0}


def report(gold: Tags, predicted: Tags) -> tuple[str, str]:
    """The heading and the table."""
    both = taggings(gold, predicted)
    micro = scores(*both)["entity_strict"]["micro"]
    heading, table = seqeval_report.report_by_seqeval("dev", *both, micro).split("\n\n", 1)
    return heading, table


def test_the_report_is_seqevals_own() -> None:
    gold = random_tags(300, seed=1)
    predicted = confuse(gold, seed=2)
    heading, table = report(gold, predicted)
    assert heading == 'dev, 300 sentences: seqeval, classification_report(mode="strict", scheme=IOB2)'
    assert table == classification_report(gold, predicted, digits=4, **STRICT)


@pytest.mark.parametrize(
    ("gold", "predicted", "row"),
    [
        ([["B-PER", "O"]], [["O", "O"]], "PER     0.0000    0.0000    0.0000         1"),
        ([["O", "O"]], [["B-PER", "I-PER"]], "PER     0.0000    0.0000    0.0000         0"),
        ([["B-PER", "O"]], [["B-PER", "I-LOC"]], "PER     1.0000    1.0000    1.0000         1"),
        ([["B-PER", "B--a"]], [["B-PER", "B-a"]], "micro avg     0.5000    0.5000    0.5000         2"),
        ([["O"], []], [["I-PER"], []], "no entity, neither in gold nor in the predictions"),
    ],
    ids=["none predicted", "none in gold", "a type in no entity", "hyphen at an end", "no entity"],
)
def test_the_report_of_rare_cases(gold: Tags, predicted: Tags, row: str) -> None:
    assert row in report(gold, predicted)[1]


@given(SENTENCE_PAIRS)
def test_seqeval_agrees_on_any_tags(pairs: Pairs) -> None:
    report(*sides(pairs))


def test_a_figure_that_differs_in_the_last_digit_is_refused_with_both() -> None:
    both = taggings([["B-PER"], ["B-PER"], ["B-PER"]], [["B-PER"], ["O"], ["O"]])
    micro = scores(*both)["entity_strict"]["micro"]
    assert micro["f1"] == 0.5
    with pytest.raises(AssertionError, match=r"seqeval's micro F1 on test is 0\.5, Tuneline's 0\.5000000000000001\."):
        seqeval_report.report_by_seqeval("test", *both, micro | {"f1": 0.5000000000000001})


def test_a_long_split_is_sampled_evenly_and_the_report_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seqeval_report, "MAX_SENTENCES", 40)
    gold = random_tags(100, seed=3)
    predicted = confuse(gold, seed=4)
    heading, table = report(gold, predicted)
    assert heading.startswith("dev, a sample of 40 of 100 sentences, evenly spaced: seqeval")
    chosen = [number * 100 // 40 for number in range(40)]
    sample = [gold[number] for number in chosen], [predicted[number] for number in chosen]
    assert table == classification_report(*sample, digits=4, **STRICT)
