"""train: data/encoded and pretrained weights -> data/model, the epoch with the best dev F1."""

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from stages import tracking
from stages.artifacts import file_digest, json_digest, whole
from stages.command import run_recipe
from stages.encoding.files import EncodedSplit, Manifest, read_manifest, read_split
from stages.encoding.tokenizer import load_tokenizer
from stages.journal import Journal
from stages.modeling.classifier import load_classifier
from stages.modeling.device import Compute, Precision, choose_compute, make_repeatable, place
from stages.modeling.prediction import SCORING_SUBWORDS, predict
from stages.modeling.pretrained import WEIGHTS, PretrainedParams, find_pretrained
from stages.modeling.record import write_record
from stages.modeling.training import MasterWeights, Settings, Step, train
from stages.params import RuntimeParams, Section, load_params
from stages.progress import bar
from stages.scoring.entities import strict_f1

ENCODED = Path("data/encoded")
MODEL = Path("data/model")

log = logging.getLogger("train")


class TrainParams(Section):
    """What decides the outcome of a training."""

    seed: int = Field(ge=0, lt=2**32)
    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0, lt=1)
    weight_decay: float = Field(ge=0)
    warmup_ratio: float = Field(ge=0, le=1)
    max_gradient_norm: float = Field(gt=0)
    batch_subwords: int = Field(ge=16)
    dropout: float = Field(ge=0, lt=1)
    precision: Precision
    threads: int = Field(ge=0, le=1024)


class Params(Section):
    """The sections that train reads."""

    model: PretrainedParams
    train: TrainParams
    runtime: RuntimeParams


@dataclass
class Outcome:
    """What the loop leaves behind: every step, the dev F1 of every epoch, the weights of the best epoch."""

    history: list[Step]
    dev_f1: list[float]
    best_epoch: int
    best_weights: dict[str, torch.Tensor]


def main(params_file: Path) -> None:
    """Train, score dev after each epoch, keep the best epoch, write data/model."""
    params = load_params(params_file, Params)
    compute = choose_compute(params.runtime.device, params.train.precision)
    make_repeatable(seed=params.train.seed, threads=params.train.threads)

    manifest = read_manifest(ENCODED)
    splits = {split: read_split(ENCODED, split) for split in ("train", "dev")}
    pretrained = find_pretrained(params.model)
    machine = {
        "device": compute.device.type,
        "precision": compute.precision,
        "threads": torch.get_num_threads(),
    }
    record: dict[str, Any] = {
        "train_key": key_of(manifest, pretrained, params.train, machine),
        "parameters": {**params.model_dump(include={"model", "train"}), "tokenize": manifest.parameters},
        "datasets": {split: {"digest": manifest.digests[split], **manifest.counts[split]} for split in manifest.counts},
        **machine,
    }

    tokenizer = load_tokenizer(pretrained)
    model = load_classifier(pretrained, labels=manifest.labels, dropout=params.train.dropout)
    journal = Journal(record["train_key"])
    journal.begin(record)
    log.info("training on %(device)s in %(precision)s with %(threads)d threads", record)

    outcome = fit(model, splits, labels=manifest.labels, params=params.train, compute=compute, journal=journal)

    record |= {"best_epoch": outcome.best_epoch, "dev_f1": outcome.dev_f1}
    write_model(model, tokenizer, outcome, record)
    log.info("kept epoch %d with dev F1 %.4f", outcome.best_epoch, max(outcome.dev_f1))
    journal.end()
    tracking.send(journal)


def key_of(manifest: Manifest, pretrained: Path, params: TrainParams, machine: dict[str, Any]) -> str:
    """The identity of a training: SHA-256 over its data, its start, its parameters, and what rounds its sums."""
    return json_digest(
        {
            "encoded": manifest.digest,
            "pretrained": file_digest(pretrained / WEIGHTS),
            "pretrained_config": file_digest(pretrained / "config.json"),
            "parameters": params.model_dump(),
            "machine": machine,
        }
    )


def fit(
    model: PreTrainedModel,
    splits: dict[str, EncodedSplit],
    *,
    labels: list[str],
    params: TrainParams,
    compute: Compute,
    journal: Journal,
) -> Outcome:
    """Run the loop; at the end of each epoch score dev and keep the weights if none were better before."""
    settings = Settings(**params.model_dump(include=set(Settings.__dataclass_fields__)))
    weights = MasterWeights(model, settings, compute)
    outcome = Outcome([], [], 0, {})
    for step in watched(train(model, weights, splits["train"], settings, compute, seed=params.seed)):
        outcome.history.append(step)
        journal.step(asdict(step))
        if not step.ends_epoch:
            continue
        f1 = score_dev(model, splits["dev"], labels, compute)
        if not outcome.dev_f1 or f1 > max(outcome.dev_f1):
            outcome.best_epoch, outcome.best_weights = step.epoch, weights.snapshot()
        outcome.dev_f1.append(f1)
        journal.epoch(f1, step.step)
        log.info("epoch %d of %d: loss %.4f, dev F1 %.4f", step.epoch, params.epochs, step.loss, f1)
    return outcome


def watched(steps: Iterator[Step]) -> Iterator[Step]:
    """The same steps, with a progress bar that tells epoch, loss and real sub-words per second."""
    started, seen = time.perf_counter(), 0
    first = next(steps)
    with bar(total=first.steps, unit="step", description="train") as progress:
        step: Step | None = first
        while step is not None:
            seen += step.subwords
            speed = seen / (time.perf_counter() - started)
            progress.set_postfix_str(
                f"epoch {step.epoch}, loss {step.loss:.3f}, {speed:,.0f} sub-words/s", refresh=False
            )
            progress.update()
            paused = time.perf_counter()
            yield step
            started += time.perf_counter() - paused  # what the caller does, such as scoring dev, is not training
            step = next(steps, None)


def score_dev(model: PreTrainedModel, dev: EncodedSplit, labels: list[str], compute: Compute) -> float:
    """Entity F1 (strict, micro) on the dev split."""
    predictions = predict(model, dev, compute, batch_subwords=SCORING_SUBWORDS)
    gold = [[labels[index] for index in sentence] for sentence in predictions.gold]
    predicted = [[labels[index] for index in sentence] for sentence in predictions.predicted]
    return strict_f1(gold, predicted)


def write_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, outcome: Outcome, record: dict[str, Any]
) -> None:
    """Write data/model: the best weights in fp32 in the Hugging Face layout, the record, the history of steps."""
    place(model, Compute(torch.device("cpu"), torch.float32))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(outcome.best_weights[name])
    with whole(MODEL) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_record(folder, record)
        with (folder / "history.jsonl").open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(asdict(step), sort_keys=True) + "\n" for step in outcome.history)


if __name__ == "__main__":
    run_recipe(main)
