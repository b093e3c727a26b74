"""What the promotion gate decides about a challenger, and for which reasons."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.registry.opponent import Opponent
from pipeline.registry.predictions import compute_f1, compute_f1_of_gold_types, count_entities, keep_types
from stages.config.register import GateParams
from stages.statistics.significance import CONFIDENCE, gain, gain_interval, p_value
from stages.tasks.token_classification.label_set import TypeChange
from stages.tasks.token_classification.predictions import Predictions

Decision = Literal["PROMOTE", "HOLD", "REJECT"]
PerType = dict[str, tuple[float | None, float | None]]


@dataclass(frozen=True)
class Verdict:
    """The gate's decision about a challenger, with its reasons.

    `f1` is the challenger's over the types that are compared: those that the champion knows too, or all if there is no
    champion or no such type. `per_type` holds F1 by entity type of the champion and of the challenger; None if one does
    not know the type, or if the champion's F1 on a vanished type is unknown. `types` is None without a champion, and
    so are `difference`, `interval` and `p_value`, which also are None if nothing can be compared. `latency_ms` is None
    without a budget.
    """

    verdict: Decision
    reasons: list[str]
    f1: float
    per_type: PerType
    types: TypeChange | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    latency_ms: float | None = None


def judge(
    challenger: Predictions, opponent: Opponent | None, gate: GateParams, *, latency_ms: float | None = None
) -> Verdict:
    """Decide whether the challenger should replace the champion.

    Only the types that both know are compared: the champion cannot find the others, and would lose by them however good
    it is. A type that the challenger does not know is a fault. `latency_ms` is the challenger's time for one sentence,
    if it was measured.
    """
    f1, f1_by_type = compute_f1(challenger)
    faults = _list_broken_limits(f1, latency_ms, gate)
    if opponent is None:
        reasons = faults or [f"the first champion: F1 {f1:.4f}"]
        alone: PerType = {name: (None, new) for name, new in f1_by_type.items()}
        return Verdict("REJECT" if faults else "PROMOTE", reasons, f1, alone, latency_ms=latency_ms)
    per_type = _pair_by_type(f1_by_type, opponent)
    faults += _list_drops(per_type, gate)

    champion, types, scope = opponent.predictions, opponent.types, ""
    if not types.is_none:
        challenger, champion = keep_types(challenger, types.shared), keep_types(champion, types.shared)
        if not len(challenger.gold.entities(strict=True)):
            lack = "no test sentence has an entity of a type" if types.shared else "there is no type"
            faults.append(f"nothing can be compared: {lack} that both know")
            return Verdict("REJECT", faults, f1, per_type, types, latency_ms=latency_ms)
        f1, scope = compute_f1(challenger)[0], f" on the types that both know ({', '.join(types.shared)})"
    old, new = count_entities(champion), count_entities(challenger)
    difference, interval, p = gain(old, new), gain_interval(old, new), p_value(old, new)
    summary = (
        f"F1 {f1:.4f}, {difference:+.4f} against the champion ({CONFIDENCE:.0%} interval {interval[0]:+.4f} to "
        f"{interval[1]:+.4f}, p = {p:.4f})"
    )
    if p_value(new, old) < gate.significance_level:
        faults.append(f"it is worse{scope}: {summary}")
    elif faults:
        faults.append(f"{'together' if scope else 'all types together'}{scope}: {summary}")
    decision: Decision = "REJECT" if faults else "PROMOTE" if p < gate.significance_level else "HOLD"
    reasons = {
        "REJECT": faults,
        "PROMOTE": [f"it is better{scope}: {summary}"],
        "HOLD": [
            f"the difference{scope} may be chance: {summary}; a promotion needs p below {gate.significance_level}"
        ],
    }[decision]
    return Verdict(decision, reasons, f1, per_type, types, difference, interval, p, latency_ms)


def _list_broken_limits(f1: float, latency_ms: float | None, gate: GateParams) -> list[str]:
    faults = [] if f1 >= gate.min_f1 else [f"F1 is {f1:.4f}; register.gate.min_f1 is {gate.min_f1}"]
    if gate.max_latency_ms is not None and latency_ms is not None and latency_ms > gate.max_latency_ms:
        faults.append(f"a sentence takes {latency_ms:.1f} ms; register.gate.max_latency_ms is {gate.max_latency_ms:g}")
    return faults


def _pair_by_type(f1_by_type: Mapping[str, float], opponent: Opponent) -> PerType:
    """F1 of the champion and of the challenger by type."""
    champion, types = compute_f1(opponent.predictions)[1], opponent.types
    known = {name: (None if name in types.appeared else champion.get(name), f1) for name, f1 in f1_by_type.items()}
    recorded = compute_f1_of_gold_types(opponent.recorded) if types.vanished and opponent.recorded else {}
    return {**known, **{name: (recorded.get(name), None) for name in types.vanished}}


def _list_drops(per_type: PerType, gate: GateParams) -> list[str]:
    """A line for each type on which the challenger is worse by more than the limit, or which it does not know."""
    limit = f"register.gate.max_drop_per_type is {gate.max_drop_per_type}"
    faults = []
    for name, (before, after) in per_type.items():
        if after is None:
            champion_f1 = "unknown" if before is None else f"{before:.4f}"
            faults.append(
                f"{name} vanished: this version does not know it, the champion's F1 on it is {champion_f1}; {limit}"
            )
        elif before is not None and before - after > gate.max_drop_per_type:
            faults.append(f"{name} falls from {before:.4f} to {after:.4f}; {limit}")
    return faults
