"""Standoff annotations of brat: an .ann and the .txt beside it."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.reading import open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from tests.corpus.conftest import Files, Pairs, Refuse, case_list, data_params, fill, pairs, read, read_file

TEXT = "Angela Merkel visited\nNew\nYork. It rained.\n\nThe end\n"
ANN = (
    "T1\tPER 0 13\tAngela Merkel\n"
    "R1\tvisited Arg1:T1 Arg2:T2\n"
    "T2\tLOC 22 25;26 30\tNew York\n"
    "E1\tVisit:T1 Place:T2\n"
    "A1\tKnown T1\n"
    "N1\tReference T1 Wikipedia:123\tAngela Merkel\n"
    "#1\tAnnotatorNotes T1\tshe was there\n"
    "*\tEquiv T1 T2\n"
)
SENTENCES: Pairs = [
    [("Angela", "B-PER"), ("Merkel", "I-PER"), ("visited", "O")],
    [("New", "B-LOC"), ("York", "I-LOC"), (".", "O"), ("It", "O"), ("rained", "O"), (".", "O")],
    [("The", "O"), ("end", "O")],
]


def brat(text: str, ann: str, *, name: str = "doc") -> Files:
    return {f"{name}.txt": text, f"{name}.ann": ann}


def test_brat_reads_a_text_and_its_annotations(tmp_path: Path) -> None:
    place = fill(tmp_path / "brat", brat(TEXT, ANN) | {"annotation.conf": "[entities]\nPER\n"})
    (block,) = [block for block, _ in open_corpus(data_params(place), allow_unsplit=True).blocks(Diagnostics())]
    sentences = list(block.sentences())
    assert pairs(sentences) == SENTENCES
    assert [(block.source, sentence.line) for sentence in sentences] == [
        (str(place / "doc.txt"), line) for line in (1, 2, 5)
    ]
    assert [int(number) for number in block.documents] == [0, 0, 0]


def test_brat_reads_an_empty_text(tmp_path: Path) -> None:
    assert read_file(fill(tmp_path, brat("", "")) / "doc.ann") == []


def test_brat_reads_folders_of_splits(tmp_path: Path) -> None:
    files = {}
    for split in ("train", "dev", "test"):
        for name in ("a.b", "c"):
            files |= brat("it is Bonn", "T1\tLOC 6 10\tBonn\n" if name == "c" else "", name=f"{split}/{name}")
    for name in ("train", "dev", "test"):
        (tmp_path / name).mkdir()
    found = read(open_corpus(data_params(fill(tmp_path, files))))
    expected = [[("it", "O"), ("is", "O"), ("Bonn", tag)] for tag in ("O", "B-LOC")]
    assert {split: pairs(sentences) for split, sentences in found.items()} == dict.fromkeys(found, expected)


@pytest.mark.parametrize("packed", [("doc.txt",), ("doc.ann",), ("doc.txt", "doc.ann")])
def test_brat_reads_gzip(tmp_path: Path, packed: tuple[str, ...]) -> None:
    fill(tmp_path, brat(TEXT, ANN))
    for name in packed:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        (tmp_path / name).unlink()
    assert pairs(read(open_corpus(data_params(tmp_path), allow_unsplit=True))["all"]) == SENTENCES


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("counted", [True, False], ids=["as in the file", "as programs normalise it"])
def test_brat_reads_windows_texts_whichever_way_they_are_counted(tmp_path: Path, mark: str, counted: bool) -> None:
    text = "Rain\nin Köln\nand Ulm"
    written = mark + text.replace("\n", "\r\n")
    start = (written if counted else text).index("Ulm")
    fill(tmp_path, brat(written, f"T1\tLOC {start} {start + 3}\tUlm\n"))
    assert pairs(read_file(tmp_path / "doc.ann")) == [
        [("Rain", "O")],
        [("in", "O"), ("Köln", "O")],
        [("and", "O"), ("Ulm", "B-LOC")],
    ]


@given(
    st.lists(
        st.tuples(st.sampled_from(["Ada", "Köln", "😀", "of", "北"]), st.sampled_from(["", "PER", "LOC-2"])), min_size=1
    )
)
def test_brat_returns_what_was_written(tmp_path_factory: pytest.TempPathFactory, words: list[tuple[str, str]]) -> None:
    text, lines = "", []
    for number, (word, label) in enumerate(words):
        text += "\n" if number % 3 == 2 else " "
        if label:
            lines.append(f"T{number}\t{label} {len(text)} {len(text) + len(word)}\t{word}")
        text += word
    place = fill(tmp_path_factory.mktemp("brat"), brat(text, "\n".join(lines)))
    found = [pair for sentence in pairs(read_file(place / "doc.ann")) for pair in sentence]
    assert found == [(word, f"B-{label}" if label else "O") for word, label in words]


def test_brat_says_which_unit_the_offsets_are_in(tmp_path: Path) -> None:
    fill(tmp_path, brat("😀 Köln and Ulm", "T1\tLOC 3 7\tKöln\nT2\tLOC 12 15\tUlm\n"))
    diagnostics = Diagnostics()
    read_file(tmp_path / "doc.ann", diagnostics)
    assert ["--set data.offsets=utf16" in found.message for found in diagnostics.kept] == [True]
    assert pairs(read_file(tmp_path / "doc.ann", offsets="utf16"))[0][1] == ("Köln", "B-LOC")


CASES: dict[str, tuple[Files, list[str]]] = {
    "several faults": (
        brat(TEXT, "T1\tPER 0 13\tAngela Merkel\nT2\tPER 7 13\tMerkel\nT3\tLOC 14 21\tBonn\nT4\tLOC 90 99\tUlm\n"),
        [
            "doc.ann:2: the span 7-13 PER overlaps the one before it",
            "doc.ann:3: the span 14-21 LOC should be 'Bonn', but the text there is 'visited'",
            "doc.ann:4: the span 90-99 LOC leaves the text of 52 characters",
        ],
    ),
    "words between the parts": (
        brat(TEXT, "T1\tPER 0 6;14 21\tAngela visited\n"),
        ["doc.ann:1: T1 PER has parts with other words between them"],
    ),
    "no annotation": (
        brat(TEXT, "T1\tPER 0 13\tAngela Merkel\nPER 0 13\n\nT2 PER 0 13 Angela Merkel\n"),
        [
            "doc.ann:2: 'PER 0 13' is no annotation of brat, such as 'T1\\tPER 0 13\\tAngela Merkel'",
            "doc.ann:4: 'T2 PER 0 13 Angela Merkel' is no annotation of brat",
        ],
    ),
    "a text without annotations": (
        brat(TEXT, "") | {"other one.txt": TEXT},
        ["corpus/other one.txt: has no other one.ann beside it", "touch 'corpus/other one.ann'"],
    ),
    "no text": ({"doc.ann": ANN}, ["doc.ann: its text is missing: put doc.txt beside it"]),
}


@pytest.mark.parametrize(("files", "messages"), case_list(CASES))
def test_tokenize_refuses_faulty_annotations_of_brat(refuse: Refuse, files: Files, messages: list[str]) -> None:
    shown = refuse(files, {"data.split": "{dev: 0.3, test: 0.3}"})
    for message in messages:
        assert message in shown
