"""What the engine promises of the tasks whose outputs are whole texts: means over the tokens of a row."""

from unittest.mock import patch

import numpy as np
import pyarrow as pa
import torch
from torch.nn import functional

from stages.encoding.texts import EncodedTexts
from stages.modeling.text_split import TextSplit
from stages.training import loop
from stages.training.loop import Settings
from tests.gpu.correctness import (
    DEVICE_BOUND,
    losses_of,
    named_operator,
    record_differences,
    relative_differences,
    watch_for_waiting,
)
from tests.gpu.workload import LABELS, Run, Shape, Target, settings_for, split_for, start


class LabelHead:
    """Cross entropy by weight; that of text_classification needs packages that a GPU machine may lack."""

    def loss(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The sum over rows; `answers` are label ids and weights."""
        label_O, weight_O = answers
        return (functional.cross_entropy(logits_OC, label_O, reduction="none") * weight_O).sum()


def texts(target: Target) -> None:
    """Labels of pairs of texts: the same run twice gives the same bytes, and no step of it waits for the device.

    In fp32, without dropout, the losses are within a thousandth of those on the CPU.
    """
    shape = target.shapes[1]
    split, settings = pairs_for(target, shape), settings_for(target, batch_tokens=4096)
    for precision in ("bf16", "fp32"):
        with named_operator():
            first, again = (start_texts(target, split, shape, settings, precision) for _ in range(2))
            losses, again_losses = ([step.loss for step in run.finish()] for run in (first, again))
        assert losses == again_losses, "the losses differ"
        assert first.digest() == again.digest(), "the weights differ"
        run = start_texts(target, split, shape, settings, precision)
        with patch.object(loop, "packs_ahead", return_value=True):  # on a CPU too
            queued = [next(run.pending) for _ in range(2)]
        target.synchronize()
        with watch_for_waiting(target):
            queued += [next(run.pending) for _ in range(4)]
        assert [step.read().step for step in queued] == [1, 2, 3, 4, 5, 6]
    reference = Target("cpu", target.small, target.folder, target.deadline)
    few = settings_for(target, batch_tokens=1024)
    short = pairs_for(target, shape, tokens=12_000)
    here, on_cpu = (
        losses_of(start_texts(where, short, shape, few, "fp32", dropout=0.0)) for where in (target, reference)
    )
    record_differences(target, shape, relative_differences(here, on_cpu))
    assert target.figures[shape.name]["largest_difference"] <= DEVICE_BOUND, target.figures


def start_texts(
    target: Target, split: TextSplit, shape: Shape, settings: Settings, precision: str, *, dropout: float = 0.1
) -> Run:
    """A training run of a classifier of texts."""
    return start(split, shape, settings, target.compute(precision), dropout=dropout, head=LabelHead())


def pairs_for(target: Target, shape: Shape, *, tokens: int = 60_000) -> TextSplit:
    """Rows of two texts, pooled by their mean, with a label that follows from the last token but one."""
    rows = split_for(target, shape, tokens=tokens)
    count = len(rows.lengths)
    label_R = rows.input_ids[rows.offsets[1:] - 2].astype(np.int64) % LABELS
    encoded = EncodedTexts(
        offsets=rows.offsets,
        input_ids=rows.input_ids,
        second=(rows.lengths // 2).astype(np.int32),
        example=np.arange(count, dtype=np.int32),
        window=np.zeros(count, np.int32),
        weight=np.ones(count, np.float32),
        texts=pa.chunked_array([pa.array(["text"] * count)]),
        pairs=pa.chunked_array([pa.array(["pair"] * count)]),
        slices={},
        answers=None,
    )
    return TextSplit(encoded, "mean", label_R)
