"""Which sentences two texts share, and which scripts only one of them is written in."""

import pyarrow as pa
import pytest

from stages.corpus.text.likeness import count_shared_sentences, find_foreign_scripts


def words(*sentences: str) -> pa.ListArray:
    return pa.array([sentence.split() for sentence in sentences], pa.list_(pa.string()))


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (("Anna slept", "Bo slept"), ("Bo slept", "Anna ran"), 1),
        (("Anna slept", "Anna slept"), ("Anna slept",), 2),
        (("Anna slept",), ("Anna", "slept"), 0),
        ((), ("Anna slept",), 0),
    ],
)
def test_sentences_are_shared_if_all_their_words_are(
    first: tuple[str, ...], second: tuple[str, ...], shared: int
) -> None:
    assert count_shared_sentences(words(*first), words(*second)) == shared


ENGLISH = "the quick brown fox jumps over the lazy dog " * 20


@pytest.mark.parametrize(
    ("text", "other", "scripts"),
    [
        ("съешь ещё этих мягких булок", ENGLISH, ["Cyrillic"]),
        ("ひらがな と カタカナ と 漢字漢字漢字", ENGLISH, ["Hiragana", "Cjk", "Katakana"]),
        ("नमस्ते दुनिया", ENGLISH, ["Devanagari"]),
        (ENGLISH, ENGLISH + "Ωμέγα", []),
        (ENGLISH + "Ωμέγα", ENGLISH, []),  # a name is no script that a text is written in
        (ENGLISH, "съешь ещё the quick brown fox", []),  # mixed before: Latin is no news
        ("12 + 3 = 15", ENGLISH, []),
        ("", ENGLISH, []),
    ],
)
def test_scripts_are_foreign_if_the_other_text_hardly_has_them(text: str, other: str, scripts: list[str]) -> None:
    assert find_foreign_scripts(words(text), words(other)) == scripts
