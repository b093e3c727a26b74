"""Both forms of attention, compared with the plain formula differentiated by autograd."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from stages.modeling.attention import (
    TILE,
    GroupedAttention,
    GroupedRows,
    UnpaddedRows,
    attention,
    grouped_rows,
    has_flash_attention,
    unpadded_rows,
)
from stages.modeling.batches import collate
from stages.modeling.device import Compute
from stages.modeling.dropout import Mask, Masks
from tests.modeling.conftest import flash_attention, random, random_split

HEADS, WIDTH = 2, 6
AFTER = 3  # tokens after the last row
# Longest first, as in a batch.
LENGTHS = {
    "one row": [4],
    "one row that fills its group": [16],
    "one group": [19, 18, 18, 16],
    "long rows": [140, 132],
    "several groups": [40, 34, 22, 22, 20, 9, 9, 2],
}
RATES = {"no mask": 0.0, "mask": 0.4}


def plain_attention(
    query_ND: torch.Tensor, key_ND: torch.Tensor, value_ND: torch.Tensor, lengths: list[int], mask: Mask | None
) -> torch.Tensor:
    """Row by row and head by head, the order of the mask's values, which include those of padding."""
    contexts, first, used = [], 0, 0
    for length, padded in zip(lengths, padded_lengths(lengths), strict=True):
        heads = []
        for query_TK, key_TK, value_TK in zip(
            *(x_ND[first : first + length].chunk(HEADS, dim=1) for x_ND in (query_ND, key_ND, value_ND)), strict=True
        ):
            weights_TT = (query_TK @ key_TK.t() / math.sqrt(query_TK.shape[1])).softmax(-1)
            if mask is not None:
                kept_TT = mask.kept[used : used + padded**2].view(padded, padded)[:length, :length]
                weights_TT = weights_TT * kept_TT * mask.scale
                used += padded**2
            heads.append(weights_TT @ value_TK)
        contexts.append(torch.cat(heads, dim=1))
        first += length
    assert mask is None or used == len(mask.kept)
    return functional.pad(torch.cat(contexts), (0, 0, 0, AFTER))


def padded_lengths(lengths: list[int]) -> list[int]:
    batch = collate(random_split(lengths), np.arange(len(lengths)))
    return [group.length for group in batch.groups for _ in range(group.rows)]


def grouped(lengths: list[int], dtype: torch.dtype = torch.float32) -> GroupedRows:
    batch = collate(random_split(lengths), np.arange(len(lengths)))
    return grouped_rows(batch.lengths_B, batch.groups, heads=HEADS, dtype=dtype, pairs_before=0)


def projections(lengths: list[int], dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    return [random(sum(lengths) + AFTER, WIDTH, seed=seed, dtype=dtype) for seed in range(3)]


def pair_mask(lengths: list[int], rate: float, dtype: torch.dtype = torch.float32) -> Mask | None:
    pairs = HEADS * sum(length**2 for length in padded_lengths(lengths))
    return Masks(1, 1).draw((pairs,), rate=rate, before=0, like=torch.zeros(0, dtype=dtype))


def gradient(tokens: int) -> torch.Tensor:
    """0 for the tokens that belong to no row."""
    return functional.pad(random(tokens, WIDTH, seed=9).detach(), (0, 0, 0, AFTER))


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_attention_and_its_gradients_equal_the_plain_formula(lengths: list[int], rate: float) -> None:
    inputs = projections(lengths)
    mask = pair_mask(lengths, rate)
    assert (mask is None) == (rate == 0)
    context_ND = GroupedAttention.apply(*inputs, grouped(lengths).layouts, HEADS, mask)
    expected_ND = plain_attention(*inputs, lengths, mask)
    torch.testing.assert_close(context_ND, expected_ND)
    gradient_ND = gradient(sum(lengths))
    torch.testing.assert_close(
        torch.autograd.grad(context_ND, inputs, gradient_ND), torch.autograd.grad(expected_ND, inputs, gradient_ND)
    )


@pytest.mark.parametrize("layout", ["expanded", "transposed"])
def test_attention_accepts_a_gradient_of_any_layout(layout: str) -> None:
    lengths = [16, 16]  # full groups, without tokens after them
    inputs = [x_ND[: sum(lengths)].detach().requires_grad_() for x_ND in projections(lengths)]
    context_ND = GroupedAttention.apply(*inputs, grouped(lengths).layouts, HEADS, None)
    tokens = len(context_ND)
    gradient_ND = {
        "expanded": torch.arange(1.0, WIDTH + 1).expand(tokens, WIDTH),
        "transposed": random(WIDTH, tokens, seed=9).detach().t(),
    }[layout]
    assert not gradient_ND.is_contiguous()
    torch.testing.assert_close(
        torch.autograd.grad(context_ND, inputs, gradient_ND, retain_graph=True),
        torch.autograd.grad(context_ND, inputs, gradient_ND.contiguous()),
    )


@pytest.mark.parametrize("name", ["several groups", "long rows"])
def test_attention_in_bf16_is_close_to_that_in_fp32(name: str) -> None:
    lengths = LENGTHS[name]
    short = projections(lengths, torch.bfloat16)
    exact = [x_ND.detach().float().requires_grad_() for x_ND in short]
    contexts = [
        GroupedAttention.apply(*inputs, grouped(lengths, dtype).layouts, HEADS, pair_mask(lengths, 0.4, dtype))
        for inputs, dtype in ((short, torch.bfloat16), (exact, torch.float32))
    ]
    assert contexts[0].dtype is torch.bfloat16
    torch.testing.assert_close(contexts[0].float(), contexts[1], rtol=0.05, atol=0.05)
    gradients = [
        torch.autograd.grad(context_ND.float().square().sum(), inputs)
        for context_ND, inputs in zip(contexts, (short, exact), strict=True)
    ]
    for short_ND, exact_ND in zip(*gradients, strict=True):
        torch.testing.assert_close(short_ND.float(), exact_ND, rtol=0.1, atol=0.2)


def unpadded(lengths: list[int]) -> UnpaddedRows:
    return unpadded_rows(np.array(lengths), tokens=sum(lengths) + AFTER)


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_grouped_and_unpadded_rows_have_the_same_attention_and_gradients(
    monkeypatch: pytest.MonkeyPatch, lengths: list[int]
) -> None:
    monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", flash_attention)
    inputs = projections(lengths, torch.float64)
    contexts = [
        attention(*inputs, rows, heads=HEADS, dropout=0.3, masks=None)[: sum(lengths)]
        for rows in (grouped(lengths, torch.float64), unpadded(lengths))
    ]
    gradient_ND = random(sum(lengths), WIDTH, seed=9, dtype=torch.float64).detach()
    gradients = [torch.autograd.grad(context_ND, inputs, gradient_ND) for context_ND in contexts]
    # The grouped form has its softmax in fp32, whatever its number format.
    torch.testing.assert_close(contexts[0], contexts[1], rtol=0, atol=1e-6)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-6)


def test_the_kernel_gets_heads_rows_scale_and_the_rate_of_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def kernel(*arguments: Any, **options: Any) -> Sequence[torch.Tensor]:
        seen.append(options)
        return flash_attention(*arguments, **options | {"dropout_p": 0.0})

    monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", kernel)
    inputs = projections([5, 4])
    for masks in (None, Masks(1, 2)):
        attention(*inputs, unpadded([5, 4]), heads=HEADS, dropout=0.1, masks=masks)
    assert [options["dropout_p"] for options in seen] == [0.0, 26 / 256]
    assert all(options["scale"] == (WIDTH // HEADS) ** -0.5 for options in seen)
    assert not any(options["is_causal"] for options in seen)


@pytest.mark.parametrize("lengths", [[1], [TILE], [TILE + 1, 3], [40] * 63, [40] * 64, [7] * 200])
def test_unpadded_rows_hold_every_token_once_and_none_is_longer_than_the_longest(lengths: list[int]) -> None:
    for after in (1, TILE):
        tokens = sum(lengths) + after
        rows = unpadded_rows(np.array(lengths), tokens=tokens)
        assert rows.cu_seqlens.dtype is torch.int32
        assert rows.cu_seqlens[0] == 0
        assert rows.cu_seqlens[-1] == tokens
        found = rows.cu_seqlens.diff().tolist()
        assert found[: len(lengths) + 1] == [*lengths, after]
        assert not any(found[len(lengths) + 1 :])
        assert max(found) <= rows.longest < max(lengths) + TILE
        assert len(found) % 64 == rows.longest % TILE == 0


def test_the_kernel_is_for_bf16_and_the_heads_and_gpus_that_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    capability = (8, 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    bf16, fp32 = (Compute(torch.device("cuda"), dtype) for dtype in (torch.bfloat16, torch.float32))
    assert [has_flash_attention(bf16, width) for width in (32, 64, 20, 264)] == [True, True, False, False]
    assert not has_flash_attention(fp32, 64)
    assert not has_flash_attention(Compute(torch.device("cpu"), torch.bfloat16), 64)
    capability = (7, 5)
    assert not has_flash_attention(bf16, 64)
    capability = (9, 0)
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: False)
    assert not has_flash_attention(bf16, 64)
