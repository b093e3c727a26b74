"""A linear-chain conditional random field over the outputs of a model (Lafferty et al., 2001).

The score of the labels y of a chain of T outputs with the logits e [T, C] is

    start[y_0] + e[0, y_0] + sum over t > 0 of (transitions[y_t-1, y_t] + e[t, y_t]) + end[y_T-1]

and the logarithm of their probability is that score less the log partition, the logsumexp of the scores of all
sequences. A potential of -inf makes a sequence impossible; at each step, each label must be possible after some label
that is, or gradients are no numbers.

Shape legend: O outputs of a batch, T steps of its longest chain, S chains, C labels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

NONE = -1  # the place of no output, behind the end of a chain


@dataclass(frozen=True)
class Potentials:
    """What a chain scores beside its logits: for its first label, for a label after another, for its last label."""

    start_C: torch.Tensor
    transitions_CC: torch.Tensor
    end_C: torch.Tensor

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "Potentials":
        """The same with `function` applied to each tensor."""
        return Potentials(function(self.start_C), function(self.transitions_CC), function(self.end_C))


@dataclass(frozen=True)
class Chains:
    """Where the outputs of each chain lie, and whether `start` and `end` count for it: not where a part is missing."""

    place_TS: torch.Tensor  # the output at each step, NONE behind the last
    starts_S: torch.Tensor
    ends_S: torch.Tensor


class Crf(nn.Module):
    """The learnt potentials. They begin at zero, as if there were no CRF, and stay in fp32 in a model in bf16."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(labels))
        self.transitions = nn.Parameter(torch.zeros(labels, labels))
        self.end = nn.Parameter(torch.zeros(labels))

    def forward(self, possible: Potentials) -> Potentials:
        """The learnt potentials; -inf where those of `possible`, which are else 0, are -inf."""
        return Potentials(
            self.start + possible.start_C,
            self.transitions + possible.transitions_CC,
            self.end + possible.end_C,
        )

    def _apply(self, function: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> "Crf":
        """Follow `to` to another device, but not to another number format."""
        super()._apply(lambda values: values.to(function(values).device), recurse)  # type: ignore[no-untyped-call]
        return self


def lay_out(first_S: npt.NDArray[np.int64], length_S: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """[T, S] the places of chains of consecutive outputs; T is at least 1."""
    step_T1 = np.arange(length_S.max(initial=1))[:, None]
    place_TS: npt.NDArray[np.int64] = np.where(step_T1 < length_S, first_S + step_T1, NONE)
    return place_TS


def negative_log_likelihood(
    logits_OC: torch.Tensor, label_O: torch.Tensor, chains: Chains, potentials: Potentials
) -> torch.Tensor:
    """The sum over the chains; an output that is in none counts for nothing.

    Nothing here waits for a GPU: the host knows the shapes, so steps behind the end of a chain are computed and masked.
    """
    mask_TS, place_TS = chains.place_TS != NONE, chains.place_TS.clamp(min=0)
    label_TS = label_O[place_TS].masked_fill(~mask_TS, 0)
    last_S = label_TS.gather(0, (mask_TS.sum(0, keepdim=True) - 1).clamp(min=0))[0]
    emissions_TSC = _emissions(logits_OC, place_TS)
    of_labels_TS = emissions_TSC.gather(2, label_TS[:, :, None])[:, :, 0]
    of_pairs_TS = potentials.transitions_CC[label_TS[:-1], label_TS[1:]]
    score = (
        of_labels_TS.masked_fill(~mask_TS, 0).sum()
        + of_pairs_TS.masked_fill(~mask_TS[1:], 0).sum()
        + potentials.start_C[label_TS[0]].masked_fill(~chains.starts_S, 0).sum()
        + potentials.end_C[last_S].masked_fill(~chains.ends_S, 0).sum()
    )
    return _log_partition(emissions_TSC, mask_TS, chains, potentials).sum() - score


def marginals(logits_OC: torch.Tensor, chains: Chains, potentials: Potentials) -> torch.Tensor:
    """[T, S, C] the probability of each label of each output, which is what the log partition grows by with its logit.

    Zeros behind the end of a chain.
    """
    with torch.enable_grad():
        emissions_TSC = _emissions(logits_OC, chains.place_TS.clamp(min=0)).requires_grad_()
        log_partition_S = _log_partition(emissions_TSC, chains.place_TS != NONE, chains, potentials)
        (marginals_TSC,) = torch.autograd.grad(log_partition_S.sum(), emissions_TSC)
    return marginals_TSC


def _emissions(logits_OC: torch.Tensor, place_TS: torch.Tensor) -> torch.Tensor:
    """[T, S, C] logits, less the greatest of each output: that changes no probability, and sums stay small for fp32."""
    emissions_TSC: torch.Tensor = logits_OC.index_select(0, place_TS.flatten()).unflatten(0, place_TS.shape)
    return emissions_TSC - emissions_TSC.detach().amax(2, keepdim=True)


def _log_partition(
    emissions_TSC: torch.Tensor, mask_TS: torch.Tensor, chains: Chains, potentials: Potentials
) -> torch.Tensor:
    """[S] by the forward recursion. A backward by the recursion from the end took twice as long as autograd's own."""
    alpha_SC = torch.where(chains.starts_S[:, None], potentials.start_C, 0) + emissions_TSC[0]
    for emission_SC, mask_S1 in zip(emissions_TSC[1:].unbind(), mask_TS[1:, :, None].unbind(), strict=True):
        following_SC = torch.logsumexp(alpha_SC[:, :, None] + potentials.transitions_CC, 1) + emission_SC
        alpha_SC = torch.where(mask_S1, following_SC, alpha_SC)
    return torch.logsumexp(alpha_SC + torch.where(chains.ends_S[:, None], potentials.end_C, 0), 1)
