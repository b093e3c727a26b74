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
    """Input, residual, weight, bias, the norm's weight and bias, and an update."""
    shapes = [(tokens, INNER), (tokens, WIDTH), (WIDTH, INNER), (WIDTH,), (WIDTH,), (WIDTH,), (tokens, WIDTH)]
    return [random(*shape, seed=seed, dtype=dtype) for seed, shape in enumerate(shapes)]


def value_mask(inputs: list[torch.Tensor], rate: float) -> Mask | None:
    return Masks(1, 1).draw(tuple(inputs[1].shape), rate=rate, before=0, like=inputs[1])


def apply(inputs: list[torch.Tensor], mask: Mask | None) -> torch.Tensor:
    output_ND: torch.Tensor = AddAndNorm.apply(*inputs[:6], 0.1, mask, inputs[6])
    return output_ND


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_add_and_norm_and_its_gradients_equal_the_plain_formula(dtype: torch.dtype, rate: float) -> None:
    inputs = layer_inputs(dtype=dtype)
    input_NI, residual_ND, weight_DI, bias_D, norm_weight_D, norm_bias_D, update_ND = inputs
    mask = value_mask(inputs, rate)
    output_ND = apply(inputs, mask)
    product_ND = functional.linear(input_NI, weight_DI, bias_D) + update_ND
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
    assert torch.autograd.gradcheck(lambda *values: apply(list(values), mask), inputs)


@pytest.mark.parametrize("frozen", range(7))
def test_add_and_norm_has_the_same_gradients_where_one_input_needs_none(frozen: int) -> None:
    inputs = layer_inputs()
    mask = value_mask(inputs, 0.4)
    gradient_ND = random(7, WIDTH, seed=9, dtype=torch.float64)
    expected = list(torch.autograd.grad(apply(inputs, mask), inputs, gradient_ND))
    inputs[frozen].requires_grad_(requires_grad=False)
    trained = [value for value in inputs if value.requires_grad]
    found = torch.autograd.grad(apply(inputs, mask), trained, gradient_ND)
    del expected[frozen]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_add_and_norm_of_no_tokens_has_zero_gradients() -> None:
    inputs = layer_inputs(tokens=0)
    output_ND = apply(inputs, None)
    assert output_ND.shape == (0, WIDTH)
    for value, gradient in zip(inputs, torch.autograd.grad(output_ND.sum(), inputs), strict=True):
        assert torch.equal(gradient, torch.zeros_like(value))
