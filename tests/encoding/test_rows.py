from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from stages.corpus.text.documents import Context
from stages.encoding.files import IGNORED, NO_WORD, SCHEMA, split_of
from stages.encoding.rows import EncodedBlock, Encoder, frame_of
from stages.encoding.tokenizer import load_tokenizer
from stages.encoding.vocabulary import Vocabulary


def encode(
    tokenizer: PreTrainedTokenizerFast,
    sentences: list[list[str]],
    *,
    length: int,
    overlap: int,
    documents: list[int] | None = None,
) -> EncodedBlock:
    """Sentences whose words are labelled 0, 1, 2 ... in each; the context is documents if they are given."""
    words = pa.array(sentences, pa.list_(pa.string()))
    labels = np.array([number for sentence in sentences for number, _ in enumerate(sentence)], np.int32)
    context: Context = "sentence" if documents is None else "document"
    encoder = Encoder(Vocabulary(tokenizer), length=length, overlap=overlap, context=context)
    return encoder.encode(words, labels, documents=None if documents is None else np.array(documents, np.int32))


def rows_of(tokenizer: PreTrainedTokenizerFast, sentences: list[list[str]], **options: Any) -> list[dict[str, Any]]:
    batch = encode(tokenizer, sentences, **options).rows()
    assert batch.schema == SCHEMA
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


WORDS = st.sampled_from(["Antidisestablishmentarianism", "in", "Munich", "\u200d", "Siemens", ".", "\u4e2d", "a" * 40])
SENTENCES = st.lists(st.lists(WORDS, max_size=30), min_size=1, max_size=6)


@given(SENTENCES, st.integers(8, 40), st.integers(0, 12), st.booleans(), st.data())
def test_rows_give_each_word_exactly_one_prediction(
    tokenizer: PreTrainedTokenizerFast,
    sentences: list[list[str]],
    length: int,
    overlap: int,
    in_documents: bool,
    data: st.DataObject,
) -> None:
    """Also those of some documents alone, and of sentences that belong to none."""
    numbers = st.lists(st.integers(-1, 2), min_size=len(sentences), max_size=len(sentences))
    documents = sorted(data.draw(numbers)) if in_documents else [-1] * len(sentences)
    block = encode(tokenizer, sentences, length=length, overlap=overlap, documents=documents)
    left_out = data.draw(st.integers(-1, 3))
    chosen = np.array([document != left_out for document in documents])
    rows = block.rows(chosen, first=7)
    split = split_of(pa.Table.from_batches([rows]))
    kept = [sentence for sentence, is_chosen in zip(sentences, chosen, strict=True) if is_chosen]
    assert split.words.to_pylist() == kept
    assert split.documents.tolist() == np.array(documents)[chosen].tolist()
    split = replace(split, sentence=split.sentence - 7)
    gold = [number for sentence in kept for number, _ in enumerate(sentence)]
    assert split.labels[split.owners()].tolist() == gold
    owned = [split.words_at(np.flatnonzero(split.word_index != NO_WORD))]
    assert split.sentences_of(np.concatenate(owned)).tolist() == [
        number for number, sentence in enumerate(kept) for _ in sentence
    ]
    for row in rows.to_pylist():
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


def test_a_document_is_cut_as_one_text(tokenizer: PreTrainedTokenizerFast) -> None:
    sentences = [["Bonn"], ["Munich", "is"], ["large"], ["elsewhere"], ["alone"], ["alone"]]
    rows = rows_of(tokenizer, sentences, length=64, overlap=0, documents=[0, 0, 0, 1, -1, -1])
    texts = ("Bonn Munich is large", "elsewhere", "alone", "alone")
    assert [row["input_ids"] for row in rows] == [
        tokenizer(text.split(), is_split_into_words=True)["input_ids"] for text in texts
    ]
    assert [row["sentence"] for row in rows] == [0, 3, 4, 5]
    assert [row["document"] for row in rows] == [0, 1, -1, -1]
    assert [word for word in rows[0]["word_index"] if word != NO_WORD] == [0, 1, 2, 3]  # on through all sentences
    assert [row["sentences"] for row in rows] == [sentences[:3], sentences[3:4], sentences[4:5], sentences[5:]]


def test_a_window_names_the_sentences_that_begin_in_it(tokenizer: PreTrainedTokenizerFast) -> None:
    sentences = [["in"] * 5, ["in"] * 3, ["in"] * 6]
    rows = rows_of(tokenizer, sentences, length=8, overlap=2, documents=[0, 0, 0])
    owned = [[word for word in row["word_index"] if word != NO_WORD] for row in rows]
    assert owned == [[0, 1, 2, 3, 4], [0, 1, 2, 3], [1, 2, 3, 4, 5]]
    assert [row["sentence"] for row in rows] == [0, 1, 2]
    assert [len(row["sentences"]) for row in rows] == [1, 2, 0]


def test_documents_have_hardly_more_tokens_than_single_sentences(tokenizer: PreTrainedTokenizerFast) -> None:
    """But for the tokens that windows share: fewer, since a sentence has no special tokens of its own."""
    sentences = [["Bonn", "is", "large", "."] * (2 + number % 7) for number in range(200)]
    alone = rows_of(tokenizer, sentences, length=64, overlap=16)
    together = rows_of(tokenizer, sentences, length=64, overlap=16, documents=[number // 20 for number in range(200)])
    count, shared = (sum(len(row["input_ids"]) for row in rows) for rows in (alone, together))
    assert shared - 16 * (len(together) - 10) <= count
    assert shared <= 1.4 * count


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
