"""Find the files of labelled texts in a folder, their splits and their formats."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from stages.corpus.examples.readers.params import ExampleFormat
from stages.corpus.examples.readers.plain import LABEL_PREFIX, find_parallel, list_classes
from stages.corpus.folder import ALIASES, SNIFFED, DataFile, list_data_files
from stages.corpus.readers.text_files import open_data
from stages.corpus.text.diagnostics import UnreadableError
from stages.errors import CorpusError

BOM = b"\xef\xbb\xbf"
JSON_START = re.compile(rb'\s*(?:\{\s*"|\[\s*[\[{])')
FASTTEXT_LINE = re.compile(rb"^" + LABEL_PREFIX.encode() + rb"\S", re.MULTILINE)
EXTENSIONS = ("csv", "tsv", "txt", "jsonl", "ndjson", "json", "parquet")
FOLDERS: dict[ExampleFormat, str] = {
    "parallel": "a folder train with the files seq.in and label, one line of each for an example, and so dev and test",
    "folders": "a folder for each class with a .txt for each text; or such folders in train, dev and test",
}


def find_example_files(place: Path, kind: Literal["auto"] | ExampleFormat, names: str | None) -> list[DataFile]:
    """List the files of labelled texts, sorted; a folder of classes or of parallel files counts as one.

    `names` is the file of label names, which holds no texts. CorpusError if there are none.
    """
    folders = _find_folders(place, kind) if place.is_dir() else []
    if folders:
        return folders
    if kind in FOLDERS:
        raise CorpusError(f"{place}: data.format is {kind}, which means {FOLDERS[kind]}; there is none.")
    found = list_data_files(place, any_name=kind != "auto")
    files = [file for file in found if names is None or file.path != place / names]
    if not files:
        raise CorpusError(f"{place}: no labelled texts in it. {_describe_missing(place)}")
    return files


def list_unread_classes(place: Path, files: Sequence[DataFile]) -> list[Path]:
    """List the folders that may be classes, where files beside them are read instead."""
    if not place.is_dir() or any(file.path.is_dir() for file in files):
        return []
    classes = [entry for entry in list_classes(place) if entry.name.lower() not in ALIASES]
    return classes if len(classes) > 1 else []


def detect_example_format(path: Path) -> ExampleFormat:
    """Detect the format of a file by its first bytes; UnreadableError if it is empty. Whatever else is a table."""
    if path.is_dir():
        return "parallel" if find_parallel(path) else "folders"
    with open_data(path) as stream:
        start = stream.read(SNIFFED)
    if len(start) < SNIFFED and not start.removeprefix(BOM).strip():
        raise UnreadableError("empty", path, "is empty. Fetch it again, or remove it.")
    if start.startswith(b"PAR1"):
        return "parquet"
    text = start.removeprefix(BOM).lstrip()
    is_json = re.search(r"\.(jsonl?|ndjson)(\.gz)?$", path.name.lower()) is not None
    if is_json or JSON_START.match(text):
        return "jsonl"
    return "fasttext" if FASTTEXT_LINE.search(text) else "csv"


def _find_folders(place: Path, kind: Literal["auto"] | ExampleFormat) -> list[DataFile]:
    """List the folders that hold parallel files, or folders of classes; if it is left open, only if nothing else is."""
    inside = sorted(entry for entry in place.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    by_split = [(entry, ALIASES[entry.name.lower()]) for entry in inside if entry.name.lower() in ALIASES]
    if kind in ("auto", "parallel"):
        found = [DataFile(entry, split) for entry, split in by_split if find_parallel(entry)]
        if found or find_parallel(place):
            return found or [DataFile(place, None)]
    if kind in ("auto", "folders"):
        found = [DataFile(entry, split) for entry, split in by_split if list_classes(entry)]
        if found:
            return found
        classes = [entry for entry in list_classes(place) if entry.name.lower() not in ALIASES]
        if classes and (kind == "folders" or (len(classes) > 1 and not list_data_files(place))):
            return [DataFile(place, None)]
    return []


def _describe_missing(place: Path) -> str:
    """Say what is read, and what the folders may be that are there."""
    folders = sorted(entry for entry in place.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    names = ", ".join(entry.name for entry in folders)[:200]
    read = (
        f"Files that are read end in {', '.join(EXTENSIONS)}, each also with .gz; files of another name if data.format "
        "says what they are. A folder for each class holds .txt files, and there are two at least."
    )
    if not folders:
        return read
    if list_classes(place):
        return f"{read} It has the folder {names}; if that is a class: --set data.format=folders"
    return f"{read} It has folders, of which one may be meant: {names}"
