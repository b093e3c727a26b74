"""A corpus: its files, read block by block, each sentence with its split."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from pydantic import Field, field_validator

from stages.corpus.annotations.offsets import Unit
from stages.corpus.decoration import Suffix, strip_words
from stages.corpus.faults import DROPPED, Faulty, find_faulty
from stages.corpus.folder import Format, detect_format, find_data_files
from stages.corpus.readers.brat import read_brat
from stages.corpus.readers.columns import Columns
from stages.corpus.readers.conll import read_conll
from stages.corpus.readers.json_records import read_json
from stages.corpus.readers.layout import Layout, sniff_layouts
from stages.corpus.readers.tables import read_csv, read_parquet
from stages.corpus.readers.text_files import open_data
from stages.corpus.splits import (
    BY_HASH,
    SMALL,
    Int8s,
    SentenceSplitParams,
    SplitParams,
    assign_splits,
    raise_shares,
    split_numbers,
)
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError
from stages.corpus.text.documents import apply_document_marks, digest_documents, group_documents
from stages.corpus.text.schemes import has_bare_types
from stages.corpus.text.sentences import OUTSIDE, Block, UInt64s
from stages.params import Section

Reader = Callable[[Path, BinaryIO, Columns, Diagnostics], Iterator[Block]]
READERS: dict[Format, Reader] = {
    "conll": read_conll, "jsonl": read_json, "parquet": read_parquet, "csv": read_csv, "brat": read_brat
}  # fmt: skip


class DataParams(Section):
    """Where the annotated text is, and how it is read."""

    dir: str = Field(min_length=1)
    format: Literal["auto", "conll", "jsonl", "parquet", "csv", "brat"]
    words: int | str
    tags: int | str
    split: SentenceSplitParams | None
    # Absent from the parameters of models that were registered before, which `compare` reads.
    offsets: Unit = "characters"
    faulty: Faulty = "refuse"
    strip_prefix: str | None = Field(default=None, min_length=1)
    strip_suffix: Suffix | None = None

    @field_validator("dir")
    @classmethod
    def _is_not_the_project(cls, folder: str) -> str:
        if Path(folder) == Path():
            raise ValueError("must be a folder within the project, not the whole project")
        return folder

    @field_validator("words", "tags")
    @classmethod
    def _counts_from_one(cls, column: int | str) -> int | str:
        if column in (0, "") or (isinstance(column, int) and column < 0):
            raise ValueError("columns count from 1; auto finds them")
        return column


@dataclass(frozen=True)
class Corpus:
    """The files of a corpus. `blocks` numbers splits by their place in `splits`."""

    place: Path
    files: list[tuple[Path, int]]  # each with the number of its split, or BY_HASH
    splits: tuple[str, ...]
    params: DataParams
    ignored: list[Path] = field(default_factory=list)  # files of no split, where others name train, dev and test

    @property
    def given(self) -> list[str]:
        """The splits that have files of their own; the hash cuts the others."""
        return [name for number, name in enumerate(self.splits) if any(number == split for _, split in self.files)]

    @property
    def splits_documents(self) -> bool:
        """Whether what is cut from train is cut document by document."""
        return self.params.split is not None and self.params.split.by == "document"

    def blocks(
        self, diagnostics: Diagnostics, *, backwards: bool = False, whole_documents: bool = False
    ) -> Iterator[tuple[Block, Int8s]]:
        """Yield each block with the number of each sentence's split, [S]; `backwards`, the last split first.

        No block ends within a document if `whole_documents`, or if documents are split.
        Faults of the files become errors in `diagnostics`, and sentences that have one are left out. With
        `data.faulty=drop` those of sentences become warnings.
        """
        _, sniffing = self._layouts
        diagnostics.extend(sniffing)
        if self._has_bare_types:
            message = "tags without prefixes (IO): neighbouring entities of one type are read as one"
            diagnostics.add("note", "io-tags", self.place, message)
        is_dropping = self.params.faulty == "drop"
        for path, split in sorted(self.files, key=lambda file: -file[1]) if backwards else self.files:
            found = Diagnostics()
            try:
                usable = self._read_usable(path, found)
                for block in group_documents(usable) if whole_documents or self.splits_documents else usable:
                    yield block, self._split_numbers(block, split)
            except UnreadableError as error:
                diagnostics.add_all("error", error.code, 1, [(error.where, error.message)], faulty=0)
            finally:
                of_split = f"{DROPPED}{self.splits[max(split, 0)]}"  # what was to be cut counts as train
                diagnostics.extend(found.replace_errors(of_split) if is_dropping else found)

    def _read_usable(self, path: Path, diagnostics: Diagnostics) -> Iterator[Block]:
        """Yield the blocks of a file without the sentences that have faults."""
        for block in self._read(path, diagnostics):
            faulty_S = find_faulty(block, diagnostics, has_bare_types=self._has_bare_types)
            if not faulty_S.any():
                yield block
            elif not faulty_S.all():
                yield block.select(~faulty_S)

    def _read(self, path: Path, diagnostics: Diagnostics) -> Iterator[Block]:
        """Yield the blocks of a file, with words as the parameters want them."""
        kind = self._format(path)
        reader = partial(read_conll, layout=self._layouts[0].get(path)) if kind == "conll" else READERS[kind]
        prefix, suffix = self.params.strip_prefix, self.params.strip_suffix
        with open_data(path) as stream:
            for block in apply_document_marks(reader(path, stream, self._columns, diagnostics)):
                yield strip_words(block, prefix=prefix, suffix=suffix, diagnostics=diagnostics)

    def _format(self, path: Path) -> Format:
        return detect_format(path) if self.params.format == "auto" else self.params.format

    @property
    def _columns(self) -> Columns:
        return Columns(self.params.words, self.params.tags, self.place, self.params.offsets)

    @cached_property
    def _layouts(self) -> tuple[dict[Path, Layout], Diagnostics]:
        """The layout of each CoNLL file, and the diagnostics of sniffing it; found once for all passes."""
        diagnostics = Diagnostics()
        return sniff_layouts(self._conll_files(), self._columns, diagnostics), diagnostics

    @cached_property
    def _has_bare_types(self) -> bool:
        """Whether the tags are those of IO, as the first block with an entity shows; found once for all passes."""
        for path, _ in self.files:
            with suppress(UnreadableError):
                for block in self._read(path, Diagnostics()):
                    counts = Counter(block.tags.to_pylist())
                    if set(counts) - {OUTSIDE}:
                        return has_bare_types(counts)
        return False

    def _conll_files(self) -> Iterator[Path]:
        for path, _ in self.files:
            with suppress(UnreadableError):
                if self._format(path) == "conll":
                    yield path

    def _split_numbers(self, block: Block, split: int) -> Int8s:
        if split != BY_HASH:
            return np.full(len(block), split, np.int8)
        return split_numbers(self._digests(block), self._shares)

    def _digests(self, block: Block) -> UInt64s:
        return digest_documents(block) if self.splits_documents else block.digests

    @cached_property
    def _shares(self) -> SplitParams:
        """The shares of the hash, by which also a small corpus has a sentence in each split."""
        assert self.params.split is not None
        files = [path for path, split in self.files if split == BY_HASH]
        if sum(path.stat().st_size for path in files) > SMALL:
            return self.params.split
        group = group_documents if self.splits_documents else iter
        digests = [self._digests(block) for path in files for block in group(self._read(path, Diagnostics()))]
        return raise_shares(self.params.split, np.concatenate(digests)) if digests else self.params.split


def open_corpus(params: DataParams, *, allow_unsplit: bool = False) -> Corpus:
    """Find the files; CorpusError if they are missing, or not those of one corpus.

    With `allow_unsplit`, a corpus may lack dev or test; one without splits, where `params` do not define any, has one
    split named "all".
    """
    place = Path(params.dir)
    files = find_data_files(place, any_name=params.format != "auto")
    found = assign_splits(place, files, params.split, allow_missing=allow_unsplit)
    return Corpus(place, found.files, found.splits, params, found.ignored)
