from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from stages.encoding.files import IGNORED, NO_WORD, SCHEMA
from stages.encoding.rows import Encoder, frame_of
from stages.encoding.tokenizer import load_tokenizer
from stages.encoding.vocabulary import Vocabulary


def rows_of(
    tokenizer: PreTrainedTokenizerFast,
    sentences: list[list[str]],
    *,
    length: int,
    overlap: int,
    documents: list[int] | None = None,
    chosen: list[bool] | None = None,
) -> list[dict[str, Any]]:
    """The rows of sentences whose words are labelled 0, 1, 2 ... in each."""
    words = pa.array(sentences, pa.list_(pa.string()))
    labels = np.array([number for sentence in sentences for number, _ in enumerate(sentence)], np.int32)
    encoded = Encoder(Vocabulary(tokenizer), length=length, overlap=overlap).encode(
        words, labels, documents=None if documents is None else np.array(documents, np.int32)
    )
    batch = encoded.rows(None if chosen is None else np.array(chosen))
    assert batch.schema == SCHEMA
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


WORDS = st.sampled_from(["Antidisestablishmentarianism", "in", "Munich", "\u200d", "Siemens", ".", "\u4e2d", "a" * 40])
SENTENCES = st.lists(st.lists(WORDS, max_size=30), min_size=1, max_size=6)


@given(SENTENCES, st.integers(8, 40), st.integers(0, 12), st.booleans())
def test_rows_give_each_word_exactly_one_prediction(
    tokenizer: PreTrainedTokenizerFast, sentences: list[list[str]], length: int, overlap: int, in_documents: bool
) -> None:
    documents = [number // 2 for number, _ in enumerate(sentences)] if in_documents else None
    rows = rows_of(tokenizer, sentences, length=length, overlap=overlap, documents=documents)
    assert [row["sentence"] for row in rows] == sorted(row["sentence"] for row in rows)
    for number, words in enumerate(sentences):
        of_sentence = [row for row in rows if row["sentence"] == number]
        assert [row["window"] for row in of_sentence] == list(range(len(of_sentence)))
        assert [row["words"] for row in of_sentence] == [words] + [None] * (len(of_sentence) - 1)
        for column, nothing in (("labels", IGNORED), ("word_index", NO_WORD)):
            marked = [value for row in of_sentence for value in row[column] if value != nothing]
            assert marked == list(range(len(words)))
    for row in rows:
        assert len(row["input_ids"]) == len(row["labels"]) == len(row["word_index"]) <= length
        assert row["input_ids"][0] == tokenizer.cls_token_id
        assert row["input_ids"][-1] == tokenizer.sep_token_id
        assert [label == IGNORED for label in row["labels"]] == [word == NO_WORD for word in row["word_index"]]


@given(SENTENCES)
def test_rows_equal_the_output_of_the_tokenizer(tokenizer: PreTrainedTokenizerFast, sentences: list[list[str]]) -> None:
    sentences = [[word for word in words if word != "\u200d"] for words in sentences]
    rows = rows_of(tokenizer, sentences, length=4000, overlap=0)
    for words, row in zip(sentences, rows, strict=True):
        own = tokenizer(words, is_split_into_words=True)
        assert row["input_ids"] == own["input_ids"]
        word_ids = own.word_ids()
        first = [n for n, word in enumerate(word_ids) if word is not None and word_ids[n - 1] != word]
        assert [n for n, word in enumerate(row["word_index"]) if word != NO_WORD] == first


def test_rows_show_the_neighbours_of_a_sentence_in_its_document_unlabelled(tokenizer: PreTrainedTokenizerFast) -> None:
    sentences = [["Bonn"], ["Munich", "is"], ["large"], ["elsewhere"]]
    rows = rows_of(tokenizer, sentences, length=64, overlap=0, documents=[0, 0, 0, 1])
    together = tokenizer(["Bonn", "Munich", "is", "large"], is_split_into_words=True)["input_ids"]
    assert [row["input_ids"] for row in rows[:3]] == [together] * 3
    assert rows[3]["input_ids"] == tokenizer(["elsewhere"], is_split_into_words=True)["input_ids"]
    assert [[label for label in row["labels"] if label != IGNORED] for row in rows] == [[0], [0, 1], [0], [0]]


def test_rows_of_chosen_sentences_keep_their_context_and_are_numbered_from_zero(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    sentences = [["Bonn"], ["Munich", "is"], ["large"]]
    all_rows = rows_of(tokenizer, sentences, length=64, overlap=0, documents=[0, 0, 0])
    (row,) = rows_of(tokenizer, sentences, length=64, overlap=0, documents=[0, 0, 0], chosen=[False, False, True])
    assert row == {**all_rows[2], "sentence": 0}


def test_frame_holds_the_special_tokens_around_a_sequence(tiny_pretrained: Path) -> None:
    tokenizer = load_tokenizer(tiny_pretrained)
    assert frame_of(tokenizer) == ([tokenizer.cls_token_id], [tokenizer.sep_token_id])


def test_load_tokenizer_switches_padding_and_truncation_off(tiny_pretrained: Path) -> None:
    assert len(load_tokenizer(tiny_pretrained)("Bonn " * 100)["input_ids"]) >= 100


@pytest.mark.parametrize("capacity", [1, 5])
def test_rows_cut_a_word_that_no_window_holds_and_keep_its_label(tiny_pretrained: Path, capacity: int) -> None:
    rows = rows_of(load_tokenizer(tiny_pretrained), [["x" * 60]], length=capacity + 2, overlap=0)
    assert [len(row["input_ids"]) for row in rows] == [capacity + 2]
    assert [label for row in rows for label in row["labels"] if label != IGNORED] == [0]
