"""A corpus of labelled texts: its files, read block by block, each example with its split."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stages.corpus.examples.folder import detect_example_format, find_example_files, list_unread_classes
from stages.corpus.examples.readers.blocks import ExampleBlock
from stages.corpus.examples.readers.columns import Chosen, Columns, Wanted, show_names
from stages.corpus.examples.readers.json_records import list_splits, read_json
from stages.corpus.examples.readers.params import ExampleDataParams, ExampleFormat
from stages.corpus.examples.readers.parquet import read_features, read_parquet
from stages.corpus.examples.readers.plain import read_fasttext, read_folders, read_parallel
from stages.corpus.examples.readers.rows import GAPS, RowReader, Rows, Width
from stages.corpus.examples.readers.tables import read_table
from stages.corpus.examples.strata import Assignment, assign_texts
from stages.corpus.faults import DROPPED
from stages.corpus.folder import DataFile
from stages.corpus.readers.tag_names import features_beside
from stages.corpus.readers.text_files import open_data, read_text
from stages.corpus.splits import BY_HASH, TRAIN, Int8s, assign_splits
from stages.corpus.text.diagnostics import LEFT_OUT, Diagnostics, UnreadableError
from stages.corpus.text.sentences import SPLITS
from stages.errors import CorpusError

IN_ROWS = -2  # in place of the number of a split: each row of the file says its own

SPLIT = "split"  # what a column of the splits is usually called

FileReader = Callable[[Path, BinaryIO, Columns, Diagnostics], Iterator[tuple[Chosen, Rows]]]
READERS: dict[ExampleFormat, FileReader] = {
    "csv": read_table, "jsonl": read_json, "parquet": read_parquet, "fasttext": read_fasttext
}  # fmt: skip
FolderReader = Callable[[Path, Columns, Diagnostics], Iterator[tuple[Chosen, Rows]]]
FOLDER_READERS: dict[ExampleFormat, FolderReader] = {"folders": read_folders, "parallel": read_parallel}


@dataclass
class Seen:
    """What a pass over the files of a corpus has met: columns that are not read, and how many numbers examples have."""

    extra: set[tuple[str, ...]] = field(default_factory=set)
    width: Width = field(default_factory=Width)


@dataclass(frozen=True)
class ExampleCorpus:
    """The files of a corpus. `blocks` numbers splits by their place in `splits`."""

    place: Path
    files: list[tuple[Path, int]]  # each with the number of its split, BY_HASH or IN_ROWS
    splits: tuple[str, ...]
    params: ExampleDataParams
    columns: Columns
    label_names: Sequence[str] | None  # of labels that are numbers
    is_train_cut: bool  # whether the hash cuts splits from what is train, or from all
    ignored: list[Path] = field(default_factory=list)  # files of no split, where others name train, dev and test

    @property
    def given(self) -> list[str]:
        """The splits that the files say; the hash cuts the others."""
        shares = self.params.split.shares if self.params.split and self.is_train_cut else {}
        return [name for name in self.splits if name not in shares and not (shares and name == TRAIN)]

    def blocks(self, diagnostics: Diagnostics) -> Iterator[tuple[ExampleBlock, Int8s]]:
        """Yield each block with the number of each example's split, [E].

        Faults of the files become errors in `diagnostics`, and examples that have one are left out. With
        `data.faulty=drop` those of examples become warnings.
        """
        seen = Seen()
        for path, split in self.files:
            found = Diagnostics()
            try:
                for block, splits in self._read(path, found, seen):
                    yield block, self._split_numbers(block, split, splits)
            except UnreadableError as error:
                diagnostics.add_all("error", error.code, 1, [(error.where, error.message)], faulty=0)
            finally:
                if self.params.faulty == "drop":
                    found = _drop(found, f"{DROPPED}{self.splits[max(split, 0)]}")  # what says no split counts as train
                diagnostics.extend(found)

    def _read(
        self, path: Path, diagnostics: Diagnostics, seen: Seen
    ) -> Iterator[tuple[ExampleBlock, list[str] | None]]:
        """Yield the blocks of a file, with the split of each example where the file says it."""
        reader: RowReader | None = None
        for chosen, features, rows in self._read_rows(path, diagnostics):
            if reader is None:
                reader = RowReader(self.columns, chosen, features, self.label_names, diagnostics, seen.width)
                if chosen.extra and chosen.extra not in seen.extra:
                    seen.extra.add(chosen.extra)
                    self._report_extra(path, chosen.extra, diagnostics)
            found = reader.read(rows)
            if found is not None:
                yield found

    def _report_extra(self, path: Path, extra: tuple[str, ...], diagnostics: Diagnostics) -> None:
        message = f"columns that are not read: {show_names(extra)}; data.slices can keep some"
        diagnostics.add("note", "extra-columns", path, message)
        if self.columns.split is None and (name := next((name for name in extra if name.lower() == SPLIT), None)):
            message = f"its column {name!r} is not read; if it says train, dev and test, set data.split_column={name}"
            diagnostics.add("warning", "split-column", path, message)

    def _read_rows(self, path: Path, diagnostics: Diagnostics) -> Iterator[tuple[Chosen, dict[str, Any], Rows]]:
        kind = detect_example_format(path) if self.params.format == "auto" else self.params.format
        if kind in FOLDER_READERS:
            for chosen, rows in FOLDER_READERS[kind](path, self.columns, diagnostics):
                yield chosen, {}, rows
            return
        with open_data(path) as stream:
            features = read_features(path, stream) if kind == "parquet" else {}
            features = features or features_beside(path, self.place)
            for chosen, rows in READERS[kind](path, stream, self.columns, diagnostics):
                yield chosen, features, rows

    def _split_numbers(self, block: ExampleBlock, split: int, splits: list[str] | None) -> Int8s:
        if split >= 0:
            return np.full(len(block), split, np.int8)
        if splits is None:
            return self._assignment.look_up(block.digests)
        if len(self.splits) == 1:
            return np.zeros(len(block), np.int8)
        numbers = np.array([self.splits.index(name) for name in splits], np.int8)
        if self.is_train_cut:
            hashed = numbers == self.splits.index(TRAIN)
            numbers[hashed] = self._assignment.look_up(block.digests[hashed])
        return numbers

    @cached_property
    def _assignment(self) -> Assignment:
        """The splits of the texts that the hash divides, which takes a pass over their files."""
        assert self.params.split is not None
        return assign_texts(self._hashed_blocks(), self.params.split)

    def _hashed_blocks(self) -> Iterator[ExampleBlock]:
        for path, split in self.files:
            if split < 0:
                with suppress(UnreadableError):  # `blocks` reports it
                    for block, splits in self._read(path, Diagnostics(), Seen()):
                        if splits is None:
                            yield block
                        else:
                            yield block.select(np.array([name == TRAIN for name in splits], bool))


def open_examples(
    params: ExampleDataParams,
    *,
    wanted: Wanted,
    multi_label: bool = False,
    symmetric: bool = False,
    allow_unsplit: bool = False,
) -> ExampleCorpus:
    """Find the files; CorpusError if they are missing, or not those of one corpus.

    If `symmetric`, two texts are the same pair in either order. With `allow_unsplit`, a corpus may lack dev or test;
    one without splits, where `params` do not define any, has one split named "all".
    """
    place, answers = Path(params.dir), params.answers
    columns = Columns(
        place, wanted, multi_label, params.text, params.text_pair, answers, tuple(params.slices), params.split_column,
        params.separator, symmetric,
    )  # fmt: skip
    files = find_example_files(place, params.format, answers.names)
    names = None if answers.names is None else _read_names(place, answers.names)
    corpus = ExampleCorpus(place, [], (), params, columns, names, is_train_cut=False)
    by_row = _find_row_splits(corpus, files)
    of_rows = files if columns.split is not None else [file for file in files if file.path in {f.path for f in by_row}]
    if of_rows and not by_row:  # no row that can be read names a split: reading says why
        return replace(corpus, files=[(file.path, IN_ROWS) for file in of_rows], splits=SPLITS)
    others = [file.path for file in files if of_rows and file not in of_rows] + list_unread_classes(place, files)
    found = assign_splits(place, by_row or files, params.split, allow_missing=allow_unsplit)
    numbered = [(file.path, IN_ROWS) for file in of_rows] or found.files
    is_cut = any(split == BY_HASH for _, split in found.files)
    return replace(corpus, files=numbered, splits=found.splits, is_train_cut=is_cut, ignored=found.ignored + others)


def _find_row_splits(corpus: ExampleCorpus, files: Sequence[DataFile]) -> list[DataFile]:
    """List each file once for each split that its rows name; none if no row does."""
    found: list[DataFile] = []
    for number, file in enumerate(files):
        splits: set[str] = set()
        if corpus.columns.split is not None:
            with suppress(UnreadableError):  # `blocks` reports it
                for _, names in corpus._read(file.path, Diagnostics(), Seen()):  # the corpus is this module's own
                    splits.update(names or ())
        elif file.path.is_file() and _kind(corpus, file.path) == "jsonl":
            splits = _list_json_splits(file.path)
        found += [DataFile(file.path, split, number) for split in SPLITS if split in splits]
    return found


def _list_json_splits(path: Path) -> set[str]:
    """Return the splits of a JSON file by split; none of another one, or one that cannot be read, as `blocks` says."""
    with suppress(UnreadableError), open_data(path) as stream:
        return set(list_splits(path, stream))
    return set()


def _kind(corpus: ExampleCorpus, path: Path) -> str:
    with suppress(UnreadableError):
        return detect_example_format(path) if corpus.params.format == "auto" else corpus.params.format
    return ""


def _read_names(place: Path, file: str) -> list[str]:
    """Read the names of labels that are numbers, one on each line; CorpusError if there are none."""
    if place.is_file():
        raise CorpusError(f"{place}: data.label_names is a file in the folder data.dir, and data.dir is a file.")
    path = place / file
    with open_data(path) as stream:
        names = [name.strip() for _, piece in read_text(path, stream) for name in piece.splitlines()]
    names = [name for name in names if name]
    if not names:
        raise UnreadableError("names", path, "data.label_names must be a file with a name on each line, from 0 on.")
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise UnreadableError("names", path, f"has the name {repeated!r} twice, so two labels would be one.")
    return names


def _drop(found: Diagnostics, code: str) -> Diagnostics:
    """Return a copy whose errors are warnings that an example is left out, gaps included."""
    gaps = [each for each in found.kept if each.code in GAPS]
    counts = {gap: found.counts.pop(gap) for gap in GAPS if gap in found.counts}
    found.kept = [each for each in found.kept if each.code not in GAPS]
    copy = found.replace_errors(code)
    examples = [(each.where, f"{LEFT_OUT}{each.message}") for each in gaps]
    copy.add_all("warning", code, sum(counts.values()), examples)
    return copy
