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
    """norm(residual + dropout(input weight^T + bias + update)), of a post-norm encoder layer.

    `update` is what an adapter adds. What needs no gradient gets none, which saves a matrix product for frozen weights.
    """

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
        update_ND: torch.Tensor | None,
    ) -> torch.Tensor:
        """[N, D]; `mask` covers [N, D]."""
        sum_ND = torch.addmm(bias_D, input_NI, weight_DI.t())
        if update_ND is not None:
            sum_ND.add_(update_ND)
        if mask is None:
            sum_ND.add_(residual_ND)
        else:
            sum_ND = torch.addcmul(residual_ND, sum_ND, mask.kept, value=mask.scale)
        output_ND, mean_N, deviation_N = torch.native_layer_norm(
            sum_ND, sum_ND.shape[1:], norm_weight_D, norm_bias_D, epsilon
        )
        ctx.keep_scale = None if mask is None else mask.scale
        kept_ND = None if mask is None else mask.kept
        used_NI = input_NI if ctx.needs_input_grad[2] else None
        ctx.save_for_backward(
            used_NI, weight_DI, norm_weight_D, norm_bias_D, sum_ND, mean_N, deviation_N, kept_ND
        )  # fmt: skip
        return output_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_ND: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of input, residual, weight, bias, the norm's two vectors and the update."""
        of_input, of_residual, of_weight, of_bias, of_norm_weight, of_norm_bias, _, _, of_update = ctx.needs_input_grad
        input_NI, weight_DI, norm_weight_D, norm_bias_D, sum_ND, mean_N, deviation_N, kept_ND = ctx.saved_tensors
        of_sum_ND, of_norm_weight_D, of_norm_bias_D = torch.ops.aten.native_layer_norm_backward(
            gradient_ND.contiguous(), sum_ND, sum_ND.shape[1:], mean_N, deviation_N,
            norm_weight_D, norm_bias_D, [True, of_norm_weight, of_norm_bias],
        )  # fmt: skip
        of_product_ND = of_sum_ND if kept_ND is None else (of_sum_ND * kept_ND).mul_(ctx.keep_scale)
        return (
            of_product_ND @ weight_DI if of_input else None,
            of_sum_ND if of_residual else None,
            of_product_ND.t() @ input_NI if of_weight else None,
            of_product_ND.sum(0) if of_bias else None,
            of_norm_weight_D,
            of_norm_bias_D,
            None,
            None,
            of_product_ND if of_update else None,
        )
