"""Tuneline and its peers, each as a function that trains a model: same encoder, same windows, same labels."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import (
    DataCollatorForTokenClassification,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
)

from stages.config.sections import load_task_params
from stages.config.train import Params, TrainParams
from stages.dynamics.recorder import Recorder
from stages.modeling.classifier import load_classifier
from stages.modeling.device import Compute, choose_compute
from stages.modeling.head import Head, Split
from stages.tasks.token_classification.model.chains import ChainedSplit
from stages.tasks.token_classification.model.head import make_head
from stages.tasks.token_classification.model.inference import predict_logits
from stages.tasks.token_classification.params import TaggingParams
from stages.tasks.token_classification.scores.entities import Tagging, strict_f1
from stages.training.history import Step
from stages.training.loop import Settings, train
from stages.training.optimizer import MasterWeights, find_vocabulary
from tests.benchmarks.corpora import Corpus
from tests.benchmarks.measures import Rows
from tests.checkouts import ROOT

DROPOUT = 0.1
LINEAR = TaggingParams(name="token_classification", head="linear")


def defaults(**changes: Any) -> TrainParams:
    """The parameters of train in params.yaml, some of them changed."""
    return load_task_params(ROOT / "params.yaml", Params).train.model_copy(update=changes)


@dataclass(frozen=True)
class Training:
    """A training run of Tuneline: its model, its weights, and the steps that train them in place."""

    model: PreTrainedModel
    weights: MasterWeights
    steps: Iterator[Step]

    def best(self, score: Callable[[PreTrainedModel], tuple[float, ...]]) -> tuple[float, ...]:
        """The scores of the weights that train keeps: the last, or their mean over the steps if its first is better."""
        last = score(self.model)
        with self.weights.averaged():
            return max(last, score(self.model), key=itemgetter(0)) if self.weights.averages else last


def tuneline(corpus: Corpus, params: TrainParams, compute: Compute, task: TaggingParams = LINEAR) -> Training:
    """The training run of a model that tags words."""
    torch.manual_seed(params.seed)
    model = load_classifier(corpus.pretrained, labels=corpus.labels, dropout=params.dropout)
    head = make_head(model, task, None, compute, label_smoothing=params.label_smoothing)
    split = ChainedSplit.of(corpus.train) if task.head == "crf" else corpus.train
    return start(model, split, head, params, compute)


def start(
    model: PreTrainedModel,
    split: Split,
    head: Head,
    params: TrainParams,
    compute: Compute,
    *,
    recorder: Recorder | None = None,
) -> Training:
    """The training run of a model; a recorder has the plan of `settings_of` these parameters."""
    weights = MasterWeights(
        model,
        compute,
        vocabulary=find_vocabulary(model, split.input_ids),
        weight_decay=params.weight_decay,
        layerwise_lr_decay=params.layerwise_lr_decay,
        head_lr_multiplier=params.head_lr_multiplier,
        average_weights=params.average_weights,
    )
    steps = train(model, weights, split, settings_of(params), compute, head=head, recorder=recorder)
    return Training(model, weights, (step.read() for step in steps))


def settings_of(params: TrainParams) -> Settings:
    """What the loop takes of the parameters."""
    return Settings(**params.model_dump(include=set(Settings.__dataclass_fields__)))


def peer_model(corpus: Corpus, seed: int) -> PreTrainedModel:
    """The same model with the attention that the library chooses by itself."""
    torch.manual_seed(seed)
    model = load_classifier(corpus.pretrained, labels=corpus.labels, dropout=DROPOUT)
    model.set_attn_implementation("sdpa")
    return model


def trainer(
    corpus: Corpus, rows: Rows, folder: Path, *, seed: int = 13, **options: Any
) -> tuple[PreTrainedModel, float]:
    """The Hugging Face Trainer for entities; the trained model and the seconds that `train` took."""
    collator = DataCollatorForTokenClassification(corpus.tokenizer)
    model = peer_model(corpus, seed)
    return model, run_trainer(model, rows, collator, folder, seed=seed, **options)


def run_trainer(
    model: PreTrainedModel, rows: Any, collator: Callable[..., Any], folder: Path, *, seed: int, **options: Any
) -> float:
    """Train a model in place with the Hugging Face Trainer; the seconds that `train` took."""
    arguments = TrainingArguments(
        output_dir=str(folder), save_strategy="no", report_to="none", disable_tqdm=True, logging_strategy="no",
        use_cpu=not torch.cuda.is_available(), seed=seed, **options,
    )  # fmt: skip
    peer = Trainer(model, arguments, train_dataset=rows, data_collator=collator)
    started = time.perf_counter()
    peer.train()
    return time.perf_counter() - started


def textbook(corpus: Corpus, rows: Rows) -> float:
    """The loop of a tutorial: batch 16, everything padded to 128, fp32, AdamW; the seconds that an epoch took."""
    collator = DataCollatorForTokenClassification(corpus.tokenizer, padding="max_length", max_length=128)
    short = [{name: values[:128] for name, values in row.items()} for row in rows.rows]
    loader = DataLoader(short, batch_size=16, shuffle=True, collate_fn=collator)  # type: ignore[arg-type]  # a list is a dataset
    compute = choose_compute("auto", "fp32")
    model = peer_model(corpus, 13).to(compute.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    model.train()
    started = time.perf_counter()
    for batch in loader:
        optimizer.zero_grad()
        model(**{name: values.to(compute.device) for name, values in batch.items()}).loss.backward()
        optimizer.step()
    return time.perf_counter() - started


def dev_f1(model: PreTrainedModel, corpus: Corpus, compute: Compute) -> float:
    """Entity F1 (strict, micro) on dev."""
    predictions = predict_logits(model, corpus.dev, compute, batch_tokens=4096)
    gold, predicted = (
        Tagging(ids_W, corpus.dev.word_bounds, tuple(corpus.labels))
        for ids_W in (predictions.gold_W, predictions.predicted_W)
    )
    return strict_f1(gold, predicted)
