"""How alike two texts are, as far as their words show it: sentences that both have, and scripts that one lacks."""

import unicodedata
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

MAIN_SHARE = 0.1  # of the letters of a text: a script that it is written in
STRAY_SHARE = 0.01  # names and quotations in a script that a text is not written in


def count_shared_sentences(words: pa.ListArray, other: pa.ListArray) -> int:
    """Count the sentences that `other` has too, word for word; an item of both is the words of a sentence."""
    sentences, others = (pc.binary_join(each, "\n") for each in (words, other))
    return int(pc.sum(pc.is_in(sentences, value_set=others)).as_py() or 0)


def find_foreign_scripts(words: pa.ListArray, other: pa.ListArray) -> list[str]:
    """The scripts that a text is written in and that `other` hardly holds, the most frequent first."""
    others = _script_shares(other)
    return [
        script
        for script, share in _script_shares(words).items()
        if share >= MAIN_SHARE and others.get(script, 0) < STRAY_SHARE
    ]


def _script_shares(words: pa.ListArray) -> dict[str, float]:
    """The share of each script in the letters, the largest first.

    A script goes by the first word of its letters' Unicode names (LATIN, CYRILLIC, CJK): the standard library has no
    table of scripts.
    """
    scripts: Counter[str] = Counter()
    for character, count in Counter("".join(words.flatten().to_pylist())).items():
        if character.isalpha():
            scripts[unicodedata.name(character, "UNNAMED").split()[0]] += count
    total = scripts.total()
    return {script.capitalize(): count / total for script, count in scripts.most_common()}
