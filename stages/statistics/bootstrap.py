"""The bootstrap over examples: how much a score would vary on other examples of the same kind (Efron, 1979).

Shape legend: S examples, N kinds of examples, K counts, T resamples, X scores.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from stages.statistics.measure import Counts, Floats, Measure, Numbers, f1_measure, sum_counts

RESAMPLES = 1000
CONFIDENCE = 0.95
SEED = 0  # the same predictions always have the same intervals, p-values and verdict
DRAWN = 1 << 22  # numbers of examples drawn at a time, to limit memory
MAX_RANKED = 10_000  # examples of a resample where ranks have to be found again in each


def interval(measure: Measure) -> tuple[float, float]:
    """The 95 % percentile interval of a measure, from 1,000 resamples; its value twice where there are no examples."""
    low, high = percentiles(measure.score(resample(measure.counts)))
    return float(low), float(high)


def f1_interval(correct_S: Numbers, predicted_S: Numbers, gold_S: Numbers) -> tuple[float, float]:
    """The 95 % percentile interval of the micro F1, from the counts of each sentence."""
    return interval(f1_measure(np.stack([correct_S, predicted_S, gold_S])))


def percentiles(values_XT: Floats) -> Floats:
    """The ends of the 95 % percentile interval along the last axis: low and high, each of shape [X]."""
    ends: Floats = np.quantile(values_XT, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=-1)
    return ends


def resample(counts: Counts, *, size: int = RESAMPLES) -> Floats:
    """Totals [K, T] of resamples of all examples with replacement, the same each time.

    Examples of a kind are drawn together from a multinomial distribution, which is equivalent and takes no longer for
    more examples.
    """
    if not counts.examples:
        return np.zeros((counts.counts_KN.shape[0], size))
    return np.hstack([sum_counts(counts.counts_KN, drawn_NT) for drawn_NT in draw(counts, size=size)])


def draw(counts: Counts, *, size: int) -> Iterator[Floats]:
    """Yield how many examples of each kind are in each resample, [N, T] for some resamples at a time."""
    generator, examples, times_N = np.random.default_rng(SEED), counts.examples, counts.times_N
    step = max(1, DRAWN // len(times_N))
    for start in range(0, size, step):
        chunk = min(step, size - start)
        if counts.kind_S is None:
            drawn_TN = _draw_examples(generator, examples, chunk)
        else:
            drawn_TN = generator.multinomial(examples, times_N / examples, size=chunk)
        yield np.ascontiguousarray(drawn_TN.T, dtype=np.float64)


def ranked_interval(
    values: Callable[[Numbers, Numbers], Floats], examples: int, value_X: npt.ArrayLike
) -> tuple[Floats, Floats]:
    """The 95 % percentile intervals of X scores that are no function of sums, such as rank correlations: [X], [X].

    `values(chosen_M, times_TM)` gives the scores [X, T] of resamples that hold the example `chosen_M[m]` so many times;
    `value_X` are the scores of all examples. Of more than 10,000 examples a sample of so many is resampled, and the
    distances from its scores shrink by the root of its share (a bag of little bootstraps, Kleiner et al., 2014, of one
    bag), since each resample takes time in proportion.
    """
    value = np.asarray(value_X, np.float64)
    if examples == 0:
        return value, value
    generator = np.random.default_rng(SEED)
    chosen_M = np.arange(examples)
    if examples > MAX_RANKED:
        chosen_M = np.sort(generator.choice(examples, MAX_RANKED, replace=False))
    count = len(chosen_M)
    step = max(1, DRAWN // count)
    values_XT = np.concatenate(
        [
            values(chosen_M, _draw_examples(generator, count, min(step, RESAMPLES - start)))
            for start in range(0, RESAMPLES, step)
        ],
        axis=-1,
    )
    low, high = percentiles(values_XT)
    if count == examples:
        return low, high
    own_X = values(chosen_M, np.ones((1, count), np.int64))[..., 0]
    shrunk = (count / examples) ** 0.5
    return value + shrunk * (low - own_X), value + shrunk * (high - own_X)


def _draw_examples(generator: np.random.Generator, examples: int, resamples: int) -> Numbers:
    """How often each example is drawn, of shape [T, S]."""
    drawn = [np.bincount(generator.integers(0, examples, examples), minlength=examples) for _ in range(resamples)]
    return np.stack(drawn)
