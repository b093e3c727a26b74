"""What words carry beside themselves, such as `de:` before each or its position behind it: found, and stripped."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from os.path import commonprefix
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.text.diagnostics import Diagnostics, suggest_run
from stages.corpus.text.sentences import Block

Suffix = Literal["digits"]

# The position behind a word: up to two digits behind one character, all behind a separator, else one digit. So of `X10`
# it is 10, and of `F160` it is 0.
POSITION = r"^(.)\d{1,2}$|^(.+)[_/|#]\d+$|^(.+)\d$"
MARK = re.compile(r"([^\W_]{0,12}(?:[^\w\s]|_)+)\S")  # up to 12 letters or digits, then what is neither
FREQUENT = 20  # words of a block in which a common beginning is looked for
LEAST_WORDS = 100  # of fewer nothing can be said
SHARE_OF_PREFIX, SHARE_OF_DIGITS = 0.95, 0.9  # of all words; more is no accident in any language
NOT_STRIPPED = "not-stripped-"  # the code of a word that stays as it is, before the name of the parameter


def strip_words(block: Block, *, prefix: str | None, suffix: Suffix | None, diagnostics: Diagnostics) -> Block:
    """Return the block with words that have lost `prefix`, then `suffix`; adds a note for each word without one."""
    for parameter, value in (("strip_prefix", prefix), ("strip_suffix", suffix)):
        if value is None:
            continue
        words, of_word = block.distinct.dictionary, block.distinct.indices
        if parameter == "strip_prefix":
            has_it = pc.starts_with(words, value)
            stripped = pc.if_else(has_it, pc.utf8_slice_codeunits(words, len(value)), words)
        else:
            has_it = pc.match_substring_regex(words, POSITION)
            stripped = pc.replace_substring_regex(words, POSITION, r"\1\2\3")
        at = np.flatnonzero(~has_it.to_numpy(zero_copy_only=False)[of_word.to_numpy()])
        message = f"stays as it is: data.{parameter} does not fit it"
        shown = ((block.where(n), f"{block.words.values[int(n)].as_py()[:80]!r} {message}") for n in at)
        diagnostics.add_all("note", f"{NOT_STRIPPED}{parameter}", len(at), shown)
        block = replace(block, words=pa.ListArray.from_arrays(block.words.offsets, stripped.take(of_word)))
    return block


@dataclass
class Decorations:
    """Counts the words that begin alike or end in a digit, block by block."""

    words: int = 0
    with_digit: int = 0
    with_prefix: Counter[str] = field(default_factory=Counter)

    def add(self, block: Block) -> None:
        """Count the words of a block."""
        distinct = block.distinct.dictionary
        counts = np.bincount(block.distinct.indices.to_numpy(), minlength=len(distinct))
        self.words += int(counts.sum())
        self.with_digit += int(counts[_mask(pc.match_substring_regex(distinct, r".\d$"))].sum())
        frequent = distinct.take(pa.array(np.argsort(-counts, kind="stable")[:FREQUENT])).to_pylist()
        prefix = _find_prefix(frequent)
        if prefix:
            self.with_prefix[prefix] += int(counts[_mask(pc.starts_with(distinct, prefix))].sum())

    def report(self, diagnostics: Diagnostics, where: object) -> None:
        """Add a warning if nearly all words carry a prefix, and one if they carry a position."""
        if self.words < LEAST_WORDS:
            return
        for prefix, count in self.with_prefix.most_common(1):
            if count > SHARE_OF_PREFIX * self.words:
                command = suggest_run(where, f"data.strip_prefix={json.dumps(prefix, ensure_ascii=False)}")
                message = f"{self._format_count(count)} begin with {prefix!r}. To strip it: {command}"
                diagnostics.add("warning", "word-prefix", where, message)
        if self.with_digit > SHARE_OF_DIGITS * self.words:
            command = suggest_run(where, "data.strip_suffix=digits")
            share = self._format_count(self.with_digit)
            message = f"{share} end in a digit, as if it were their position. To strip it: {command}"
            diagnostics.add("warning", "word-suffix", where, message)

    def _format_count(self, count: int) -> str:
        return f"all {count:,} words" if count == self.words else f"{count / self.words:.1%} of {self.words:,} words"


def _find_prefix(words: list[str]) -> str:
    """Return how most of the words begin, up to the last character that is no letter and no digit; empty if none do."""
    begins = Counter(match.group(1) for match in map(MARK.match, words) if match)
    if not begins:
        return ""
    ((prefix, count),) = begins.most_common(1)
    shared = commonprefix([word for word in words if word.startswith(prefix)])  # noqa: RUF071 - of characters, not paths
    return re.sub(r"[^\W_]*$", "", shared) if count > 1 else prefix


def _mask(values: pa.BooleanArray) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = values.to_numpy(zero_copy_only=False)
    return mask
