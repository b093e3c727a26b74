"""The Arrow files and the manifest that tokenize writes for later stages; only this module reads and writes them.

A split is one Arrow IPC file, uncompressed, so that a reader maps it into memory. Nothing is copied if the file is one
record batch, as for all but large corpora. A row is a window:

    input_ids    list<int32>   special tokens included
    labels       list<int32>   on the first token of each word that the window owns: index into the manifest's labels;
                               -100 elsewhere
    word_index   list<int32>   at the same places: number of the word, counted from 0 at the beginning of `sentence` and
                               on through the sentences after it; -1 elsewhere, also on words shown for context only,
                               which another window owns
    sentence     int32         number within its split, from 0, of the sentence in which the words begin that it owns
    document     int32         number of their document within the corpus; -1 if there is none
    sentences    list<list<string>>  the words of each sentence that begins with a word that the window owns

A window shows words of one sentence, or of one document if documents were encoded as a whole. Rows are in the order of
the text.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.artifacts import file_digest, json_digest, parse_dataclass, read_json, read_versioned, write_json
from stages.errors import ArtifactError

FORMAT_VERSION = 5
MANIFEST = "manifest.json"
REPLAY = "replay"  # the file of the old examples that train learns again, see stages/config/train.py
DROPPED = "dropped.json"  # the first of the examples that were left out for their faults, and why
IGNORED = -100  # the label that torch's cross entropy skips by default
NO_WORD = -1
SHOWN_WORDS = 8  # of a sentence in a message
SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
        ("word_index", pa.list_(pa.int32())),
        ("sentence", pa.int32()),
        ("document", pa.int32()),
        ("sentences", pa.list_(pa.list_(pa.string()))),
    ]
)

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model for packed rows, and their answers; see stages/modeling/head.py.

    `places_L` are indices of tokens, ascending, whose final hidden states the head reads. `row_L` numbers the row of
    each among the packed rows, from 0, if an output is a row; None if it is a token. `answers` are arrays, as the
    loss of the task takes them, the first one over the outputs; `padding` is the value of each that makes an output
    count for nothing, None for an array that is not over the outputs. `input_ids_N` are the tokens that the model reads
    if they are not those of the split, as where some are masked.
    """

    places_L: Int64s
    row_L: Int64s | None
    answers: tuple[npt.NDArray[Any], ...]
    padding: tuple[float | None, ...]
    input_ids_N: Int32s | None = None


@dataclass(frozen=True)
class Manifest:
    """Describes the encoded files: their task, labels, counts and digests."""

    format_version: int
    task: str
    labels: list[str]  # the names of the model's outputs
    details: dict[str, Any]  # what the task needs to know beside them
    tokenizer_digest: str
    parameters: dict[str, int | str]  # the section `tokenize` of params.yaml
    counts: dict[str, dict[str, int]]  # by split: sentences, words, entities, windows, tokens
    digests: dict[str, str]  # by split: SHA-256 of the Arrow file

    def files(self, split: str) -> tuple[str, ...]:
        """The names of the files of what train reads as a split: old examples follow the new ones of train."""
        return (split, REPLAY) if split == "train" and REPLAY in self.counts else (split,)

    @property
    def digest(self) -> str:
        """SHA-256 over all fields, the contents of the splits included."""
        return json_digest(asdict(self))


@dataclass(frozen=True)
class EncodedSplit:
    """A split mapped into memory; row i of a list column is `values[offsets[i]:offsets[i + 1]]`.

    Its W words are those of its S sentences, one after another.
    """

    offsets: Int32s
    input_ids: Int32s
    labels: Int32s
    word_index: Int32s
    sentence: Int32s
    words: pa.ListArray  # [S] of each sentence; kept in Arrow, since only evaluate needs the strings
    documents: Int32s  # [S] number of the document of each sentence; -1 for none

    @property
    def word_counts(self) -> Int32s:
        """[S] the number of words of each sentence."""
        counts: Int32s = self.words.value_lengths().to_numpy()
        return counts

    @cached_property
    def word_bounds(self) -> Int64s:
        """[S + 1] the number of the first word of each sentence, and W."""
        return np.append(0, np.cumsum(self.word_counts, dtype=np.int64))

    def words_at(self, places: Int64s) -> Int64s:
        """The number of the word, from 0 to W, that is labelled at each of these places in the columns of tokens."""
        rows = np.searchsorted(self.offsets, places, side="right") - 1
        words: Int64s = self.word_bounds[self.sentence[rows]] + self.word_index[places]
        return words

    def sentences_of(self, words: Int64s) -> Int64s:
        """The number of the sentence of each of these words."""
        return np.searchsorted(self.word_bounds, words, side="right") - 1

    def owners(self) -> Int64s:
        """Return for each word of the split the place of its label in the columns of tokens.

        ArtifactError, with the sentence, if a word is owned by no window or by several.
        """
        places = np.flatnonzero(self.word_index != NO_WORD)
        words, bounds = self.words_at(places), self.word_bounds
        times = np.bincount(words, minlength=bounds[-1])
        if (times != 1).any():
            word = int(np.flatnonzero(times != 1)[0])
            sentence = int(self.sentences_of(np.array([word]))[0])
            shown = self.words[sentence].as_py()
            raise ArtifactError(
                f"sentence {sentence + 1} ({' '.join(shown[:SHOWN_WORDS])} ...): {times[word]} windows own its word "
                f"{word - bounds[sentence] + 1} instead of one, as do {(times != 1).sum()} words in all. "
                "Run `dvc repro --force tokenize`."
            )
        owners = np.empty(len(words), dtype=np.int64)
        owners[words] = places
        return owners

    @property
    def lengths(self) -> Int32s:
        """Number of tokens of each window, special tokens included."""
        return np.diff(self.offsets)

    @property
    def second(self) -> None:
        """No window has a second text."""
        return None

    def outputs(self, _: Int64s, index_N: Int64s) -> Outputs:
        """The words that these rows own, with their labels; `index_N` are the places of the rows' tokens."""
        labels_N = self.labels[index_N]
        places_L = np.flatnonzero(labels_N != IGNORED)
        return Outputs(places_L, None, (labels_N[places_L].astype(np.int64),), (IGNORED,))

    def weight(self, _: Int64s, index_N: Int64s) -> int:
        """The number of words that rows with these tokens own; at least one each."""
        return int((self.labels[index_N] != IGNORED).sum())

    def describe(self, rows: Int64s) -> dict[int, str]:
        """The beginning of each sentence of which these rows own a word, by its number from 0."""
        places = np.concatenate([np.arange(*self.offsets[row : row + 2]) for row in rows])
        words = self.words_at(places[self.word_index[places] != NO_WORD])
        found = {}
        for sentence in np.unique(self.sentences_of(words)).tolist():
            words = self.words[sentence].as_py()
            found[sentence] = " ".join(words[:SHOWN_WORDS]) + (" ..." if len(words) > SHOWN_WORDS else "")
        return found


@contextmanager
def split_writer(path: Path) -> Iterator[pa.RecordBatchFileWriter]:
    """Open a writer of one Arrow file; it takes record batches with the columns above."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        yield writer


def read_split(folder: Path, *names: str) -> EncodedSplit:
    """Map the file of a split into memory, or several as one split; ArtifactError if one is missing or damaged."""
    tables = [map_table(folder / f"{name}.arrow", lambda found: found == SCHEMA) for name in names]
    return split_of(join_tables(tables, "sentence", lambda table: len(pc.list_flatten(table.column("sentences")))))


def join_tables(tables: Sequence[pa.Table], number: str, count: Callable[[pa.Table], int]) -> pa.Table:
    """The rows of tables one after another; `count` says how many examples one has, which its column `number` counts.

    Of one table nothing is copied.
    """
    joined, examples = list(tables[:1]), 0
    for before, table in pairwise(tables):
        examples += count(before)
        index = table.schema.get_field_index(number)
        moved = pc.add(table.column(index), pa.scalar(examples, table.schema.field(index).type))
        joined.append(table.set_column(index, table.schema.field(index), moved))
    return pa.concat_tables(joined)


def map_table(path: Path, is_known: Callable[[pa.Schema], bool]) -> pa.Table:
    """Map an Arrow file of tokenize into memory; ArtifactError if it is missing, damaged or of an unknown schema."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file. `dvc repro tokenize` makes it.") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path} is damaged ({error}). Delete it and run `dvc repro tokenize`.") from None
    if not is_known(table.schema):
        raise ArtifactError(f"{path} has columns of another version. Run `dvc repro tokenize`.")
    return table


def split_of(table: pa.Table) -> EncodedSplit:
    """Return the columns of a table as arrays; nothing is copied if the table is one chunk."""
    columns = {name: table.column(name).combine_chunks() for name in ("input_ids", "labels", "word_index")}
    sentences = table.column("sentences").combine_chunks()
    return EncodedSplit(
        offsets=columns["input_ids"].offsets.to_numpy(),
        **{name: column.values.to_numpy() for name, column in columns.items()},
        sentence=table.column("sentence").to_numpy(),
        words=sentences.flatten(),
        documents=np.repeat(table.column("document").to_numpy(), sentences.value_lengths().to_numpy()),
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest beside the Arrow files."""
    write_json(folder / MANIFEST, asdict(manifest))


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest; ArtifactError if its version differs or the Arrow files are not those it describes."""
    path = folder / MANIFEST
    fields = read_versioned(path, format_version=FORMAT_VERSION, stage="tokenize")
    manifest = parse_dataclass(fields, Manifest, path)
    for split, digest in manifest.digests.items():
        arrow = folder / f"{split}.arrow"
        if not arrow.exists() or file_digest(arrow) != digest:
            raise ArtifactError(f"{arrow} is not the file that {path} describes. Run `dvc repro tokenize`.")
    return manifest


def write_dropped(folder: Path, examples: dict[str, list[str]]) -> None:
    """Write dropped.json if there are any; `examples` has by split lines such as `train.conll:3: a word of …`."""
    named = {split: lines for split, lines in examples.items() if lines}
    if named:
        write_json(folder / DROPPED, named)


def read_dropped(folder: Path) -> dict[str, list[str]]:
    """Read what `write_dropped` wrote; empty if nothing was left out. ArtifactError if the file is damaged."""
    return read_json(folder / DROPPED) if (folder / DROPPED).exists() else {}
