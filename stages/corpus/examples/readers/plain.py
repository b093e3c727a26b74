"""Texts without columns: fastText's lines, two parallel files, and a folder of text files for each class."""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from stages.corpus.examples.readers.columns import Chosen, Columns
from stages.corpus.examples.readers.rows import ROWS, Rows
from stages.corpus.readers.text_files import open_data, read_text
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError

LABEL_PREFIX = "__label__"
FASTTEXT_LABEL = re.compile(rf"(?:(?<=\s)|^){LABEL_PREFIX}(\S+)(?:\s|$)")
TEXT_FILES = ("seq.in", "text", "texts", "text.txt", "texts.txt", "sentences.txt")
LABEL_FILES = ("label", "labels", "label.txt", "labels.txt")
TEXT, LABEL = "text", "label"  # what the columns of these formats are called
MAX_TEXT = 1 << 24  # characters


def read_fasttext(
    path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics
) -> Iterator[tuple[Chosen, Rows]]:
    """Yield the lines of a file, whose words that begin with `__label__` are the labels of the others."""
    chosen = _choose(columns, path, "lines of fastText")
    for numbers, lines in _batch(path, stream, diagnostics, skip_blank=True):
        labels = [FASTTEXT_LABEL.findall(line) for line in lines]
        texts = [FASTTEXT_LABEL.sub(" ", line) for line in lines]
        yield chosen, Rows(str(path), numbers, {TEXT: texts, LABEL: labels})


def read_parallel(folder: Path, columns: Columns, diagnostics: Diagnostics) -> Iterator[tuple[Chosen, Rows]]:
    """Yield the lines of the two files of a folder, texts in one and their labels in the other."""
    chosen = _choose(columns, folder, "parallel files")
    found = find_parallel(folder)
    assert found is not None
    text_path, label_path = found
    with open_data(text_path) as text_stream, open_data(label_path) as label_stream:
        texts = _batch(text_path, text_stream, diagnostics, skip_blank=False)
        labels = _batch(label_path, label_stream, diagnostics, skip_blank=False)
        some: tuple[list[int], list[str]]
        others: tuple[list[int], list[str]]
        for some, others in zip_longest(texts, labels, fillvalue=([], [])):
            if len(some[0]) != len(others[0]):
                paths = (text_path, label_path)
                shorter, longer = paths if len(some[0]) < len(others[0]) else reversed(paths)
                line = (some[0] or others[0])[0] + min(len(some[0]), len(others[0]))
                message = f"has no line {line:,}, and {longer.name} has: the two must go line by line"
                raise UnreadableError("parallel", f"{shorter}:{line}", message)
            yield chosen, Rows(str(text_path), some[0], {TEXT: some[1], LABEL: others[1]})


def find_parallel(folder: Path) -> tuple[Path, Path] | None:
    """Return the files of texts and of labels in a folder; None if it has not both."""
    texts, labels = (
        next((path for name in names for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
        for names in (TEXT_FILES, LABEL_FILES)
    )
    return (texts, labels) if texts and labels else None


def read_folders(folder: Path, columns: Columns, diagnostics: Diagnostics) -> Iterator[tuple[Chosen, Rows]]:
    """Yield the text files in the folders of a folder, each labelled with the name of its own."""
    chosen = _choose(columns, folder, "folders of classes")
    for empty in sorted(set(_list_folders(folder)) - set(list_classes(folder))):
        diagnostics.add("warning", "empty-class", empty, "no text file in it, so it is no class: none ends in .txt")
    names: list[str] = []
    texts: list[str] = []
    for path in list_texts(folder):
        try:
            with open_data(path) as stream:
                text = "".join(piece for _, piece in read_text(path, stream, diagnostics))
            if len(text) > MAX_TEXT:
                raise UnreadableError("size", path, f"a text of over {MAX_TEXT >> 20} MB; divide it")
        except UnreadableError as error:  # the other files can be read
            diagnostics.add("error", error.code, error.where, error.message)
            continue
        names.append(str(path.relative_to(folder)))
        texts.append(text)
        if len(texts) == ROWS:
            yield chosen, _make_rows(folder, names, texts)
            names, texts = [], []
    if texts:
        yield chosen, _make_rows(folder, names, texts)


def list_texts(folder: Path) -> Iterator[Path]:
    """Yield the text files of the classes of a folder, sorted."""
    for entry in list_classes(folder):
        yield from sorted(path for path in entry.iterdir() if is_text(path))


def list_classes(folder: Path) -> list[Path]:
    """List the folders in a folder that hold text files."""
    return [entry for entry in _list_folders(folder) if any(is_text(path) for path in entry.iterdir())]


def _list_folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def is_text(path: Path) -> bool:
    """Whether a file of a class is a text: it ends in .txt, or in nothing, as those of 20 Newsgroups."""
    name = path.name.removesuffix(".gz")
    return (
        not name.startswith(".") and path.is_file() and (name.endswith(".txt") or "." not in name or name.isdecimal())
    )


def _make_rows(folder: Path, names: Sequence[str], texts: Sequence[str]) -> Rows:
    labels = [name.partition("/")[0] for name in names]
    return Rows(str(folder), [1] * len(names), {TEXT: texts, LABEL: labels}, names=names)


def _choose(columns: Columns, where: object, what: str) -> Chosen:
    """Return the two columns; UnreadableError if others are wanted, or numbers."""
    faults = []
    if columns.wanted == "numbers":
        faults.append("they have labels and no numbers; for numbers take a table")
    if columns.pair is not None:
        faults.append("they have no second text, so data.text_pair must be null")
    if columns.slices:
        faults.append("they have no other columns, so data.slices must be []")
    if columns.split is not None:
        faults.append("they have no columns, so data.split_column must be null")
    if faults:
        raise UnreadableError("column", where, f"are {what}: {'; '.join(faults)}")
    return Chosen(TEXT, None, (LABEL,), False, (), None, ())


def _batch(
    path: Path, stream: BinaryIO, diagnostics: Diagnostics, *, skip_blank: bool
) -> Iterator[tuple[list[int], list[str]]]:
    """Yield the lines of a file, some thousands at a time, with their numbers."""
    numbers: list[int] = []
    lines: list[str] = []
    for start, piece in read_text(path, stream, diagnostics):
        for number, line in enumerate(piece.removesuffix("\n").split("\n"), start=start):
            if skip_blank and not line.strip():
                continue
            numbers.append(number)
            lines.append(line)
            if len(lines) == ROWS:
                yield numbers, lines
                numbers, lines = [], []
    if lines:
        yield numbers, lines
