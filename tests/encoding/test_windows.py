from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.encoding.windows import cut_texts, spans

TEXTS = st.lists(st.lists(st.integers(1, 10), max_size=40), min_size=1, max_size=8)


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


@given(TEXTS, st.integers(10, 30), st.integers(0, 15))
def test_each_text_is_cut_as_if_it_stood_alone(texts: list[list[int]], capacity: int, overlap: int) -> None:
    bounds = np.concatenate([[0], np.cumsum([len(text) for text in texts])])
    counts = np.array([count for text in texts for count in text], np.int32)
    found = cut_texts(bounds, counts, capacity=capacity, overlap=overlap)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == [
        (*(int(first) + word for word in span), number)
        for number, (first, text) in enumerate(zip(bounds, texts, strict=False))
        for span in spans(text, capacity=capacity, overlap=overlap)
    ]
