"""The tokens of raw texts equal the tokenizer's own, whatever the tokenizer and the text."""

from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from stages.config.model import ModelParams
from stages.encoding import text_tokens
from stages.encoding.text_chunks import chunk_rule, is_solid
from stages.encoding.text_tokens import WORD, TextTokenizer
from stages.encoding.tokenizer import load_tokenizer
from stages.modeling.pretrained import find_pretrained
from stages.params import read_document
from tests.checkouts import DEMO, ROOT
from tests.conftest import CORPORA, needs_corpora

# What could be seen across a blank: white space of all kinds, controls, marks, joiners, and what normalizers turn into
# any of these; and added tokens, whole and in part.
RISKY = [
    *" \t\n\r\x00\x01\x0b\x0c\x85\u00a0\u1680\u2003\u2028\u202f\u3000\u200b\u200d\ufeff\u00ad",
    *"\u0301\u0308\u0338\u0345\u0e33\u093f\uff9e\u0600\u06dd\u0d4e\U0001f3fb\U0001f469\u2581\u00a8\u2017\u1fbd",
    *"'.,-<>[]\u4e2d\uac00\u1100\u1161\u00e9\u00df\u0130\u03a3\ufb01\u00bdaA1",
    *["<mask>", "[MASK]", "<unk>", " <s>", "<s> ", "don't", "Munich", "Keyword", "key word", "  "],
]
TEXTS = st.lists(
    st.one_of(st.sampled_from(RISKY), st.just(" "), st.text(st.characters(exclude_categories=["Cs"]), max_size=4)),
    max_size=12,
).map("".join)

SPECIALS = ["<unk>", "<s>", "</s>", "[MASK]"]
META = "\u2581"
BPE = pre_tokenizers.ByteLevel
METASPACE = pre_tokenizers.Metaspace
WORDS = pre_tokenizers.BertPreTokenizer()
ONE_BLANK = normalizers.Replace(Regex(" {2,}"), META)
# By name: model, normalizer, pre-tokenizer. All of these are cut into chunks.
CUT = {
    "uncased": ("WordPiece", normalizers.BertNormalizer(lowercase=True), WORDS),
    "cased": ("WordPiece", normalizers.BertNormalizer(lowercase=False), WORDS),
    "byte-level": ("BPE", None, BPE(add_prefix_space=True)),
    "byte-level, NFC": ("BPE", normalizers.NFC(), BPE(add_prefix_space=False)),
    "Metaspace": ("Unigram", normalizers.NFKC(), METASPACE()),
    "one blank": (
        "Unigram",
        normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Strip(left=False), ONE_BLANK]),
        METASPACE(prepend_scheme="first"),
    ),
    "quotes": (
        "Unigram",
        normalizers.Sequence([normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.Lowercase()]),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), METASPACE(prepend_scheme="first")]),
    ),
}
# None of these is: each can see across a blank, or has a step that is not known.
WHOLE = {
    "no pre-tokenizer": ("BPE", None, None),
    "no pattern": ("BPE", None, BPE(use_regex=False)),
    "no split": ("Unigram", None, METASPACE(split=False)),
    "stripped": ("Unigram", normalizers.Strip(), METASPACE()),
    "joined": ("BPE", normalizers.Replace("a b", "c"), BPE()),
    "any pattern": ("BPE", normalizers.Replace(Regex("\\s+"), ""), BPE()),
    "split": ("BPE", None, pre_tokenizers.Split(Regex("\\w+ \\w+"), "isolated")),
}


@cache
def train(kind: str, is_split: bool) -> Tokenizer:
    """A small tokenizer; equality of tokens does not depend on what it was trained with."""
    words = [line.split(" ")[0] for line in (DEMO / "train.conll").read_text(encoding="utf-8").splitlines() if line]
    texts = [" ".join(words[start : start + 20]) for start in range(0, 4000, 20)]
    options: dict[str, Any] = {"vocab_size": 500, "special_tokens": SPECIALS, "show_progress": False}
    if kind == "WordPiece":
        built, trainer = Tokenizer(models.WordPiece(unk_token="<unk>")), trainers.WordPieceTrainer(**options)
    elif kind == "BPE":
        built, trainer = Tokenizer(models.BPE()), trainers.BpeTrainer(initial_alphabet=BPE.alphabet(), **options)
    else:
        built, trainer = Tokenizer(models.Unigram()), trainers.UnigramTrainer(unk_token="<unk>", **options)
    if is_split:
        built.pre_tokenizer = {"WordPiece": WORDS, "BPE": BPE(), "Unigram": METASPACE()}[kind]
    built.train_from_iterator(texts if is_split else texts[:20], trainer)
    return built


def build(
    kind: str, normalizer: normalizers.Normalizer | None, pre_tokenizer: pre_tokenizers.PreTokenizer | None
) -> Tokenizer:
    is_split = pre_tokenizer is not None and len(pre_tokenizer.pre_tokenize_str("a b")) > 1
    built = Tokenizer.from_str(train(kind, is_split).to_str())
    built.normalizer, built.pre_tokenizer = normalizer, pre_tokenizer
    built.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    built.add_tokens([AddedToken("Keyword", normalized=True), AddedToken("trich", single_word=True, normalized=False)])
    return built


@pytest.fixture(scope="module", params=[*CUT, "default"])
def known(request: pytest.FixtureRequest) -> TextTokenizer:
    if request.param == "default":
        shipped = ModelParams(**read_document(ROOT / "params.yaml")["model"])
        return TextTokenizer(load_tokenizer(find_pretrained(**shipped.encoder)))
    return TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=build(*CUT[request.param])))


def tokens_of(known: TextTokenizer, texts: list[str]) -> list[list[int]]:
    found = known.tokenize(pa.array(texts, pa.string()))
    return [found.ids[start:end].tolist() for start, end in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


def encode(known: TextTokenizer, texts: list[str]) -> list[list[int]]:
    return [found.ids for found in known.tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)]


@given(st.lists(TEXTS, min_size=1, max_size=12))
def test_tokens_equal_the_tokenizers(known: TextTokenizer, texts: list[str]) -> None:
    assert known.rule is not None
    expected = encode(known, texts)
    assert tokens_of(known, texts) == expected
    assert tokens_of(known, texts[::-1]) == expected[::-1]  # from the cache, and in another order
    assert known.tokenizer(texts, add_special_tokens=False)["input_ids"] == expected
    found = known.tokenize(pa.array(texts, pa.string()))
    encodings = known.tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
    for start, end, encoding in zip(found.offsets[:-1], found.offsets[1:], encodings, strict=True):
        pieces = encoding.word_ids
        begins = [number == 0 or pieces[number] != pieces[number - 1] for number in range(len(pieces))]
        assert (found.levels[start:end] > 0).tolist() == begins


def test_words_are_what_white_space_parts(known: TextTokenizer) -> None:
    text = "Munich's (old) town hall, too"
    found = known.tokenize(pa.array([text]))
    assert (found.levels == WORD).sum() == len(text.split())
    whole = known._encode([text])
    assert (found.levels == whole.levels).all()


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ([normalizers.Nmt()], "Munich\ufffd  and"),  # Nmt puts a blank for U+FFFD, a symbol
        ([normalizers.NFD(), normalizers.StripAccents()], "Munich \u0301 and"),  # of the mark nothing is left
    ],
)
def test_white_space_that_a_normalizer_leaves_is_seen_across_a_cut(
    steps: list[normalizers.Normalizer], text: str
) -> None:
    backend = build("Unigram", normalizers.Sequence([*steps, ONE_BLANK]), METASPACE())
    known = TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend))
    assert known.rule is not None
    assert len(known.rule.cut(pa.array([text]))[0]) > 1
    assert tokens_of(known, [text, "Munich and"]) == encode(known, [text, "Munich and"])


@pytest.mark.parametrize("name", WHOLE)
def test_texts_of_other_tokenizers_are_encoded_whole(name: str) -> None:
    known = TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=build(*WHOLE[name])))
    assert known.rule is None
    texts = ["Munich a b  c ", "", " \u4e2d <mask> x"]
    assert tokens_of(known, texts) == encode(known, texts)


def test_a_text_with_an_added_token_is_encoded_whole(known: TextTokenizer) -> None:
    name = known.tokenizer.backend_tokenizer.get_added_tokens_decoder().popitem()[1].content
    texts = ["Munich and Berlin", f"Munich {name} Berlin", f"{name}, Munich "]
    assert tokens_of(known, texts) == encode(known, texts)
    assert known._numbers[" and"] >= 0
    assert known._numbers[f" {name}"] == text_tokens.WHOLE


def test_a_tokenizer_whose_added_token_holds_a_blank_is_not_cut() -> None:
    built = build(*CUT["uncased"])
    built.add_tokens(["New York"])
    assert chunk_rule(PreTrainedTokenizerFast(tokenizer_object=built)) is None


def test_random_merges_are_not_cached() -> None:
    built = build(*CUT["byte-level"])
    built.model.dropout = 0.5
    assert chunk_rule(PreTrainedTokenizerFast(tokenizer_object=built)) is None


def test_start_up_gives_up_chunks_if_a_probe_comes_out_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.encoding.text_chunks._are_local", lambda _: True)
    backend = build(*WHOLE["no split"])
    known = TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend))
    assert known.rule is None
    monkeypatch.setattr(text_tokens, "PROBES", ["x"])
    assert TextTokenizer(known.tokenizer).rule is not None


def test_a_full_cache_is_cleared_and_stays_correct(known: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tokens, "MAX_CHUNKS", 3)
    for texts in (["a b"], ["c d a"], ["Munich a b c d", "a"]):
        assert tokens_of(known, texts) == encode(known, texts)
        assert len(known._numbers) <= 6  # those of the last block


def test_texts_may_be_a_slice_or_none_at_all(known: TextTokenizer) -> None:
    texts = ["Munich and", "", "x  y ", "\u00e9 a"]
    assert tokens_of(known, []) == []
    found = known.tokenize(pa.array(["before it", *texts, "after"]).slice(1, 4))
    assert found.ids.tolist() == [token for ids in encode(known, texts) for token in ids]


def test_a_long_chunk_is_not_cached(known: TextTokenizer) -> None:
    known._clear()
    texts = ["\u4e2d" * 300, "a b"]
    assert tokens_of(known, texts) == encode(known, texts)
    assert max(map(len, known._numbers)) < 10


@pytest.mark.parametrize("character", ["\u00a0", "\u3000", "\t", "\x00", "\u200b", "\u0600", "\u0d4e"])
def test_no_text_is_cut_after_white_space_controls_and_prepended_marks(character: str) -> None:
    assert not is_solid(character)


@needs_corpora
@pytest.mark.parametrize("path", ["thucnews", "mrpc", "emobank"])
def test_tokens_equal_the_tokenizers_on_real_texts(known: TextTokenizer, path: str) -> None:
    file = max((CORPORA / path).iterdir(), key=lambda file: file.stat().st_size)
    texts = Path(file).read_text(encoding="utf-8").splitlines()[:300]
    assert tokens_of(known, texts) == encode(known, texts)
