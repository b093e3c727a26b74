"""Words that carry a prefix or their position: said first, and stripped."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.checkout.params_file import apply_settings
from pipeline.corpora.report import render_profile
from stages.corpus.decoration import Decorations, strip_words
from stages.corpus.profile import profile_corpus
from stages.corpus.reading import Corpus, open_corpus
from stages.corpus.splits import SplitParams
from stages.corpus.text.diagnostics import HEADLINES, Diagnostics
from stages.corpus.text.sentences import Block, BlockBuilder
from stages.tasks.token_classification import presentation
from tests.checkouts import ROOT
from tests.corpus.conftest import data_params, fill, read
from tests.corpus.test_profile import count_letters

PLAIN = [["Anna", "wohnt", "in", "Bonn", "."], ["王", "小", "明", "3", "9"], ["F16", "seit", "2024", "in", "Köln"]]
SHARES = SplitParams(dev=0.3, test=0.3)


def block_of(sentences: list[list[str]]) -> Block:
    builder = BlockBuilder()
    for number, words in enumerate(sentences):
        builder.add(words, ["O"] * len(words), number + 1)
    return builder.build("x")


def positions(words: list[str]) -> list[str]:
    return [f"{word}{number}" for number, word in enumerate(words)]


def report(sentences: list[list[str]]) -> list[str]:
    decorations, diagnostics = Decorations(), Diagnostics()
    for sentence in sentences:
        decorations.add(block_of([sentence] * 20))
    decorations.report(diagnostics, "some folder")
    return [f"{each.code}: {each.message}" for each in diagnostics.kept]


@pytest.mark.parametrize("prefix", ["de:", '"', "\u2581", "##", "en_", "zh-CN/"])
def test_a_prefix_of_all_words_is_a_warning_with_the_setting_that_strips_it(prefix: str) -> None:
    (message,) = report([[f"{prefix}{word}" for word in words] for words in PLAIN])
    assert message.startswith(f"word-prefix: all 300 words begin with {prefix!r}. To strip it: tuneline run --set ")
    setting = message.rpartition(" --set ")[2].removeprefix("'").removesuffix("'")
    changed = apply_settings(ROOT / "params.yaml", [setting])
    assert f"strip_prefix: {setting.partition('=')[2]}" in changed


def test_a_prefix_of_nearly_all_words_is_told_with_its_share() -> None:
    sentences = [[f"de:{word}" for word in words] for words in PLAIN * 8]
    sentences[0][0] = "Anna"
    (message,) = report(sentences)
    assert message.startswith("word-prefix: 99.2% of 2,400 words begin with 'de:'")


def test_a_digit_behind_the_words_is_a_warning_with_the_setting_that_strips_it() -> None:
    (message,) = report([positions(words) for words in PLAIN])
    assert message.startswith("word-suffix: all 300 words end in a digit")
    assert message.endswith("tuneline run --set 'data.dir=some folder' --set data.strip_suffix=digits")


@pytest.mark.parametrize(
    "sentences", [PLAIN, [["http://a.b", "@anna", "#bonn", "3.14", "de:Anna"]], [["1", "2024"] * 3]]
)
def test_words_as_they_are_written_are_no_doubt(sentences: list[list[str]]) -> None:
    assert not [message for message in report(sentences) if "prefix" in message]


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1), min_size=1)))
def test_stripping_a_prefix_gives_the_words_that_had_it(sentences: list[list[str]]) -> None:
    decorated = block_of([[f"de:{word}" for word in words] for words in [["x"], *sentences]])
    diagnostics = Diagnostics()
    stripped = strip_words(decorated, prefix="de:", suffix=None, diagnostics=diagnostics)
    assert stripped.words.to_pylist() == [["x"], *sentences]
    assert not diagnostics.kept


@pytest.mark.parametrize(
    ("word", "stripped"),
    [("一0", "一"), ("一10", "一"), ("20", "2"), ("-0", "-"), ("F160", "F16"), ("Anna_3", "Anna"), ("Anna", "Anna"),
     ("3", "3"), ("ä1", "ä")],
)  # fmt: skip
def test_stripping_digits_takes_the_position_alone(word: str, stripped: str) -> None:
    block = strip_words(block_of([[word]]), prefix=None, suffix="digits", diagnostics=Diagnostics())
    assert block.words.to_pylist() == [[stripped]]


def test_words_without_the_prefix_stay_and_are_noted() -> None:
    diagnostics = Diagnostics()
    block = strip_words(block_of([["de:a", "b"], ["c", "de:d"]]), prefix="de:", suffix=None, diagnostics=diagnostics)
    assert block.words.to_pylist() == [["a", "b"], ["c", "d"]]
    assert [(each.severity, each.where, each.message) for each in diagnostics.kept] == [
        ("note", "x:1", "'b' stays as it is: data.strip_prefix does not fit it"),
        ("note", "x:2", "'c' stays as it is: data.strip_prefix does not fit it"),
    ]


def conll(sentences: list[list[str]]) -> str:
    return "".join("".join(f"{word}\tB-X\n" for word in words) + "\n" for words in sentences)


def profile(corpus: Corpus) -> tuple[dict[str, Any], Diagnostics]:
    diagnostics = Diagnostics()
    found = profile_corpus(corpus, diagnostics, count_tokens=count_letters, context="sentence", on_block=lambda _: None)
    return found.to_json(window=64), diagnostics


def test_a_stripped_corpus_is_split_as_the_plain_one(tmp_path: Path) -> None:
    sentences = [[f"w{n}", "x"] for n in range(100)]
    plain = fill(tmp_path / "plain", {"all.conll": conll(sentences)})
    decorated = fill(tmp_path / "decorated", {"all.conll": conll([[f"de:{w}" for w in words] for words in sentences])})
    found = read(open_corpus(data_params(decorated, split=SHARES, strip_prefix="de:")))
    assert found == read(open_corpus(data_params(plain, split=SHARES)))


def test_a_word_that_is_the_prefix_alone_is_a_fault(tmp_path: Path) -> None:
    place = fill(tmp_path / "c", {"all.conll": conll([["de:a", "de:"]])})
    _, diagnostics = profile(open_corpus(data_params(place, split=SHARES, strip_prefix="de:")))
    assert [(each.code, each.where) for each in diagnostics.of("error")] == [("blank-word", f"{place}/all.conll:2")]


@pytest.mark.parametrize(("parameter", "value"), [("strip_prefix", "fr:"), ("strip_suffix", "digits")])
def test_a_setting_that_fits_no_word_is_an_error(tmp_path: Path, parameter: str, value: str) -> None:
    place = fill(tmp_path / "c", {"all.conll": conll([["de:a", "de:b"]] * 50)})
    _, diagnostics = profile(open_corpus(data_params(place, split=SHARES, **{parameter: value})))
    assert [each.message for each in diagnostics.of("error")] == [
        f"data.{parameter}={value} fits no word; it must be null: --set data.{parameter}=null"
    ]


def test_what_makes_all_figures_meaningless_is_said_first(tmp_path: Path) -> None:
    """The tokenizer of this test knows no digits."""
    sentences = [[f"de:{word}" for word in ("Anna", "wohnt")], ["2024", "2025"]]
    place = fill(tmp_path / "c", {"all.conll": conll([sentences[0]] * 79 + [sentences[1]] * 21)})
    _, diagnostics = profile(open_corpus(data_params(place), allow_unsplit=True))
    assert [each.code for each in diagnostics.kept][:1] == ["unknown-words"]
    assert "does not know 21% of the words (42 of 200)" in diagnostics.kept[0].message
    decorated = fill(tmp_path / "d", {"all.conll": conll([["de:Anna", "de:wohnt"]] * 60)})
    figures, diagnostics = profile(open_corpus(data_params(decorated), allow_unsplit=True))
    first, *parts = render_profile({**figures, "dir": "d", **diagnostics.to_json()}, presentation).renderables
    assert str(first).startswith(f"WARNING  {decorated}: all 120 words begin with 'de:'")
    assert "begin with" not in " ".join(map(str, parts))
    assert diagnostics.kept[0].code in HEADLINES
