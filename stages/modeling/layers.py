"""The last part of both sublayers of an encoder layer, with a custom backward.

This saves casts, and separate passes over memory for dropout, residual and norm. The gradients are those of the plain
formula; tests compare them.

Shape legend: N tokens, D width of the model, I inner width.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from stages.modeling.dropout import Mask


class AddAndNorm(torch.autograd.Function):
    """norm(residual + dropout(input weight^T + bias)): the last part of both sublayers of a post-norm encoder layer."""

    @staticmethod
    def forward(
        ctx: Any,
        input_NI: torch.Tensor,
        residual_ND: torch.Tensor,
        weight_DI: torch.Tensor,
        bias_D: torch.Tensor,
        norm_weight_D: torch.Tensor,
        norm_bias_D: torch.Tensor,
        epsilon: float,
        mask: Mask | None,
    ) -> torch.Tensor:
        """[N, D]; `mask` covers [N, D]."""
        sum_ND = torch.addmm(bias_D, input_NI, weight_DI.t())
        if mask is None:
            sum_ND.add_(residual_ND)
        else:
            sum_ND = torch.addcmul(residual_ND, sum_ND, mask.kept, value=mask.scale)
        output_ND, mean_N, deviation_N = torch.native_layer_norm(
            sum_ND, sum_ND.shape[1:], norm_weight_D, norm_bias_D, epsilon
        )
        ctx.keep_scale = None if mask is None else mask.scale
        kept_ND = None if mask is None else mask.kept
        ctx.save_for_backward(
            input_NI, weight_DI, norm_weight_D, norm_bias_D, sum_ND, mean_N, deviation_N, kept_ND
        )  # fmt: skip
        return output_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_ND: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of input, residual, weight, bias and the norm's two vectors."""
        input_NI, weight_DI, norm_weight_D, norm_bias_D, sum_ND, mean_N, deviation_N, kept_ND = ctx.saved_tensors
        of_sum_ND, of_norm_weight_D, of_norm_bias_D = torch.ops.aten.native_layer_norm_backward(
            gradient_ND.contiguous(), sum_ND, sum_ND.shape[1:], mean_N, deviation_N,
            norm_weight_D, norm_bias_D, [True, True, True],
        )  # fmt: skip
        of_product_ND = of_sum_ND if kept_ND is None else (of_sum_ND * kept_ND).mul_(ctx.keep_scale)
        return (
            of_product_ND @ weight_DI,
            of_sum_ND,
            of_product_ND.t() @ input_NI,
            of_product_ND.sum(0),
            of_norm_weight_D,
            of_norm_bias_D,
            None,
            None,
        )
