import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.modeling.dropout import Mask, Masks, drop, rounded_rate

LIKE = torch.zeros(0)


def kept(masks: Masks, *shape: int, rate: float = 0.3, before: int = 0) -> torch.Tensor:
    mask = masks.draw(shape, rate=rate, before=before, like=LIKE)
    assert mask is not None
    assert mask.kept.shape == shape
    return mask.kept


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200), st.integers(1, 3))
def test_a_mask_drawn_in_parts_equals_sections_of_the_whole(first: int, second: int, rest: int, site: int) -> None:
    def at_site() -> Masks:
        return Masks(seed=1, step=2, site=site)

    whole = kept(at_site(), first + second + rest)
    assert torch.equal(kept(at_site(), second, before=first), whole[first : first + second])
    assert torch.equal(kept(at_site(), rest, before=first + second), whole[first + second :])


def test_a_mask_of_several_dimensions_runs_row_by_row() -> None:
    whole = kept(Masks(1, 2), 7, 5)
    assert torch.equal(kept(Masks(1, 2), 35).view(7, 5), whole)
    assert torch.equal(kept(Masks(1, 2), 4, 5, before=3 * 5), whole[3:])


def test_masks_repeat_by_seed_step_and_site_and_differ_otherwise() -> None:
    def drawn(seed: int, step: int, *, sites: int = 1) -> list[int]:
        masks = Masks(seed, step)
        return [kept(masks, 256) for _ in range(sites)][-1].tolist()

    assert drawn(1, 2) == drawn(1, 2)
    assert drawn(1, 2, sites=2) == drawn(1, 2, sites=2)
    assert drawn(1, 2) != drawn(1, 2, sites=2)
    assert drawn(1, 2) != drawn(1, 3)
    assert drawn(1, 2) != drawn(2, 2)
    assert drawn(1, 2) != drawn(2, 1)


def test_a_site_without_dropout_still_counts() -> None:
    masks = Masks(1, 2)
    assert masks.draw((8,), rate=0.0, before=0, like=LIKE) is None
    assert torch.equal(kept(masks, 256), kept(Masks(1, 2, site=1), 256))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.25, 0.5, 0.9])
def test_a_mask_keeps_one_minus_its_rate_and_scales_it_up(rate: float, dtype: torch.dtype) -> None:
    mask = Masks(1, 2).draw((400, 250), rate=rate, before=0, like=torch.zeros(0, dtype=dtype))
    assert mask is not None
    assert mask.kept.dtype is dtype
    assert set(mask.kept.unique().tolist()) == {0.0, 1.0}
    share_kept = 1 - round(rate * 256) / 256
    assert mask.scale == pytest.approx(1 / share_kept)
    deviation = math.sqrt(rate * (1 - rate) / 100_000)
    assert mask.kept.float().mean().item() == pytest.approx(share_kept, abs=4 * deviation)
    assert share_kept == pytest.approx(1 - rate, abs=1 / 512)


@pytest.mark.parametrize("rate", [0.0, 0.001])
def test_a_mask_that_drops_nothing_is_none(rate: float) -> None:
    assert Masks(1, 2).draw((8,), rate=rate, before=0, like=LIKE) is None


def test_adjacent_values_are_dropped_independently() -> None:
    values = kept(Masks(3, 4), 100_000, rate=0.5).numpy()
    for distance in (1, 2, 7, 8):
        assert abs(np.corrcoef(values[:-distance], values[distance:])[0, 1]) < 0.02


def test_drop_zeroes_and_scales_by_the_mask() -> None:
    values = torch.tensor([1.0, 2.0, 3.0])
    assert drop(values, None) is values
    assert drop(values, Mask(torch.tensor([1.0, 0.0, 1.0]), 4 / 3)).tolist() == pytest.approx([4 / 3, 0, 4])


def test_seed_generators_repeats_by_seed_step_and_position_and_differs_otherwise() -> None:
    def drawn(seed: int, step: int, before: int) -> float:
        Masks(seed, step).seed_generators(before)
        return torch.rand(1).item()

    assert drawn(1, 2, 3) == drawn(1, 2, 3)
    assert len({drawn(1, 2, 3), drawn(2, 2, 3), drawn(1, 3, 3), drawn(1, 2, 4), drawn(3, 2, 1)}) == 5


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.1, 0.5])
def test_the_rounded_rate_is_the_share_that_masks_drop(rate: float) -> None:
    mask = Masks(1, 2).draw((8,), rate=rate, before=0, like=LIKE)
    assert rounded_rate(rate) == (0 if mask is None else pytest.approx(1 - 1 / mask.scale))


def test_a_gpu_draws_a_mask_in_one_operator_from_its_default_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []

    def bernoulli(kept: torch.Tensor, p: float) -> None:
        drawn.append(p)

    monkeypatch.setattr(torch.Tensor, "bernoulli_", bernoulli)
    like = torch.zeros(0, dtype=torch.bfloat16, device="meta")
    mask = Masks(1, 2).draw((4, 3), rate=0.1, before=5, like=like)
    assert mask is not None
    assert (mask.kept.shape, mask.kept.dtype, mask.kept.device) == ((4, 3), torch.bfloat16, like.device)
    assert drawn == [1 - 26 / 256]
    assert mask.scale == pytest.approx(1 / drawn[0])
