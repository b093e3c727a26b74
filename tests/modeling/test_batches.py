from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.encoding.files import IGNORED, SCHEMA, read_split, split_writer
from stages.modeling.batches import assemble, shuffled_rows, sorted_rows

LENGTHS = st.lists(st.integers(3, 120), min_size=1, max_size=200).map(lambda values: np.array(values, dtype=np.int32))


@given(LENGTHS, st.integers(16, 600), st.integers(0, 9))
def test_batches_hold_each_row_once_within_the_budget(lengths: np.ndarray, budget: int, epoch: int) -> None:
    for batches in (shuffled_rows(lengths, budget=budget, seed=1, epoch=epoch), sorted_rows(lengths, budget=budget)):
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        for rows in batches:
            longest = -(-int(lengths[rows].max()) // 8) * 8
            assert len(rows) == 1 or len(rows) * longest <= budget


def test_shuffled_rows_repeat_by_seed_and_epoch_and_differ_otherwise() -> None:
    lengths = np.random.default_rng(0).integers(5, 60, 500).astype(np.int32)

    def order(**settings: int) -> list[int]:
        return np.concatenate(shuffled_rows(lengths, budget=512, **settings)).tolist()

    assert order(seed=1, epoch=1) == order(seed=1, epoch=1)
    assert order(seed=1, epoch=1) != order(seed=1, epoch=2)
    assert order(seed=1, epoch=1) != order(seed=2, epoch=1)


def test_shuffled_rows_waste_little_on_padding() -> None:
    lengths = np.random.default_rng(0).gamma(4, 6, 3000).astype(np.int32) + 3
    batches = shuffled_rows(lengths, budget=1024, seed=1, epoch=1)
    padded = sum(len(rows) * -(-int(lengths[rows].max()) // 8) * 8 for rows in batches)
    assert lengths.sum() / padded > 0.8


def test_assemble_pads_rows_to_a_multiple_of_eight(tmp_path: Path) -> None:
    rows = [
        {"input_ids": [2, 7, 8, 3], "labels": [IGNORED, 1, 0, IGNORED], "word_index": [-1, 0, 1, -1]},
        {"input_ids": [2, 9, 3], "labels": [IGNORED, 2, IGNORED], "word_index": [-1, 0, -1]},
    ]
    whole_rows = [{**row, "sentence": 0, "window": 0, "words": None} for row in rows]
    with split_writer(tmp_path / "train.arrow") as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(whole_rows, schema=SCHEMA))
    batch = assemble(read_split(tmp_path, "train"), np.array([1, 0]), pad_id=99)
    assert batch.input_ids_BT.tolist() == [[2, 9, 3] + [99] * 5, [2, 7, 8, 3] + [99] * 4]
    assert batch.attention_mask_BT.sum(1).tolist() == [3, 4]
    assert batch.labels_BT.tolist() == [[IGNORED, 2] + [IGNORED] * 6, [IGNORED, 1, 0] + [IGNORED] * 5]
    assert batch.subwords == 7


@pytest.mark.parametrize("budget", [1, 8])
def test_a_row_longer_than_the_budget_is_a_batch_of_its_own(budget: int) -> None:
    assert [rows.tolist() for rows in sorted_rows(np.array([50, 60], dtype=np.int32), budget=budget)] == [[1], [0]]
