"""What the heads of the tasks think of an answer, by formulas written out."""

import math

import pytest
import torch

from stages.modeling.head import JudgingHead, judge_labels
from stages.modeling.heads.crf import Crf
from stages.tasks.regression.model.head import NumberHead
from stages.tasks.text_classification.model.head import MultiLabelHead, SingleLabelHead
from stages.tasks.token_classification.model.decoding import iob2_potentials
from stages.tasks.token_classification.model.head import CrfHead, TagHead
from tests.training.waiting import NoWaiting

LOGITS = torch.tensor([[2.0, 1.0, 0.0], [-1.0, 3.0, 0.5], [0.0, 0.0, 5.0]])
LABELS = torch.tensor([0, 2, 2])
WEIGHTS = torch.ones(3)
CRF = CrfHead(Crf(3), iob2_potentials(["O", "B-X", "I-X"]))


@pytest.mark.parametrize("head", [TagHead(0.1), CRF, SingleLabelHead(0.0, torch.tensor([1.0, 2.0, 3.0]))])
def test_a_label_is_believed_as_probable_as_the_softmax_has_it(head: JudgingHead) -> None:
    judged_OK = head.judge(LOGITS, (LABELS, WEIGHTS))
    rows = zip(LOGITS.tolist(), LABELS.tolist(), strict=True)
    expected = [math.exp(row[label]) / sum(map(math.exp, row)) for row, label in rows]
    assert judged_OK[:, 0].tolist() == pytest.approx(expected)
    assert judged_OK[:, 1].tolist() == [1, 1, 0]  # the largest of the others, the first of equal ones
    assert judged_OK.shape[1] == head.judged


def test_of_several_labels_the_least_believed_counts() -> None:
    given = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    judged_OK = MultiLabelHead(0.0).judge(LOGITS, (given, WEIGHTS))
    expected = [1 / (1 + math.exp(1.0)), 1 / (1 + math.exp(-0.5)), 0.5]
    assert judged_OK[:, 0].tolist() == pytest.approx(expected)
    assert judged_OK[:, 1].tolist() == [1, 2, 0]


def test_of_several_numbers_the_furthest_counts() -> None:
    head = NumberHead(3)
    judged_OK = head.judge(LOGITS, (torch.tensor([[2.0, 0.5, 1.5], [0.0, 3.0, 0.5], [0.0, 0.0, 5.0]]), WEIGHTS))
    assert judged_OK[:, 0].tolist() == [-1.5, -1.0, 0.0]
    assert judged_OK[:, 1:].equal(LOGITS)
    assert judged_OK.shape[1] == head.judged


def test_an_output_that_counts_for_nothing_is_no_error_and_nothing_waits() -> None:
    with NoWaiting():
        judged_OK = judge_labels(LOGITS, torch.tensor([-100, 1, -100]))
    assert judged_OK.isfinite().all()
