"""What benchmarks and `make gpu` measure with; it needs no package but torch, numpy and pyarrow."""

import math
import statistics
import time
from itertools import pairwise

import torch
from torch.utils.data import Dataset
from transformers import PretrainedConfig

from stages.encoding.files import EncodedSplit
from stages.modeling.device import Compute


class Rows(Dataset[dict[str, list[int]]]):
    """The windows of a split as the Trainer wants them, as many as have about `tokens` tokens."""

    def __init__(self, split: EncodedSplit, tokens: float = math.inf) -> None:
        self.tokens = 0
        self.rows: list[dict[str, list[int]]] = []
        for start, end in pairwise(split.offsets):
            if self.tokens < tokens:
                self.tokens += int(end - start)
                columns = {"input_ids": split.input_ids, "labels": split.labels}
                self.rows.append({name: values[start:end].tolist() for name, values in columns.items()})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return self.rows[index]


def operations_per_token(config: PretrainedConfig, split: EncodedSplit, labels: int) -> float:
    """Multiplications and additions of all matrix products of a forward pass, for each token; a step costs 3 times it.

    What the last layer does not compute for tokens without a label is not counted.
    """
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    lengths = split.lengths.astype(float)
    labelled = (split.labels >= 0).mean()
    projections, rest = 3 * width**2, width**2 + 2 * width * inner
    weights = layers * projections + (layers - 1 + labelled) * rest + labelled * width * labels
    attention = layers * 2 * width * (lengths**2).sum() / lengths.sum()
    return float(2 * (weights + attention))


def matrix_speed(compute: Compute, size: int) -> float:
    """Operations per second of a product of two square matrices of `size` rows; the median of ten."""
    left, right = (torch.randn(size, size, device=compute.device, dtype=compute.dtype) for _ in range(2))
    speeds = []
    for _ in range(11):
        synchronize(compute)
        started = time.perf_counter()
        left @ right
        synchronize(compute)
        speeds.append(2 * size**3 / (time.perf_counter() - started))
    return statistics.median(speeds[1:])


def synchronize(compute: Compute) -> None:
    """Wait until a GPU has done all that was queued."""
    if compute.device.type == "cuda":
        torch.cuda.synchronize()
