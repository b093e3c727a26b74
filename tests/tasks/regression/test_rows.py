from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages.corpus.examples.readers.blocks import ExampleBlock
from stages.encoding.text_rows import TextEncoder
from stages.encoding.texts import text_schema, texts_of
from stages.encoding.tokenizer import load_tokenizer
from stages.tasks.regression.data.rows import targets_of


@pytest.fixture
def encoder(tiny_pretrained: Path) -> TextEncoder:
    return TextEncoder(load_tokenizer(tiny_pretrained), length=12, overlap=2, symmetric=True)


def test_rows_carry_the_numbers_of_their_example_as_they_are(encoder: TextEncoder) -> None:
    numbers = np.array([[1.25, -3e10], [0.1, 7.0], [2.0, 0.0]])
    block = ExampleBlock(
        source="train.csv",
        texts=pa.array(["Munich", "x", "y"]),
        pairs=pa.array(["town", "y", "z"]),
        labels=None,
        numbers=numbers,
        lines=np.arange(3, dtype=np.int32),
        slices={},
    )
    chosen = block.select(np.array([True, False, True]))
    assert chosen.numbers is not None
    rows = encoder.encode(chosen.texts, chosen.pairs).rows(answers=targets_of(chosen.numbers))
    assert rows.schema == text_schema("targets")
    split = texts_of(pa.Table.from_batches([rows]))
    assert split.example_answers.to_pylist() == numbers[[0, 2]].tolist()
    assert split.example.tolist() == [0, 0, 1, 1]  # both orders
    assert split.weight.tolist() == [0.5] * 4
    assert split.pairs is not None
    assert split.pairs.to_pylist() == ["town", "z"]


def test_inputs_are_rows_without_targets(encoder: TextEncoder) -> None:
    table = encoder.encode_inputs([{"text": "Munich", "pair": "town"}], pairs=True)
    assert table.schema == text_schema(None)
    assert table.column("pair").to_pylist() == ["town", None]
