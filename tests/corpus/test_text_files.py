"""Line ends of every system, CESU-8, and other encodings, which are refused with a command that converts them."""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.readers import text_files
from stages.corpus.readers.text_files import open_data, read_text
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError
from tests.corpus.conftest import GOOD, fill, pairs, read_file

LINES = "Angela B-PER\nMerkel I-PER\n\nschön O\n"
CHUNKS = st.integers(1, 20)


def cesu8(text: str) -> bytes:
    """A character beyond U+FFFF becomes two surrogates, of three bytes each."""
    halves = re.sub("[\U00010000-\U0010ffff]", lambda match: match[0].encode("utf-16-be").decode("utf-16-be"), text)
    units = halves.encode("utf-16-be")
    return b"".join(
        chr(int.from_bytes(units[n : n + 2], "big")).encode("utf-8", "surrogatepass") for n in range(0, len(units), 2)
    )


def read_pieces(path: Path, *, chunk: int, diagnostics: Diagnostics | None = None) -> list[tuple[int, str]]:
    with pytest.MonkeyPatch.context() as patch, open_data(path) as stream:
        patch.setattr(text_files, "CHUNK", chunk)
        return list(read_text(path, stream, diagnostics))


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r\r\n", "\r\r\r\n", "\r"])
def test_line_ends_of_any_system_are_read_alike(tmp_path: Path, line_end: str) -> None:
    files = fill(tmp_path, {"x.conll": GOOD.replace("\n", line_end), "lf.conll": GOOD})
    assert read_file(files / "x.conll") == read_file(files / "lf.conll")


@given(
    lines=st.lists(st.sampled_from(["", "a O", "ü€😀 B-LOC"]), max_size=8),
    line_ends=st.lists(st.sampled_from(["\n", "\r\n", "\r\r\n", "\r"]), min_size=8, max_size=8),
    tail=st.sampled_from(["", "b O", "\r", "\r\r"]),
    chunk=CHUNKS,
)
def test_line_ends_may_be_mixed_and_cut_by_a_chunk(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], line_ends: list[str], tail: str, chunk: int
) -> None:
    text = "".join(line + end for line, end in zip(lines, line_ends, strict=False)) + tail
    path = fill(tmp_path_factory.mktemp("ends"), {"x.conll": text}) / "x.conll"
    pieces = read_pieces(path, chunk=chunk)
    expected = re.sub("\r+\n|\r", "\n", text)
    assert "".join(piece for _, piece in pieces) == expected
    starts = [number for number, _ in pieces]
    assert starts == [1 + "".join(piece for _, piece in pieces[:n]).count("\n") for n in range(len(pieces))]


def test_carriage_returns_alone_do_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "MAX_LINE", 100)
    path = fill(tmp_path, {"x.conll": "\r" * 200}) / "x.conll"
    with pytest.raises(UnreadableError, match="are its line ends lost"):
        read_pieces(path, chunk=10)


def test_line_numbers_count_each_line_end_once(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    read_file(fill(tmp_path, {"x.conll": "a O\r\r\nb O\r\r\n\r\r\nc B-\r\r\n"}) / "x.conll", diagnostics)
    assert [found.where.rpartition(":")[2] for found in diagnostics.of("error")] == ["4"]


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), min_size=1), chunk=CHUNKS)
def test_cesu8_is_read_as_the_characters_it_stands_for(
    tmp_path_factory: pytest.TempPathFactory, text: str, chunk: int
) -> None:
    path, diagnostics = fill(tmp_path_factory.mktemp("cesu"), {"x.conll": cesu8(text)}) / "x.conll", Diagnostics()
    assert "".join(piece for _, piece in read_pieces(path, chunk=chunk, diagnostics=diagnostics)) == text
    wide = sum(character > "\uffff" for character in text)
    assert [found.message.split()[0] for found in diagnostics.kept] == ([str(wide)] if wide else [])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.conll", "😀 B-LOC\n🎉 O\n"),
        ("x.jsonl", '{"tokens": ["😀", "🎉"], "tags": ["B-LOC", "O"]}\n'),
        ("x.csv", "tokens,ner_tags\n\"['😀', '🎉']\",\"['B-LOC', 'O']\"\n"),
    ],
)
def test_cesu8_is_read_in_each_format_and_noted_once(tmp_path: Path, name: str, text: str) -> None:
    diagnostics = Diagnostics()
    sentences = read_file(fill(tmp_path, {name: b"\xef\xbb\xbf" + cesu8(text)}) / name, diagnostics)
    assert pairs(sentences) == [[("😀", "B-LOC"), ("🎉", "O")]]
    assert [(found.severity, found.code) for found in diagnostics.kept] == [("note", "cesu-8")]
    assert diagnostics.kept[0].message.startswith("2 characters")


def test_half_a_pair_of_cesu8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = fill(tmp_path, {"x.conll": b"a O\n" + cesu8("😀 O\n") + b"b\xed\xa0\xbd O\n"}) / "x.conll"
    diagnostics = Diagnostics()
    read_file(path, diagnostics)
    (error,) = diagnostics.of("error")
    assert error.where == f"{path}:3"
    assert "'\\ud83d', half of a surrogate pair in CESU-8" in error.message


WINDOWS = LINES + "œuvre O\n"
FOREIGN = {
    "UTF-16 with a BOM": (LINES, "utf-16", "is UTF-16, not UTF-8 text"),
    "UTF-16 little-endian": (LINES, "utf-16-le", "is UTF-16LE, not UTF-8 text"),
    "UTF-16 big-endian": (LINES, "utf-16-be", "is UTF-16BE, not UTF-8 text"),
    "UTF-16 of Windows": (LINES.replace("\n", "\r\n"), "utf-16", "is UTF-16, not UTF-8 text"),
    "UTF-32": (LINES, "utf-32", "is UTF-32, not UTF-8 text"),
    "Latin-1": (LINES, "latin-1", "As Windows-1252 the line is 'schön O'. If that is right"),
    "Windows-1252": (WINDOWS, "cp1252", "As Windows-1252 the line is 'schön O'. If that is right"),
}


def follow(message: str) -> None:
    """Do what a message says."""
    command = re.search(r"(?:iconv|perl|gzip) .* && mv .*?(?= \(else|$)", message)
    assert command, message
    if shutil.which("iconv") is None or shutil.which("perl") is None:
        pytest.skip("the commands of the message are not installed")
    subprocess.run(["sh", "-c", command[0]], check=True)


@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("text", "encoding", "message"), FOREIGN.values(), ids=FOREIGN)
def test_foreign_encoding_is_named_with_a_command_that_converts_it(
    tmp_path: Path, text: str, encoding: str, message: str, is_packed: bool
) -> None:
    content, name = text.encode(encoding), f"my text.conll{'.gz' if is_packed else ''}"
    path = fill(tmp_path, {name: gzip.compress(content) if is_packed else content}) / name
    diagnostics = Diagnostics()
    read_file(path, diagnostics)
    (error,) = diagnostics.of("error")
    assert message in error.message
    follow(error.message)
    assert read_file(path) == read_file(fill(tmp_path, {"expected.conll": text}) / "expected.conll")


def test_nul_as_java_writes_it_is_named_with_a_command_that_removes_it(tmp_path: Path) -> None:
    path = fill(tmp_path, {"x.conll": b"a O\nBonn\xc0\x80 B-LOC\n"}) / "x.conll"
    diagnostics = Diagnostics()
    read_file(path, diagnostics)
    (error,) = diagnostics.of("error")
    assert (error.where, "a NUL as Java writes it" in error.message) == (f"{path}:2", True)
    follow(error.message)
    assert pairs(read_file(path)) == [[("a", "O"), ("Bonn", "B-LOC")]]


def test_utf8_with_a_few_other_bytes_is_not_to_be_converted(tmp_path: Path) -> None:
    """A conversion of it all would spoil the lines that are right; the command lists those that are not."""
    path = (
        fill(tmp_path, {"x.conll": "schön O\nfür O\nLöwe O\n".encode() + "Köln B-LOC\n".encode("latin-1")}) / "x.conll"
    )
    diagnostics = Diagnostics()
    read_file(path, diagnostics)
    (error,) = diagnostics.of("error")
    assert (error.where, "iconv" in error.message) == (f"{path}:4", False)
    command = error.message[error.message.index("LC_ALL") :]
    listed = subprocess.run(["sh", "-c", command], check=True, capture_output=True).stdout
    assert [line.partition(b":")[0] for line in listed.splitlines()] == [b"4"]


def test_encoding_that_windows_does_not_have_is_left_to_the_user(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    read_file(fill(tmp_path, {"x.conll": "、 O\n".encode("shift_jis")}) / "x.conll", diagnostics)
    assert "with the name of its encoding" in diagnostics.of("error")[0].message
