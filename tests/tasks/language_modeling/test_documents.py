"""Raw text as it is read: documents, odd characters, long lines, files that hold labels; and as windows."""

import gzip
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.corpus.text.diagnostics import Diagnostics
from stages.encoding.texts import read_texts
from stages.encoding.tokenizer import load_tokenizer
from stages.errors import CorpusError
from stages.tasks.language_modeling.data import documents
from stages.tasks.language_modeling.data.corpus import profile
from stages.tasks.language_modeling.data.documents import read_documents
from stages.tasks.language_modeling.model.masks import BEGIN, SPECIAL
from stages.tasks.language_modeling.tools.conversion import convert
from tests.tasks.language_modeling.windows import Params, check, encode, write_documents

ODD = "Zoë 👍🏽 ﬀ \u200bnaïve\u0301 مرحبا 中文字 a\u00a0b\u2028c \u202eright\u202c \U0001f469\u200d\U0001f680 ﬁn"


def read(path: Path, by: Any = "blank_line") -> list[str]:
    """The documents of a file, each as one text."""
    found: dict[int, list[str]] = {}
    for block in read_documents(path, by, Diagnostics()):
        for document, piece in zip(block.document_P.tolist(), block.pieces.to_pylist(), strict=True):
            found.setdefault(document, []).append(piece)
    return [" ".join(pieces) for pieces in found.values()]


def write(folder: Path, **splits: str) -> Path:
    folder.mkdir(exist_ok=True)
    for split, text in splits.items():
        (folder / f"{split}.txt").write_text(text, encoding="utf-8", newline="")
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n \n\t\n", []),
        ("one\ntwo\n\nthree", ["one two", "three"]),
        ("\r\n\r\none\r\n \t\r\ntwo\r\n", ["one", "two"]),
        ("one\rtwo\r\rthree\r", ["one two", "three"]),
        ("\ufeffone  two\tthree\n", ["one two three"]),
        (f"{ODD}\n\n{ODD}", [" ".join(ODD.split())] * 2),
    ],
)
def test_empty_lines_part_documents(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = write(tmp_path / "raw", train=text) / "train.txt"
    assert read(path) == expected
    assert read(path, "file") == ([" ".join(expected)] if expected else [])
    packed = path.with_suffix(".txt.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed) == expected


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_documents_are_the_same_in_chunks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    text = "a b\n\n\nc\n \nd e\nf\n\n"
    path = write(tmp_path / "raw", train=text) / "train.txt"
    monkeypatch.setattr("stages.corpus.readers.text_files.CHUNK", chunk)
    monkeypatch.setattr(documents, "MAX_PIECE", 3)
    assert read(path) == ["a b", "c", "d e f"]


def test_a_line_of_ten_megabytes_is_read_in_pieces(tmp_path: Path) -> None:
    line = "word " * 2_000_000
    path = write(tmp_path / "raw", train=line) / "train.txt"
    pieces = [
        piece for block in read_documents(path, "blank_line", Diagnostics()) for piece in block.pieces.to_pylist()
    ]
    assert max(map(len, pieces)) <= documents.MAX_PIECE
    assert sum(piece.count("word") for piece in pieces) == 2_000_000
    path.write_text("x" * 200_000, encoding="utf-8")
    assert "".join(read(path)).replace(" ", "") == "x" * 200_000


LABELLED = {
    "train.txt": "Angela B-PER\nMerkel I-PER\nspoke O\n\nin O\nMunich B-LOC\n",
    "data.csv": "text,label\nfine,good\n",
    "train.jsonl": '{"text": "fine", "label": "good"}\n',
    "dump.txt": '{"text": "fine", "label": "good"}\n',
    "lines.txt": "__label__good fine\n",
}


@pytest.mark.parametrize("name", LABELLED)
def test_text_with_labels_is_one_error_that_says_so(tmp_path: Path, tiny_pretrained: Path, name: str) -> None:
    (tmp_path / name).write_text(LABELLED[name], encoding="utf-8")
    with pytest.raises(CorpusError, match=r"raw text, a \.txt without labels") as refused:
        check(tmp_path, tiny_pretrained, split={"dev": 0.1, "test": 0.1})
    assert name in str(refused.value)


def test_windows_are_full_and_hold_one_document_each(tmp_path: Path, tiny_pretrained: Path) -> None:
    write_documents(tmp_path / "raw")
    manifest = encode(tmp_path / "raw", tiny_pretrained, tmp_path / "encoded")
    texts = read_texts(tmp_path / "encoded", "train")
    tokenizer = load_tokenizer(tiny_pretrained)
    assert manifest.counts["train"] == {"documents": 12, "windows": len(texts.lengths), "tokens": len(texts.input_ids)}
    assert texts.answers is not None
    rows: dict[str, list[list[int]]] = {}
    for row, place in enumerate(texts.slices["document"].to_pylist()):
        ids = texts.input_ids[slice(*texts.offsets[row : row + 2])].tolist()
        marks = texts.answers[row].as_py()
        assert (ids[0], ids[-1], marks[0], marks[-1]) == (2, 3, SPECIAL, SPECIAL)
        assert marks[1] == BEGIN
        rows.setdefault(place, []).append(ids[1:-1])
    documents = read(tmp_path / "raw/train.txt")
    assert list(rows)[:2] == ["train.txt:1", "train.txt:7"]
    for text, windows in zip(documents, rows.values(), strict=True):
        assert [*chain.from_iterable(windows)] == tokenizer(text, add_special_tokens=False)["input_ids"]
        words = np.array(tokenizer(text, add_special_tokens=False).word_ids())
        end = 0
        for window in windows[:-1]:
            end += len(window)
            assert words[end] != words[end - 1]
            longer = int((words[end:] == words[end]).sum())
            assert len(window) + longer > 30  # the next word has no room


def test_windows_do_not_depend_on_how_a_file_is_read(
    tmp_path: Path, tiny_pretrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_documents(tmp_path / "raw")
    encode(tmp_path / "raw", tiny_pretrained, tmp_path / "whole")
    monkeypatch.setattr("stages.corpus.readers.text_files.CHUNK", 50)
    encode(tmp_path / "raw", tiny_pretrained, tmp_path / "chunks")
    one, other = (read_texts(tmp_path / name, "train") for name in ("whole", "chunks"))
    assert (one.offsets.tolist(), one.input_ids.tolist()) == (other.offsets.tolist(), other.input_ids.tolist())
    assert one.answers.to_pylist() == other.answers.to_pylist()  # type: ignore[union-attr]
    assert one.slices["document"].to_pylist() == other.slices["document"].to_pylist()


def test_odd_text_becomes_windows_and_a_word_longer_than_one_several(tmp_path: Path, tiny_pretrained: Path) -> None:
    odd = f"{ODD}\n\n{'m' * 90} a\n\n\u200b\n\n\U0001f469\n\nend"
    write(tmp_path / "raw", train=odd, dev="a b", test="c d")
    manifest = encode(tmp_path / "raw", tiny_pretrained, tmp_path / "encoded", length=16)
    texts = read_texts(tmp_path / "encoded", "train")
    assert manifest.counts["train"]["documents"] == 5
    assert (texts.lengths <= 16).all()
    for row in texts.answers.to_pylist():  # type: ignore[union-attr]
        assert BEGIN in row


def test_documents_are_split_by_their_hash_and_equal_ones_stay_together(tmp_path: Path, tiny_pretrained: Path) -> None:
    text = "\n\n".join(f"text {number % 40}" for number in range(80))
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    (tmp_path / "b.txt").write_text("", encoding="utf-8")
    corpus = check(tmp_path, tiny_pretrained, split={"dev": 0.2, "test": 0.2})
    assert corpus.profile.split_E[:40].tolist() == corpus.profile.split_E[40:].tolist()
    assert {name: split.documents for name, split in corpus.profile.splits.items()}.keys() == {"train", "dev", "test"}
    again = check(tmp_path, tiny_pretrained, split={"dev": 0.2, "test": 0.2})
    assert again.profile.split_E.tolist() == corpus.profile.split_E.tolist()


def test_profile_counts_and_doubts(tmp_path: Path, tiny_pretrained: Path) -> None:
    write(tmp_path / "raw", train="Angela Merkel\n\nin Munich\n", dev="Angela Merkel\n", test="x 中 x\n")
    diagnostics = Diagnostics()
    found = profile(Params(tmp_path / "raw", length=128), load_tokenizer(tiny_pretrained), diagnostics)
    train = found["splits"]["train"]
    assert (train["documents"], train["words"], train["characters"]) == (2, 4, 22)
    assert train["all_tokens"] >= 4
    assert found["window"] == 126
    messages = {each.code: each.message for each in diagnostics.kept}
    assert messages["shared-documents"] == "1 of 1 documents of dev are in train too: their scores flatter"
    assert {"few-words", "short-documents"} <= messages.keys()


@pytest.mark.parametrize(
    ("splits", "data", "message"),
    [
        ({"train": "a\n\nb"}, {}, r"holds train.txt, but no train, dev and test.*data\.split"),
        ({"train": "", "dev": "a", "test": "b"}, {}, "no document in train; each split needs one"),
        (
            {"train": "a b", "dev": "\u4e2d \u200b", "test": "b"},
            {},
            "no document of dev has a word that the tokenizer knows",
        ),
        ({"all": "a\nb"}, {"split": {"dev": 0.1, "test": 0.1}}, "--set data.document=file"),
        ({}, {}, r"no raw text in it\. Files that are read end in \.txt"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(
    tmp_path: Path, tiny_pretrained: Path, splits: dict[str, str], data: dict[str, Any], message: str
) -> None:
    folder = write(tmp_path / "raw", **splits)
    with pytest.raises(CorpusError, match=message):
        check(folder, tiny_pretrained, **data)


def test_an_import_copies_raw_text_as_it_is_and_refuses_labels(tmp_path: Path) -> None:
    write_documents(tmp_path / "raw")
    params = tmp_path / "import.yaml"
    section = f"{{dir: {tmp_path / 'raw'}, document: blank_line}}"
    params.write_text(f"task: {{name: language_modeling}}\ndata: {section}\n", encoding="utf-8")
    found = convert(params, tmp_path / "copy")
    assert found["splits"]["train"]["documents"] == 12
    for path in (tmp_path / "raw").iterdir():
        assert (tmp_path / "copy" / path.name).read_bytes() == path.read_bytes()
    (tmp_path / "raw/train.txt").write_text(LABELLED["train.txt"], encoding="utf-8")
    with pytest.raises(CorpusError, match=r"columns of words and tags \(CoNLL\)"):
        convert(params, tmp_path / "other")
    assert not (tmp_path / "other").exists()
