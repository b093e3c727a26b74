"""Sentences that stand in a split twice, or in two splits, with other entities."""

from collections import defaultdict
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.overlap import digest_entities
from stages.corpus.profile import profile_corpus
from stages.corpus.reading import open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.schemes import TagReader
from stages.corpus.text.sentences import BlockBuilder
from tests.corpus.conftest import Files, data_params, fill
from tests.oracles import entities

TAGS = st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"])
ANNA = "Anna B-PER\nBerg I-PER\nging O\n\n"
ANNA_IN_IOB1 = "Anna I-PER\nBerg I-PER\nging O\n\n"
ANNA_APART = "Anna B-PER\nBerg B-PER\nging O\n\n"
ANNA_BLANK = "Anna O\nBerg O\nging O\n\n"
BONN = "Bonn B-LOC\n\n"
BONN_OTHERWISE = "Bonn B-ORG\n\n"


def diagnose(place: Path, files: Files) -> Diagnostics:
    diagnostics = Diagnostics()
    corpus = open_corpus(data_params(fill(place, files)))
    profile_corpus(corpus, diagnostics, count_tokens=None, context="sentence", on_block=lambda _: None)
    return diagnostics


def test_contradictions_within_a_split_are_counted_with_both_places(tmp_path: Path) -> None:
    train = ANNA + BONN + ANNA_BLANK + BONN_OTHERWISE + ANNA_APART
    diagnostics = diagnose(tmp_path / "c", {"train.conll": train, "dev.conll": BONN, "test.conll": BONN})
    found = [(each.where, each.message) for each in diagnostics.kept if each.code == "contradictions-in-train"]
    file, rest = f"{tmp_path}/c/train.conll", "one of 2 such sentences of train"
    assert found == [
        (f"{file}:7", f"other entities than the same words have at {file}:1; {rest}"),
        (f"{file}:11", f"other entities than the same words have at {file}:5; {rest}"),
    ]
    assert diagnostics.counts["contradictions-in-train"] == 2


def test_the_same_entities_in_another_scheme_are_no_contradiction(tmp_path: Path) -> None:
    files: Files = {"train.conll": ANNA + ANNA_IN_IOB1 + BONN * 2, "dev.conll": BONN, "test.conll": BONN}
    assert not [code for code in diagnose(tmp_path / "c", files).counts if code.startswith("contradictions")]


def test_a_sentence_of_another_split_with_other_entities_says_so(tmp_path: Path) -> None:
    files: Files = {"train.conll": ANNA + BONN, "dev.conll": ANNA_BLANK, "test.conll": BONN}
    shared = {
        each.where[-12:]: each.message for each in diagnose(tmp_path / "c", files).kept if "in-train" in each.code
    }
    assert shared == {
        "/dev.conll:1": "also in train, with other entities: 'Anna Berg ging'",
        "test.conll:1": "also in train: 'Bonn'",
    }


@given(st.lists(st.lists(TAGS, min_size=1, max_size=4), min_size=1, max_size=12))
def test_digests_of_entities_differ_as_conlleval_reads_them(tags: list[list[str]]) -> None:
    builder = BlockBuilder()
    for each in tags:
        builder.add(["w"] * len(each), each, 1)
    block = builder.build("x")
    digests = digest_entities(block, TagReader().learn(block))
    groups = defaultdict(set)
    for each, digest in zip(tags, digests.tolist(), strict=True):
        groups[digest].add(tuple(entities(each, strict=False)))
    assert all(len(group) == 1 for group in groups.values())
    assert len(groups) == len({tuple(entities(each, strict=False)) for each in tags})
    assert digests.dtype == np.uint32
