"""The Arrow files of encoded texts that tokenize writes for later stages; only this module reads and writes them.

A split is one Arrow IPC file, uncompressed, so that a reader maps it into memory. A row is a window of an example:

    input_ids    list<int32>   special tokens included
    second       int32         place in the row of the first token of the second text, where token types begin to be 1;
                               -1 if examples are no pairs
    example      int32         number of the example within its split, from 0
    window       int32         number of the window within its example, from 0; in both orders of a symmetric pair
    weight       float         share of the example's tokens that the window owns; the weights of an example add up to 1
    text, pair   string        the texts of the example, on its first window; null on later ones
    slice:NAME   string        the example's value of the column NAME, at the same places
    labels       list<int32>   of text classification: label ids, on every row; of language modelling, whose rows are
                               examples: what each token is (tasks/language_modeling/data/windows.py); or
    targets      list<double>  of regression: numbers in the user's units, on every row
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.encoding.files import join_tables, map_table

NO_SECOND = -1
SLICE = "slice:"
ROW_SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("second", pa.int32()),
        ("example", pa.int32()),
        ("window", pa.int32()),
        ("weight", pa.float32()),
        ("text", pa.string()),
        ("pair", pa.string()),
    ]
)
ANSWERS = {"labels": pa.list_(pa.int32()), "targets": pa.list_(pa.float64())}

AnswersName = Literal["labels", "targets"]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EncodedTexts:
    """A split of E examples in R rows, mapped into memory; row i is `input_ids[offsets[i]:offsets[i + 1]]`.

    The texts stay in Arrow, since only evaluate needs the strings.
    """

    offsets: Int32s  # [R + 1]
    input_ids: Int32s
    second: Int32s  # [R] NO_SECOND without pairs
    example: Int32s  # [R]
    window: Int32s  # [R]
    weight: Float32s  # [R]
    texts: pa.ChunkedArray  # [E]
    pairs: pa.ChunkedArray | None  # [E]
    slices: dict[str, pa.DictionaryArray]  # by column: [E]
    answers: pa.ListArray | None  # [R] label ids or targets; None of serving's inputs

    @property
    def lengths(self) -> Int32s:
        """Number of tokens of each row, special tokens included."""
        return np.diff(self.offsets)

    @property
    def first_rows(self) -> Int64s:
        """The first row of each example [E]."""
        return np.flatnonzero(self.window == 0)

    @property
    def example_answers(self) -> pa.ListArray:
        """The answers of each example [E]."""
        assert self.answers is not None
        return self.answers.take(pa.array(self.first_rows))


def text_schema(answers: AnswersName | None, slices: Sequence[str] = ()) -> pa.Schema:
    """Return the columns of a file of encoded texts."""
    named = [pa.field(answers, ANSWERS[answers])] if answers else []
    return pa.schema([*ROW_SCHEMA, *(pa.field(f"{SLICE}{name}", pa.string()) for name in slices), *named])


@contextmanager
def text_writer(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatchFileWriter]:
    """Open a writer of one Arrow file; it takes record batches of this `text_schema`."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        yield writer


def read_texts(folder: Path, *names: str) -> EncodedTexts:
    """Map the file of a split into memory, or several as one split.

    ArtifactError if one is missing, damaged, or without answers.
    """
    tables = [map_table(folder / f"{name}.arrow", _is_text_schema) for name in names]
    return texts_of(join_tables(tables, "example", lambda table: pc.sum(pc.equal(table.column("window"), 0)).as_py()))


def _is_text_schema(found: pa.Schema) -> bool:
    slices = [name.removeprefix(SLICE) for name in found.names if name.startswith(SLICE)]
    return found in [text_schema(answers, slices) for answers in ("labels", "targets")]


def texts_of(table: pa.Table) -> EncodedTexts:
    """Return the columns of a table as arrays; little is copied if the table is one chunk."""
    input_ids = table.column("input_ids").combine_chunks()
    window, second = table.column("window").to_numpy(), table.column("second").to_numpy()
    is_first = window == 0
    of_examples = table if is_first.all() else table.filter(pa.array(is_first))
    answers = [name for name in ANSWERS if name in table.schema.names]
    return EncodedTexts(
        offsets=input_ids.offsets.to_numpy(),
        input_ids=input_ids.values.to_numpy(),
        second=second,
        example=table.column("example").to_numpy(),
        window=window,
        weight=table.column("weight").to_numpy(),
        texts=of_examples.column("text"),
        pairs=None if (second == NO_SECOND).all() else of_examples.column("pair"),
        slices={
            name.removeprefix(SLICE): of_examples.column(name).combine_chunks().dictionary_encode()
            for name in table.schema.names
            if name.startswith(SLICE)
        },
        answers=table.column(answers[0]).combine_chunks() if answers else None,
    )
