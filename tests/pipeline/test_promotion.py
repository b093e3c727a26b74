"""The gate's verdicts on predictions made for the purpose; tests/test_end_to_end.py promotes real models."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.promotion import judge
from stages.scoring.entities import Tagging
from stages.scoring.predictions import Predictions
from stages.sections.register import GateParams

GATE = GateParams(level=0.05, min_f1=0.5, max_drop_per_type=0.05)
TAGS = ("B-LOC", "B-PER", "O")
SENTENCES = 400


def predictions(*, wrong_loc: int, wrong_per: int, words: str = "word") -> Predictions:
    """Sentences of one LOC and one PER; of so many of the first ones the LOC, or the PER, is missed."""
    gold = np.tile([0, 1], SENTENCES)
    predicted = gold.copy()
    predicted[0 : 2 * wrong_loc : 2] = 2
    predicted[1 : 2 * wrong_per : 2] = 2
    bounds = np.arange(0, 2 * SENTENCES + 1, 2)
    lists = pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), pa.array([words] * 2 * SENTENCES))
    return Predictions(
        lists, Tagging(gold, bounds, TAGS), Tagging(predicted, bounds, TAGS), np.ones(2 * SENTENCES, np.float32)
    )


def test_the_first_version_has_only_floors_to_pass() -> None:
    verdict = judge(predictions(wrong_loc=40, wrong_per=40), None, GATE)
    assert (verdict.verdict, verdict.difference, verdict.p_value) == ("PROMOTE", None, None)
    assert verdict.per_type["LOC"] == (None, pytest.approx(0.9474, abs=1e-4))
    low = judge(predictions(wrong_loc=300, wrong_per=300), None, GATE)
    assert low.verdict == "REJECT"
    assert low.reasons == ["F1 is 0.4000; register.gate.min_f1 is 0.5"]


def test_a_better_version_is_promoted_and_a_little_better_one_held() -> None:
    champion = predictions(wrong_loc=40, wrong_per=40)
    better = judge(predictions(wrong_loc=20, wrong_per=20), champion, GATE)
    assert better.verdict == "PROMOTE"
    assert better.difference == pytest.approx(0.9744 - 0.9474, abs=1e-4)
    assert better.p_value is not None
    assert better.p_value < GATE.level
    assert better.interval is not None
    assert better.interval[0] > 0
    assert f"p = {better.p_value:.4f}" in better.reasons[0]
    luck = judge(predictions(wrong_loc=38, wrong_per=40), champion, GATE)
    assert luck.verdict == "HOLD"
    assert luck.reasons[0].startswith("it may have been luck")


def test_a_worse_version_is_rejected_and_so_is_one_that_pays_for_its_gain_with_a_type() -> None:
    champion = predictions(wrong_loc=40, wrong_per=40)
    worse = judge(predictions(wrong_loc=60, wrong_per=60), champion, GATE)
    assert worse.verdict == "REJECT"
    assert worse.reasons[-1].startswith("it is worse")
    paid = judge(predictions(wrong_loc=0, wrong_per=79), champion, GATE)
    assert paid.difference is not None
    assert paid.reasons == ["PER falls from 0.9474 to 0.8904; register.gate.max_drop_per_type is 0.05"]
    assert paid.verdict == "REJECT"


def test_versions_that_saw_other_sentences_cannot_be_compared() -> None:
    verdict = judge(predictions(wrong_loc=0, wrong_per=0), predictions(wrong_loc=40, wrong_per=40, words="other"), GATE)
    assert verdict.verdict == "HOLD"
    assert "other test sentences" in verdict.reasons[0]
    assert verdict.p_value is None
