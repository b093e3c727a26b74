from collections.abc import Callable
from dataclasses import is_dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.encoding.files import IGNORED
from stages.modeling.attention import Group, GroupedRows, grouped_rows, unpadded_rows
from stages.modeling.batches import Batch, PaddedRows, choose_rows, collate, shuffled_rows, sorted_rows, split_rows
from tests.modeling.conftest import encoded, random_split

LENGTHS = st.lists(st.integers(3, 120), min_size=1, max_size=200).map(lambda values: np.array(values, dtype=np.int32))
REALISTIC = np.random.default_rng(0).gamma(4, 6, 3000).astype(np.int32) + 3


@given(LENGTHS, st.integers(16, 600), st.integers(0, 9))
def test_batches_hold_each_row_once_longest_first_near_the_budget(lengths: np.ndarray, budget: int, epoch: int) -> None:
    for batches in (shuffled_rows(lengths, budget=budget, seed=1, epoch=epoch), sorted_rows(lengths, budget=budget)):
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        for rows in batches:
            assert (np.diff(lengths[rows]) <= 0).all()
            # The number of batches is rounded, so a single one may have nearly one and a half times the budget; and a
            # row is never cut, so the last one may exceed it.
            assert lengths[rows].sum() < 1.5 * budget + lengths[rows].max()


def test_batches_of_a_corpus_differ_from_the_budget_by_little_more_than_a_row() -> None:
    for batches in (shuffled_rows(REALISTIC, budget=1024, seed=1, epoch=1), sorted_rows(REALISTIC, budget=1024)):
        sizes = [int(REALISTIC[rows].sum()) for rows in batches]
        assert max(abs(size - 1024) for size in sizes) < REALISTIC.max() + 1024 / 30
        assert np.mean(sizes) == pytest.approx(1024, rel=0.02)


def test_shuffled_rows_repeat_by_seed_and_epoch_and_differ_otherwise() -> None:
    def order(**settings: int) -> list[int]:
        return np.concatenate(shuffled_rows(REALISTIC, budget=512, **settings)).tolist()

    assert order(seed=1, epoch=1) == order(seed=1, epoch=1)
    assert order(seed=1, epoch=1) != order(seed=1, epoch=2)
    assert order(seed=1, epoch=1) != order(seed=2, epoch=1)


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0, 0.95), st.integers(1, 9))
def test_an_epoch_has_all_new_rows_and_a_share_of_old_ones_by_seed_and_epoch(
    new: int, old: int, share: float, epoch: int
) -> None:
    rows = choose_rows(new, old, share=share, seed=3, epoch=epoch)
    assert rows[:new].tolist() == list(range(new))
    drawn = rows[new:].tolist()
    assert drawn == sorted(set(drawn))
    assert all(new <= row < new + old for row in drawn)
    assert len(drawn) == min(old, round(new * share / (1 - share)))
    fewer = choose_rows(new, old, share=share / 2, seed=3, epoch=epoch)[new:].tolist()
    assert set(fewer) <= set(drawn)
    assert rows.tolist() == choose_rows(new, old, share=share, seed=3, epoch=epoch).tolist()


def test_other_old_rows_are_drawn_in_each_epoch_and_for_each_seed() -> None:
    draws = {
        tuple(choose_rows(50, 200, share=0.2, seed=seed, epoch=epoch)[50:]) for seed in (1, 2) for epoch in range(1, 5)
    }
    assert len(draws) == 8
    batches = shuffled_rows(np.full(30, 8, np.int32), budget=40, seed=1, epoch=1, rows=np.arange(3, 20))
    assert sorted(np.concatenate(batches).tolist()) == list(range(3, 20))


def test_shuffled_rows_mix_the_rows_of_a_batch_but_have_few_lengths() -> None:
    first, second = (shuffled_rows(REALISTIC, budget=1024, seed=1, epoch=epoch) for epoch in (1, 2))
    partners = {int(row): set(rows.tolist()) for rows in second for row in rows}
    assert np.mean([len(partners[int(row)] & set(rows.tolist())) / len(rows) for rows in first for row in rows]) < 0.2
    lengths = [len(np.unique(REALISTIC[rows])) for rows in first]
    unsorted = [len(np.unique(REALISTIC[start : start + 37])) for start in range(0, 2960, 37)]
    assert np.mean(lengths) < np.mean(unsorted) / 3
    # Batches come in no order of length: as often a shorter one after a longer as the other way round.
    means = [REALISTIC[rows].mean() for rows in first]
    assert 0.3 < np.mean(np.diff(means) > 0) < 0.7


@pytest.mark.parametrize("budget", [1, 8])
def test_a_row_longer_than_the_budget_is_its_own_batch(budget: int) -> None:
    assert [rows.tolist() for rows in sorted_rows(np.array([50, 60], dtype=np.int32), budget=budget)] == [[1], [0]]


def test_shuffled_rows_accept_rows_of_many_times_the_budget() -> None:
    assert len(shuffled_rows(np.array([512, 512], dtype=np.int32), budget=16, seed=1, epoch=1)) == 2


@given(LENGTHS, st.integers(1, 300))
def test_parts_are_consecutive_and_of_similar_size_and_none_is_empty(lengths: np.ndarray, count: int) -> None:
    rows = np.random.default_rng(0).permutation(len(lengths))
    found = split_rows(rows, lengths, count=count)
    assert 1 <= len(found) <= count
    assert found[0].start == 0
    assert found[-1].stop == len(rows)
    assert all(left.stop == right.start for left, right in pairwise(found))
    for part in found:
        assert 0 < lengths[rows[part]].sum() < lengths.sum() / count + lengths.max()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 12])
def test_parts_of_rows_of_one_length_are_equal(count: int) -> None:
    found = split_rows(np.arange(12), np.full(12, 7, dtype=np.int32), count=count)
    assert [part.stop - part.start for part in found] == [12 // count] * count


def test_collate_packs_rows_without_padding() -> None:
    split = encoded(
        [
            ([2, 7, 3], [IGNORED, 4, IGNORED]),
            ([2, 8, 9, 10, 3], [IGNORED, 1, IGNORED, 0, IGNORED]),
            ([2, 11, 12, 13, 3], [IGNORED, 2, 0, 3, IGNORED]),
            ([2, 14, 3], [IGNORED, IGNORED, IGNORED]),
        ]
    )
    batch = collate(split, np.array([2, 1, 3, 0]))
    assert batch.rows.tolist() == [2, 1, 3, 0]
    assert batch.input_ids_N.tolist() == [2, 11, 12, 13, 3, 2, 8, 9, 10, 3, 2, 14, 3, 2, 7, 3]
    assert batch.positions_N.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2]
    assert batch.lengths_B.tolist() == [5, 5, 3, 3]
    assert batch.groups == (Group(4, 16),)
    assert batch.places_L.tolist() == [1, 2, 3, 6, 8, 14]
    assert batch.answers[0].tolist() == [2, 0, 3, 1, 0, 4]
    assert batch.tokens == 16
    assert (batch.tokens_before, batch.places_before, batch.pairs_before) == (0, 0, 0)


def test_collate_counts_what_the_parts_before_hold() -> None:
    split = random_split([26, 39, 3, 26, 24])
    rows = np.array([1, 0, 3, 4, 2])
    batch = collate(split, rows, slice(2, 4))
    assert batch.rows.tolist() == [3, 4]
    assert batch.lengths_B.tolist() == [26, 24]
    assert batch.groups == (Group(2, 28),)
    assert batch.tokens_before == 39 + 26
    assert batch.pairs_before == 40**2 + 28**2
    labels = [split.labels[split.offsets[row] : split.offsets[row + 1]] for row in (1, 0)]
    assert batch.places_before == int((np.concatenate(labels) != IGNORED).sum()) > 0


@given(LENGTHS)
def test_attention_pads_rows_to_few_lengths_near_their_own(lengths: np.ndarray) -> None:
    split = random_split(lengths.tolist())
    (rows,) = sorted_rows(split.lengths, budget=100_000)
    groups = collate(split, rows).groups
    assert (np.diff([group.length for group in groups]) < 0).all()
    padded = np.repeat([group.length for group in groups], [group.rows for group in groups])
    assert (padded >= split.lengths[rows]).all()
    assert (padded % 4 == 0).all()
    longer = padded > 16
    assert (split.lengths[rows][longer] >= 0.8 * padded[longer]).all()


@given(st.lists(st.integers(2, 40), min_size=1, max_size=20), st.integers(1, 8))
def test_collated_parts_make_up_the_whole_batch(values: list[int], count: int) -> None:
    split = random_split(values)
    (rows,) = sorted_rows(split.lengths, budget=10_000)
    whole = collate(split, rows)
    found = [collate(split, rows, part) for part in split_rows(rows, split.lengths, count=count)]
    for name in ("rows", "lengths_B", "input_ids_N", "positions_N"):
        assert np.concatenate([getattr(part, name) for part in found]).tolist() == getattr(whole, name).tolist()
    assert torch.cat([part.answers[0] for part in found]).tolist() == whole.answers[0].tolist()
    places = [part.places_L + part.tokens_before for part in found]
    assert torch.cat(places).tolist() == whole.places_L.tolist()
    assert sum(part.tokens for part in found) == split.lengths.sum() == whole.tokens
    for before, part in enumerate(found):
        assert part.tokens_before == sum(earlier.tokens for earlier in found[:before])
        assert part.places_before == sum(earlier.outputs for earlier in found[:before])
        assert part.pairs_before == sum(g.rows * g.length**2 for earlier in found[:before] for g in earlier.groups)


def tensors_of(value: Any, name: str = "") -> dict[str, torch.Tensor]:
    """All tensors of a batch by their place in it."""
    if isinstance(value, torch.Tensor):
        return {name: value}
    fields = dict(enumerate(value)) if isinstance(value, tuple) else vars(value) if is_dataclass(value) else {}
    return {place: x for key, item in fields.items() for place, x in tensors_of(item, f"{name}.{key}").items()}


def grouped_form(batch: Batch) -> GroupedRows:
    return grouped_rows(batch.lengths_B, batch.groups, heads=2, dtype=torch.float32, pairs_before=0)


FORMS: dict[str, Callable[[Batch], Any]] = {
    "grouped": grouped_form,
    "unpadded": lambda batch: unpadded_rows(batch.lengths_B, tokens=batch.tokens + 1),
    "padded": lambda _: PaddedRows(torch.zeros(2, 30), torch.zeros(2, 30), None, torch.zeros(3)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_batch_moves_to_a_device_with_all_its_tensors(form: Callable[[Batch], Any]) -> None:
    batch = collate(random_split([30, 26, 4]), np.array([0, 1, 2]), slice(1, 3))
    batch = replace(batch, form=form(batch))
    moved, before = tensors_of(batch.to(torch.device("meta"))), tensors_of(batch)
    assert {".input_ids_N", ".positions_N", ".places_L", ".answers.0"} < before.keys()
    assert any(name.startswith(".form.") for name in before)
    assert {name: (x.shape, x.dtype) for name, x in moved.items()} == {
        name: (x.shape, x.dtype) for name, x in before.items()
    }
    assert all(x.is_meta for x in moved.values())
    for name in ("rows", "lengths_B", "groups", "tokens", "tokens_before", "places_before", "pairs_before"):
        assert np.array_equal(getattr(batch.to(torch.device("meta")), name), getattr(batch, name))


def test_a_batch_is_pinned_with_all_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: pinned.append(x) or x)
    batch = collate(random_split([30, 26, 4]), np.array([0, 1, 2]))
    batch = replace(batch, form=grouped_form(batch))
    batch.pin_memory()
    assert {id(x) for x in pinned} == {id(x) for x in tensors_of(batch).values()}
    assert len(pinned) > 6
