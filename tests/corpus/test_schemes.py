from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.schemes import (
    SCHEMES,
    B,
    E,
    Entities,
    I,
    O,
    S,
    TagReader,
    encode_prefixes,
    has_bare_types,
    label_ids,
    spans,
)
from stages.corpus.text.sentences import Block, BlockBuilder, Int32s
from tests.conftest import CORPORA, needs_corpora
from tests.corpus.conftest import data_params, open_corpus
from tests.oracles import entities

TYPES = ("PER", "LOC", "creative-work")
LETTERS = {O: "O", B: "B", I: "I", E: "E", S: "S"}
DIALECTS = {"BILOU": LETTERS | {E: "L", S: "U"}, "BMES": LETTERS | {I: "M"}}

Runs = list[list[tuple[int, int]]]  # of each sentence, runs of words: the number of the type, -1 outside, and how many
RUNS = st.lists(
    st.lists(st.tuples(st.integers(-1, 2), st.integers(1, 4)), min_size=1, max_size=6), min_size=1, max_size=5
)
PREFIXED = st.builds("{}-{}".format, st.sampled_from("BI"), st.sampled_from(TYPES))
PREFIXED_IOBES = st.builds("{}-{}".format, st.sampled_from("BIES"), st.sampled_from(TYPES))

# One person and two places in a row, a place of three words, and another of two after it.
DECISIVE: Runs = [[(0, 2), (-1, 2), (1, 1), (1, 1)], [(1, 3), (1, 2), (-1, 1)]]


def block_of(sentences: list[list[str]]) -> Block:
    builder = BlockBuilder()
    for line, tags in enumerate(sentences, start=1):
        builder.add(["w"] * len(tags), tags, line)
    return builder.build("x")


def entities_of(runs: Runs) -> tuple[Entities, Int32s]:
    """The runs as entities, and where sentences begin."""
    types = np.array([kind for sentence in runs for kind, length in sentence for _ in range(length)], np.int32)
    within = np.array([n for sentence in runs for _, length in sentence for n in range(length)])
    left = np.array([length - n for sentence in runs for _, length in sentence for n in range(length)])
    offsets = np.cumsum([0, *(sum(length for _, length in sentence) for sentence in runs)]).astype(np.int32)
    return Entities((types >= 0) & (within == 0), (types >= 0) & (left == 1), types), offsets


def write(runs: Runs, scheme: str) -> Block:
    """A block with these entities in the tags of a scheme."""
    found, offsets = entities_of(runs)
    letters = DIALECTS.get(scheme, LETTERS)
    codes = encode_prefixes("IOBES" if scheme in DIALECTS else scheme, found, offsets)
    tags = [
        "O" if code == O else f"{letters[code]}-{TYPES[kind]}" for code, kind in zip(codes, found.types, strict=True)
    ]
    return block_of([tags[start:end] for start, end in pairwise(offsets)])


def tags_of(block: Block) -> list[list[str]]:
    return [list(sentence.tags) for sentence in block.sentences()]


def to_triples(found: Entities, names: list[str]) -> list[tuple[str, int, int]]:
    starts, ends = spans(found)
    return [(names[found.types[start]], int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def learn(*blocks: Block) -> TagReader:
    reader = TagReader()
    for block in blocks:
        reader.learn(block)
    return reader


@pytest.mark.parametrize("scheme", [*SCHEMES, *DIALECTS])
@given(RUNS)
def test_entities_survive_each_scheme_and_back(scheme: str, runs: Runs) -> None:
    reader = TagReader()
    found = reader.read(write(runs, scheme))
    assert to_triples(found, list(reader.types)) == to_triples(entities_of(runs)[0], list(TYPES))
    assert learn(write(runs, scheme)).misfits["IOBES" if scheme in DIALECTS else scheme] == 0


@given(st.lists(st.lists(st.just("O") | PREFIXED, min_size=1, max_size=12), min_size=1, max_size=4))
def test_read_takes_any_tags_as_conlleval_does(sentences: list[list[str]]) -> None:
    reader, expected, before = TagReader(), [], 0
    for tags in sentences:
        expected += [(kind, before + start, before + end) for kind, start, end in entities(tags, strict=False)]
        before += len(tags)
    assert to_triples(reader.read(block_of(sentences)), list(reader.types)) == expected


@given(st.lists(st.lists(st.just("O") | PREFIXED_IOBES, min_size=1, max_size=12), min_size=1, max_size=4))
def test_read_takes_any_tags_with_e_and_s_as_seqeval_does(sentences: list[list[str]]) -> None:
    reader, expected, before = TagReader(), [], 0
    for tags in sentences:
        expected += [(kind, before + start, before + end + 1) for kind, start, end in get_entities(tags)]
        before += len(tags)
    assert to_triples(reader.read(block_of(sentences)), list(reader.types)) == expected


@given(st.lists(st.lists(st.just("O") | PREFIXED_IOBES, min_size=1, max_size=12), min_size=1, max_size=4))
def test_label_ids_are_strict_iob2_of_the_same_entities(sentences: list[list[str]]) -> None:
    block, reader = block_of(sentences), learn(block_of(sentences))
    found = reader.read(block)
    if not reader.types:
        return
    tags = [reader.labels[number] for number in label_ids(found, reader.types, reader.labels)]
    strict = [
        (kind, int(first) + start, int(first) + end)
        for first, last in pairwise(block.offsets)
        for kind, start, end in entities(tags[first:last], strict=True)
    ]
    assert strict == to_triples(found, list(reader.types))


@pytest.mark.parametrize(
    ("tags", "iob2"),
    [
        ("I-PER I-PER O I-LOC", "B-PER I-PER O B-LOC"),
        ("I-PER B-PER I-PER", "B-PER B-PER I-PER"),
        ("I-PER I-LOC", "B-PER B-LOC"),
        ("B-PER I-PER O B-LOC", "B-PER I-PER O B-LOC"),
        ("B-PER I-LOC I-LOC", "B-PER B-LOC I-LOC"),
        ("B-PER E-PER S-LOC S-LOC", "B-PER I-PER B-LOC B-LOC"),
        ("B-PER L-PER U-LOC O", "B-PER I-PER B-LOC O"),
        ("B-PER M-PER E-PER S-PER", "B-PER I-PER I-PER B-PER"),
        ("I-PER E-PER E-PER", "B-PER I-PER B-PER"),
        ("PER PER O PER LOC LOC", "B-PER I-PER O B-PER B-LOC I-LOC"),
        ("person-artist/author O B.C. B.C.", "B-person-artist/author O B-B.C. I-B.C."),
    ],
)
def test_label_ids_write_each_scheme_as_iob2(tags: str, iob2: str) -> None:
    reader = TagReader()
    found = reader.read(block_of([tags.split()]))
    assert [reader.labels[number] for number in label_ids(found, reader.types, reader.labels)] == iob2.split()


@pytest.mark.parametrize("scheme", [*SCHEMES, *DIALECTS])
def test_scheme_is_detected_from_the_tags(scheme: str) -> None:
    reader = learn(write(DECISIVE, scheme))
    assert reader.scheme == scheme
    diagnostics = Diagnostics()
    reader.report(diagnostics)
    assert not diagnostics.kept


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("I-PER O", "IOB1"),
        ("O B-PER I-PER", "IOB2"),
        ("I-PER I-LOC", "IOB1"),
        ("O O", "IOB2"),
        ("S-PER", "IOBES"),
        ("PER O PER", "IO"),
    ],
)
def test_scheme_is_detected_from_few_tags(tags: str, scheme: str) -> None:
    assert learn(block_of([tags.split()])).scheme == scheme


@given(RUNS)
def test_bare_types_are_one_entity_for_each_run_of_a_type(runs: Runs) -> None:
    """As I- alone is read: neighbours of one type become one."""
    prefixed = [[tag if tag == "O" else f"I-{tag[2:]}" for tag in tags] for tags in tags_of(write(runs, "IOB1"))]
    bare = block_of([[tag.removeprefix("I-") for tag in tags] for tags in prefixed])
    reader, expected = TagReader(), TagReader()
    assert to_triples(reader.learn(bare), list(reader.types)) == to_triples(
        expected.learn(block_of(prefixed)), list(expected.types)
    )
    assert reader.scheme == ("IO" if reader.types else "IOB2")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("PER PER O", True),
        ("person-artist/author O GPE.NAM work:of:art Straße 人名 O", True),
        ("O O", False),
        ("PER LOC", False),
        ("NN VBZ NN . DT JJ NN IN O", False),
        ("PER O B-LOC", False),
        ("PER PER O B-LOC", True),
        ("B I O", False),
        ("B_PER I_PER O", False),
        ("PER-B PER-I O", False),
        ("b-per i-per O", False),
    ],
)
def test_bare_types_are_told_from_other_tags(tags: str, expected: bool) -> None:
    assert has_bare_types(Counter(tags.split())) == expected


def test_scheme_is_that_of_most_blocks_and_the_rest_is_reported() -> None:
    diagnostics = Diagnostics()
    reader = learn(*(write(DECISIVE, "IOB2") for _ in range(5)), block_of([["O", "I-PER", "I-PER"], ["I-LOC"]]))
    reader.report(diagnostics)
    assert reader.scheme == "IOB2"
    assert diagnostics.counts["repaired-tags"] == 2
    assert [(found.severity, found.where) for found in diagnostics.kept] == [("warning", "x:1"), ("warning", "x:2")]
    assert diagnostics.kept[0].message == "I-PER does not fit IOB2 here; it was read as conlleval reads it"


def test_report_counts_all_repaired_tags_and_shows_twenty() -> None:
    diagnostics = Diagnostics()
    learn(*(write(DECISIVE, "IOB2") for _ in range(50)), block_of([["I-PER", "O"] * 33])).report(diagnostics)
    assert diagnostics.counts["repaired-tags"] == 33
    assert len(diagnostics.kept) == 20


@needs_corpora
@pytest.mark.parametrize(("file", "scheme"), [("wikigold/wikigold.conll.txt", "IOB1"), ("wnut17/train.conll", "IOB2")])
def test_scheme_of_real_corpora(file: str, scheme: str) -> None:
    corpus = open_corpus(data_params(CORPORA / file), allow_unsplit=True)
    assert learn(*(block for block, _ in corpus.blocks(Diagnostics()))).scheme == scheme
