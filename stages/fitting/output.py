"""The folder of a trained model."""

from dataclasses import replace
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from stages.adaptation.adapt import fill_weights
from stages.adaptation.lora import find_adapters, merge_adapters, write_adapters
from stages.artifacts import atomic_write
from stages.dynamics.files import write_dynamics
from stages.fitting.run import INFERENCE_BATCH_TOKENS, TrainingRun
from stages.modeling.device import Compute, move_to
from stages.modeling.head import load_model
from stages.modeling.pretrained import find_pretrained
from stages.training.history import Entry, write_history
from stages.training.record import TrainingRecord, write_training


def write_model(
    run: TrainingRun,
    weights: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerFast,
    history: list[Entry],
    record: TrainingRecord,
    target: Path,
) -> None:
    """Write data/model: the model in fp32 in the Hugging Face layout, the training record, the history, the dynamics.

    `weights` are the trained ones. What the task fits on dev with these weights goes into the record.
    """
    model, dev = run.model, run.splits["dev"]
    move_to(model, Compute(torch.device("cpu"), torch.float32))
    encoder = run.params.model.encoder
    fill_weights(model, weights, lambda: load_model(run.task, find_pretrained(**encoder), labels=run.manifest.labels))
    adapters = find_adapters(model)
    merge_adapters(model)
    with atomic_write(target) as folder:
        model.save_pretrained(folder)
        if adapters:
            write_adapters(folder, weights)
        tokenizer.save_pretrained(folder)
        write_history(folder, history)
        if run.recorder is not None:
            write_dynamics(folder, run.recorder.result())
        move_to(model, run.compute)
        predicted = run.task.predict(model, dev, run.compute, batch_tokens=INFERENCE_BATCH_TOKENS)
        decision = run.task.fit_decision(predicted, dev, run.manifest, run.params.task)
        write_training(folder, replace(record, decision=decision))
