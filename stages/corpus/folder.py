"""Find the files of a corpus in a folder, their splits and their formats."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stages.corpus.readers.layout import has_columns
from stages.corpus.readers.text_files import open_data
from stages.corpus.text.diagnostics import UnreadableError
from stages.corpus.text.sentences import SPLITS
from stages.errors import FOREIGN_NAME, CorpusError, list_faults, show_name

Format = Literal["conll", "jsonl", "parquet", "csv", "brat"]

COLUMN_FILES = (
    "conll", "conllu", "conll03", "iob", "iob2", "bio", "bioes", "tsv", "txt", "annotated",
    "v4_gold_conll", "v9_gold_conll",  # of CoNLL-2012
)  # fmt: skip
ALIASES = {
    "train": "train", "test": "test", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev",
    "testa": "dev", "testb": "test",  # of CoNLL-2003
}  # fmt: skip
FORMATS: dict[str, Format] = {
    "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl", "parquet": "parquet", "csv": "csv", "ann": "brat",
    **dict.fromkeys((*COLUMN_FILES, *ALIASES), "conll"),  # eng.train is how CoNLL-2003 names its own
}  # fmt: skip
NAMES = "|".join(ALIASES)
SPLIT = re.compile(rf"(?:^|[-_.])({NAMES})(?=\d*(?:[-_.]|$))")
SHARD = re.compile(rf"(?:[-_.]|{NAMES})(\d+)(?:-of-(\d+))?$")
SNIFFED = 4096  # bytes that decide the format
# A line of names, and one in which a list follows another: a table of datasets, with tabs between its cells.
TABLE_OF_LISTS = re.compile(rb'[^\n]*\t[^\n]*\n[^\n]*\[[^\n]*\]"?\t([^\n]*\t)?"?\[')
# Files that accompany data. Others that begin so, such as license-plates.csv, are data.
NO_DATA = re.compile(
    r"(readme|licen[cs]e|copying|notice|guidelines)([-_][^.]*)?(\.txt)?|.*\.(md|rst)"
    r"|(provenance|dataset_infos?|state|dataset_dict)\.json"
    r"|(annotation|visual|tools|kb_shortcuts)\.conf",  # of brat
    re.IGNORECASE,
)


@dataclass(frozen=True)
class DataFile:
    """A file of annotated text, with the split, the shard and the number of shards that its name states, if any."""

    path: Path
    split: str | None
    shard: int | None = None
    shards: int | None = None


def find_data_files(place: Path, *, any_name: bool = False) -> list[DataFile]:
    """List the annotated files of a folder, sorted; the files in a folder named after a split are its shards.

    `place` may also be one file. `any_name` includes files of unknown extensions. CorpusError if there are none.
    """
    files = list_data_files(place, any_name=any_name)
    if not files:
        raise CorpusError(
            f"{place}: no annotated text in it. Files that are read end in {', '.join(FORMATS)}, each also with .gz; "
            "files of another name if data.format says what they are."
        )
    return files


def list_data_files(place: Path, *, any_name: bool = False) -> list[DataFile]:
    """List files as `find_data_files` does, perhaps none; CorpusError if the folder is missing or cannot be read."""
    if place.is_file():
        return [DataFile(place, None)]
    if not place.is_dir():
        hint = "It is a broken link." if place.is_symlink() else "Check data.dir; `dvc pull` fetches what DVC keeps."
        raise CorpusError(f"{place}: no such file or folder. {hint}")
    files: list[DataFile] = []
    for entry in _list_entries(place):
        if entry.is_dir():
            split = ALIASES.get(entry.name.lower())
            inside = [path for path in _list_entries(entry) if split and _is_data(path, any_name=any_name)]
            files += [DataFile(path, split, number) for number, path in enumerate(inside)]
        elif _is_data(entry, any_name=any_name):
            files.append(_parse_name(entry))
    return files


def group_by_split(place: Path, files: Sequence[DataFile]) -> tuple[dict[str, list[Path]], list[str]]:
    """Return the files of each split that has any, shards in order, and a line for each fault."""
    faults: list[str] = []
    splits: dict[str, list[Path]] = {}
    for split in SPLITS:
        of_split = [file for file in files if file.split == split]
        if not of_split:
            continue
        names = ", ".join(str(file.path.relative_to(place)) for file in of_split)
        shards, totals = [file.shard for file in of_split], {file.shards for file in of_split}
        if len(of_split) > 1 and (None in shards or len({file.path.parent for file in of_split}) > 1):
            faults.append(f"{place}: {names} all name the {split} split; keep one of them")
        elif len(set(shards)) < len(shards):
            faults.append(f"{place}: {names}: a shard is there twice; keep one of them")
        elif totals != {None} and (len(totals) > 1 or set(shards) != set(range(of_split[0].shards or 0))):
            total = of_split[0].shards
            faults.append(f"{place}: {len(of_split)} of {total} shards of the {split} split are there: {names}")
        splits[split] = [file.path for file in sorted(of_split, key=lambda file: file.shard or 0)]
    return splits, faults


def detect_format(path: Path) -> Format:
    """Detect the format of a file by its first bytes, else by its name; UnreadableError if empty or unknown."""
    if FORMATS.get(_extension(path)) == "brat":
        return "brat"  # empty where nothing was marked
    if _extension(path) == "txt" and any(path.parent.glob("*.ann")):
        annotations = path.with_name(f"{_stem(path)}.ann")
        message = (
            f"has no {annotations.name} beside it, as the other texts of brat have. If nothing is marked in it: "
            f"touch {shlex.quote(str(annotations))}"
        )
        raise UnreadableError("no-annotations", path, message)
    with open_data(path) as stream:
        start = stream.read(SNIFFED)
    if len(start) < SNIFFED and not start.strip():
        raise UnreadableError("empty", path, "is empty. Fetch it again, or remove it.")
    if start.startswith(b"PAR1"):
        return "parquet"
    extension = _extension(path)
    if extension not in FORMATS:
        raise UnreadableError("format", path, f"ends in none of {', '.join(FORMATS)}; name its format with data.format")
    # CoNLL columns are often named .txt, and so may be an export of doccano. FiNER's columns are named .csv.
    if FORMATS[extension] == "csv" and has_columns(start[: start.rfind(b"\n") + 1] or start):
        return "conll"
    if FORMATS[extension] == "conll" and start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b'{"'):
        return "jsonl"
    if FORMATS[extension] == "conll" and TABLE_OF_LISTS.match(start):
        return "csv"
    return FORMATS[extension]


def _list_entries(folder: Path) -> list[Path]:
    """List a folder without the texts of brat, each of which is read with the .ann beside it."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise CorpusError(f"{folder}: cannot be read: {error.strerror}") from None
    foreign = [show_name(entry.name) for entry in entries if FOREIGN_NAME.search(entry.name)]
    if foreign:
        raise CorpusError(list_faults(f"{folder}: names that are not UTF-8, which DVC cannot track; rename:", foreign))
    texts = {_stem(entry) for entry in entries if _extension(entry) == "ann"}
    return [entry for entry in entries if _extension(entry) != "txt" or _stem(entry) not in texts]


def _parse_name(path: Path) -> DataFile:
    """Parse the name of a file, such as `train-00000-of-00002.parquet`, `eng.testa` or `emerging.dev.conll`."""
    name = path.name.lower().removesuffix(".gz")
    stem = name if _extension(path) in ALIASES else name.rpartition(".")[0]
    splits = {ALIASES[name] for name in SPLIT.findall(stem)}
    if len(splits) != 1:
        return DataFile(path, None)
    match = SHARD.search(stem)
    shard, shards = (None if part is None else int(part) for part in match.groups()) if match else (None, None)
    return DataFile(path, splits.pop(), shard, shards)


def _is_data(path: Path, *, any_name: bool) -> bool:
    if path.is_dir() or path.name.startswith(".") or NO_DATA.fullmatch(path.name):
        return False
    return _extension(path) in FORMATS or (any_name and path.suffix != ".dvc")


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0]


def _extension(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").rpartition(".")[2]
