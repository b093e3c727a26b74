"""Significance tests: whether one model is better than another on the same examples, or by chance.

Shape legend: S examples, K counts, N kinds of pairs of outputs, D examples in which the models differ, T trials.
"""

import numpy as np
from scipy import sparse

from stages.statistics.bootstrap import CONFIDENCE as CONFIDENCE  # noqa: PLC0414 - reports name that of the interval
from stages.statistics.bootstrap import SEED, draw, percentiles
from stages.statistics.measure import ROUNDING, Measure, Numbers, pair_kinds, sum_counts

TRIALS, MIN_TRIALS = 10_000, 1_000
CHUNK = 500  # trials at a time, to limit memory
BLOCK = 1 << 14  # examples at a time; a multiple of 4, so that the blocks of a chunk have the bits of a whole one
COINS = 2_000_000_000  # in all trials of a test: some 8 s
DRAWS = 50_000_000  # of numbers of examples of a kind, in all resamples: some 10 s


def gain(first: Measure, second: Measure) -> float:
    """How much better the second model is than the first; ValueError unless both were scored on the same examples.

    It is positive if the second is better, also where the measure is an error.
    """
    _check_pair(first, second)
    return first.sign * (second.value - first.value)


def p_value(first: Measure, second: Measure) -> float:
    """The probability of a gain at least as large if both models were equally good.

    Paired approximate randomisation, one-sided (Noreen, 1989; Yeh, 2000): under the null hypothesis the outputs of the
    models for an example are exchangeable. Where they differ in more than 200,000 examples there are fewer trials than
    10,000, down to 1,000: the test has its level with any number of them (Besag & Clifford, 1989). ValueError as in
    `gain`.
    """
    _check_pair(first, second)
    observed = gain(first, second)
    size = max(abs(first.value), abs(second.value)) if first.is_error else 1.0
    totals_K1, second_totals_K1 = first.counts.totals_K[:, None], second.counts.totals_K[:, None]
    blocks = _list_changes(first, second)
    generator = np.random.default_rng(SEED)
    trials = _count_trials(COINS, sum(change_KD.shape[1] for change_KD in blocks))
    as_good = 0
    for _ in range(0, trials, CHUNK):
        moved_KT = np.zeros((len(totals_K1), CHUNK))
        for change_KD in blocks:
            exchanged_DT = generator.integers(0, 2, (change_KD.shape[1], CHUNK), dtype=np.int8)
            is_exact = change_KD.dtype != np.float64  # whole numbers this small are exact in float32
            moved_KT += sum_counts(change_KD, exchanged_DT.astype(np.float32 if is_exact else np.float64))
        gain_T = first.sign * (second.score(second_totals_K1 - moved_KT) - first.score(totals_K1 + moved_KT))
        as_good += int((gain_T >= observed - ROUNDING * size).sum())
    return (as_good + 1) / (trials + 1)


def gain_interval(first: Measure, second: Measure) -> tuple[float, float]:
    """The 95 % percentile interval of the gain, by the paired bootstrap over examples (Efron, 1979).

    From 10,000 resamples, or fewer, down to 1,000, where there are more than 5,000 kinds of pairs of outputs.
    ValueError as in `gain`.
    """
    _check_pair(first, second)
    if not first.support:
        return 0.0, 0.0
    counts, second_counts = pair_kinds(first.counts, second.counts)
    gain_T = np.concatenate(
        [
            second.score(sum_counts(second_counts.counts_KN, drawn_NT))
            - first.score(sum_counts(counts.counts_KN, drawn_NT))
            for drawn_NT in draw(counts, size=_count_trials(DRAWS, len(counts.times_N)))
        ]
    )
    low, high = percentiles(first.sign * gain_T)
    return float(low), float(high)


def _count_trials(affordable: int, each: int) -> int:
    """How many trials there are if each draws so many numbers."""
    return max(MIN_TRIALS, min(TRIALS, affordable // max(1, each) // CHUNK * CHUNK))


def _check_pair(first: Measure, second: Measure) -> None:
    if not np.array_equal(first.gold_S, second.gold_S):
        raise ValueError("the two models were not scored on the same examples with the same gold answers")


def _list_changes(first: Measure, second: Measure) -> list[sparse.csr_array | Numbers]:
    """The changes of the counts of each example from the first model to the second, in blocks of examples.

    Exchanging equal outputs changes nothing, so only examples with different ones are among them.
    """
    counts, other_counts = pair_kinds(first.counts, second.counts)
    change_KN = other_counts.counts_KN - counts.counts_KN
    is_changed_N = abs(change_KN).sum(0) != 0
    kind_S = np.arange(counts.examples) if counts.kind_S is None else counts.kind_S
    kind_D = kind_S[is_changed_N[kind_S]]
    return [change_KN[:, kind_D[start : start + BLOCK]] for start in range(0, len(kind_D), BLOCK)]
