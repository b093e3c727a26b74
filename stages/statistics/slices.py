"""Scores of slices of the examples (a source, a region), and whether a slice is answered worse than the others.

Shape legend: S examples, N kinds of examples, K counts, T trials.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.statistics.bootstrap import DRAWN, SEED, interval
from stages.statistics.measure import ROUNDING, Counts, Floats, Measure, Truths, sum_counts

TRIALS = 1000


@dataclass(frozen=True)
class Gap:
    """The score in a slice less that of the other examples, and the probability of one as large by chance."""

    value: float
    p_value: float


def score_slices(measure: Measure, slices: dict[str, pa.DictionaryArray]) -> dict[str, dict[str, dict[str, Any]]]:
    """The score of the examples with each value of each column, in the order of the values' names.

    A row is `{"value", "low", "high", "support", "gap", "p_value"}`; the last two are None where the slice is all
    examples. `gap` is below 0 where the slice is answered worse than the other examples, also for an error. An example
    without a value (null) is in no slice of the column, and among the others of each.
    """
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for column, values in slices.items():
        table[column] = {}
        for name, chosen_S in list_slices(values):
            own = measure.select(chosen_S)
            low, high = interval(own)
            gap = find_gap(measure, chosen_S)
            table[column][name] = {
                "value": own.value,
                "low": low,
                "high": high,
                "support": own.support,
                "gap": gap.value if gap else None,
                "p_value": gap.p_value if gap else None,
            }
    return table


def list_slices(values: pa.DictionaryArray) -> Iterator[tuple[str, Truths]]:
    """Yield each value that occurs, in the order of their names, and which examples have it."""
    names = values.dictionary.to_pylist()
    index_S = values.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    for name in sorted(name for name in set(names) if name is not None):
        chosen_S: npt.NDArray[np.bool_] = np.isin(
            index_S, [number for number, other in enumerate(names) if other == name]
        )
        if chosen_S.any():
            yield name, chosen_S


def find_gap(measure: Measure, chosen_S: Truths) -> Gap | None:
    """The gap between the chosen examples and the others; None if there are no others, or none chosen.

    A permutation test for two independent samples, two-sided (Fisher, 1935; Pitman, 1937): under the null hypothesis
    the chosen examples are a random part of all. Since the parts that it draws have the slice's size, a score that
    suffers in a small part (macro F1 without some classes) is compared with scores that suffer alike, and the p-value
    is exact for slices of any size. It finds a slice that is harder as well as one that the model treats differently.
    """
    inside, outside = measure.select(chosen_S), measure.select(~chosen_S)
    if not inside.support or not outside.support:
        return None
    observed = inside.value - outside.value
    size = max(abs(inside.value), abs(outside.value)) if measure.is_error else 1.0
    few = min(inside.support, outside.support)
    totals_K1 = measure.counts.totals_K[:, None]
    as_large = 0
    for part_KT in _draw_parts(measure.counts, few):
        gap_T = measure.score(part_KT) - measure.score(totals_K1 - part_KT)
        as_large += int((abs(gap_T) >= abs(observed) - ROUNDING * size).sum())
    return Gap(measure.sign * observed, (as_large + 1) / (TRIALS + 1))


def _draw_parts(counts: Counts, examples: int) -> Iterator[Floats]:
    """Yield totals [K, T] of so many examples, drawn without replacement."""
    generator, times_N = np.random.default_rng(SEED), counts.times_N
    step = max(1, DRAWN // len(times_N))
    for start in range(0, TRIALS, step):
        trials = min(step, TRIALS - start)
        if counts.kind_S is None:
            drawn_NT = np.zeros((len(times_N), trials))
            for trial in range(trials):
                drawn_NT[generator.choice(len(times_N), examples, replace=False, shuffle=False), trial] = 1
        else:
            drawn_TN = generator.multivariate_hypergeometric(times_N, examples, size=trials, method="marginals")
            drawn_NT = np.ascontiguousarray(drawn_TN.T, dtype=np.float64)
        yield sum_counts(counts.counts_KN, drawn_NT)
