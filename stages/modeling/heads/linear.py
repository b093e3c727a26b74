"""The linear head of a model that is trained further: what it learnt of labels that it still has, by their names.

Shape legend: C labels, H width of the encoder.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

WEIGHT, BIAS = "classifier.weight", "classifier.bias"  # in model.safetensors


@dataclass(frozen=True)
class LearntRows:
    """The labels of a stored head, and its weights."""

    labels: list[str]
    weight_CH: torch.Tensor
    bias_C: torch.Tensor


def read_rows(weights: Path, labels: list[str]) -> LearntRows | None:
    """The head in a file of weights whose outputs have these labels; None if there is no head for as many."""
    with safe_open(weights, "pt") as stored:
        if not {WEIGHT, BIAS} <= set(stored.keys()):
            return None
        rows = LearntRows(labels, stored.get_tensor(WEIGHT).float(), stored.get_tensor(BIAS).float())
    return rows if rows.weight_CH.shape[0] == len(labels) else None


@torch.no_grad()
def renew_head(head: nn.Linear, learnt: LearntRows, labels: list[str], *, deviation: float) -> None:
    """Draw a head for `labels` as that of a new model, from torch's global generator; then copy what it learnt.

    A label has the row of the label of the same name.
    """
    head.weight.normal_(std=deviation)
    head.bias.zero_()
    new, old = match(labels, learnt.labels)
    head.weight[new] = learnt.weight_CH[old]
    head.bias[new] = learnt.bias_C[old]


def match(labels: list[str], others: list[str]) -> tuple[list[int], list[int]]:
    """The places in both lists of each label that both have."""
    places = {label: place for place, label in enumerate(others)}
    shared = [(place, places[label]) for place, label in enumerate(labels) if label in places]
    return [new for new, _ in shared], [old for _, old in shared]
