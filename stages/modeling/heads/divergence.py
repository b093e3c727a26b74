"""How much two predictions of the same outputs differ, for R-Drop (Wu et al., 2021)."""

import torch
from torch.nn import functional


def softmax_divergence(first_OC: torch.Tensor, second_OC: torch.Tensor) -> torch.Tensor:
    """[O] the mean of the Kullback-Leibler divergences of both directions between the distributions of logits."""
    first_log_OC, second_log_OC = (functional.log_softmax(logits, dim=-1) for logits in (first_OC, second_OC))
    return ((first_log_OC.exp() - second_log_OC.exp()) * (first_log_OC - second_log_OC)).sum(-1) / 2


def sigmoid_divergence(first_OC: torch.Tensor, second_OC: torch.Tensor) -> torch.Tensor:
    """[O] the same of independent labels, the mean over the labels."""
    first_OC2, second_OC2 = (torch.stack((logits, torch.zeros_like(logits)), -1) for logits in (first_OC, second_OC))
    return softmax_divergence(first_OC2, second_OC2).mean(-1)
