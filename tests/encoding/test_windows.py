from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.encoding.windows import document_windows, sentence_windows, spans

COUNTS = st.lists(st.lists(st.integers(1, 10), min_size=1, max_size=40), min_size=1, max_size=8)


@given(
    st.lists(st.integers(1, 10), max_size=60),
    st.integers(10, 30),
    st.integers(0, 15),
)
def test_spans_own_each_word_once_and_never_overflow(lengths: list[int], capacity: int, overlap: int) -> None:
    found = spans(lengths, capacity=capacity, overlap=overlap)
    owned = [word for span in found for word in range(span.owned_start, span.owned_end)]
    assert owned == list(range(len(lengths)))
    for span in found:
        assert span.start <= span.owned_start <= span.owned_end <= span.end
        assert sum(lengths[span.start : span.end]) <= capacity
    for earlier, later in pairwise(found):
        assert earlier.start < later.start <= earlier.end
        assert sum(lengths[later.start : earlier.end]) <= overlap


def test_spans_give_a_word_to_the_window_with_more_context() -> None:
    first, second = spans([1] * 14, capacity=10, overlap=6)
    assert (first.start, first.end, second.start, second.end) == (0, 10, 4, 14)
    assert (first.owned_end, second.owned_start) == (7, 7)


@given(COUNTS, st.integers(10, 30), st.integers(0, 15), st.booleans(), st.data())
def test_windows_own_each_word_once_and_never_overflow(
    sentences: list[list[int]], capacity: int, overlap: int, in_documents: bool, data: st.DataObject
) -> None:
    counts = np.array([count for sentence in sentences for count in sentence], np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(sentence) for sentence in sentences])]).astype(np.int32)
    found = sentence_windows(offsets, counts, capacity=capacity, overlap=overlap)
    documents = np.array(data.draw(st.lists(st.integers(-1, 2), min_size=len(sentences), max_size=len(sentences))))
    documents.sort()
    if in_documents:
        found = document_windows(found, documents.astype(np.int32), offsets, counts, capacity=capacity)
    owned = [
        word for start, end in zip(found.owned_starts, found.owned_ends, strict=True) for word in range(start, end)
    ]
    assert owned == list(range(len(counts)))
    for start, end, sentence in zip(found.starts, found.ends, found.sentences, strict=True):
        assert counts[start:end].sum() <= capacity
        of_words = np.searchsorted(offsets, [start, end - 1], side="right") - 1
        if in_documents and documents[sentence] >= 0:
            assert (documents[of_words] == documents[sentence]).all()
        else:
            assert (of_words == sentence).all()


def test_document_windows_widen_both_sides_evenly_and_one_further_where_the_other_ends() -> None:
    counts, offsets = np.ones(30, np.int32), np.array([0, 2, 12, 20, 30], np.int32)
    found = document_windows(
        sentence_windows(offsets, counts, capacity=16, overlap=0),
        np.array([0, 0, 0, 1], np.int32),
        offsets,
        counts,
        capacity=16,
    )
    assert list(zip(found.starts, found.ends, strict=True)) == [(0, 16), (0, 16), (4, 20), (20, 30)]
    assert list(zip(found.owned_starts, found.owned_ends, strict=True)) == [(0, 2), (2, 12), (12, 20), (20, 30)]
