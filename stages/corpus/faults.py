"""Sentences that cannot be used, and whether a corpus may be read without them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.schemes import is_bare_type, is_tag
from stages.corpus.text.sentences import OUTSIDE, Block

Faulty = Literal["refuse", "drop"]

DROPPED = "dropped-from-"  # the code of a sentence that is left out, before the name of its split
TAG = "tag"
MAX_DROPPED = 0.01  # share of all sentences; where more are faulty, so may be the others
MAX_WORD = 1000  # characters
MAX_SENTENCE = 20_000  # words
NO_TAG = "is not a tag; tags are O, B-TYPE and I-TYPE, or with E-, S-, L-, U- and M-"
NO_BARE_TYPE = "is not a tag here, where most have no prefix: tags are O and types such as PER"

Bools = npt.NDArray[np.bool_]


class Fault(NamedTuple):
    """A kind of fault, the words or tags that have it, [W], and what it is."""

    code: str
    has_it_W: Bools
    message: str


def find_faulty(block: Block, diagnostics: Diagnostics, *, has_bare_types: bool) -> Bools:
    """[S] whether a sentence is incomplete, or a word or tag of it unusable, for which this adds an error.

    Tags are O and types if `has_bare_types`, as in IO, else they have prefixes. However many faults a sentence has, it
    counts once in `diagnostics.faulty`.
    """
    faulty_S = np.zeros(len(block), bool) if block.incomplete is None else block.incomplete.copy()
    for fault in _find_faults(block, has_bare_types=has_bare_types):
        at = np.flatnonzero(fault.has_it_W)
        if len(at):
            shown = ((block.where(n), _describe(fault, block, int(n))) for n in at)
            diagnostics.add_all("error", fault.code, len(at), shown, faulty=0)
            faulty_S |= np.logical_or.reduceat(fault.has_it_W, block.offsets[:-1])
    diagnostics.faulty += int(faulty_S.sum())
    return faulty_S


def judge_faulty(
    diagnostics: Diagnostics, treatment: Faulty, *, sentences: int, where: object, noun: str = "sentences"
) -> None:
    """Decide whether a corpus may be read without its faulty sentences, of `sentences` sentences that are usable.

    If they are to be dropped but are too many, they become errors. If they were refused but are few, a note says how to
    drop them. Call it when all files have been read and before other errors are added.
    """
    count, total = diagnostics.faulty, diagnostics.faulty + sentences
    if not count:
        return
    figures = f"{count:,} of {total:,} {noun} have faults"
    if treatment == "drop" and count > MAX_DROPPED * total:
        for code in [code for code in diagnostics.counts if code.startswith(DROPPED)]:
            diagnostics.restore_errors(code)
        message = f"{figures}, and data.faulty=drop leaves out {MAX_DROPPED:.0%} at most. Mend the text."
        diagnostics.add("error", "faulty", where, message)
    elif treatment == "refuse" and count <= MAX_DROPPED * total:
        message = f"{figures}. Mend them, or leave these {noun} out: --set data.faulty=drop"
        diagnostics.add("error", "faulty", where, message)


def _find_faults(block: Block, *, has_bare_types: bool) -> Iterator[Fault]:
    words, of_word = block.distinct.dictionary, block.distinct.indices.to_numpy()
    for code, faulty, message in (
        ("blank-word", pc.equal(pc.utf8_trim_whitespace(words), ""), "a word of white space alone"),
        ("word-break", pc.match_substring_regex(words, "[\\t\\n\\r\\x1f]"), "a word with a tab or line end in it"),
        ("long-word", pc.greater(pc.utf8_length(words), MAX_WORD), f"a word of over {MAX_WORD:,} characters"),
    ):
        yield Fault(code, faulty.to_numpy(zero_copy_only=False)[of_word], message)
    too_long = np.zeros(len(of_word), bool)
    too_long[block.offsets[:-1][np.diff(block.offsets) > MAX_SENTENCE]] = True
    yield Fault("long-sentence", too_long, f"a sentence of over {MAX_SENTENCE:,} words, breaks lost? It starts")
    tags = block.tags.dictionary.to_pylist()
    usable = [tag == OUTSIDE or is_bare_type(tag) if has_bare_types else is_tag(tag) for tag in tags]
    no_tag = ~np.array(usable, bool)[block.tags.indices.to_numpy()]
    hint = ". Is data.tags the right column?" if no_tag.sum() * 2 > len(of_word) else ""
    yield Fault(TAG, no_tag, f"{NO_BARE_TYPE if has_bare_types else NO_TAG}{hint}")


def _describe(fault: Fault, block: Block, word: int) -> str:
    if fault.code == TAG:
        return f"{block.tags[word].as_py()[:80]!r} {fault.message}"
    return f"{fault.message}: {block.words.values[word].as_py()[:80]!r}"


def name_dropped(place: Path, splits: Iterable[str], diagnostics: Diagnostics) -> dict[str, list[str]]:
    """By split a line for each of the first examples that were left out; their places are relative to the corpus."""
    return {
        split: [
            f"{each.where.removeprefix(f'{place}/')}: {each.message}"
            for each in diagnostics.kept
            if each.code == f"{DROPPED}{split}"
        ]
        for split in splits
    }
