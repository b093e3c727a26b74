import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.encoding.text_tokens import PIECE, WITHIN, WORD
from stages.encoding.text_windows import cut_pair, cut_text

LEVELS = st.lists(st.sampled_from([WITHIN, WITHIN, PIECE, WORD]), min_size=0, max_size=80)


def levels_of(drawn: list[int]) -> np.ndarray:
    return np.array([WORD, *drawn[1:]] if drawn else [], np.uint8)


@given(LEVELS, st.integers(4, 30), st.integers(0, 20))
def test_windows_own_each_token_once_and_never_overflow(drawn: list[int], capacity: int, overlap: int) -> None:
    levels = levels_of(drawn)
    found = cut_text(levels, capacity=capacity, overlap=overlap)
    assert [token for span in found for token in range(span.owned_start, span.owned_end)] == list(range(len(levels)))
    for span in found:
        assert span.start <= span.owned_start <= span.owned_end <= span.end
        assert span.end - span.start <= capacity
        for bound in {span.start, span.end} - {0, len(levels)}:
            if levels[bound] == WORD:
                continue
            word = np.flatnonzero(levels[:bound] == WORD)[-1], next_start(levels, bound, WORD)
            assert word[1] - word[0] > capacity  # the word is longer than the window
            if levels[bound] != PIECE:
                piece = np.flatnonzero(levels[:bound] >= PIECE)[-1], next_start(levels, bound, PIECE)
                assert piece[1] - piece[0] > capacity


def next_start(levels: np.ndarray, bound: int, level: int) -> int:
    return next((place for place in range(bound, len(levels)) if levels[place] >= level), len(levels))


@given(LEVELS, LEVELS, st.integers(4, 30), st.integers(0, 20))
def test_pairs_show_each_token_of_both_texts(first: list[int], second: list[int], capacity: int, overlap: int) -> None:
    sides = levels_of(first or [WORD]), levels_of(second)
    found = cut_pair(*sides, capacity=capacity, overlap=overlap)
    assert sum(span.weight for span in found) == pytest.approx(1)
    assert len(set(found)) == len(found)
    shown: list[set[int]] = [set(), set()]
    for span in found:
        assert sum(side.end - side.start for side in span[:2]) <= capacity
        for tokens, side in zip(shown, span[:2], strict=True):
            tokens.update(range(side.owned_start, side.owned_end))
    assert [sorted(tokens) for tokens in shown] == [list(range(len(side))) for side in sides]
    shorter = min(map(len, sides))
    if len(found) > 1 and shorter <= capacity // 2:
        side = [len(side) for side in sides].index(shorter)
        assert all((span[side].start, span[side].end) == (0, shorter) for span in found)


def test_weights_are_shares_of_the_tokens() -> None:
    found = cut_pair(np.full(14, WORD), np.full(0, WORD), capacity=10, overlap=6)
    assert [span.first.owned_end for span in found] == [8, 14]
    assert [span.weight for span in found] == pytest.approx([8 / 14, 6 / 14])
    # 10 tokens in windows of 5 beside 6 in one: the first owns 5 and half of 6, as does the second.
    found = cut_pair(np.full(10, WORD), np.full(5, WORD), capacity=10, overlap=0)
    assert [(span.first[:2], span.second[:2], span.weight) for span in found] == [
        ((0, 5), (0, 5), 0.5), ((5, 10), (0, 5), 0.5),
    ]  # fmt: skip
    found = cut_pair(np.full(20, WORD), np.full(8, WORD), capacity=10, overlap=0)
    assert [(span.first[:2], span.second[:2]) for span in found] == [
        ((0, 5), (0, 5)), ((5, 10), (0, 5)), ((10, 15), (5, 8)), ((15, 20), (5, 8)),
    ]  # fmt: skip
    assert [span.weight for span in found] == pytest.approx([7.5 / 28, 7.5 / 28, 6.5 / 28, 6.5 / 28])
