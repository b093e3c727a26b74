"""Significance tests: whether one model is better than another on the same sentences, or by chance.

Each model is given by its counts of correct, predicted and gold entities in each sentence.

Shape legend: 3 the counts, S sentences, D sentences in which the models differ, T trials, K kinds of sentences.
"""

import numpy as np
import numpy.typing as npt

TRIALS = 10_000
CHUNK = 500  # trials at a time, to limit memory
CONFIDENCE = 0.95
SEED = 0  # the same predictions always get the same verdict
ROUNDING = 1e-12

Numbers = npt.NDArray[np.int64]


def gain(first_3S: Numbers, second_3S: Numbers) -> float:
    """The gain in micro F1 of the second model over the first; ValueError unless both have the same sentences."""
    if first_3S.shape != second_3S.shape or not np.array_equal(first_3S[2], second_3S[2]):
        raise ValueError("the two models were not scored on the same sentences")
    return float(_f1(second_3S.sum(1)) - _f1(first_3S.sum(1)))


def p_value(first_3S: Numbers, second_3S: Numbers) -> float:
    """The probability of a gain at least as large if both models were equally good.

    Paired approximate randomisation, one-sided (Noreen, 1989; Yeh, 2000): under the null hypothesis the outputs of the
    models for a sentence are exchangeable.
    """
    observed = gain(first_3S, second_3S)
    # Exchanging equal outputs changes nothing, so only sentences with different ones matter.
    change_3D = (second_3S - first_3S)[:, (first_3S != second_3S).any(0)].astype(np.float32)
    sums_31, other_sums_31 = first_3S.sum(1, keepdims=True), second_3S.sum(1, keepdims=True)
    generator = np.random.default_rng(SEED)
    as_good = 0
    for _ in range(0, TRIALS, CHUNK):
        exchanged_DT = generator.integers(0, 2, (change_3D.shape[1], CHUNK), dtype=np.int8).astype(np.float32)
        moved_3T = np.rint(change_3D @ exchanged_DT).astype(np.int64)
        gain_T = _f1(other_sums_31 - moved_3T) - _f1(sums_31 + moved_3T)
        as_good += int((gain_T >= observed - ROUNDING).sum())
    return (as_good + 1) / (TRIALS + 1)


def gain_interval(first_3S: Numbers, second_3S: Numbers) -> tuple[float, float]:
    """The 95 % percentile interval of the gain, by the paired bootstrap over sentences (Efron, 1979)."""
    both_6S = np.vstack([first_3S, second_3S])
    # Sentences with the same counts are drawn together, as in bootstrap.py.
    kinds_6K, times_K = np.unique(both_6S, axis=1, return_counts=True)
    sentences = both_6S.shape[1]
    drawn_TK = np.random.default_rng(SEED).multinomial(sentences, times_K / sentences, size=TRIALS)
    sums_6T = kinds_6K @ drawn_TK.T
    low, high = np.quantile(_f1(sums_6T[3:]) - _f1(sums_6T[:3]), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _f1(counts: Numbers) -> npt.NDArray[np.float64]:
    """Micro F1 from the sums of correct, predicted and gold entities; 0 where there are none."""
    correct, predicted, gold = (np.asarray(row, dtype=np.float64) for row in counts)
    total = predicted + gold
    return np.divide(2 * correct, total, out=np.zeros_like(total), where=total != 0)
