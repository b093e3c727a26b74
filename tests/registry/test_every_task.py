"""The gate and the comparison, for each task: verdicts, error rates, labels that come and go, slices."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from pipeline.comparison.compare import _compare_split
from pipeline.formatting import format_runs
from pipeline.registry.opponent import Opponent, describe_differences
from pipeline.registry.verdict import judge
from stages.config.register import GateParams
from stages.scoring import compare_labels
from stages.statistics import significance
from stages.statistics.measure import Measure
from stages.statistics.names import shorten_score
from stages.statistics.significance import p_value
from tests.registry.simulated import COLUMN, LABELS, SIMULATIONS, Simulation, draw_classes

GATE = GateParams(
    significance_level=0.05,
    min_score=None,
    max_drop_per_label=0.05,
    max_drop_per_slice=None,
    max_forgetting=None,
    max_latency_ms=None,
)


@pytest.fixture(params=SIMULATIONS)
def simulation(request: pytest.FixtureRequest) -> Simulation:
    return SIMULATIONS[request.param]


def meet(champion: object, old: tuple[str, ...] = LABELS, new: tuple[str, ...] = LABELS) -> Opponent:
    return Opponent(champion, champion, compare_labels(old, new))


def test_a_better_model_is_promoted_the_same_one_held_and_a_worse_one_rejected(simulation: Simulation) -> None:
    worse, better = simulation.draw(np.random.default_rng(1), 500, better_by=0.12)
    verdicts = [
        judge(new, meet(old), GATE, task=simulation.task)
        for old, new in ((worse, better), (worse, worse), (better, worse))
    ]
    assert [verdict.verdict for verdict in verdicts] == ["PROMOTE", "HOLD", "REJECT"]
    assert verdicts[0].primary["name"] == simulation.task.primary
    assert verdicts[0].difference is not None
    assert verdicts[0].difference == pytest.approx(-(verdicts[2].difference or 0))
    assert verdicts[0].interval is not None
    assert verdicts[0].interval[0] <= verdicts[0].difference <= verdicts[0].interval[1]
    json.dumps(simulation.task.add_old_keys(vars(verdicts[0]) | {"labels": None}))


@pytest.fixture(autouse=True)
def _quick_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test by 1,000 exchanges has the level of one by 10,000, and costs a tenth."""
    monkeypatch.setattr(significance, "TRIALS", 1000)


def test_of_equal_models_one_in_twenty_passes_and_one_in_twenty_counts_as_worse(simulation: Simulation) -> None:
    generator = np.random.default_rng(2)
    pairs = [draw_measures(simulation, generator, 300, better_by=0.0) for _ in range(200)]
    for trials in (pairs, [(new, old) for old, new in pairs]):
        passed = sum(p_value(old, new) < GATE.significance_level for old, new in trials)
        assert 2 <= passed <= 18  # 99 % of the time, of 10 expected


def test_six_points_on_a_thousand_examples_pass_in_four_of_five_trials(simulation: Simulation) -> None:
    generator = np.random.default_rng(3)
    pairs = [draw_measures(simulation, generator, 1000, better_by=0.06) for _ in range(50)]
    assert sum(p_value(old, new) < GATE.significance_level for old, new in pairs) >= 40


def draw_measures(
    simulation: Simulation, generator: np.random.Generator, examples: int, *, better_by: float
) -> tuple[Measure, Measure]:
    """The primary scores of two models on the same examples, of which the second is so much better."""
    task = simulation.task
    old, new = (
        task.scores.measure(each, task.primary) for each in simulation.draw(generator, examples, better_by=better_by)
    )
    return old, new


def test_a_label_that_vanished_is_rejected_and_one_that_appeared_is_not_compared(simulation: Simulation) -> None:
    champion, challenger = simulation.draw(np.random.default_rng(4), 2000, better_by=0.1)
    fewer, words = LABELS[1:], simulation.task.words
    lost = judge(challenger, meet(champion, LABELS, fewer), GATE, task=simulation.task)
    assert lost.verdict == "REJECT"
    score = words.label_score or shorten_score(simulation.task.primary)
    assert lost.reasons[0].startswith(f"cost vanished: this version does not know it, the champion's {score} on it is ")
    gained = judge(challenger, meet(champion, fewer, LABELS), GATE, task=simulation.task)
    assert gained.verdict == "PROMOTE"
    assert gained.reasons[0].startswith(f"it is better on the {words.labels} that both know (delivery, service, taste)")
    assert gained.per_label["cost"][0] is None
    assert list(describe_differences(challenger, meet(champion, fewer, LABELS), simulation.task)) == [
        f"{words.labels} that the champion does not know are not compared: cost"
    ]
    nothing = judge(challenger, meet(champion, ("other",), LABELS), GATE, task=simulation.task)
    assert nothing.reasons[-1] == f"nothing can be compared: there is no {words.label} that both know"


def test_a_score_below_the_minimum_is_rejected(simulation: Simulation) -> None:
    champion, _ = simulation.draw(np.random.default_rng(5), 300)
    bound = 0.01 if simulation.task.scores.measure(champion, simulation.task.primary).is_error else 0.99
    low = judge(champion, None, GATE.model_copy(update={"min_score": bound}), task=simulation.task)
    assert low.verdict == "REJECT"
    assert f"register.gate.min_score is {bound}" in low.reasons[0]
    assert judge(champion, None, GATE, task=simulation.task).verdict == "PROMOTE"


def test_changes_and_mistakes_can_be_shown(simulation: Simulation) -> None:
    task = simulation.task
    champion, challenger = simulation.draw(np.random.default_rng(6), 200, better_by=0.2)
    changes = task.scores.list_changes(champion, challenger, limit=3)
    assert changes["total"] == 200
    assert changes["counts"]["fixed"] > changes["counts"]["broken"]
    for example in json.loads(json.dumps(changes["examples"])):
        shown = [format_runs(task.presentation.show_answer(example, side, "gold")) for side in ("first", "second")]
        assert shown[0] != shown[1]
    found = json.loads(json.dumps(task.scores.list_mistakes(challenger)))
    assert {kind for entry in found for kind in entry["kinds"]} <= set(task.scores.mistake_kinds(challenger))
    assert {label for entry in found for label in entry["labels"]} <= set(LABELS)
    assert [entry["confidence"] for entry in found] == sorted((e["confidence"] for e in found), reverse=True)
    assert format_runs(task.presentation.show_answer(found[0], "gold", "predicted"))
    assert task.scores.have_same_examples(champion, challenger)
    assert not task.scores.have_same_answers(champion, challenger)
    assert len(task.presentation.make_inputs(champion, limit=3)) == 3


def test_both_are_compared_by_label_with_the_significance_of_the_difference(simulation: Simulation) -> None:
    champion, challenger = simulation.draw(np.random.default_rng(7), 1000, better_by=0.1)
    labels = compare_labels(LABELS, LABELS)
    found = _compare_split(champion, challenger, labels=labels, recorded=champion, task=simulation.task)
    assert found["difference"] == pytest.approx(found["second"] - found["first"])
    assert found["interval"][0] <= found["difference"] <= found["interval"][1]
    assert found["p_value"] < 0.05
    assert set(found["per_label"]) == set(LABELS)


def test_of_many_classes_one_that_falls_by_chance_costs_nothing_and_one_that_is_lost_does() -> None:
    task = SIMULATIONS["one label"].task
    champion, challenger = draw_classes(np.random.default_rng(8), 200)
    verdict = judge(challenger, meet(champion), GATE.model_copy(update={"max_drop_per_label": 0.0}), task=task)
    assert any(after < before for before, after in verdict.per_label.values())
    assert verdict.verdict == "HOLD"
    wrong_EC = challenger.predicted_EC.copy()
    wrong_EC[challenger.gold_EC[:, 0]] = np.array([False, True, False, False])
    lost = judge(replace(challenger, predicted_EC=wrong_EC), meet(champion), GATE, task=task)
    assert any(reason.startswith("cost falls from ") for reason in lost.reasons)


@pytest.mark.parametrize(("limit", "decision"), [(None, "PROMOTE"), (0.05, "REJECT")])
def test_a_better_model_that_fails_a_slice_is_rejected_where_slices_have_a_limit(
    limit: float | None, decision: str
) -> None:
    task = SIMULATIONS["one label"].task
    champion, challenger = draw_classes(np.random.default_rng(9), 2000, better_by=0.2)
    south = np.array(challenger.slices[COLUMN].to_pylist()) == "south"
    unfair_EC = challenger.predicted_EC.copy()
    unfair_EC[south] = np.roll(challenger.gold_EC[south], 1, axis=1)
    gate = GATE.model_copy(update={"max_drop_per_slice": limit, "max_drop_per_label": None})
    verdict = judge(replace(challenger, predicted_EC=unfair_EC), meet(champion), gate, task=task)
    assert verdict.verdict == decision
    assert verdict.per_slice[COLUMN]["south"][1] == 0
    if limit:
        assert verdict.reasons[0].startswith("region south falls from 0.")
        assert verdict.reasons[0].endswith("to 0.0000; register.gate.max_drop_per_slice is 0.05")


def test_a_slice_of_a_few_examples_that_falls_by_chance_costs_nothing() -> None:
    task = SIMULATIONS["one label"].task
    champion, challenger = draw_classes(np.random.default_rng(10), 2000, better_by=0.2)
    names = ["rare" if n < 3 else "common" for n in range(2000)]
    rare = {COLUMN: pa.array(names).dictionary_encode()}
    right_EC, wrong_EC = challenger.gold_EC.copy(), challenger.predicted_EC.copy()
    wrong_EC[:3] = np.roll(challenger.gold_EC[:3], 1, axis=1)
    right_EC[3:] = champion.predicted_EC[3:]
    gate = GATE.model_copy(update={"max_drop_per_slice": 0.05})
    verdict = judge(
        replace(challenger, predicted_EC=wrong_EC, slices=rare),
        meet(replace(champion, predicted_EC=right_EC, slices=rare)),
        gate,
        task=task,
    )
    assert verdict.per_slice[COLUMN]["rare"] == (1.0, 0.0)
    assert verdict.verdict == "PROMOTE"


def test_a_predicted_label_that_is_not_compared_is_wrong_and_has_no_row() -> None:
    task = SIMULATIONS["one label, macro"].task
    _, challenger = draw_classes(np.random.default_rng(11), 300)
    kept = task.scores.keep_labels(challenger, LABELS[1:])
    by_label = task.scores.score_labels(kept, task.primary)
    assert set(by_label) == set(LABELS[1:])
    assert sum(score.support for score in by_label.values()) == len(kept.texts) < 300
    mean = sum(score.value for score in by_label.values()) / 3
    assert task.scores.measure(kept, task.primary).value == pytest.approx(mean)
