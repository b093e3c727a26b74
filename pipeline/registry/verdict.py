"""What the promotion gate decides about a challenger, and for which reasons."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.registry.opponent import Opponent
from pipeline.registry.predictions import measure_difference
from stages.config.register import GateParams
from stages.scoring import LabelChange, TaskParts
from stages.statistics.measure import Measure
from stages.statistics.names import shorten_score
from stages.statistics.significance import CONFIDENCE, p_value
from stages.statistics.slices import list_slices

Decision = Literal["PROMOTE", "HOLD", "REJECT"]
Pairs = dict[str, tuple[float | None, float | None]]  # the scores of champion and challenger


@dataclass(frozen=True)
class Verdict:
    """The gate's decision about a challenger, with its reasons.

    `primary` is the challenger's primary score as metrics.json has it, and `score` its value, over the labels that are
    compared: those that the champion knows too, or all if there is no champion or no such label. `per_label` holds the
    scores by label; None if one of the two does not know the label, or if the champion's score on a vanished one is
    unknown. `per_slice` holds the primary scores by column and value. `labels` is None without a champion, and so are
    `difference`, `interval` and `p_value`, which also are None if nothing can be compared. `latency_ms` is None without
    a budget.
    """

    verdict: Decision
    reasons: list[str]
    primary: dict[str, Any]
    score: float
    per_label: Pairs
    labels: LabelChange | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    latency_ms: float | None = None
    per_slice: dict[str, Pairs] = field(default_factory=dict)


def judge(
    challenger: Any,
    opponent: Opponent | None,
    gate: GateParams,
    *,
    task: TaskParts,
    latency_ms: float | None = None,
    forgetting: Mapping[str, Mapping[str, float]] | None = None,
) -> Verdict:
    """Decide whether the challenger should replace the champion.

    Only the labels that both know are compared: the champion cannot find the others, and would lose by them however
    good it is. A label that the challenger does not know is a fault. `latency_ms` is the challenger's time for one
    example, if it was measured, and `forgetting` what it forgot of older corpora, as metrics.json has it.
    """
    scores, words = task.scores, task.words
    primary = scores.primary(challenger, task.primary)
    by_label = {name: score.value for name, score in scores.score_labels(challenger, task.primary).items()}
    new = scores.measure(challenger, task.primary)
    faults = list(_list_broken_limits(primary, new, latency_ms, gate, task))
    faults += _list_forgotten(forgetting or {}, gate, shorten_score(primary["name"]), is_error=new.is_error)
    if opponent is None:
        reasons = faults or [f"the first champion: {shorten_score(primary['name'])} {primary['value']:.4f}"]
        alone: Pairs = {name: (None, after) for name, after in by_label.items()}
        verdict: Decision = "REJECT" if faults else "PROMOTE"
        return Verdict(verdict, reasons, primary, primary["value"], alone, latency_ms=latency_ms)
    per_label = _pair_labels(by_label, opponent, task)
    champion, labels, scope = opponent.predictions, opponent.labels, ""
    if not labels.is_none:
        challenger, champion = (scores.keep_labels(each, labels.shared) for each in (challenger, champion))
    faults += _list_label_drops(per_label, champion, challenger, gate, task)
    if not labels.is_none:
        compared = scores.primary(challenger, task.primary) if labels.shared else {"support": 0}
        if not compared["support"]:
            has_none = f"no test {words.example} has {words.item} of a {words.label}"
            lack = has_none if labels.shared else f"there is no {words.label}"
            faults.append(f"nothing can be compared: {lack} that both know")
            return Verdict("REJECT", faults, primary, primary["value"], per_label, labels, latency_ms=latency_ms)
        primary, scope = compared, f" on the {words.labels} that both know ({', '.join(labels.shared)})"
        new = scores.measure(challenger, task.primary)
    old = scores.measure(champion, task.primary)
    per_slice, drops = _compare_slices(old, new, challenger, gate, task)
    faults += drops
    difference, interval = measure_difference(old, new)
    p = p_value(old, new)
    summary = (
        f"{shorten_score(primary['name'])} {primary['value']:.4f}, {difference:+.4f} against the champion "
        f"({CONFIDENCE:.0%} interval {interval[0]:+.4f} to {interval[1]:+.4f}, p = {p:.4f})"
    )
    if p_value(new, old) < gate.significance_level:
        faults.append(f"it is worse{scope}: {summary}")
    elif faults:
        faults.append(f"{'together' if scope else f'all {words.labels} together'}{scope}: {summary}")
    decision: Decision = "REJECT" if faults else "PROMOTE" if p < gate.significance_level else "HOLD"
    reasons = {
        "REJECT": faults,
        "PROMOTE": [f"it is better{scope}: {summary}"],
        "HOLD": [
            f"the difference{scope} may be chance: {summary}; a promotion needs p below {gate.significance_level}"
        ],
    }[decision]
    return Verdict(
        decision, reasons, primary, primary["value"], per_label, labels, difference, interval, p, latency_ms, per_slice
    )


def _list_broken_limits(
    primary: dict[str, Any], measure: Measure, latency_ms: float | None, gate: GateParams, task: TaskParts
) -> Iterator[str]:
    if gate.min_score is not None and measure.sign * (primary["value"] - gate.min_score) < 0:
        name = shorten_score(primary["name"])
        yield f"{name} is {primary['value']:.4f}; register.gate.min_score is {gate.min_score}"
    if gate.max_latency_ms is not None and latency_ms is not None and latency_ms > gate.max_latency_ms:
        limit = f"register.gate.max_latency_ms is {gate.max_latency_ms:g}"
        yield f"a {task.words.example} takes {latency_ms:.1f} ms; {limit}"


def _list_forgotten(
    forgetting: Mapping[str, Mapping[str, float]], gate: GateParams, score: str, *, is_error: bool
) -> Iterator[str]:
    """Yield a line for each older corpus of which more was forgotten than the limit allows."""
    for name, found in forgetting.items():
        if gate.max_forgetting is not None and found["value"] > gate.max_forgetting:
            drop = _describe_drop(found["before"], found["after"], is_error=is_error)
            yield f"it forgets: {score} on {name} {drop}; register.gate.max_forgetting is {gate.max_forgetting}"


def _pair_labels(by_label: dict[str, float], opponent: Opponent, task: TaskParts) -> Pairs:
    """The scores of the champion and of the challenger by label."""
    scores, labels = task.scores, opponent.labels
    champion = {name: score.value for name, score in scores.score_labels(opponent.predictions, task.primary).items()}
    known = {name: (None if name in labels.appeared else champion.get(name), after) for name, after in by_label.items()}
    # A label that is only predicted has the score 0, which says nothing of a model.
    recorded = scores.score_labels(opponent.recorded, task.primary) if labels.vanished and opponent.recorded else {}
    lost = {name: score.value for name, score in recorded.items() if score.support}
    return {**known, **{name: (lost.get(name), None) for name in labels.vanished}}


def _list_label_drops(
    per_label: Pairs, champion: Any, challenger: Any, gate: GateParams, task: TaskParts
) -> Iterator[str]:
    """Yield a line for each label on which the challenger is worse beyond the limit, or which it does not know."""
    scores, limit = task.scores, f"register.gate.max_drop_per_label is {gate.max_drop_per_label}"
    is_error = scores.measure(challenger, task.primary).is_error
    level = gate.significance_level / max(1, sum(None not in pair for pair in per_label.values()))
    for name, (before, after) in per_label.items():
        if after is None:
            score = task.words.label_score or shorten_score(task.primary)
            known = "unknown" if before is None else f"{before:.4f}"
            yield f"{name} vanished: this version does not know it, the champion's {score} on it is {known}; {limit}"
        elif (
            before is not None
            and _is_beyond(gate.max_drop_per_label, before, after, is_error=is_error)
            and not (scores.TEST_LABELS and _is_chance(*_measure_label(champion, challenger, name, task), level))
        ):
            yield f"{name} {_describe_drop(before, after, is_error=is_error)}; {limit}"


def _measure_label(champion: Any, challenger: Any, label: str, task: TaskParts) -> tuple[Measure, Measure]:
    return task.scores.measure_label(champion, label, task.primary), task.scores.measure_label(
        challenger, label, task.primary
    )


def _compare_slices(
    old: Measure, new: Measure, challenger: Any, gate: GateParams, task: TaskParts
) -> tuple[dict[str, Pairs], list[str]]:
    """The primary scores by slice, and a line for each that the challenger answers worse by more than the limit.

    Only what a paired test on the examples of the slice does not explain by chance counts, however small the slice is.
    """
    parts = {
        (column, name): (old.select(chosen_S), new.select(chosen_S))
        for column, values in task.scores.find_slices(challenger).items()
        for name, chosen_S in list_slices(values)
    }
    pairs: dict[str, Pairs] = {}
    for (column, name), (before, after) in parts.items():
        pairs.setdefault(column, {})[name] = before.value, after.value
    level = gate.significance_level / max(1, len(parts))
    limit = f"register.gate.max_drop_per_slice is {gate.max_drop_per_slice}"
    return pairs, [
        f"{column} {name} {_describe_drop(before.value, after.value, is_error=new.is_error)}; {limit}"
        for (column, name), (before, after) in parts.items()
        if _is_beyond(gate.max_drop_per_slice, before.value, after.value, is_error=new.is_error)
        and not _is_chance(before, after, level)
    ]


def _is_beyond(limit: float | None, before: float, after: float, *, is_error: bool) -> bool:
    """Whether a score has become worse by more than the limit, if there is one."""
    return limit is not None and (after - before if is_error else before - after) > limit


def _is_chance(old: Measure, new: Measure, level: float) -> bool:
    """Whether the new model may be worse than the old one by chance alone.

    `level` is that of all such tests divided by their number (Bonferroni): of many parts, some are worse by chance.
    """
    return p_value(new, old) >= level


def _describe_drop(before: float, after: float, *, is_error: bool) -> str:
    return f"{'rises' if is_error else 'falls'} from {before:.4f} to {after:.4f}"
