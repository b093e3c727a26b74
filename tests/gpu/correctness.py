"""What the engine promises of its results, each promise a part: what it is and its bound stand in the docstring.

A part returns when the promise holds and raises when it does not.
"""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from transformers import PreTrainedModel

from stages.encoding.files import IGNORED, EncodedSplit
from stages.errors import TrainingError
from stages.modeling.attention import attention
from stages.modeling.batches import sorted_rows
from stages.modeling.dropout import Masks
from stages.modeling.encoder import pack
from stages.statistics.calibration import softmax
from stages.tasks.token_classification.model.inference import predict_logits
from stages.training import loop
from tests.gpu.workload import Run, Shape, Target, make_model, settings_for, split_for, start
from tests.training.waiting import NoWaiting

# Of the loss of one step, relative to the other's.
BF16_BOUND = 0.02  # a bf16 number has 8 bits: each product is off by up to 0.4 %, and the errors of a sum cancel
DEVICE_BOUND = 1e-3  # fp32 sums in another order, 1e-7 each, which every step's update passes on
MICRO_BATCH_BOUND = 1e-3
# Of the norm of the difference, relative.
ATTENTION_BOUNDS = {"bf16": 0.02, "fp32": 1e-5}
DROPOUT_BOUND = 0.01
FORWARD_BOUND = 1e-4  # of probabilities in fp32, absolute
BF16_FACTOR = 2  # largest error in bf16 beside that of Hugging Face: both are maxima of many roundings


def determinism(target: Target) -> None:
    """The same run twice, with dropout: the same losses, masters and moments to the bit, for both encoders."""
    for shape in target.shapes:
        for precision in ("bf16", "fp32"):
            split = split_for(target, shape, tokens=40_000)
            settings = settings_for(target, batch_tokens=4096)
            with named_operator():
                first, again = (start(split, shape, settings, target.compute(precision)) for _ in range(2))
                losses, again_losses = ([step.loss for step in run.finish()] for run in (first, again))
            same = {"losses": losses == again_losses, "weights": first.digest() == again.digest()}
            target.record(**{f"{shape.name} {precision}": same | {"steps": len(losses)}})
    assert all(found["losses"] and found["weights"] for found in target.figures.values()), target.figures


@contextmanager
def named_operator() -> Iterator[None]:
    """Raise an AssertionError that names the operator where torch has no deterministic form of it."""
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise AssertionError(f"an operator is not deterministic: {str(error).partition('.')[0]}") from error


def no_waiting(target: Target) -> None:
    """After two steps to warm up, the host queues four steps and never waits for the device in them.

    On a GPU torch's own watch raises at a synchronisation; on a CPU an operator that would cause one does.
    """
    shape = target.shapes[1]
    for precision in ("bf16", "fp32"):
        for micro_batch_tokens in (0, settings_for(target, batch_tokens=1500).batch_tokens):
            settings = settings_for(target, batch_tokens=4096, micro_batch_tokens=micro_batch_tokens)
            run = start(split_for(target, shape, tokens=60_000), shape, settings, target.compute(precision))
            with patch.object(loop, "packs_ahead", return_value=True):  # on a CPU too
                queued = [next(run.pending) for _ in range(2)]
            target.synchronize()
            with watch_for_waiting(target):
                queued += [next(run.pending) for _ in range(4)]
            assert [step.read().step for step in queued] == [1, 2, 3, 4, 5, 6]


@contextmanager
def watch_for_waiting(target: Target) -> Iterator[None]:
    """While it is active, to wait for the device is an error."""
    if not target.is_cuda:
        with NoWaiting():
            yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def attention_kernel(target: Target) -> None:
    """Attention's outputs and gradients are those of the plain formula in fp64, and its backward knows the dropout.

    Within 2 % of the norm in bf16, 1e-5 in fp32. With dropout the output A V is linear in V too, so that <A V, A V>
    equals <A^T A V, V>, whose left factor is the gradient: within 1 %. Other masks in the backward give about half.
    """
    for shape, precision in product(target.shapes, ATTENTION_BOUNDS):
        compute, model = target.compute(precision), make_model(shape)
        split = split_for(target, shape, tokens=4000)
        rows = sorted_rows(split.lengths, budget=int(split.lengths.sum()))[0]
        batch = pack(model, split, rows, slice(None), compute).to(compute.device)
        inputs = [torch.randn(len(batch.input_ids_N), shape.width).to(compute.dtype) for _ in range(4)]
        found = with_gradients(
            lambda *inner: attention(*inner, batch.form, heads=shape.heads, dropout=0.0, masks=None),  # noqa: B023  # called at once
            [x_ND.to(compute.device) for x_ND in inputs],
            batch.tokens,
        )
        expected = with_gradients(
            lambda *inner: plain_attention(*inner, lengths=batch.lengths_B.tolist(), heads=shape.heads),  # noqa: B023
            [x_ND.double() for x_ND in inputs],
            batch.tokens,
        )
        errors = [
            float((ours.cpu().double() - exact).norm() / exact.norm())
            for ours, exact in zip(found, expected, strict=True)
        ]
        value_ND = inputs[2].to(compute.device).requires_grad_()
        masks = Masks(1, 2)
        masks.seed_generators(0)
        query_ND, key_ND = (x_ND.to(compute.device) for x_ND in inputs[:2])
        output_ND = attention(query_ND, key_ND, value_ND, batch.form, heads=shape.heads, dropout=0.5, masks=masks)
        (gradient_ND,) = torch.autograd.grad(output_ND, value_ND, output_ND.detach())
        ratio = float((gradient_ND.double() * value_ND.double()).sum() / output_ND.double().square().sum())
        named = dict(zip(("output", "of_query", "of_key", "of_value"), errors, strict=True))
        target.record(**{f"{shape.name} {precision}": named | {"dropout_ratio": ratio}})
        assert max(errors) <= ATTENTION_BOUNDS[precision], target.figures
        assert abs(ratio - 1) <= DROPOUT_BOUND, target.figures


def with_gradients(
    function: Callable[..., torch.Tensor], inputs: list[torch.Tensor], tokens: int
) -> tuple[torch.Tensor, ...]:
    """The output for query, key and value, and their gradients for the fourth input, of the first `tokens` tokens."""
    *inner, gradient_ND = (x_ND.clone() for x_ND in inputs)
    gradient_ND[tokens:] = 0
    for x_ND in inner:
        x_ND.requires_grad_()
    output_ND = function(*inner)
    gradients = torch.autograd.grad(output_ND, inner, gradient_ND[: len(output_ND)])
    return tuple(x_ND.detach()[:tokens] for x_ND in (output_ND, *gradients))


def plain_attention(
    query_ND: torch.Tensor, key_ND: torch.Tensor, value_ND: torch.Tensor, *, lengths: list[int], heads: int
) -> torch.Tensor:
    """softmax(query key^T / sqrt(K)) value, row by row, as Vaswani et al. (2017) write it."""
    outputs = []
    for parts in zip(*(x_ND[: sum(lengths)].split(lengths) for x_ND in (query_ND, key_ND, value_ND)), strict=True):
        query_HTK, key_HTK, value_HTK = (x_TD.unflatten(1, (heads, -1)).transpose(0, 1) for x_TD in parts)
        probability_HTT = (query_HTK @ key_HTK.transpose(1, 2) / query_HTK.shape[2] ** 0.5).softmax(-1)
        outputs.append((probability_HTT @ value_HTK).transpose(0, 1).flatten(1))
    return torch.cat(outputs)


def not_finite(target: Target) -> None:
    """A loss that is not finite, read a step late: TrainingError, and the weights are those after the step before."""
    shape = target.shapes[1]
    for precision in ("bf16", "fp32"):
        for value in (float("nan"), float("inf")):
            split = split_for(target, shape, tokens=60_000)
            run = start(split, shape, settings_for(target, batch_tokens=4096), target.compute(precision))
            reported = [next(run.pending) for _ in range(3)]
            before = run.digest()
            broken = run.model.classifier.register_forward_hook(lambda *found, value=value: found[2] * value)
            queued = [next(run.pending)]
            broken.remove()
            queued.append(next(run.pending))  # by now nobody has read the broken one
            assert run.digest() == before, "the weights changed in or after a step that is not finite"
            assert [step.read().step for step in reported] == [1, 2, 3]
            message = ""
            try:
                queued[0].read()
            except TrainingError as error:
                message = str(error)
            assert message.startswith("step 4: the loss is "), f"a loss that is not finite was not reported: {message}"


def out_of_memory(target: Target) -> None:
    """Where memory does not hold a batch, it is computed in halves, with a warning, and training goes on.

    The losses are those of enough memory, within a thousandth. On a GPU the memory is limited to two thirds of
    what the batch needed; on a CPU the error is raised where a batch is larger than a limit.
    """
    shape, compute = target.shapes[1], target.compute("fp32")
    settings = settings_for(target, batch_tokens=32_768)
    split = split_for(target, shape, tokens=130_000)
    whole = [step.loss for step in start(split, shape, settings, compute, dropout=0.0).finish()]
    run = start(split, shape, settings, compute, dropout=0.0)
    with short_memory(target, run.model, most_rows=settings.batch_tokens // 3), warnings_of_train() as warnings:
        halved = [step.loss for step in run.finish()]
    differences = relative_differences(halved, whole)
    target.record(steps=len(whole), warnings=warnings, largest_difference=max(differences))
    assert any("out of memory" in warning for warning in warnings), "memory never ran out"
    assert max(differences) <= MICRO_BATCH_BOUND, differences


@contextmanager
def short_memory(target: Target, model: PreTrainedModel, *, most_rows: int) -> Iterator[None]:
    """While it is active, memory does not hold a whole batch."""
    if target.is_cuda:
        total = torch.cuda.get_device_properties(0).total_memory
        peak = torch.cuda.max_memory_reserved()
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(peak * 2 / 3 / total)
        target.record(peak_bytes=peak)
        yield
        torch.cuda.set_per_process_memory_fraction(1.0)
        return

    def refuse(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if len(output) > most_rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    hook = model.classifier.register_forward_hook(refuse)
    yield
    hook.remove()


@contextmanager
def warnings_of_train() -> Iterator[list[str]]:
    """The warnings that training logs while it is active."""
    messages: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Collect(logging.WARNING)
    logging.getLogger("train").addHandler(handler)
    yield messages
    logging.getLogger("train").removeHandler(handler)


def bf16_against_fp32(target: Target) -> None:
    """The losses of each step in bf16 are within 2 % of those in fp32, and both fall: both encoders, no dropout."""
    for shape in target.shapes:
        split = split_for(target, shape, tokens=60_000)
        settings = settings_for(target, batch_tokens=4096)
        bf16, fp32 = (
            losses_of(start(split, shape, settings, target.compute(precision), dropout=0.0))
            for precision in ("bf16", "fp32")
        )
        record_differences(target, shape, relative_differences(bf16, fp32), first_loss=fp32[0], last_loss=fp32[-1])
    for found in target.figures.values():
        assert found["largest_difference"] <= BF16_BOUND, target.figures
        assert found["last_loss"] < (1 - 2 * BF16_BOUND) * found["first_loss"], f"nothing was learnt: {target.figures}"


def device_against_cpu(target: Target) -> None:
    """The losses of each step on this device are within a thousandth of those on the CPU: fp32, without dropout."""
    shape = target.shapes[1]
    split = split_for(target, shape, tokens=12_000)
    settings = settings_for(target, batch_tokens=1024)
    reference = Target("cpu", target.small, target.folder, target.deadline)
    here, on_cpu = (
        losses_of(start(split, shape, settings, where.compute("fp32"), dropout=0.0)) for where in (target, reference)
    )
    record_differences(target, shape, relative_differences(here, on_cpu))
    assert target.figures[shape.name]["largest_difference"] <= DEVICE_BOUND, target.figures


def hugging_face_forward(target: Target) -> None:
    """Predictions are those of Hugging Face's own forward over padded rows, in fp32 on the same device.

    The probability of a predicted label differs by at most 1e-4 in fp32, and in bf16 by at most twice what Hugging
    Face's forward in bf16 does. The labels are the same wherever the best two are further apart than that.
    """
    for shape in target.shapes:
        split = split_for(target, shape, tokens=40_000)
        model = make_model(shape, spread=0.1)  # so wide that the labels differ
        expected_WC, rounded_WC = (hugging_face_probabilities(target, model, split, p) for p in ("fp32", "bf16"))
        best_W2 = np.sort(expected_WC)[:, -2:]
        bf16_bound = BF16_FACTOR * float(np.abs(rounded_WC - expected_WC).max())
        model = make_model(shape, spread=0.1)
        for precision, bound in (("fp32", FORWARD_BOUND), ("bf16", bf16_bound)):
            compute = target.compute(precision)
            found = predict_logits(model.to(compute.device, compute.dtype), split, compute, batch_tokens=4096)
            words, label_W = np.arange(len(expected_WC)), found.logits_WC.argmax(1)  # before any constraint
            probability_W = softmax(found.logits_WC, 1.0)[words, label_W]
            difference = float(np.abs(probability_W - expected_WC[words, label_W]).max())
            is_clear = best_W2[:, 1] - best_W2[:, 0] > 2 * bound
            agreement = float((label_W == expected_WC.argmax(1))[is_clear].mean())
            target.record(
                **{
                    f"{shape.name} {precision}": {
                        "largest_difference": difference,
                        "bound": bound,
                        "agreement": agreement,
                        "clear": float(is_clear.mean()),
                        "labels": len(np.unique(label_W)),
                    }
                }
            )
            assert difference <= bound, target.figures
            assert agreement == 1.0, target.figures


def hugging_face_probabilities(
    target: Target, model: PreTrainedModel, split: EncodedSplit, precision: str
) -> np.ndarray:
    """[words, labels], by `AutoModelForTokenClassification`'s forward over rows padded to the longest of 64."""
    compute = target.compute(precision)
    model.to(compute.device, compute.dtype)
    model.set_attn_implementation("sdpa")
    found = []
    lengths = split.lengths
    for first in range(0, len(lengths), 64):
        rows = range(first, min(first + 64, len(lengths)))
        ids_BT = np.zeros((len(rows), int(lengths[rows.start : rows.stop].max())), dtype=np.int64)
        labels_BT = np.full(ids_BT.shape, IGNORED)
        for place, row in enumerate(rows):
            columns = slice(split.offsets[row], split.offsets[row + 1])
            ids_BT[place, : lengths[row]] = split.input_ids[columns]
            labels_BT[place, : lengths[row]] = split.labels[columns]
        real_BT = np.arange(ids_BT.shape[1]) < lengths[rows.start : rows.stop, None]
        with torch.no_grad():
            logits_BTC = model(
                input_ids=torch.from_numpy(ids_BT).to(compute.device),
                attention_mask=torch.from_numpy(real_BT).long().to(compute.device),
            ).logits
        found.append(logits_BTC.float().softmax(-1).cpu().numpy()[labels_BT != IGNORED])
    model.set_attn_implementation("eager")
    return np.concatenate(found)


def losses_of(run: Run) -> list[float]:
    """The loss of each step of a run."""
    return [step.loss for step in run.finish()]


def relative_differences(values: list[float], references: list[float]) -> list[float]:
    """How far each value is from its reference, relative to that."""
    return [abs(value - reference) / reference for value, reference in zip(values, references, strict=True)]


def record_differences(target: Target, shape: Shape, differences: list[float], **more: float) -> None:
    """Keep how far the losses of two runs are apart."""
    found: dict[str, Any] = {"steps": len(differences), "first": differences[0], "largest_difference": max(differences)}
    target.record(**{shape.name: found | more})
