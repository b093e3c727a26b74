"""Multi-head self-attention (Vaswani et al., 2017) over packed rows (see batches.py), in two forms of one computation.

`GroupedRows`: rows of similar length are padded to the same, so that a group is a few batched matrix products. Any
device, any number format. `UnpaddedRows`: one kernel, flash attention (Dao, 2023), takes rows of any length as they
are, never writes a probability to memory, and draws its own dropout mask.

Shape legend: N tokens, D width of the model, H heads of width K, B rows; in a group, R = rows x heads of T positions,
some of them padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.autograd.function import once_differentiable

from stages.modeling.device import Compute
from stages.modeling.dropout import Mask, Masks, rounded_rate

MIN_GROUP_LENGTH = 16  # softmax over fewer values takes four times as long on a CPU
GROUP_STEP = 4  # group lengths are multiples of this: fewer shapes, for each of which kernels are generated
MIN_FILL = 0.8  # share of its group's length that a row fills at least
LONGEST_IN_FP32 = 128  # longer groups keep their probabilities in bf16, if the model computes in it

# Flash attention computes tiles of 128 positions: a maximum rounded up to them starts no further block.
TILE = 128
# Empty rows up to a multiple of this: few lengths of `cu_seqlens`. A block of an empty row ends at once.
EMPTY_ROWS_MULTIPLE = 64
WIDEST_HEAD = 256  # for flash attention, which also wants a multiple of 8


@dataclass(frozen=True)
class Group:
    """Consecutive rows that attention pads to the same length."""

    rows: int
    length: int


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


@dataclass(frozen=True)
class GroupedRows:
    """Rows in padded groups; `pairs_before`: the pairs of positions, in all heads, of earlier parts of the batch."""

    layouts: tuple[Layout, ...]
    pairs_before: int

    @property
    def pairs(self) -> int:
        """The number of probabilities: R * T * T in each group."""
        return sum(layout.rows * layout.length**2 for layout in self.layouts)


@dataclass(frozen=True)
class UnpaddedRows:
    """Rows by their ends in N: row b holds the tokens from `cu_seqlens[b]` to `cu_seqlens[b + 1]`.

    Together they hold every token, so that no output is left uninitialised. `longest` is at least the longest length.
    """

    cu_seqlens: torch.Tensor  # int32
    longest: int


def attention(
    query_ND: torch.Tensor,
    key_ND: torch.Tensor,
    value_ND: torch.Tensor,
    rows: GroupedRows | UnpaddedRows,
    *,
    heads: int,
    dropout: float,
    masks: Masks | None,
) -> torch.Tensor:
    """In each head and row the mean of the values, weighted by softmax(query key^T / sqrt(K)), [N, D].

    Tokens after the last row get zeros or finite numbers. Without `masks` nothing is dropped.
    """
    if isinstance(rows, GroupedRows):
        mask = masks and masks.draw((rows.pairs,), rate=dropout, before=rows.pairs_before, like=query_ND)
        grouped_ND: torch.Tensor = GroupedAttention.apply(query_ND, key_ND, value_ND, rows.layouts, heads, mask)
        return grouped_ND
    query_NHK, key_NHK, value_NHK = (x_ND.view(len(x_ND), heads, -1) for x_ND in (query_ND, key_ND, value_ND))
    # The operator beneath torch.nn.attention.varlen, which has no dropout. Its derivative is torch's own, deterministic
    # if the algorithms must be: see _flash_attention_backward in ATen/native/transformers/cuda/attention_backward.cu.
    context_NHK, *_ = torch.ops.aten._flash_attention_forward(
        query_NHK, key_NHK, value_NHK, rows.cu_seqlens, rows.cu_seqlens, rows.longest, rows.longest,
        dropout_p=rounded_rate(dropout) if masks else 0.0, is_causal=False, return_debug_mask=False,
        scale=query_NHK.shape[2] ** -0.5,
    )  # fmt: skip
    context_ND: torch.Tensor = context_NHK.reshape(query_ND.shape)
    return context_ND


def has_flash_attention(compute: Compute, head_width: int) -> bool:
    """Whether the device computes `UnpaddedRows` with heads of this width.

    Not in fp32: torch's kernel for that, _efficient_attention_forward, draws another dropout mask in the backward than
    in the forward if it is given `cu_seqlens` (its num_keys is 0 in the forward; PyTorch's issue 115590).
    """
    return (
        compute.device.type == "cuda"
        and compute.dtype is torch.bfloat16
        and head_width % 8 == 0
        and head_width <= WIDEST_HEAD
        and torch.backends.cuda.is_flash_attention_available()
        and torch.cuda.get_device_capability(compute.device) >= (8, 0)
    )


def unpadded_rows(lengths_B: npt.NDArray[np.int64], *, tokens: int) -> UnpaddedRows:
    """Rows of these lengths; the rest of `tokens`, at most TILE of them, is one more row, followed by empty rows."""
    count = round_up(len(lengths_B) + 1, EMPTY_ROWS_MULTIPLE)
    cu_seqlens = np.full(count + 1, tokens, np.int32)
    cu_seqlens[0] = 0
    cu_seqlens[1 : len(lengths_B) + 1] = np.cumsum(lengths_B)
    return UnpaddedRows(torch.from_numpy(cu_seqlens), round_up(int(lengths_B.max()), TILE))


def grouped_rows(
    lengths_B: npt.NDArray[np.int64], groups: Sequence[Group], *, heads: int, dtype: torch.dtype, pairs_before: int
) -> GroupedRows:
    """The layouts of consecutive groups of rows of these lengths; `pairs_before` counts the pairs of one head."""
    layouts: list[Layout] = []
    first_row = first = 0
    after = int(lengths_B.sum())
    head = np.arange(heads)
    for group in groups:
        own_B = lengths_B[first_row : first_row + group.rows]
        tokens = int(own_B.sum())
        real_BT = np.arange(group.length) < own_B[:, None]
        index_BT = np.full((group.rows, group.length), after)
        index_BT[real_BT] = np.arange(first, first + tokens)
        row_n, position_n = np.nonzero(real_BT)
        bias_BT = np.where(real_BT, np.float32(0), -np.inf).astype(np.float32)
        layouts.append(
            Layout(
                slice(first, first + tokens),
                group.rows * heads,
                group.length,
                torch.from_numpy(index_BT[:, None] * heads + head[:, None]).flatten(),
                torch.from_numpy((row_n[:, None] * heads + head) * group.length + position_n[:, None]).flatten(),
                None if real_BT.all() else torch.from_numpy(bias_BT.repeat(heads, 0)[:, None]).to(dtype),
            )
        )
        first_row, first = first_row + group.rows, first + tokens
    return GroupedRows(tuple(layouts), heads * pairs_before)


def group_lengths(lengths: npt.NDArray[np.int64]) -> list[int]:
    """The length of the group of each row of a batch, longest first; a group has rows of similar length."""
    padded: list[int] = []
    for length in lengths.tolist():
        if not padded or length < MIN_FILL * padded[-1]:
            group_length = max(MIN_GROUP_LENGTH, round_up(length, GROUP_STEP))
        padded.append(group_length)
    return padded


def groups_of(padded: Sequence[int]) -> tuple[Group, ...]:
    """Consecutive rows whose groups have the same length."""
    return tuple(Group(len(list(run)), length) for length, run in groupby(padded))


def round_up(count: int, multiple: int) -> int:
    """The least multiple of `multiple` that is at least `count`."""
    return -(-count // multiple) * multiple


class GroupedAttention(torch.autograd.Function):
    """Attention over `GroupedRows`, from the projections query, key and value, each [N, D].

    The custom backward saves padding and its masks, and casts. Its gradients are those of the plain formula.
    """

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
        """The context [N, D]; zeros after the last group."""
        context_ND = _empty_output(query_ND, layouts)
        ctx.layouts, ctx.heads, ctx.keep_scale = layouts, heads, 1.0 if mask is None else mask.scale
        ctx.scale = (query_ND.shape[1] // heads) ** -0.5
        saved = []
        first = 0
        for layout in layouts:
            query_RTK, key_RTK, value_RTK = (_gather(x_ND, layout, heads) for x_ND in (query_ND, key_ND, value_ND))
            scores_RTT = _product(query_RTK, key_RTK.transpose(1, 2), ctx.scale, bias=layout.bias_R1T)
            probability_RTT = scores_RTT.softmax(-1, dtype=_probability_dtype(layout, query_ND))
            kept_RTT = None
            if mask is not None:
                kept_RTT = mask.kept[first : first + scores_RTT.numel()].view(scores_RTT.shape)
                first += scores_RTT.numel()
            used_RTT = _use(probability_RTT, kept_RTT, query_ND)
            _scatter(context_ND, layout, _product(used_RTT, value_RTK, ctx.keep_scale))
            saved += [query_RTK, key_RTK, value_RTK, probability_RTT, kept_RTT]
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
            query_RTK, key_RTK, value_RTK, probability_RTT, kept_RTT = saved[5 * number : 5 * number + 5]
            gradient_RTK = _gather(gradient_ND, layout, ctx.heads)
            used_RTT = _use(probability_RTT, kept_RTT, gradient_ND)
            _scatter(of_value_ND, layout, _product(used_RTT.transpose(1, 2), gradient_RTK, ctx.keep_scale))
            of_used_RTT = _product(gradient_RTK, value_RTK.transpose(1, 2), ctx.keep_scale)
            if kept_RTT is not None:
                of_used_RTT.mul_(kept_RTT)
            dtype = probability_RTT.dtype
            of_scores_RTT = torch._softmax_backward_data(
                of_used_RTT.to(dtype), probability_RTT, -1, dtype
            ).to(gradient_ND.dtype)  # fmt: skip
            _scatter(of_query_ND, layout, _product(of_scores_RTT, key_RTK, ctx.scale))
            _scatter(of_key_ND, layout, _product(of_scores_RTT.transpose(1, 2), query_RTK, ctx.scale))
        return of_query_ND, of_key_ND, of_value_ND, None, None, None


def _probability_dtype(layout: Layout, like_ND: torch.Tensor) -> torch.dtype:
    """fp32, and for long rows, whose probabilities are most of what a step reads and writes, the dtype of the model."""
    return torch.float32 if layout.length <= LONGEST_IN_FP32 else like_ND.dtype


def _use(probability_RTT: torch.Tensor, kept_RTT: torch.Tensor | None, like_ND: torch.Tensor) -> torch.Tensor:
    """The probabilities that dropout keeps, in the dtype of `like_ND`; computed twice, since memory is slower."""
    used_RTT = probability_RTT.to(like_ND.dtype)
    return used_RTT if kept_RTT is None else used_RTT * kept_RTT


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
