"""Which files of a folder are the corpus, of which split, and in which format."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stages.corpus.readers.text_files import opened
from stages.corpus.text.diagnostics import UnreadableError
from stages.corpus.text.sentences import SPLITS
from stages.errors import CorpusError, listed

Format = Literal["conll", "jsonl", "parquet", "csv"]

COLUMN_FILES = ("conll", "conllu", "conll03", "iob", "iob2", "bio", "bioes", "tsv", "txt", "annotated")
ALIASES = {
    "train": "train", "test": "test", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev",
    "testa": "dev", "testb": "test",  # of CoNLL-2003
}  # fmt: skip
FORMATS: dict[str, Format] = {
    "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl", "parquet": "parquet", "csv": "csv",
    **dict.fromkeys((*COLUMN_FILES, *ALIASES), "conll"),  # eng.train is how CoNLL-2003 names its own
}  # fmt: skip
NAMES = "|".join(ALIASES)
SPLIT = re.compile(rf"(?:^|[-_.])({NAMES})(?=\d*(?:[-_.]|$))")
SHARD = re.compile(rf"(?:[-_.]|{NAMES})(\d+)(?:-of-(\d+))?$")
SNIFFED = 4096  # bytes
# What lies beside data. Anything else of these names, such as license-plates.csv, is data.
NO_DATA = re.compile(
    r"(readme|licen[cs]e|copying|notice)([-_][^.]*)?(\.(txt|md|rst))?"
    r"|(provenance|dataset_infos?|state|dataset_dict)\.json",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class DataFile:
    """A file of annotated text; `split` is what its name says, if anything; `shards` of how many it is one, if told."""

    path: Path
    split: str | None
    shard: int | None = None
    shards: int | None = None


def data_files(place: Path, *, any_name: bool = False) -> list[DataFile]:
    """The annotated files of a folder, sorted; those of a folder `train` and the like are its shards.

    `place` may also be one file. `any_name` takes files of unknown extensions too. CorpusError if it holds none.
    """
    if place.is_file():
        return [DataFile(place, None)]
    if not place.is_dir():
        hint = (
            "It is a link to nowhere." if place.is_symlink() else "Check data.dir; `dvc pull` fetches what DVC keeps."
        )
        raise CorpusError(f"{place}: no such file or folder. {hint}")
    found: list[DataFile] = []
    for entry in _entries(place):
        if entry.is_dir():
            split = ALIASES.get(entry.name.lower())
            inside = [path for path in _entries(entry) if split and _is_data(path, any_name=any_name)]
            found += [DataFile(path, split, number) for number, path in enumerate(inside)]
        elif _is_data(entry, any_name=any_name):
            found.append(_data_file(entry))
    if not found:
        raise CorpusError(
            f"{place}: no annotated text in it. Files that are read end in {', '.join(FORMATS)}, each also with .gz; "
            "files of another name if data.format says what they are."
        )
    return found


def by_split(place: Path, files: Sequence[DataFile]) -> dict[str, list[Path]]:
    """The files of train, dev and test, the shards of a split in order. CorpusError with all that is amiss."""
    faults: list[str] = []
    splits: dict[str, list[Path]] = {}
    for split in SPLITS:
        of_split = [file for file in files if file.split == split]
        names = ", ".join(str(file.path.relative_to(place)) for file in of_split)
        shards, totals = [file.shard for file in of_split], {file.shards for file in of_split}
        if not of_split:
            faults.append(f"{place / split}.*: no such file")
        elif len(of_split) > 1 and (None in shards or len({file.path.parent for file in of_split}) > 1):
            faults.append(f"{place}: {names} all name the {split} split; keep one of them")
        elif len(set(shards)) < len(shards):
            faults.append(f"{place}: {names}: a shard is there twice; keep one of them")
        elif totals != {None} and (len(totals) > 1 or set(shards) != set(range(of_split[0].shards or 0))):
            total = of_split[0].shards
            faults.append(f"{place}: {len(of_split)} of {total} shards of the {split} split are there: {names}")
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


def _data_file(path: Path) -> DataFile:
    """What the name of a file says of it: `train-00000-of-00002.parquet`, `eng.testa`, `emerging.dev.conll`."""
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


def _extension(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").rpartition(".")[2]
