"""Baselines that cost seconds: what an encoder has to beat.

They take texts, and pairs or None. The majority class and the mean use nothing of the text; TF-IDF of words and pairs
of words (Salton & Buckley, 1988) with logistic or ridge regression uses no order beyond two words. Deterministic, on
one thread. Text without spaces between words (Chinese, Japanese) counts each character as a word.

Shape legend: E examples, C labels, D targets.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.statistics.measure import Floats, Truths

MAX_TRAIN = 20_000  # texts of train, evenly spaced, so that a baseline costs seconds
MAX_FEATURES = 10_000
# Chosen on dev. CLINC150's accuracy after 20 and 60 iterations is 0.898, 0.902 with C = 3, 0.891, 0.908 with 10, 0.895,
# 0.911 with 30; 60 take 5 s for its labels. In data/corpora/opinions the macro F1 of sentiment is 0.59 with 3 and 30
# and 0.60 with 10, the micro F1 of topics 0.56 with all three, the correlation of severity 0.43 with any ridge penalty
# from 0.3 to 10.
INVERSE_PENALTY = 10.0  # C of logistic regression
ITERATIONS = 60
PENALTY = 1.0  # alpha of ridge regression
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = rf"[{CJK}]|[^\W{CJK}]+"

Texts = tuple[Sequence[str], Sequence[str] | None]


def predict_label_shares(gold_EC: Truths, examples: int) -> npt.NDArray[np.float32]:
    """For each example the share of train that has each label, [E, C]: its most probable label is the majority's."""
    share_C = gold_EC.mean(0, dtype=np.float64) if len(gold_EC) else np.zeros(gold_EC.shape[1])
    return np.tile(share_C.astype(np.float32), (examples, 1))


def predict_mean(gold_ED: Floats, examples: int) -> Floats:
    """For each example the mean of train, [E, D]."""
    return np.tile(gold_ED.mean(0), (examples, 1))


def predict_labels_by_tfidf(
    train: Texts, gold_EC: Truths, texts: Texts, *, multi_label: bool
) -> npt.NDArray[np.float32]:
    """The probability of each label by logistic regression on TF-IDF, [E, C]; labels absent from train have 0."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    train, gold_EC = _sample(train, gold_EC)
    with threadpool_limits(limits=1):
        features, own = _vectorize(train, texts)
        if features is None:
            return predict_label_shares(gold_EC, len(texts[0]))
        model = LogisticRegression(C=INVERSE_PENALTY, max_iter=ITERATIONS)
        probability_EC = np.zeros((len(texts[0]), gold_EC.shape[1]), np.float32)
        if not multi_label:
            gold_E = gold_EC.argmax(1)
            present = np.unique(gold_E)
            found = _fit_quietly(model, features, gold_E).predict_proba(own) if len(present) > 1 else 1.0
            probability_EC[:, present] = found
            return probability_EC
        for label in range(gold_EC.shape[1]):
            gold_E = gold_EC[:, label]
            if gold_E.all() or not gold_E.any():
                probability_EC[:, label] = gold_E.any()
            else:
                probability_EC[:, label] = _fit_quietly(model, features, gold_E).predict_proba(own)[:, 1]
        return probability_EC


def predict_numbers_by_tfidf(train: Texts, gold_ED: Floats, texts: Texts) -> Floats:
    """The numbers by ridge regression on TF-IDF, [E, D]."""
    from sklearn.linear_model import Ridge
    from threadpoolctl import threadpool_limits

    train, gold_ED = _sample(train, gold_ED)
    with threadpool_limits(limits=1):
        features, own = _vectorize(train, texts)
        if features is None:
            return predict_mean(gold_ED, len(texts[0]))
        model = Ridge(alpha=PENALTY, solver="sparse_cg", tol=1e-6)
        predicted: Floats = model.fit(features, gold_ED).predict(own)
        return predicted.reshape(len(texts[0]), gold_ED.shape[1])


def _fit_quietly(model: Any, features: Any, gold_E: npt.NDArray[Any]) -> Any:
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps are enough for a baseline
        return model.fit(features, gold_E)


def _sample(train: Texts, gold: npt.NDArray[Any]) -> tuple[Texts, npt.NDArray[Any]]:
    count = len(gold)
    if count <= MAX_TRAIN:
        return train, gold
    chosen = [number * count // MAX_TRAIN for number in range(MAX_TRAIN)]
    texts, pairs = ([column[i] for i in chosen] if column is not None else None for column in train)
    assert texts is not None
    return (texts, pairs), gold[chosen]


def _vectorize(train: Texts, texts: Texts) -> tuple[Any, Any]:
    """Features of train and of the others; None if train has no word.

    Of a pair the two vectors, their distance and their product (Conneau et al., 2017).
    """
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True, max_features=MAX_FEATURES, dtype=np.float64
    )
    try:
        vectorizer.fit([*train[0], *(train[1] or ())])
    except ValueError:  # an empty vocabulary
        return None, None

    def features(of: Texts) -> Any:
        first = vectorizer.transform(of[0])
        if of[1] is None:
            return first
        second = vectorizer.transform(of[1])
        return sparse.hstack([first, second, abs(first - second), first.multiply(second)], format="csr")

    return features(train), features(texts)
