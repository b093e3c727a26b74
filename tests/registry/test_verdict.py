"""The gate's verdicts on constructed predictions."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.registry.opponent import Opponent, describe_differences
from pipeline.registry.verdict import Verdict
from pipeline.registry.verdict import judge as judge_any
from stages.config.register import GateParams
from stages.scoring import LabelChange, compare_labels
from stages.tasks.token_classification.scores.entities import Tagging, taggings
from stages.tasks.token_classification.scores.metric import counts_by_sentence
from stages.tasks.token_classification.scores.predictions import Predictions
from stages.tasks.token_classification.scores.scoring import count_entities, keep_labels
from stages.tracking.version_artifacts import load_task
from tests.registry.versions import predictions as tagged

GATE = GateParams(
    significance_level=0.05,
    min_score=0.5,
    max_drop_per_label=0.05,
    max_drop_per_slice=None,
    max_forgetting=None,
    max_latency_ms=None,
)
TASK = load_task("token_classification")
SENTENCES = 400


def predictions(**missed: int) -> Predictions:
    """Sentences of one entity of each type, which is missed in the first so many."""
    tags = (*(f"B-{name}" for name in missed), "O")
    gold = np.tile(np.arange(len(missed)), SENTENCES)
    predicted = gold.copy()
    for number, count in enumerate(missed.values()):
        predicted[number : number + len(missed) * count : len(missed)] = len(missed)
    bounds = np.arange(0, len(gold) + 1, len(missed))
    words = pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), pa.array(["word"] * len(gold)))
    return Predictions(
        words, Tagging(gold, bounds, tags), Tagging(predicted, bounds, tags), np.ones(len(gold), np.float32)
    )


def judge(
    challenger: Predictions, opponent: Opponent | None, gate: GateParams, *, latency_ms: float | None = None
) -> Verdict:
    return judge_any(challenger, opponent, gate, task=TASK, latency_ms=latency_ms)


def same_types(champion: Predictions) -> Opponent:
    return Opponent(champion, champion, compare_labels(champion.gold.types, champion.gold.types))


def test_the_first_version_must_only_pass_the_minimum_scores() -> None:
    verdict = judge(predictions(LOC=40, PER=40), None, GATE)
    assert (verdict.verdict, verdict.difference, verdict.p_value) == ("PROMOTE", None, None)
    assert verdict.per_label["LOC"] == (None, pytest.approx(0.9474, abs=1e-4))
    low = judge(predictions(LOC=300, PER=300), None, GATE)
    assert low.verdict == "REJECT"
    assert low.reasons == ["F1 is 0.4000; register.gate.min_score is 0.5"]


def test_a_better_version_is_promoted_and_a_slightly_better_one_held() -> None:
    champion = predictions(LOC=40, PER=40)
    better = judge(predictions(LOC=20, PER=20), same_types(champion), GATE)
    assert better.verdict == "PROMOTE"
    assert better.difference == pytest.approx(0.9744 - 0.9474, abs=1e-4)
    assert better.p_value is not None
    assert better.p_value < GATE.significance_level
    assert better.interval is not None
    assert better.interval[0] > 0
    assert f"p = {better.p_value:.4f}" in better.reasons[0]
    small = judge(predictions(LOC=38, PER=40), same_types(champion), GATE)
    assert small.verdict == "HOLD"
    assert small.reasons[0].startswith("the difference may be chance")


def test_a_worse_version_is_rejected_and_so_is_a_better_one_with_a_worse_type() -> None:
    champion = predictions(LOC=40, PER=40)
    worse = judge(predictions(LOC=60, PER=60), same_types(champion), GATE)
    assert worse.verdict == "REJECT"
    assert worse.reasons[-1].startswith("it is worse")
    trade = judge(predictions(LOC=0, PER=79), same_types(champion), GATE)
    assert trade.difference is not None
    assert trade.reasons[0] == "PER falls from 0.9474 to 0.8904; register.gate.max_drop_per_label is 0.05"
    assert trade.reasons[1].startswith("all types together: F1 ")
    assert f"p = {trade.p_value:.4f}" in trade.reasons[1]
    assert trade.verdict == "REJECT"


@pytest.mark.parametrize("champion", [None, predictions(LOC=80, PER=80)])
def test_a_version_that_forgets_more_of_an_older_corpus_than_allowed_is_rejected(champion: Predictions | None) -> None:
    opponent = champion and same_types(champion)
    forgetting = {
        "may": {"value": 0.04, "before": 0.84, "after": 0.8},
        "june": {"value": 0.06, "before": 0.86, "after": 0.8},
    }
    new = predictions(LOC=20, PER=20)
    kept = judge_any(new, opponent, GATE, task=TASK, forgetting=forgetting)
    assert kept.verdict == "PROMOTE"
    gate = GATE.model_copy(update={"max_forgetting": 0.05})
    lost = judge_any(new, opponent, gate, task=TASK, forgetting=forgetting)
    assert lost.verdict == "REJECT"
    assert lost.reasons[0] == (
        "it forgets: F1 on june falls from 0.8600 to 0.8000; register.gate.max_forgetting is 0.05"
    )
    assert not any("may" in reason for reason in lost.reasons)


def test_a_version_over_its_latency_budget_is_rejected() -> None:
    gate = GATE.model_copy(update={"max_latency_ms": 20.0})
    slow = judge(predictions(LOC=0, PER=0), None, gate, latency_ms=31.25)
    assert slow.verdict == "REJECT"
    assert slow.reasons == ["a sentence takes 31.2 ms; register.gate.max_latency_ms is 20"]
    assert judge(predictions(LOC=0, PER=0), None, gate, latency_ms=20.0).verdict == "PROMOTE"


def meet(champion: Predictions, old: str, new: str, *, recorded: Predictions | None = None) -> Opponent:
    """A champion that knows the types `old`, for a challenger that knows the types `new`."""
    return Opponent(champion, recorded, compare_labels(old.split(), new.split()))


def test_a_version_whose_types_are_all_renamed_is_rejected_since_nothing_can_be_compared() -> None:
    renamed = predictions(PERSON=52, PLACE=52)  # the champion, perfect on its own types, finds none of these
    champion = predictions(PERSON=SENTENCES, PLACE=SENTENCES)
    verdict = judge(renamed, meet(champion, "LOC PER", "PERSON PLACE", recorded=predictions(LOC=0, PER=0)), GATE)
    assert verdict.verdict == "REJECT"
    assert verdict.reasons == [
        "LOC vanished: this version does not know it, the champion's F1 on it is 1.0000; "
        "register.gate.max_drop_per_label is 0.05",
        "PER vanished: this version does not know it, the champion's F1 on it is 1.0000; "
        "register.gate.max_drop_per_label is 0.05",
        "nothing can be compared: there is no type that both know",
    ]
    assert (verdict.difference, verdict.interval, verdict.p_value) == (None, None, None)
    assert verdict.labels == LabelChange(shared=[], vanished=["LOC", "PER"], appeared=["PERSON", "PLACE"])
    assert verdict.per_label["LOC"] == (1.0, None)
    assert verdict.per_label["PLACE"] == (None, pytest.approx(verdict.score))


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        (predictions(LOC=40, ORG=40, PER=40), "0.9474"),
        (predictions(LOC=40, PER=40), "unknown"),  # no test sentence has one
        (None, "unknown"),  # its report is gone
    ],
)
def test_a_better_version_that_does_not_know_a_type_is_rejected(recorded: Predictions | None, shown: str) -> None:
    better, champion = predictions(LOC=0, PER=0), predictions(LOC=40, PER=40)
    opponent = meet(champion, "LOC ORG PER", "LOC PER", recorded=recorded)
    verdict = judge(better, opponent, GATE.model_copy(update={"max_drop_per_label": 1.0}))
    assert verdict.verdict == "REJECT"
    assert verdict.reasons[0].startswith(
        f"ORG vanished: this version does not know it, the champion's F1 on it is {shown};"
    )
    assert verdict.reasons[1].startswith("together on the types that both know (LOC, PER): F1 1.0000, +0.0526 ")
    assert "nothing is promoted over a type that vanished without --force" in describe_differences(
        better, opponent, TASK
    )


@pytest.mark.parametrize(("missed", "decision"), [(20, "PROMOTE"), (40, "HOLD"), (60, "REJECT")])
def test_a_new_type_is_named_and_the_others_decide(missed: int, decision: str) -> None:
    challenger = predictions(**{"LOC": missed, "PER": missed, "GPE.NAM": 10})
    champion = predictions(**{"LOC": 40, "PER": 40, "GPE.NAM": SENTENCES})
    opponent = meet(champion, "LOC PER", "GPE.NAM LOC PER", recorded=champion)
    verdict = judge(challenger, opponent, GATE)
    alone = judge(predictions(LOC=missed, PER=missed), same_types(predictions(LOC=40, PER=40)), GATE)
    assert verdict.verdict == decision
    assert (verdict.score, verdict.difference, verdict.p_value) == (alone.score, alone.difference, alone.p_value)
    assert verdict.interval == pytest.approx(alone.interval)
    assert "on the types that both know (LOC, PER)" in verdict.reasons[0]
    assert verdict.per_label["GPE.NAM"] == (None, pytest.approx(0.9873, abs=1e-4))
    assert list(describe_differences(challenger, opponent, TASK)) == [
        "types that the champion does not know are not compared: GPE.NAM"
    ]


def test_what_the_champion_predicts_of_a_vanished_type_does_not_count_against_it() -> None:
    challenger, champion = predictions(LOC=40, PER=40), predictions(LOC=40, PER=40)
    tags = ("B-LOC", "B-PER", "O", "B-ORG")
    gold, predicted = (replace(side, tags=tags) for side in (champion.gold, champion.predicted))
    predicted.ids_W[predicted.ids_W == tags.index("O")] = tags.index("B-ORG")
    spurious = replace(champion, gold=gold, predicted=predicted)
    assert judge(challenger, meet(spurious, "LOC ORG PER", "LOC PER"), GATE).difference == 0


def test_shared_types_that_no_test_sentence_has_decide_nothing() -> None:
    challenger, champion = predictions(GPE=0), predictions(GPE=SENTENCES)
    verdict = judge(challenger, meet(champion, "LOC", "GPE LOC"), GATE)
    assert verdict.verdict == "REJECT"
    assert verdict.reasons == ["nothing can be compared: no test sentence has an entity of a type that both know"]


TAG = st.sampled_from(["O", "B-PER", "I-PER", "B-PER.NAM", "I-PER.NAM", "B-LOC", "I-LOC"])


@given(
    st.lists(st.lists(st.tuples(TAG, TAG), min_size=1, max_size=6), min_size=1, max_size=4),
    st.sets(st.sampled_from(["PER", "PER.NAM", "LOC", "ORG"])),
)
def test_entities_of_the_kept_types_are_counted_as_before(
    sentences: list[list[tuple[str, str]]], types: set[str]
) -> None:
    gold, predicted = taggings(*([[tags[side] for tags in sentence] for sentence in sentences] for side in (0, 1)))
    words = pa.array([["word"] * len(sentence) for sentence in sentences])
    before = Predictions(words, gold, predicted, np.ones(len(gold.ids_W), np.float32))
    by_type = [
        counts_by_sentence(gold.entities(strict=True), predicted.entities(strict=True), gold.sentences, number)
        for number, name in enumerate(gold.types)
        if name in types
    ]
    expected = np.sum([np.zeros((3, gold.sentences), int), *by_type], axis=0)
    assert count_entities(keep_labels(before, types)).tolist() == expected.tolist()


def texts(*sentences: str) -> Predictions:
    words = [sentence.split() for sentence in sentences]
    tags = [["O"] * len(sentence) for sentence in words]
    return tagged(words, tags, tags)


@pytest.mark.parametrize(
    ("own", "recorded", "notes"),
    [
        (
            ("Anna slept", "so what"),
            ("Anna slept", "so what"),
            ["the champion was registered with these test sentences in another order or"],
        ),
        (("Anna slept", "so what"), ("so what", "Bo", "Li"), ["1 of the 2 are among its own 3"]),
        (("Anna slept", "so what"), ("Bo", "Li"), ["none of the 2 are among its own 2"]),
        (
            ("Анна спала", "Бонн"),
            ("Anna slept", "Bonn"),
            [
                "none of the 2 are among its own 2",
                "these test sentences are written in Cyrillic, those of the champion are not",
            ],
        ),
        (("Anna slept",), None, ["the champion was rescored; the test sentences that it was registered with are gone"]),
    ],
)
def test_other_test_sentences_than_the_champions_are_noted(
    own: tuple[str, ...], recorded: tuple[str, ...] | None, notes: list[str]
) -> None:
    challenger, others = texts(*own), None if recorded is None else texts(*recorded)
    found = list(describe_differences(challenger, meet(texts(*own), "PER", "PER", recorded=others), TASK))
    assert len(found) == len(notes)
    assert all(note in line for note, line in zip(notes, found, strict=True))


def test_nothing_is_noted_on_the_same_types_and_test_sentences() -> None:
    own = texts("Anna slept")
    assert list(describe_differences(own, same_types(own), TASK)) == []
