"""Find the files of labelled texts in a folder, their splits and their formats."""

import re
from pathlib import Path
from typing import Literal

from stages.corpus.examples.readers.params import ExampleFormat
from stages.corpus.examples.readers.plain import LABEL_PREFIX, find_parallel, list_classes
from stages.corpus.folder import ALIASES, SNIFFED, DataFile, find_data_files
from stages.corpus.readers.text_files import open_data
from stages.corpus.text.diagnostics import UnreadableError
from stages.errors import CorpusError

BOM = b"\xef\xbb\xbf"
JSON_START = re.compile(rb'\s*(?:\{\s*"|\[\s*[\[{])')
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
    files = find_data_files(place, any_name=kind != "auto")
    return [file for file in files if names is None or file.path != place / names]


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
    if text.startswith(LABEL_PREFIX.encode()):
        return "fasttext"
    is_json = re.search(r"\.(jsonl?|ndjson)(\.gz)?$", path.name.lower()) is not None
    return "jsonl" if is_json or JSON_START.match(text) else "csv"


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
        if classes and (kind == "folders" or (len(classes) > 1 and not _has_data(place))):
            return [DataFile(place, None)]
    return []


def _has_data(place: Path) -> bool:
    try:
        return bool(find_data_files(place))
    except CorpusError:
        return False
