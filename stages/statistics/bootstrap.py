"""The bootstrap over sentences: how much F1 would vary on other sentences of the same kind."""

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
CONFIDENCE = 0.95
SEED = 0  # the same sentences always have the same interval

Numbers = npt.NDArray[np.int64]


def f1_interval(correct_S: Numbers, predicted_S: Numbers, gold_S: Numbers) -> tuple[float, float]:
    """The 95 % percentile interval of the micro F1 (Efron, 1979), from the counts of each sentence.

    1,000 resamples of the sentences are drawn with replacement. Sentences with the same three counts are drawn together
    from a multinomial distribution, which is equivalent and takes no longer for more sentences.
    """
    sentences = len(gold_S)
    if not sentences:
        return 0.0, 0.0
    base = int(max(correct_S.max(), predicted_S.max(), gold_S.max())) + 1
    kinds, times = np.unique((correct_S * base + predicted_S) * base + gold_S, return_counts=True)
    drawn = np.random.default_rng(SEED).multinomial(sentences, times / sentences, size=RESAMPLES)
    correct, predicted, gold = (drawn @ counts for counts in (kinds // base**2, kinds // base % base, kinds % base))
    total = predicted + gold
    f1 = np.divide(2 * correct, total, out=np.zeros(RESAMPLES), where=total != 0)
    low, high = np.quantile(f1, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
