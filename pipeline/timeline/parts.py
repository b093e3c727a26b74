"""The parts of a corpus, in the order in which they arrive, and folders with all parts up to one.

A part holds files of the same form as the corpus, so that the same section `data` reads it. What is cut is kept beside
the corpus and tracked by DVC, so that models which are made from it can be rebuilt.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.corpora.importing import CORPORA, dvc_add
from stages.artifacts import atomic_write
from stages.corpus.examples.comparing import ComparedExamples
from stages.corpus.folder import list_data_files
from stages.corpus.readers.text_files import open_data
from stages.corpus.text.diagnostics import Diagnostics
from stages.errors import UserError
from stages.task import load_part

SLICES = "slices"  # of the section data, where examples may have columns beside their text and their answer
UPTO = "upto-"  # before the name of the last part of a folder with all up to it
UNNAMEABLE = re.compile(r"[^\w.-]+")  # in the name of a folder


@dataclass(frozen=True)
class Part:
    """A part of a corpus: its folder, and one with the files of this part and all before it."""

    name: str
    folder: Path
    so_far: Path


def cut_by_column(data: dict[str, Any], task: dict[str, Any], column: str) -> list[Part]:
    """Cut the corpus of the sections `data` and `task` of params.yaml by the values of a column, sorted.

    UserError if the corpus of this task has no columns, if they lack this one, or if all texts have one value.
    CorpusError with all faults of the corpus.
    """
    if SLICES not in data:
        raise UserError(
            f"--by {column}: the corpora of {task['name']} have no columns. Give a folder for each part instead: "
            "tuneline timeline FOLDER FOLDER …"
        )
    opened = load_part(task["name"], "tools.comparison").open_compared({**data, SLICES: [column]}, task)
    place = Path(data["dir"])
    values, rows = _find_rows(opened, column)
    if len(values) < 2:
        raise UserError(f"--by {column}: all texts of {place} have the same value, so there is nothing to play")
    names = {value: UNNAMEABLE.sub("-", value) or "empty" for value in values}
    target = CORPORA / f"{place.name}-by-{UNNAMEABLE.sub('-', column)}"
    with atomic_write(target) as folder:
        for file, starts in rows.items():
            _cut_file(file, starts, {value: folder / name / _name_of(file, place) for value, name in names.items()})
    return _keep([target / names[value] for value in values], target)


def use_folders(folders: Sequence[Path], target_name: str) -> list[Part]:
    """Take folders as the parts, in this order; UserError if two have one name, or one is no folder."""
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise UserError(f"{', '.join(missing)}: no such folder")
    if len({folder.name for folder in folders}) < len(folders) or len(folders) < 2:
        raise UserError("name at least two folders, whose last parts differ: scores are listed by them")
    return _keep(folders, CORPORA / target_name)


def _keep(folders: Sequence[Path], target: Path) -> list[Part]:
    """Write the folders with all parts so far into `target`, and have DVC track it."""
    parts = []
    for number, folder in enumerate(folders, start=1):
        so_far = target / f"{UPTO}{folder.name}"
        with atomic_write(so_far) as joined:
            for earlier in folders[:number]:
                _copy_shards(earlier, joined)
        parts.append(Part(folder.name, folder, so_far))
    dvc_add(target)
    return parts


def _copy_shards(part: Path, joined: Path) -> None:
    """Copy the files of a part as shards of their splits; of one without splits as files of their own."""
    for file in list_data_files(part):
        copy = joined / (file.split or "") / f"{part.name}{''.join(file.path.suffixes[-2:])}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, copy)


def _find_rows(opened: ComparedExamples, column: str) -> tuple[list[str], dict[Path, list[tuple[int, str]]]]:
    """The values of the column, sorted, and by file the line on which each text begins, with its value."""
    diagnostics = Diagnostics()
    rows: dict[Path, list[tuple[int, str]]] = {}
    for block, _ in opened.corpus.blocks(diagnostics):
        starts = zip(block.lines.tolist(), block.slices[column].to_pylist(), strict=True)
        rows.setdefault(Path(block.source), []).extend(starts)
    diagnostics.raise_errors(f"{opened.place} is not usable:")
    return sorted({value for starts in rows.values() for _, value in starts}), rows


def _cut_file(file: Path, starts: Sequence[tuple[int, str]], targets: dict[str, Path]) -> None:
    """Write the lines of each text into the file of its value, and what is above the first text into each of them."""
    with open_data(file) as stream:
        lines = stream.read().splitlines(keepends=True)
    header = b"".join(lines[: starts[0][0] - 1])
    written: dict[str, list[bytes]] = {}
    for value, text in _divide(lines, starts):
        written.setdefault(value, [header]).append(text if text.endswith(b"\n") else text + b"\n")
    for value, texts in written.items():
        targets[value].parent.mkdir(parents=True, exist_ok=True)
        targets[value].write_bytes(b"".join(texts))


def _divide(lines: Sequence[bytes], starts: Sequence[tuple[int, str]]) -> Iterator[tuple[str, bytes]]:
    ends = [start - 1 for start, _ in starts[1:]] + [len(lines)]
    for (start, value), end in zip(starts, ends, strict=True):
        yield value, b"".join(lines[start - 1 : end])


def _name_of(file: Path, place: Path) -> str:
    return file.name.removesuffix(".gz") if file == place else file.relative_to(place).as_posix().removesuffix(".gz")
