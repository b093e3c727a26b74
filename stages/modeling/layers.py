"""The two parts of an encoder layer that are worth a backward of their own, over packed rows (see batches.py).

What they save on a CPU: padding and its masks, casts, and the passes over memory that dropout, residual and norm make
one by one. Their gradients are those of the plain formulas; tests compare them.

Shape legend: N sub-words, D width of the model, K width of a head; in a group, R = rows x heads of T sub-words.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from stages.modeling.batches import Group
from stages.modeling.dropout import Mask


class Attention(torch.autograd.Function):
    """Multi-head self-attention (Vaswani et al., 2017) from the projections query, key and value, each [N, D]."""

    @staticmethod
    def forward(
        ctx: Any,
        query_ND: torch.Tensor,
        key_ND: torch.Tensor,
        value_ND: torch.Tensor,
        groups: Sequence[Group],
        heads: int,
        mask: Mask | None,  # of all groups' probabilities, one after another: R * T * T values each
    ) -> torch.Tensor:
        """The mean of the values, weighted by softmax(query key^T / sqrt(K)), [N, D]."""
        context_ND = torch.empty_like(query_ND)
        ctx.groups, ctx.heads, ctx.keep_scale = groups, heads, 1.0 if mask is None else mask.scale
        ctx.scale = (query_ND.shape[1] // heads) ** -0.5
        saved = []
        first = 0
        for group in groups:
            query_RTK, key_RTK, value_RTK = (_heads(x_ND, group, heads) for x_ND in (query_ND, key_ND, value_ND))
            scores_RTT = _product(query_RTK, key_RTK.transpose(1, 2), ctx.scale)
            probability_RTT = scores_RTT.softmax(-1, dtype=torch.float32)
            kept_RTT, used_RTT = None, probability_RTT.to(query_ND.dtype)
            if mask is not None:
                kept_RTT = mask.kept[first : first + used_RTT.numel()].view(used_RTT.shape)
                used_RTT = used_RTT * kept_RTT
                first += used_RTT.numel()
            _put(context_ND, group, heads, _product(used_RTT, value_RTK, ctx.keep_scale))
            saved += [query_RTK, key_RTK, value_RTK, probability_RTT, used_RTT, kept_RTT]
        ctx.save_for_backward(*saved)
        return context_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_ND: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of query, key and value."""
        of_query_ND, of_key_ND, of_value_ND = (torch.empty_like(gradient_ND) for _ in range(3))
        saved = ctx.saved_tensors
        for number, group in enumerate(ctx.groups):
            query_RTK, key_RTK, value_RTK, probability_RTT, used_RTT, kept_RTT = saved[6 * number : 6 * number + 6]
            gradient_RTK = _heads(gradient_ND, group, ctx.heads)
            _put(of_value_ND, group, ctx.heads, _product(used_RTT.transpose(1, 2), gradient_RTK, ctx.keep_scale))
            of_used_RTT = _product(gradient_RTK, value_RTK.transpose(1, 2), ctx.keep_scale)
            if kept_RTT is not None:
                of_used_RTT.mul_(kept_RTT)
            of_scores_RTT = torch._softmax_backward_data(
                of_used_RTT.float(), probability_RTT, -1, torch.float32
            ).to(gradient_ND.dtype)  # fmt: skip
            _put(of_query_ND, group, ctx.heads, _product(of_scores_RTT, key_RTK, ctx.scale))
            _put(of_key_ND, group, ctx.heads, _product(of_scores_RTT.transpose(1, 2), query_RTK, ctx.scale))
        return of_query_ND, of_key_ND, of_value_ND, None, None, None


class AddAndNorm(torch.autograd.Function):
    """norm(residual + dropout(input weight^T + bias)), the end of both halves of a post-norm encoder layer."""

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


def _product(left_RIJ: torch.Tensor, right_RJK: torch.Tensor, factor: float) -> torch.Tensor:
    """A batch of matrix products times `factor`, which costs no pass of its own."""
    out_RIK = left_RIJ.new_empty(left_RIJ.shape[0], left_RIJ.shape[1], right_RJK.shape[2])
    return torch.baddbmm(out_RIK, left_RIJ, right_RJK, beta=0, alpha=factor)


def _heads(x_ND: torch.Tensor, group: Group, heads: int) -> torch.Tensor:
    """The rows of a group as [R, T, K], contiguous."""
    split_BTHK = x_ND[group.subwords].view(group.rows, group.length, heads, -1)
    return split_BTHK.transpose(1, 2).reshape(group.rows * heads, group.length, -1)


def _put(x_ND: torch.Tensor, group: Group, heads: int, values_RTK: torch.Tensor) -> None:
    """The inverse of `_heads`, into `x_ND`."""
    split_BTHK = x_ND[group.subwords].view(group.rows, group.length, heads, -1)
    split_BTHK.copy_(values_RTK.view(group.rows, heads, group.length, -1).transpose(1, 2))
