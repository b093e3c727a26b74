"""Tags in the cells of a column: as they are, in the brackets of CoNLL-2012, or under a key in the MISC of CoNLL-U."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.text.schemes import has_bare_types, is_tag
from stages.corpus.text.sentences import OUTSIDE

Notation = Literal["tag", "brackets", "misc"]
OPENING = re.compile(r"\(([^\s()*]+)(?:\*|\*?\))")  # (PERSON*  (PERSON)  (PERSON*)
NAMED = re.compile(r"(?:^|\|)(?:ner|ne|name|entity)=([^|]+)", re.IGNORECASE)  # NorNE: SpaceAfter=No|name=B-PER

CHUNKS = {"ADJP", "ADVP", "CONJP", "INTJ", "LST", "NP", "PP", "PRT", "SBAR", "UCP", "VP"}  # of CoNLL-2000


def read_tags(cells: pa.StringArray, starts: Iterable[int], notation: Notation) -> pa.DictionaryArray:
    """Return the tag in the cell of each word; `starts` are the first words of sentences.

    A cell that cannot be read is returned as it is, which is no tag.
    """
    if notation == "brackets":
        return pa.array(_read_brackets(cells.to_pylist(), set(starts)), pa.string()).dictionary_encode()
    tags = pc.utf8_trim(cells, " ").dictionary_encode()
    if notation == "misc":
        named = [misc_tag(cell) or OUTSIDE for cell in tags.dictionary.to_pylist()]
        tags = pa.array(named, pa.string()).take(tags.indices).dictionary_encode()
    return tags


def misc_tag(cell: str) -> str | None:
    """Return the tag that a cell of keys and values names, as MISC does in CoNLL-U; None if it names none."""
    named = NAMED.search(cell)
    return named[1] if named and is_tag(named[1]) else None


def find_notation(values: Mapping[str, int]) -> Notation:
    """Find how a column of tags writes them, by its values."""
    if any(map(OPENING.fullmatch, values)):
        return "brackets"
    return "misc" if any(map(misc_tag, values)) else "tag"


def choose_tag_column(values: Sequence[Mapping[str, int]], word: int) -> tuple[int, list[int]]:
    """Choose the column of tags by how often each value occurs in each column; also return other columns of entities.

    It is the first one with entities, since GermEval 2014 and FiNER have outer entities before those inside them; but
    the chunks that stand before the entities of CoNLL-2003 are none.
    """
    columns = [n for n in range(len(values)) if n != word]
    of_tags = [n for n in columns if _share_of_tags(values[n]) > 0.5]
    prefixed = [n for n in of_tags if any(is_tag(value) and value != OUTSIDE for value in values[n])]
    bare = [n for n in columns if has_bare_types(values[n])]
    named = [n for n in columns if any(map(misc_tag, values[n]))]
    of_entities = sorted(prefixed or bare, key=lambda n: (_has_chunks(values[n]), n))
    chosen = of_entities[0] if of_entities else (named or of_tags or columns)[-1]
    return chosen, sorted(of_entities[1:])


def _share_of_tags(values: Mapping[str, int]) -> float:
    return sum(count for value, count in values.items() if is_tag(value)) / max(1, sum(values.values()))


def _has_chunks(values: Iterable[str]) -> bool:
    return any(is_tag(value) and value[2:] in CHUNKS for value in values)


def _read_brackets(cells: Sequence[str], starts: set[int]) -> list[str]:
    """Convert `(PERSON*`, `*`, `*)` and `(PERSON)` to IOB2; what is nested or not closed stays as it is."""
    tags: list[str] = []
    kind, opened_at = "", 0
    for number, cell in enumerate(cells):
        if kind and number in starts:
            kind, tags[opened_at] = "", cells[opened_at]
        opening = None if kind else OPENING.fullmatch(cell)
        if opening:
            kind, opened_at = opening[1], number
            tags.append(f"B-{kind}")
        elif cell == "*" or (cell == "*)" and kind):
            tags.append(f"I-{kind}" if kind else OUTSIDE)
        else:
            tags.append(cell)
        if cell.endswith(")"):
            kind = ""
    if kind:
        tags[opened_at] = cells[opened_at]
    return tags
