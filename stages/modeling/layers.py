"""The two parts of an encoder layer with a custom backward, over packed rows (see batches.py).

On a CPU this saves padding and its masks, casts, and the separate passes over memory for dropout, residual and norm.
The gradients are those of the plain formulas; tests compare them.

Shape legend: N tokens, D width of the model, I inner width, K width of a head; in a group, R = rows x heads of T
positions, some of them padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from stages.modeling.batches import Batch
from stages.modeling.dropout import Mask


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a group are when its rows are padded to the same length T and split into heads.

    Padding refers to a token that belongs to no row: the caller appends one, whose gradient is 0.
    """

    tokens: slice  # in N
    rows: int  # R
    length: int  # T
    from_heads: torch.Tensor  # for each of R * T its index in [N * heads]
    into_heads: torch.Tensor  # for each token of the group, head by head, its index in [R * T]
    bias_R1T: torch.Tensor | None  # minus infinity for padding; None if there is none


def layouts(batch: Batch, heads: int, dtype: torch.dtype) -> list[Layout]:
    """The layouts of all groups of a batch, on its device."""
    result: list[Layout] = []
    first_row = first = 0
    device = batch.input_ids_N.device
    for group in batch.groups:
        lengths_B = batch.lengths_B[first_row : first_row + group.rows]
        rows, length, tokens = group.rows * heads, group.length, int(lengths_B.sum())
        real_BT = np.arange(length) < lengths_B[:, None]
        index_BT = np.full((group.rows, length), batch.tokens)
        index_BT[real_BT] = np.arange(first, first + tokens)
        row_n, position_n = np.nonzero(real_BT)
        head = np.arange(heads)
        bias_BT = np.where(real_BT, np.float32(0), -np.inf).astype(np.float32)
        result.append(
            Layout(
                slice(first, first + tokens),
                rows,
                length,
                torch.from_numpy(index_BT[:, None] * heads + head[:, None]).flatten().to(device),
                torch.from_numpy((row_n[:, None] * heads + head) * length + position_n[:, None]).flatten().to(device),
                None if real_BT.all() else torch.from_numpy(bias_BT.repeat(heads, 0)[:, None]).to(device, dtype),
            )
        )
        first_row, first = first_row + group.rows, first + tokens
    return result


class Attention(torch.autograd.Function):
    """Multi-head self-attention (Vaswani et al., 2017) from the projections query, key and value, each [N, D]."""

    @staticmethod
    def forward(
        ctx: Any,
        query_ND: torch.Tensor,
        key_ND: torch.Tensor,
        value_ND: torch.Tensor,
        layouts: Sequence[Layout],
        heads: int,
        mask: Mask | None,  # of all groups' probabilities, one after another: R * T * T values each
    ) -> torch.Tensor:
        """The mean of the values, weighted by softmax(query key^T / sqrt(K)), [N, D]; zeros after the last group."""
        context_ND = _empty_output(query_ND, layouts)
        ctx.layouts, ctx.heads, ctx.keep_scale = layouts, heads, 1.0 if mask is None else mask.scale
        ctx.scale = (query_ND.shape[1] // heads) ** -0.5
        saved = []
        first = 0
        for layout in layouts:
            query_RTK, key_RTK, value_RTK = (_gather(x_ND, layout, heads) for x_ND in (query_ND, key_ND, value_ND))
            scores_RTT = _product(query_RTK, key_RTK.transpose(1, 2), ctx.scale, bias=layout.bias_R1T)
            probability_RTT = scores_RTT.softmax(-1, dtype=torch.float32)
            kept_RTT, used_RTT = None, probability_RTT.to(query_ND.dtype)
            if mask is not None:
                kept_RTT = mask.kept[first : first + used_RTT.numel()].view(used_RTT.shape)
                used_RTT = used_RTT * kept_RTT
                first += used_RTT.numel()
            _scatter(context_ND, layout, _product(used_RTT, value_RTK, ctx.keep_scale))
            saved += [query_RTK, key_RTK, value_RTK, probability_RTT, used_RTT, kept_RTT]
        ctx.save_for_backward(*saved)
        return context_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_ND: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of query, key and value."""
        gradient_ND = gradient_ND.contiguous()
        of_query_ND, of_key_ND, of_value_ND = (_empty_output(gradient_ND, ctx.layouts) for _ in range(3))
        saved = ctx.saved_tensors
        for number, layout in enumerate(ctx.layouts):
            query_RTK, key_RTK, value_RTK, probability_RTT, used_RTT, kept_RTT = saved[6 * number : 6 * number + 6]
            gradient_RTK = _gather(gradient_ND, layout, ctx.heads)
            _scatter(of_value_ND, layout, _product(used_RTT.transpose(1, 2), gradient_RTK, ctx.keep_scale))
            of_used_RTT = _product(gradient_RTK, value_RTK.transpose(1, 2), ctx.keep_scale)
            if kept_RTT is not None:
                of_used_RTT.mul_(kept_RTT)
            of_scores_RTT = torch._softmax_backward_data(
                of_used_RTT.float(), probability_RTT, -1, torch.float32
            ).to(gradient_ND.dtype)  # fmt: skip
            _scatter(of_query_ND, layout, _product(of_scores_RTT, key_RTK, ctx.scale))
            _scatter(of_key_ND, layout, _product(of_scores_RTT.transpose(1, 2), query_RTK, ctx.scale))
        return of_query_ND, of_key_ND, of_value_ND, None, None, None


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


def _product(
    left_RIJ: torch.Tensor, right_RJK: torch.Tensor, factor: float, *, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """A batch of matrix products times `factor`, plus `bias`, in one pass over memory."""
    if bias is not None:
        return torch.baddbmm(bias, left_RIJ, right_RJK, alpha=factor)
    out_RIK = left_RIJ.new_empty(left_RIJ.shape[0], left_RIJ.shape[1], right_RJK.shape[2])
    return torch.baddbmm(out_RIK, left_RIJ, right_RJK, beta=0, alpha=factor)


def _empty_output(like_ND: torch.Tensor, layouts: Sequence[Layout]) -> torch.Tensor:
    """An output that `_scatter` fills group by group; zeros for the tokens that belong to no row."""
    x_ND = torch.empty_like(like_ND)
    x_ND[layouts[-1].tokens.stop :] = 0
    return x_ND


def _gather(x_ND: torch.Tensor, layout: Layout, heads: int) -> torch.Tensor:
    """The rows of a group as [R, T, K]."""
    x_NK = x_ND.view(len(x_ND) * heads, -1)
    return x_NK.index_select(0, layout.from_heads).view(layout.rows, layout.length, -1)


def _scatter(x_ND: torch.Tensor, layout: Layout, values_RTK: torch.Tensor) -> None:
    """The inverse of `_gather`, into `x_ND`."""
    width = values_RTK.shape[2]
    torch.index_select(values_RTK.view(-1, width), 0, layout.into_heads, out=x_ND[layout.tokens].view(-1, width))
