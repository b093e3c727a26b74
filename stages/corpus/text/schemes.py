"""Tag schemes: detect which one a corpus uses, and convert its tags to IOB2.

    words    Alex  Jones flew to Rome Paris         one person, then two places in a row
    IOB1     I-PER I-PER O O I-LOC B-LOC            B- only where an entity directly follows another of its type
    IOB2     B-PER I-PER O O B-LOC B-LOC            B- opens every entity
    IOE1     I-PER I-PER O O E-LOC I-LOC            E- only where an entity of the same type directly follows
    IOE2     I-PER E-PER O O E-LOC E-LOC            E- ends every entity
    IOBES    B-PER E-PER O O S-LOC S-LOC            S- is an entity of one word; BILOU has L- and U- for E- and S-
    IO       PER PER O O LOC LOC                    bare types: neighbours of one type become one entity

IOB1 is Ramshaw and Marcus (1995), and CoNLL-2003 as distributed; IOB2, IOE1 and IOE2 are named in Tjong Kim Sang and
Veenstra (1999). BMES, usual for Chinese, is IOBES with M- for I-. IO is how Few-NERD and Stanford NER write.

All are read by the rule of conlleval: an entity starts at B- or S-, after O, E- or S-, or where the type changes. So a
sequence that its scheme does not allow still has one reading; the tags that had to be repaired are counted.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import OUTSIDE, Block, Int32s
from stages.errors import SHOWN

TAG = re.compile(r"O|[BIESLUMW]-\S(?:.*\S)?")
# Bare types may not look as if prefixes were written in another way: B, B_PER, b-per, PER-B.
PREFIXED = re.compile(r"[BIESLUMW]([-_:./].*)?|.*[-_:./][BIESLUMW]", re.IGNORECASE | re.DOTALL)
BARE = ""  # the letter of a bare type
# Codes of prefixes; the letters of BILOU and BMES map to the same codes.
O, B, I, E, S = range(5)  # noqa: E741 - the prefixes themselves
CODES = {BARE: I, "B": B, "I": I, "M": I, "E": E, "L": E, "S": S, "U": S, "W": S}
SCHEMES = ("IOB2", "IOB1", "IOBES", "IOE2", "IOE1")  # where the tags fit several, the first is reported

Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.int8]


class Entities(NamedTuple):
    """The entities of a block, [W] each: whether one starts or ends at the word, and the word's type or -1."""

    starts: Bools
    ends: Bools
    types: Int32s


def is_tag(text: str) -> bool:
    """Whether a string is O or a prefix with a type, such as B-PER."""
    return TAG.fullmatch(text) is not None


def is_bare_type(text: str) -> bool:
    """Whether a string may be the type of an IO tag, such as PER or person-artist/author."""
    return text == text.strip() != "" and text != OUTSIDE and not PREFIXED.fullmatch(text)


def has_bare_types(counts: Mapping[str, int]) -> bool:
    """Whether tags are those of IO, by how often each occurs: most are bare types, apart from O.

    O must be at least a fifth of them: among parts of speech it is absent or rare.
    """
    total, outside = sum(counts.values()), counts.get(OUTSIDE, 0)
    bare = sum(count for tag, count in counts.items() if is_bare_type(tag))
    return bare * 2 > total - outside and outside * 5 >= total


@dataclass
class TagReader:
    """Reads blocks one after another; records the entity types and which schemes the tags fit."""

    types: dict[str, int] = field(default_factory=dict)  # number of each type, in order of appearance
    letters: set[str] = field(default_factory=set)
    misfits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SCHEMES, 0))
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: {scheme: [] for scheme in SCHEMES})

    def read(self, block: Block) -> Entities:
        """Return the entities of a block whose tags are all valid."""
        return find_entities(*self._parse(block.tags), block.offsets)

    def learn(self, block: Block) -> Entities:
        """As `read`; also count how many tags do not fit each scheme."""
        prefix, types = self._parse(block.tags)
        entities = find_entities(prefix, types, block.offsets)
        for scheme in SCHEMES:
            wrong = np.flatnonzero(prefix != encode_prefixes(scheme, entities, block.offsets))
            self.misfits[scheme] += len(wrong)
            for word in wrong[: max(0, SHOWN - len(self.examples[scheme]))]:
                self.examples[scheme].append((block.where(word), block.tags[int(word)].as_py()))
        return entities

    @property
    def labels(self) -> list[str]:
        """The IOB2 labels of all types so far: O, then B- and I- of each in alphabetical order."""
        return iob2_labels(self.types)

    @property
    def scheme(self) -> str:
        """The scheme that the fewest tags disagree with, named after the letters that occur."""
        scheme = self._best_fit
        if self.letters == {BARE}:
            return "IO"
        if scheme == "IOBES":
            return "BILOU" if self.letters & {"L", "U"} else "BMES" if "M" in self.letters else scheme
        return scheme

    def report(self, diagnostics: Diagnostics) -> None:
        """Add a warning for each tag that the scheme does not allow."""
        scheme = self._best_fit
        diagnostics.add_all(
            "warning",
            "repaired-tags",
            self.misfits[scheme],
            (
                (where, f"{tag} does not fit {self.scheme} here; it was read as conlleval reads it")
                for where, tag in self.examples[scheme]
            ),
        )

    @property
    def _best_fit(self) -> str:
        return min(SCHEMES, key=lambda scheme: self.misfits[scheme])

    def _parse(self, tags: pa.DictionaryArray) -> tuple[Bytes, Int32s]:
        """Return prefix code and type number of each word."""
        prefix_of, type_of = [], []
        for tag in tags.dictionary.to_pylist():
            if tag == OUTSIDE:
                prefix_of.append(O)
                type_of.append(-1)
            else:
                letter, name = (tag[0], tag[2:]) if is_tag(tag) else (BARE, tag)
                self.letters.add(letter)
                prefix_of.append(CODES[letter])
                type_of.append(self.types.setdefault(name, len(self.types)))
        indices = tags.indices.to_numpy()
        return np.array(prefix_of, np.int8)[indices], np.array(type_of, np.int32)[indices]


def find_entities(prefix: Bytes, types: Int32s, offsets: Int32s) -> Entities:
    """Find where entities start and end, as conlleval does (its start_of_chunk and end_of_chunk)."""
    first, last = _sentence_edges(offsets)
    before, type_before = _shift(prefix, first, O), _shift(types, first, -1)
    inside = prefix != O
    starts = inside & (np.isin(prefix, (B, S)) | np.isin(before, (O, E, S)) | (type_before != types))
    ends = inside & (last | np.append(~inside[1:] | starts[1:], True)[: len(inside)])
    return Entities(starts, ends, types)


def encode_prefixes(scheme: str, entities: Entities, offsets: Int32s) -> Bytes:
    """Return the prefix code of each word as `scheme` writes these entities."""
    starts, ends, types = entities
    inside = types >= 0
    first, last = _sentence_edges(offsets)
    if scheme == "IOB1":
        adjacent = starts & (_shift(types, first, -1) == types)
        return np.where(inside, np.where(adjacent, B, I), O).astype(np.int8)
    if scheme == "IOB2":
        return np.where(inside, np.where(starts, B, I), O).astype(np.int8)
    if scheme == "IOE1":
        following = np.where(last, -1, np.append(types[1:], -1)[: len(types)])
        return np.where(inside, np.where(ends & (following == types), E, I), O).astype(np.int8)
    if scheme == "IOE2":
        return np.where(inside, np.where(ends, E, I), O).astype(np.int8)
    assert scheme == "IOBES"
    code = np.select([starts & ends, starts, ends], [S, B, E], I)
    return np.where(inside, code, O).astype(np.int8)


def iob2_labels(types: Iterable[str]) -> list[str]:
    """The IOB2 labels of these types: O, then B- and I- of each in alphabetical order."""
    return [OUTSIDE, *(f"{prefix}-{name}" for name in sorted(types) for prefix in "BI")]


def label_ids(entities: Entities, types: Iterable[str], labels: Sequence[str]) -> Int32s:
    """[W] the index of each word's IOB2 tag in `labels`; `types` are the names of types by number."""
    begin = np.array([labels.index(f"B-{name}") for name in types], np.int32)
    ids: Int32s = np.where(entities.types < 0, 0, begin[entities.types] + ~entities.starts).astype(np.int32)
    return ids


def iob2_tags(entities: Entities, types: Sequence[str]) -> pa.StringArray:
    """[W] the IOB2 tag of each word; `types` are the names of types by number."""
    tags = pa.array([OUTSIDE, *(f"{prefix}-{name}" for name in types for prefix in "BI")], pa.string())
    ids_W = np.where(entities.types < 0, 0, 1 + 2 * entities.types + ~entities.starts)
    return tags.take(pa.array(ids_W))


def spans(entities: Entities) -> tuple[Int32s, Int32s]:
    """Return the first word, and the word after the last, of each entity of a block."""
    return np.flatnonzero(entities.starts).astype(np.int32), np.flatnonzero(entities.ends).astype(np.int32) + 1


def _sentence_edges(offsets: Int32s) -> tuple[Bools, Bools]:
    first, last = np.zeros(offsets[-1], bool), np.zeros(offsets[-1], bool)
    first[offsets[:-1]] = True
    last[offsets[1:] - 1] = True
    return first, last


def _shift(values: npt.NDArray[np.signedinteger], first: Bools, fill: int) -> npt.NDArray[np.signedinteger]:
    """Return the value of the previous word, `fill` at the start of a sentence."""
    before = np.concatenate([[fill], values[:-1]])
    before[first] = fill
    return before
