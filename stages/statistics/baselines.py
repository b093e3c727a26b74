"""Baselines that cost seconds: what a fine-tuned encoder has to beat.

The majority class and the mean use nothing of the text. Logistic or ridge regression take a vector of each: TF-IDF
(tfidf.py), or what an encoder without fine-tuning makes of it. Deterministic, on one thread.

Shape legend: E examples, M of them to fit, C labels, D targets, F numbers of a vector.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.statistics.measure import Floats, Truths
from stages.statistics.tfidf import Texts, vectorize

# Chosen on dev. With TF-IDF, CLINC150's accuracy after 20 and 60 iterations is 0.898, 0.902 with C = 3, 0.891, 0.908
# with 10, 0.895, 0.911 with 30; 60 take 5 s for its labels. In data/corpora/opinions the macro F1 of sentiment is 0.59
# with 3 and 30 and 0.60 with 10, the micro F1 of topics 0.56 with all three, the correlation of severity 0.43 with any
# ridge penalty from 0.3 to 10. With vectors of length 1 from an encoder, CLINC150 has 0.960 with C = 10, 0.959 with 30.
INVERSE_PENALTY = 10.0  # C of logistic regression
ITERATIONS = 60
PENALTY = 1.0  # alpha of ridge regression

Vectors = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float32]
Predicted = dict[str, npt.NDArray[Any]]  # by split: probabilities [E, C], or numbers [E, D]


@dataclass(frozen=True)
class Baseline:
    """What a baseline predicts, on how many texts of train it was fitted, and how long all that took."""

    predicted: Predicted
    train_texts: int
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """Baselines by name, how many texts train has, and why others are missing."""

    baselines: dict[str, Baseline]
    train_texts: int
    remarks: list[str]

    @property
    def seconds(self) -> dict[str, float]:
        """How long each took."""
        return {name: baseline.seconds for name, baseline in self.baselines.items()}


def fit_baseline(predict: Callable[[], Predicted], *, train_texts: int, seconds: float = 0.0) -> Baseline:
    """The baseline that `predict` fits and applies; `seconds` went into its vectors before."""
    started = time.perf_counter()
    predicted = predict()
    return Baseline(predicted, train_texts, seconds + time.perf_counter() - started)


def list_unbeaten(rows: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The names of baselines than which the model is not better, beyond chance, by the interval of its gain."""
    return [name for name, row in rows.items() if row["gain_low"] <= 0]


def split_rows(rows: npt.NDArray[Any], sizes: Mapping[str, int]) -> Predicted:
    """Rows that lie one split after another, by the name of the split."""
    return dict(zip(sizes, np.split(rows, np.cumsum(list(sizes.values()))[:-1]), strict=True))


def predict_label_shares(gold_EC: Truths, examples: int) -> Probabilities:
    """For each example the share of train that has each label, [E, C]: its most probable label is the majority's."""
    share_C = gold_EC.mean(0, dtype=np.float64) if len(gold_EC) else np.zeros(gold_EC.shape[1])
    return np.tile(share_C.astype(np.float32), (examples, 1))


def predict_mean(gold_ED: Floats, examples: int) -> Floats:
    """For each example the mean of train, [E, D]."""
    return np.tile(gold_ED.mean(0), (examples, 1))


def predict_labels_by_tfidf(train: Texts, gold_MC: Truths, texts: Texts, *, multi_label: bool) -> Probabilities:
    """The probability of each label by logistic regression on TF-IDF, [E, C]; labels absent from train have 0."""
    features, own = _vectorize(train, texts)
    if features is None:
        return predict_label_shares(gold_MC, len(texts[0]))
    return _predict_labels(features, gold_MC, own, multi_label=multi_label)


def predict_labels_by_vectors(
    train_MF: Vectors, gold_MC: Truths, vectors_EF: Vectors, *, multi_label: bool
) -> Probabilities:
    """The same by logistic regression on vectors whose parts have length 1."""
    return _predict_labels(train_MF, gold_MC, vectors_EF, multi_label=multi_label)


def predict_numbers_by_tfidf(train: Texts, gold_MD: Floats, texts: Texts) -> Floats:
    """The numbers by ridge regression on TF-IDF, [E, D]."""
    features, own = _vectorize(train, texts)
    if features is None:
        return predict_mean(gold_MD, len(texts[0]))
    return _predict_numbers(features, gold_MD, own, solver="sparse_cg", tol=1e-6)


def predict_numbers_by_vectors(train_MF: Vectors, gold_MD: Floats, vectors_EF: Vectors) -> Floats:
    """The same by ridge regression on vectors whose parts have length 1."""
    return _predict_numbers(train_MF.astype(np.float64), gold_MD, vectors_EF.astype(np.float64), solver="cholesky")


def _vectorize(train: Texts, texts: Texts) -> tuple[Any, Any]:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        return vectorize(train, texts)


def _predict_labels(features: Any, gold_MC: Truths, own: Any, *, multi_label: bool) -> Probabilities:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=ITERATIONS)
    probability_EC = np.zeros((own.shape[0], gold_MC.shape[1]), np.float32)
    with threadpool_limits(limits=1):
        if not multi_label:
            gold_M = gold_MC.argmax(1)
            present = np.unique(gold_M)
            found = _fit_quietly(model, features, gold_M).predict_proba(own) if len(present) > 1 else 1.0
            probability_EC[:, present] = found
            return probability_EC
        for label in range(gold_MC.shape[1]):
            gold_M = gold_MC[:, label]
            if gold_M.all() or not gold_M.any():
                probability_EC[:, label] = gold_M.any()
            else:
                probability_EC[:, label] = _fit_quietly(model, features, gold_M).predict_proba(own)[:, 1]
    return probability_EC


def _predict_numbers(features: Any, gold_MD: Floats, own: Any, **options: Any) -> Floats:
    from sklearn.linear_model import Ridge
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        predicted: Floats = Ridge(alpha=PENALTY, **options).fit(features, gold_MD).predict(own)
    return predicted.reshape(own.shape[0], gold_MD.shape[1])


def _fit_quietly(model: Any, features: Any, gold_M: npt.NDArray[Any]) -> Any:
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps are enough for a baseline
        return model.fit(features, gold_M)
