import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.overlap import DigestSet
from stages.corpus.profile import CorpusProfile, profile_corpus
from stages.corpus.reading import SplitParams, open_corpus
from stages.corpus.splits import SentenceSplitParams
from stages.corpus.text.diagnostics import Diagnostic, Diagnostics
from stages.corpus.text.documents import Context
from stages.tools import check_corpus
from tests.corpus.conftest import GOOD, REST, SENTENCES, Files, Pairs, data_params, fill, parquet
from tests.oracles import entities

DOCUMENTS = "".join(f"-DOCSTART- O\n\nw{number} B-X\n\nsame B-X\n\n" for number in range(30))


class Letters(NamedTuple):
    """A tokenizer with a token for each letter, which knows no digits."""

    counts: Any
    unknown: Any


def count_letters(words: pa.DictionaryArray) -> Letters:
    texts = words.to_pylist()
    return Letters(np.array([len(text) for text in texts], np.int32), np.array([text.isdigit() for text in texts]))


def profile_and_diagnostics(
    place: Path, *, split: SplitParams | None = None, context: Context = "sentence"
) -> tuple[CorpusProfile, Diagnostics]:
    diagnostics = Diagnostics()
    corpus = open_corpus(data_params(place, split=split), allow_unsplit=True)
    return profile_corpus(
        corpus, diagnostics, count_tokens=count_letters, context=context, on_block=lambda _: None
    ), diagnostics


def of(diagnostics: Diagnostics, code: str) -> list[tuple[str, str]]:
    return [(diagnostic.where, diagnostic.message) for diagnostic in diagnostics.kept if diagnostic.code == code]


def text_of(*sentences: str) -> str:
    """Sentences of `word/TAG`, or a word alone where it is O."""
    lines = [[pair.partition("/") for pair in sentence.split()] for sentence in sentences]
    return "\n".join("".join(f"{word} {tag or 'O'}\n" for word, _, tag in sentence) for sentence in lines)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    files: Files = {
        "train.conll": text_of("It rains in Bonn/B-LOC", "I saw Bonn/B-LOC", "I saw Bonn/B-LOC", "so 2024 said"),
        "dev.conll": text_of("I saw Rome/B-LOC", "I saw Bonn/B-LOC", "2024 2025"),
        "test.conll": text_of("so 2024 said", "Ada/B-PER Byron/I-PER slept", "I saw Rome/B-LOC", "BONN/I-LOC"),
    }
    return fill(tmp_path / "corpus", files)


def test_profile_counts_each_split(corpus: Path) -> None:
    found, _ = profile_and_diagnostics(corpus)
    assert {name: (s.sentences, s.words, dict(s.entities)) for name, s in found.splits.items()} == {
        "train": (4, 13, {"LOC": 3}),
        "dev": (3, 8, {"LOC": 2}),
        "test": (4, 10, {"PER": 1, "LOC": 2}),
    }
    assert found.reader.scheme == "IOB2"
    assert found.reader.labels == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def test_profile_warns_of_each_sentence_of_an_earlier_split(corpus: Path) -> None:
    _, diagnostics = profile_and_diagnostics(corpus)
    assert of(diagnostics, "in-train-and-dev") == [(f"{corpus}/dev.conll:5", "also in train: 'I saw Bonn'")]
    assert of(diagnostics, "in-train-and-test") == [(f"{corpus}/test.conll:1", "also in train: 'so 2024 said'")]
    assert of(diagnostics, "in-dev-and-test") == [(f"{corpus}/test.conll:9", "also in dev: 'I saw Rome'")]


def test_profile_reports_all_other_doubts(corpus: Path) -> None:
    _, diagnostics = profile_and_diagnostics(corpus)
    assert of(diagnostics, "repeated") == []  # train may repeat sentences
    assert of(diagnostics, "one-split") == [(str(corpus), "PER occurs in test only, 1 times")]
    assert of(diagnostics, "few-examples") == [
        (str(corpus), "LOC has only 3 examples in train, too few to learn from"),
        (str(corpus), "PER has only 0 examples in train, too few to learn from"),
    ]
    assert of(diagnostics, "unknown-word") == [
        (f"{corpus}/dev.conll:10", "the tokenizer does not know '2025' (U+0032 U+0030 U+0032 U+0035)"),
        (f"{corpus}/test.conll:2", "the tokenizer does not know '2024' (U+0032 U+0030 U+0032 U+0034)"),
    ]
    assert of(diagnostics, "repaired-tags") == [
        (f"{corpus}/test.conll:13", "I-LOC does not fit IOB2 here; it was read as conlleval reads it")
    ]
    assert not of(diagnostics, "unsplit")
    assert {diagnostic.severity for diagnostic in diagnostics.kept} == {"warning"}


def test_profile_warns_of_a_corpus_without_splits(corpus: Path) -> None:
    found, diagnostics = profile_and_diagnostics(corpus / "train.conll")
    assert list(found.splits) == ["all"]
    ((where, message),) = of(diagnostics, "unsplit")
    assert where == str(corpus / "train.conll")
    assert message.endswith(f"tuneline run --set data.dir={where} --set 'data.split={{dev: 0.1, test: 0.1}}'")
    assert not of(diagnostics, "one-split")


def test_profile_of_enough_examples_in_each_split_has_no_diagnostics(tmp_path: Path) -> None:
    texts = {
        name: text_of(*(f"{name} saw x{'abcdefghij'[n // 10]}{'abcdefghij'[n % 10]}/B-X" for n in range(20)))
        for name in ("train", "dev", "test")
    }
    _, diagnostics = profile_and_diagnostics(fill(tmp_path, {f"{name}.conll": text for name, text in texts.items()}))
    assert diagnostics.kept == []


def test_profile_has_no_doubts_about_figures_of_a_corpus_with_errors(corpus: Path) -> None:
    (corpus / "train.conll").write_text("lonely\n")
    _, diagnostics = profile_and_diagnostics(corpus)
    assert {diagnostic.severity for diagnostic in diagnostics.kept if diagnostic.code != "unknown-word"} == {
        "error",
        "warning",
    }
    assert not of(diagnostics, "few-examples")
    assert not of(diagnostics, "no-sentence")


def test_profile_keeps_twenty_of_a_kind_and_counts_all(tmp_path: Path) -> None:
    text = text_of(*(f"word {n} Bonn/B-LOC" for n in range(70)))
    _, diagnostics = profile_and_diagnostics(
        fill(tmp_path, {"train.conll": text, "dev.conll": text, "test.conll": text})
    )
    assert diagnostics.counts["in-train-and-dev"] == 70
    assert len(of(diagnostics, "in-train-and-dev")) == 20
    assert diagnostics.counts["unknown-word"] == 70
    assert of(diagnostics, "in-train-and-dev")[19] == (f"{tmp_path}/dev.conll:77", "also in train: 'word 19 Bonn'")


def rank(lengths: list[int], share: float) -> int:
    """The smallest length that this share of all does not exceed."""
    return next(n for n in sorted(lengths) if sum(length <= n for length in lengths) >= share * len(lengths))


@given(sentences=SENTENCES, window=st.integers(1, 40))
def test_profile_figures_are_those_of_plain_python(
    tmp_path_factory: pytest.TempPathFactory, sentences: Pairs, window: int
) -> None:
    columns = {
        "tokens": [[word for word, _ in sentence] for sentence in sentences],
        "ner_tags": [[tag for _, tag in sentence] for sentence in sentences],
    }
    place = fill(tmp_path_factory.mktemp("corpus"), {"x.parquet": parquet(columns)})
    found, _ = profile_and_diagnostics(place)
    figures = found.to_json(window=window)["splits"]["all"]
    lengths = [sum(map(len, words)) for words in columns["tokens"]]
    kinds = Counter(kind for tags in columns["ner_tags"] for kind, _, _ in entities(tags, strict=False))
    assert figures == {
        "sentences": len(sentences),
        "words": sum(map(len, sentences)),
        "documents": 0,
        "entities": dict(sorted(kinds.items())),
        "tokens": {
            "median": rank(lengths, 0.5),
            "p90": rank(lengths, 0.9),
            "p99": rank(lengths, 0.99),
            "max": max(lengths),
        },
        "longer_than_window": sum(length > window for length in lengths),
        "unknown_words": sum(word.isdigit() for words in columns["tokens"] for word in words),
    }


def test_profile_has_different_percentiles(tmp_path: Path) -> None:
    lengths = list(range(1, 501))
    found, _ = profile_and_diagnostics(fill(tmp_path, {"all.conll": "\n".join(f"{'x' * n} B-X\n" for n in lengths)}))
    assert found.to_json(window=9)["splits"]["all"]["tokens"] == {
        key: rank(lengths, share) for key, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
    }


def test_profile_counts_entities_that_train_lacks_whatever_their_case(corpus: Path) -> None:
    splits = profile_and_diagnostics(corpus)[0].to_json(window=9)["splits"]
    assert splits["dev"]["unseen_entities"] == 1 / 2  # Rome, not Bonn
    assert splits["test"]["unseen_entities"] == pytest.approx(2 / 3)  # Ada Byron and Rome, not BONN


@given(st.lists(st.lists(st.integers(0, 50), max_size=20), max_size=6), st.lists(st.integers(0, 60), max_size=30))
def test_digest_set_is_a_set(added: list[list[int]], asked: list[int]) -> None:
    digests, plain = DigestSet(), {number for numbers in added for number in numbers}
    for numbers in added:
        digests.add(np.array(numbers, np.uint64))
    assert len(digests) == len(plain)
    assert digests.contains(np.array(asked, np.uint64)).tolist() == [number in plain for number in asked]
    if asked:
        other = DigestSet()
        other.add(np.array(asked, np.uint64))
        assert digests.count_common(other) == len(plain & set(asked))


def test_check_corpus_prints_diagnostics_and_figures_as_json(
    corpus: Path, params_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(corpus.parent)
    monkeypatch.setattr(sys, "argv", ["stage"])
    check_corpus.main(params_file)
    printed = json.loads(capsys.readouterr().out)
    assert printed["scheme"] == "IOB2"
    assert {name: split["sentences"] for name, split in printed["splits"].items()} == {"train": 4, "dev": 3, "test": 4}
    for diagnostic in printed["findings"]:
        assert diagnostic.pop("grade") == Diagnostic(**diagnostic).severity
    assert printed["counts"]["in-train-and-test"] == 1


def test_profile_warns_of_files_that_name_no_split(tmp_path: Path) -> None:
    _, diagnostics = profile_and_diagnostics(fill(tmp_path / "c", {"train.conll": GOOD, "more.conll": GOOD} | REST))
    assert [where.rpartition("/")[2] for where, _ in of(diagnostics, "ignored-file")] == ["more.conll"]


def test_profile_warns_of_sentences_without_an_end(tmp_path: Path) -> None:
    _, diagnostics = profile_and_diagnostics(fill(tmp_path / "c", {"train.conll": "a O\n" * 1001 + "\n" + GOOD} | REST))
    ((where, message),) = of(diagnostics, "long-sentences")
    assert where.endswith("train.conll:1")
    assert "1,001 words" in message


@pytest.mark.parametrize(
    ("text", "split", "code"),
    [
        (GOOD, None, "no-documents"),
        (f"-DOCSTART- O\n\n{GOOD}", None, None),
        (f"-DOCSTART- O\n\n{GOOD}" * 30, SplitParams(dev=0.3, test=0.3), "shared-documents"),
        (DOCUMENTS, SentenceSplitParams(dev=0.3, test=0.3, by="document"), None),
    ],
)
def test_profile_refuses_documents_that_give_no_context_or_too_much(
    tmp_path: Path, text: str, split: SplitParams | None, code: str | None
) -> None:
    files = {f"{name}.conll": text for name in ("train", "dev", "test")} if split is None else {"all.conll": text}
    place = fill(tmp_path / "c", files)
    codes = {"no-documents", "shared-documents"}
    _, diagnostics = profile_and_diagnostics(place, split=split, context="document")
    assert codes & {each.code for each in diagnostics.of("error")} == ({code} if code else set())
    _, diagnostics = profile_and_diagnostics(place, split=split)
    assert not codes & set(diagnostics.counts)


def test_profile_names_sentences_that_splits_of_documents_share(tmp_path: Path) -> None:
    place, split = fill(tmp_path / "c", {"all.conll": DOCUMENTS}), SentenceSplitParams(dev=0.3, test=0.3, by="document")
    found, diagnostics = profile_and_diagnostics(place, split=split)
    assert {name: part.documents * 2 for name, part in found.splits.items()} == {
        name: part.sentences for name, part in found.splits.items()
    }
    assert all(part.documents for part in found.splits.values())
    for earlier, later in (("train", "dev"), ("train", "test"), ("dev", "test")):
        shared = of(diagnostics, f"in-{earlier}-and-{later}")
        assert diagnostics.counts[f"in-{earlier}-and-{later}"] == found.splits[later].documents
        assert shared[0][1] == f"a sentence of {later} that is also in {earlier}"


def test_profile_notes_what_is_repeated_where_it_counts_twice_in_a_score(tmp_path: Path) -> None:
    place = fill(tmp_path / "c", {"train.conll": GOOD * 2, "dev.conll": GOOD, "test.conll": f"{GOOD}\n" * 3})
    _, diagnostics = profile_and_diagnostics(place)
    assert of(diagnostics, "repeated") == [(str(place), "4 sentences of test occur more than once")]


def test_profile_tells_each_sentence_of_test_once_however_often_train_has_it(tmp_path: Path) -> None:
    place = fill(
        tmp_path / "c", {"train.conll": f"{GOOD}\n" * 3, "dev.conll": "x B-X\n", "test.conll": f"{GOOD}\n" * 2}
    )
    _, diagnostics = profile_and_diagnostics(place)
    assert [where.rpartition(":")[2] for where, _ in of(diagnostics, "in-train-and-test")] == ["1", "8", "6", "13"]
