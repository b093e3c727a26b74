"""Texts as sparse vectors: TF-IDF of their words and pairs of words (Salton & Buckley, 1988).

Text without spaces between words (Chinese, Japanese) counts each character as a word.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.statistics.measure import Numbers

MAX_TRAIN = 20_000  # texts of train, so that a baseline costs seconds
MAX_CHARACTERS = 20_000_000  # of all texts: some 20 s to find their words and pairs of words
MAX_FEATURES = 10_000
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = rf"[{CJK}]|[^\W{CJK}]+"

Texts = tuple[Sequence[str], Sequence[str] | None]  # and their pairs
Columns = tuple[pa.Array | pa.ChunkedArray, pa.Array | pa.ChunkedArray | None]  # the same in Arrow


def choose_evenly(count: int, most: int = MAX_TRAIN) -> Numbers:
    """The numbers of at most so many of `count` examples, evenly spaced."""
    kept = min(count, most)
    return np.arange(kept) * count // max(1, kept)


def take_texts(columns: Columns, chosen: Numbers) -> Columns:
    """The texts with these numbers, and their pairs."""
    texts, pairs = columns
    return texts.take(pa.array(chosen)), None if pairs is None else pairs.take(pa.array(chosen))


def join_texts(columns: Sequence[Columns]) -> Texts:
    """The texts of several columns one after another, and their pairs."""
    texts = [text for own, _ in columns for text in own.to_pylist()]
    if any(pairs is None for _, pairs in columns):
        return texts, None
    return texts, [pair for _, pairs in columns if pairs is not None for pair in pairs.to_pylist()]


def count_characters(columns: Sequence[Columns]) -> int:
    """How many characters the texts and pairs have."""
    return sum(
        int(pc.sum(pc.utf8_length(column)).as_py() or 0) for both in columns for column in both if column is not None
    )


def vectorize(train: Texts, texts: Texts) -> tuple[Any, Any]:
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
