from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages.corpus.examples.readers.blocks import ExampleBlock
from stages.encoding.text_rows import TextEncoder
from stages.encoding.texts import text_schema, texts_of
from stages.encoding.tokenizer import load_tokenizer
from stages.tasks.text_classification.data.rows import label_ids


@pytest.fixture
def encoder(tiny_pretrained: Path) -> TextEncoder:
    return TextEncoder(load_tokenizer(tiny_pretrained), length=12, overlap=2)


def test_label_ids_are_places_among_the_sorted_names() -> None:
    labels = pa.array([["b"], [], ["c", "a", "c"], ["a"]], pa.list_(pa.string()))
    assert label_ids(labels, ["a", "b", "c"]).to_pylist() == [[1], [], [0, 2], [0]]
    assert label_ids(labels.slice(2), ["a", "b", "c"]).to_pylist() == [[0, 2], [0]]
    with pytest.raises(AssertionError):
        label_ids(labels, ["a", "b"])
    with pytest.raises(AssertionError):
        label_ids(labels, ["c", "b", "a"])


def test_rows_carry_the_labels_of_their_example(encoder: TextEncoder) -> None:
    block = ExampleBlock(
        source="train.csv",
        texts=pa.array(["Munich", "the town " * 20, "x"]),
        pairs=None,
        labels=pa.array([["b"], ["a"], ["b"]]),
        numbers=None,
        lines=np.arange(3, dtype=np.int32),
        slices={"source": pa.array(["web", "mail", ""]).dictionary_encode()},
    )
    chosen = block.select(np.array([False, True, True]))
    assert chosen.labels is not None
    answers = label_ids(chosen.labels, ["a", "b"])
    rows = encoder.encode(chosen.texts).rows(first=5, answers=answers, slices=chosen.slices)
    assert rows.schema == text_schema("labels", ["source"])
    split = texts_of(pa.Table.from_batches([rows]))
    assert split.texts.to_pylist() == ["the town " * 20, "x"]
    assert split.answers is not None
    assert split.answers.to_pylist() == [[0]] * (len(rows) - 1) + [[1]]
    assert split.example.tolist() == [5] * (len(rows) - 1) + [6]
    assert split.slices["source"].to_pylist() == ["mail", ""]
    assert split.example_answers.to_pylist() == [[0], [1]]


def test_inputs_are_rows_without_labels(encoder: TextEncoder) -> None:
    table = encoder.encode_inputs(["Munich \udc00"], pairs=False)
    assert table.schema == text_schema(None)
    assert table.column("text").to_pylist() == ["Munich \ufffd"]
