"""The custom backward functions, compared with the plain formulas differentiated by autograd."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from stages.modeling.batches import collate
from stages.modeling.dropout import Mask, Masks
from stages.modeling.layers import AddAndNorm, Attention, Layout, layouts
from tests.modeling.conftest import random_split

HEADS, WIDTH, INNER = 2, 6, 5
AFTER = 3  # tokens after the last row
# Longest first, as in a batch.
LENGTHS = {
    "one row": [4],
    "one row that fills its group": [16],
    "one group": [19, 18, 18, 16],
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


def group_layouts(lengths: list[int], dtype: torch.dtype = torch.float32) -> list[Layout]:
    return layouts(collate(random_split(lengths), np.arange(len(lengths))), HEADS, dtype)


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


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
    context_ND = Attention.apply(*inputs, group_layouts(lengths), HEADS, mask)
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
    context_ND = Attention.apply(*inputs, group_layouts(lengths), HEADS, None)
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


def test_attention_in_bf16_is_close_to_that_in_fp32() -> None:
    lengths = LENGTHS["several groups"]
    short = projections(lengths, torch.bfloat16)
    exact = [x_ND.detach().float().requires_grad_() for x_ND in short]
    contexts = [
        Attention.apply(*inputs, group_layouts(lengths, dtype), HEADS, pair_mask(lengths, 0.4, dtype))
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


def layer_inputs(tokens: int = 7, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """Input, residual, weight, bias, and the norm's weight and bias."""
    shapes = [(tokens, INNER), (tokens, WIDTH), (WIDTH, INNER), (WIDTH,), (WIDTH,), (WIDTH,)]
    return [random(*shape, seed=seed, dtype=dtype) for seed, shape in enumerate(shapes)]


def value_mask(inputs: list[torch.Tensor], rate: float) -> Mask | None:
    return Masks(1, 1).draw(tuple(inputs[1].shape), rate=rate, before=0, like=inputs[1])


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_add_and_norm_and_its_gradients_equal_the_plain_formula(dtype: torch.dtype, rate: float) -> None:
    inputs = layer_inputs(dtype=dtype)
    input_NI, residual_ND, weight_DI, bias_D, norm_weight_D, norm_bias_D = inputs
    mask = value_mask(inputs, rate)
    output_ND = AddAndNorm.apply(*inputs, 0.1, mask)
    product_ND = functional.linear(input_NI, weight_DI, bias_D)
    if mask is not None:
        product_ND = product_ND * mask.kept * mask.scale
    expected_ND = functional.layer_norm(product_ND + residual_ND, (WIDTH,), norm_weight_D, norm_bias_D, 0.1)
    torch.testing.assert_close(output_ND, expected_ND)
    gradient_ND = random(*output_ND.shape, seed=9, dtype=dtype)
    torch.testing.assert_close(
        torch.autograd.grad(output_ND, inputs, gradient_ND), torch.autograd.grad(expected_ND, inputs, gradient_ND)
    )


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_add_and_norm_has_the_gradients_of_finite_differences(rate: float) -> None:
    inputs = layer_inputs()
    mask = value_mask(inputs, rate)
    assert torch.autograd.gradcheck(lambda *values: AddAndNorm.apply(*values, 0.1, mask), inputs)


def test_add_and_norm_of_no_tokens_has_zero_gradients() -> None:
    inputs = layer_inputs(tokens=0)
    output_ND = AddAndNorm.apply(*inputs, 0.1, None)
    assert output_ND.shape == (0, WIDTH)
    for value, gradient in zip(inputs, torch.autograd.grad(output_ND.sum(), inputs), strict=True):
        assert torch.equal(gradient, torch.zeros_like(value))
