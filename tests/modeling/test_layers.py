"""The custom backward functions, compared with the plain formulas differentiated by autograd."""

import pytest
import torch
from torch.nn import functional

from stages.modeling.dropout import Mask, Masks
from stages.modeling.layers import AddAndNorm
from tests.modeling.conftest import random

WIDTH, INNER = 6, 5
RATES = {"no mask": 0.0, "mask": 0.4}


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
