"""A corpus: its files, read block by block, each sentence with its split."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from stages.corpus.folder import Format, detect_format, find_data_files, group_by_split
from stages.corpus.readers.columns import Columns
from stages.corpus.readers.conll import Layout, read_conll, sniff_layouts
from stages.corpus.readers.json_records import read_json
from stages.corpus.readers.tables import read_csv, read_parquet
from stages.corpus.readers.text_files import open_data
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError
from stages.corpus.text.documents import apply_document_marks
from stages.corpus.text.schemes import is_tag
from stages.corpus.text.sentences import SPLITS, Block, UInt64s
from stages.errors import CorpusError
from stages.params import Section

Reader = Callable[[Path, BinaryIO, Columns, Diagnostics], Iterator[Block]]
READERS: dict[Format, Reader] = {
    "conll": read_conll, "jsonl": read_json, "parquet": read_parquet, "csv": read_csv
}  # fmt: skip
UNSPLIT = "all"
NO_TAG = "is not a tag; tags are O, B-TYPE and I-TYPE, or with E-, S-, L-, U- and M-"
MAX_WORD = 1000  # characters
MAX_SENTENCE = 20_000  # words

Int8s = npt.NDArray[np.int8]


class SplitParams(Section):
    """The shares of a corpus without splits that become dev and test; the rest becomes train."""

    dev: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _leaves_train(self) -> "SplitParams":
        if self.dev + self.test >= 1:
            raise ValueError("dev and test together must leave something for train")
        return self


class DataParams(Section):
    """Where the annotated text is, and how it is read."""

    dir: str = Field(min_length=1)
    format: Literal["auto", "conll", "jsonl", "parquet", "csv"]
    words: int | str
    tags: int | str
    split: SplitParams | None

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
    files: list[tuple[Path, int]]  # each with the number of its split; -1 where a hash of each sentence decides
    splits: tuple[str, ...]
    params: DataParams
    ignored: list[Path] = field(default_factory=list)  # files of no split, where others name train, dev and test

    def blocks(self, diagnostics: Diagnostics, *, backwards: bool = False) -> Iterator[tuple[Block, Int8s]]:
        """Yield each block with the number of each sentence's split, [S]; `backwards`, the last split first.

        Faults of the files become errors in `diagnostics`; a block that has one is not yielded.
        """
        layouts, sniffing = self._layouts
        diagnostics.extend(sniffing)
        for path, split in sorted(self.files, key=lambda file: -file[1]) if backwards else self.files:
            try:
                kind = self._format(path)
                reader = partial(read_conll, layout=layouts.get(path)) if kind == "conll" else READERS[kind]
                with open_data(path) as stream:
                    blocks = reader(path, stream, self._columns, diagnostics)
                    for block in apply_document_marks(blocks):
                        if _is_valid(block, diagnostics):
                            yield block, self._split_numbers(block, split)
            except UnreadableError as error:
                diagnostics.add("error", error.code, error.where, error.message)

    def _format(self, path: Path) -> Format:
        return detect_format(path) if self.params.format == "auto" else self.params.format

    @property
    def _columns(self) -> Columns:
        return Columns(self.params.words, self.params.tags, self.place)

    @cached_property
    def _layouts(self) -> tuple[dict[Path, Layout], Diagnostics]:
        """The layout of each CoNLL file, and the diagnostics of sniffing it; found once for all passes."""
        diagnostics = Diagnostics()
        return sniff_layouts(self._conll_files(), self._columns, diagnostics), diagnostics

    def _conll_files(self) -> Iterator[Path]:
        for path, _ in self.files:
            with suppress(UnreadableError):
                if self._format(path) == "conll":
                    yield path

    def _split_numbers(self, block: Block, split: int) -> Int8s:
        if split >= 0:
            return np.full(len(block), split, np.int8)
        assert self.params.split is not None
        return split_numbers(block.digests, self.params.split)


def open_corpus(params: DataParams, *, allow_unsplit: bool = False) -> Corpus:
    """Find the files; CorpusError if they are missing, or not those of one corpus.

    With `allow_unsplit`, a corpus without splits, where `params` do not define any, has one split named "all".
    """
    place = Path(params.dir)
    files = find_data_files(place, any_name=params.format != "auto")
    splits_named = {file.split for file in files if file.split}
    if len(splits_named) > 1 or (splits_named and params.split is None and not allow_unsplit):
        if params.split is not None:
            raise CorpusError(
                f"{place} holds files of {' and '.join(sorted(splits_named))}, so data.split must be null: "
                "--set data.split=null. To split it differently, give the files other names."
            )
        splits = group_by_split(place, [file for file in files if file.split])
        split_files = [(path, SPLITS.index(split)) for split, paths in splits.items() for path in paths]
        return Corpus(place, split_files, SPLITS, params, [file.path for file in files if not file.split])
    if params.split is None:
        if not allow_unsplit:
            names = ", ".join(file.path.name for file in files)
            raise CorpusError(
                f"{place} holds {names[:200]}, but no train, dev and test. Split it by a hash of each sentence: "
                f"tuneline run --set data.dir={place} --set 'data.split={{dev: 0.1, test: 0.1}}'"
            )
        return Corpus(place, [(file.path, 0) for file in files], (UNSPLIT,), params)
    return Corpus(place, [(file.path, -1) for file in files], SPLITS, params)


def split_numbers(digests: UInt64s, shares: SplitParams) -> Int8s:
    """[S] 0, 1 or 2 for train, dev or test. The digest of a sentence alone decides, whatever the rest of the corpus."""
    position = digests / 2.0**64
    numbers: Int8s = np.select([position < shares.test, position < shares.test + shares.dev], [2, 1], 0).astype(np.int8)
    return numbers


def _is_valid(block: Block, diagnostics: Diagnostics) -> bool:
    """Whether the words and tags of a block are usable; adds an error for each that is not."""
    words = block.distinct.dictionary
    of_word = block.distinct.indices.to_numpy()
    faults = [
        (code, faulty.to_numpy(zero_copy_only=False)[of_word], message)
        for code, faulty, message in (
            ("blank-word", pc.equal(pc.utf8_trim_whitespace(words), ""), "a word of white space alone"),
            ("word-break", pc.match_substring_regex(words, "[\\t\\n\\r\\x1f]"), "a word with a tab or line end in it"),
            ("long-word", pc.greater(pc.utf8_length(words), MAX_WORD), f"a word of over {MAX_WORD:,} characters"),
        )
    ]
    too_long = np.zeros(len(of_word), bool)
    too_long[block.offsets[:-1][np.diff(block.offsets) > MAX_SENTENCE]] = True
    faults.append(("long-sentence", too_long, f"a sentence of over {MAX_SENTENCE:,} words, breaks lost? It starts"))
    for code, faulty, message in faults:
        at = np.flatnonzero(faulty)
        shown = ((block.where(n), f"{message}: {words[int(of_word[n])].as_py()[:80]!r}") for n in at)
        diagnostics.add_all("error", code, len(at), shown)
    tags = block.tags.dictionary.to_pylist()
    at = np.flatnonzero(~np.array([is_tag(tag) for tag in tags], bool)[block.tags.indices.to_numpy()])
    hint = ". Is data.tags the right column?" if len(at) * 2 > len(of_word) else ""
    shown = ((block.where(n), f"{block.tags[int(n)].as_py()[:80]!r} {NO_TAG}{hint}") for n in at)
    diagnostics.add_all("error", "tag", len(at), shown)
    return not len(at) and not any(faulty.any() for _, faulty, _ in faults)
