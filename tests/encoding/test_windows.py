from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.encoding.tokenizer import load_tokenizer
from stages.encoding.windows import IGNORED, encoded_rows, frame, spans, subwords


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


@pytest.mark.parametrize("length", [8, 12, 64])
@pytest.mark.parametrize("overlap", [0, 4])
def test_encoded_rows_label_each_word_once(tiny_pretrained: Path, length: int, overlap: int) -> None:
    tokenizer = load_tokenizer(tiny_pretrained)
    sentences = [["Antidisestablishmentarianism", "in", "Munich", "\u200d", "Siemens", "."] * 3, ["Bonn"]]
    label_ids = [[index for index, _ in enumerate(words)] for words in sentences]
    rows = encoded_rows(tokenizer, sentences, label_ids, length=length, overlap=overlap)
    for number, words in enumerate(sentences):
        of_sentence = [row for row in rows if row["sentence"] == number]
        labels = [label for row in of_sentence for label in row["labels"] if label != IGNORED]
        assert sorted(labels) == list(range(len(words)))
        assert [row["words"] for row in of_sentence] == [words] + [None] * (len(of_sentence) - 1)
    for row in rows:
        assert len(row["input_ids"]) == len(row["labels"]) == len(row["word_index"]) <= length
        assert row["input_ids"][0] == tokenizer.cls_token_id
        assert row["input_ids"][-1] == tokenizer.sep_token_id


def test_encoded_rows_equal_the_tokenizers_own_path(tiny_pretrained: Path) -> None:
    tokenizer = load_tokenizer(tiny_pretrained)
    words = ["Angela", "Merkel", "visited", "Siemens", "in", "Munich", ",", "re-engineered", "."]
    own = tokenizer(words, is_split_into_words=True)
    (row,) = encoded_rows(tokenizer, [words], [[7] * len(words)], length=128, overlap=0)
    assert row["input_ids"] == own["input_ids"]
    first = [
        index for index, word in enumerate(own.word_ids()) if word is not None and own.word_ids()[index - 1] != word
    ]
    assert [index for index, label in enumerate(row["labels"]) if label == 7] == first


def test_subwords_give_the_unknown_token_to_a_word_that_maps_to_nothing(tiny_pretrained: Path) -> None:
    tokenizer = load_tokenizer(tiny_pretrained)
    ((_, nothing),) = subwords(tokenizer, [["Bonn", "\u200d\u200e"]])
    assert nothing == [tokenizer.unk_token_id]


def test_load_tokenizer_switches_padding_and_truncation_off(tiny_pretrained: Path) -> None:
    tokenizer = load_tokenizer(tiny_pretrained)
    special_tokens = frame(tokenizer)
    assert special_tokens == ([tokenizer.cls_token_id], [tokenizer.sep_token_id])
    assert len(tokenizer("Bonn " * 100)["input_ids"]) >= 100
