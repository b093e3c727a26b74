from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from stages.corpus.readers.columns import Columns
from stages.corpus.readers.conll import read_conll
from stages.corpus.text.diagnostics import Diagnostics
from stages.encoding import vocabulary
from stages.encoding.vocabulary import Vocabulary
from tests.checkouts import DEMO
from tests.conftest import CORPORA, needs_corpora

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


def tokenize_words(tokenizer: PreTrainedTokenizerFast, words: list[str]) -> list[list[int]]:
    """Tokenize each word with the tokenizer's own method for words."""
    encoding = tokenizer(words, is_split_into_words=True, add_special_tokens=False)
    pieces: list[list[int]] = [[] for _ in words]
    for word, token in zip(encoding.word_ids(), encoding["input_ids"], strict=True):
        pieces[word].append(token)
    return pieces


def tokens_of(known: Vocabulary, words: list[str]) -> list[list[int]]:
    found = known.look_up(pa.array(words, pa.string()).dictionary_encode())
    return [found.ids[start : start + count].tolist() for start, count in zip(found.starts, found.counts, strict=True)]


@given(st.lists(WORDS, min_size=1, max_size=30))
def test_look_up_equals_the_tokenizer(tokenizer: PreTrainedTokenizerFast, words: list[str]) -> None:
    unknown = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.pad_token_id
    expected = [piece or [unknown] for piece in tokenize_words(tokenizer, words)]
    known = Vocabulary(tokenizer)
    assert tokens_of(known, words) == expected
    assert tokens_of(known, words[::-1]) == expected[::-1]  # from the cache, and in another order


@pytest.mark.parametrize("folder", [DEMO, pytest.param(CORPORA / "wnut17", marks=needs_corpora)], ids=lambda p: p.name)
def test_look_up_equals_the_tokenizer_on_real_text(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    known = Vocabulary(tokenizer)
    unknown = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.pad_token_id
    path = folder / "test.conll"
    with path.open("rb") as stream:
        for block in read_conll(path, stream, Columns(), Diagnostics()):
            for sentence in block.sentences():
                own = tokenize_words(tokenizer, list(sentence.words))
                assert tokens_of(known, list(sentence.words)) == [piece or [unknown] for piece in own]


def test_look_up_flags_words_that_the_tokenizer_does_not_know(tokenizer: PreTrainedTokenizerFast) -> None:
    found = Vocabulary(tokenizer).look_up(pa.array(["Munich", "\u4e2d", "Munich"]).dictionary_encode())
    assert found.unknown.tolist() == [False, tokenizer.unk_token_id is not None, False]


def test_look_up_clears_a_full_cache_and_stays_correct(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "MAX_WORDS", 3)
    known = Vocabulary(tokenizer)
    for words in (["a", "b"], ["c", "d", "a"], ["Munich", "a", "b", "c", "d"]):
        assert tokens_of(known, words) == tokenize_words(tokenizer, words)
