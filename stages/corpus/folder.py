"""Which files of a folder are the corpus, of which split, and in which format."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stages.corpus.findings import UnreadableError
from stages.corpus.sentences import SPLITS
from stages.corpus.text_files import opened
from stages.errors import CorpusError, listed

Format = Literal["conll", "jsonl", "parquet", "csv"]

COLUMN_FILES = ("conll", "conllu", "conll03", "iob", "iob2", "bio", "bioes", "tsv", "txt")
FORMATS: dict[str, Format] = {
    "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl", "parquet": "parquet", "csv": "csv",
    **dict.fromkeys(COLUMN_FILES, "conll"),
}  # fmt: skip
ALIASES = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev", "test": "test"}
SPLIT_FILE = re.compile(rf"({'|'.join(ALIASES)})(?:[-_.]?(\d+)(?:-of-(\d+))?)?", re.IGNORECASE)
SNIFFED = 4096  # bytes
NO_DATA = re.compile(r"(readme|licen[cs]e|copying|notice|provenance|dataset_info|state|dataset_dict)\b", re.IGNORECASE)


@dataclass(frozen=True)
class DataFile:
    """A file of annotated text; `split` is what its name says, if anything; `shards` of how many it is one, if told."""

    path: Path
    split: str | None
    shard: int | None = None
    shards: int | None = None


def data_files(place: Path) -> list[DataFile]:
    """The annotated files of a folder, sorted; those of a folder `train` and the like are its shards.

    `place` may also be one file. CorpusError if it is not there or holds none.
    """
    if place.is_file():
        return [DataFile(place, None)]
    if not place.is_dir():
        hint = (
            " It is a link to nowhere." if place.is_symlink() else " Check data.dir; `dvc pull` fetches what DVC keeps."
        )
        raise CorpusError(f"{place}: no such file or folder.{hint}")
    found: list[DataFile] = []
    for entry in _entries(place):
        if entry.is_dir() and entry.name.lower() in ALIASES:
            split = ALIASES[entry.name.lower()]
            found += [DataFile(path, split, number) for number, path in enumerate(_entries(entry)) if _is_data(path)]
        elif _is_data(entry) and not entry.is_dir():
            match = SPLIT_FILE.fullmatch(_stem(entry))
            if match is None:
                found.append(DataFile(entry, None))
            else:
                shard, shards = (None if part is None else int(part) for part in match.groups()[1:])
                found.append(DataFile(entry, ALIASES[match[1].lower()], shard, shards))
    if not found:
        raise CorpusError(
            f"{place}: no annotated text in it. Files that are read end in {', '.join(FORMATS)}, each also with .gz."
        )
    return found


def by_split(place: Path, files: Sequence[DataFile]) -> dict[str, list[Path]]:
    """The files of train, dev and test, the shards of a split in order. CorpusError with all that is amiss."""
    faults: list[str] = []
    splits: dict[str, list[Path]] = {}
    for split in SPLITS:
        of_split = [file for file in files if file.split == split]
        names = ", ".join(str(file.path.relative_to(place)) for file in of_split)
        if not of_split:
            faults.append(f"{place / split}.*: no such file")
        elif len(of_split) > 1 and any(file.shard is None for file in of_split):
            faults.append(f"{place}: {names} all name the {split} split; keep one of them")
        elif len({(file.shard, file.path.suffixes[-1]) for file in of_split}) < len(of_split):
            faults.append(f"{place}: {names}: a shard is there twice; keep one of them")
        elif (shards := of_split[0].shards) and len(of_split) != shards:
            faults.append(f"{place}: {len(of_split)} of {shards} shards of the {split} split are there: {names}")
        splits[split] = [file.path for file in sorted(of_split, key=lambda file: file.shard or 0)]
    if not all(splits.values()):
        here = ", ".join(str(file.path.relative_to(place)) for file in files)
        others = ", once its files have names that say no split" if sum(map(bool, splits.values())) > 1 else ""
        faults.append(
            f"{place} holds {here[:200]}. To split all of it by a hash of each sentence instead: "
            f"--set 'data.split={{dev: 0.1, test: 0.1}}'{others}"
        )
    if faults:
        raise CorpusError(listed(f"{place} does not hold one each of train, dev and test:", faults))
    return splits


def format_of(path: Path) -> Format:
    """The format of a file by its first bytes, or else by its name. UnreadableError if it is empty or unknown."""
    with opened(path) as stream:
        start = stream.read(SNIFFED)
    if len(start) < SNIFFED and not start.strip():
        raise UnreadableError("empty", path, "is empty. Fetch it anew, or take it away.")
    if start.startswith(b"PAR1"):
        return "parquet"
    extension = _extension(path)
    if extension not in FORMATS:
        raise UnreadableError("format", path, f"ends in none of {', '.join(FORMATS)}; name its format with data.format")
    # A text of columns is often called .txt, and what doccano exports may be too.
    if FORMATS[extension] == "conll" and start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b'{"'):
        return "jsonl"
    return FORMATS[extension]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise CorpusError(f"{folder}: cannot be read: {error.strerror}") from None


def _is_data(path: Path) -> bool:
    return _extension(path) in FORMATS and not path.name.startswith(".") and NO_DATA.match(path.name) is None


def _extension(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").rpartition(".")[2]


def _stem(path: Path) -> str:
    return re.sub(r"\.gz$", "", path.name, flags=re.IGNORECASE).rpartition(".")[0]
