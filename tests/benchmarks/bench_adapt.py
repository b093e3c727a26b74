"""The ways to adapt an encoder side by side: full, lora, freeze and head, on entities and on intents.

    make bench-adapt            an hour and a half on two cores
    python -m tests.benchmarks.bench_adapt --corpora demo --ways lora head --seeds 13
    python -m tests.benchmarks.bench_adapt --corpora demo --ways lora --set model.lora.rank=16
    python -m tests.benchmarks.bench_adapt --ways lora --train learning_rate=1e-3 head_lr_multiplier=3

Each way trains with the defaults of its task and those of the section `model`, one after another in one process. A line
has the share of weights that are trained, the bytes of a checkpoint with the best epoch's weights, the median of the
steps, all that training takes (states of frozen layers and scoring dev after each epoch included), its processor time,
and the best dev score: entity F1 (strict) or accuracy. Factors are those of full. Test decides nothing.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from pipeline.checkout.params_file import apply_settings
from stages.adaptation.adapt import adapt_model, count_weights
from stages.config.sections import load_task_params
from stages.config.train import Params, TrainParams
from stages.modeling.classifier import load_classifier
from stages.modeling.device import Compute, choose_compute, set_deterministic
from stages.modeling.head import Head, Split
from stages.modeling.inference import keep_frozen_states
from stages.modeling.text_split import predict_examples
from stages.tasks.text_classification.model.head import SingleLabelHead
from stages.tasks.token_classification.model.head import TagHead
from tests.benchmarks.contenders import defaults, dev_f1, start
from tests.benchmarks.corpora import encode_corpus
from tests.benchmarks.texts.bench_intents import accuracy, encode_intents
from tests.checkouts import ROOT

SEEDS = (13, 14, 15)
WAYS = ("full", "lora", "freeze", "head")
CLINC = "CLINC150"
CORPORA = ("demo", "WNUT-17", CLINC)
BATCH_TOKENS = 4096  # of inference


@dataclass(frozen=True)
class Subject:
    """A corpus with the defaults of its task: what is trained and how its dev score is measured."""

    pretrained: Path
    labels: list[str]
    train: Split
    dev: Split
    head: Head
    params: TrainParams
    score: Callable[[PreTrainedModel], float]


@dataclass(frozen=True)
class Measured:
    """What one training run came to."""

    trained: int
    total: int
    checkpoint_bytes: int
    step: float  # seconds, the median
    seconds: float
    processor: float  # seconds of all threads
    dev: float


def main() -> None:
    """Print a line for each corpus, seed and way, and the means over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=CORPORA)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--train", nargs="+", default=[], metavar="KEY=NUMBER", help="of the section train")
    parser.add_argument("--set", nargs="+", default=[], help="as that of `tuneline run`")
    arguments = parser.parse_args()
    changes = {key: float(value) for key, value in (pair.split("=") for pair in arguments.train)}
    compute = choose_compute("auto", "auto")
    for corpus in arguments.corpora:
        with tempfile.TemporaryDirectory() as folder:
            subject = prepare(corpus, Path(folder), compute)
            means: dict[str, Measured] = {}
            for way in arguments.ways:
                runs = []
                for seed in arguments.seeds:
                    set_deterministic(seed=seed, threads=arguments.threads)
                    adaptation = read_adaptation([f"model.adapt={way}", *arguments.set])
                    runs.append(run(subject, adaptation, compute, {"seed": seed, **changes}))
                    show(f"{corpus}, {way}, seed {seed}", runs[-1])
                values = zip(*(vars(each).values() for each in runs), strict=True)
                means[way] = Measured(*(statistics.mean(column) for column in values))
            for way, mean in means.items():
                show(f"{corpus}, {way}, mean", mean, means.get("full"))


def prepare(name: str, folder: Path, compute: Compute) -> Subject:
    """Encode a corpus into the empty `folder`."""
    if name != CLINC:
        corpus, params = encode_corpus(name, folder), defaults()
        return Subject(
            corpus.pretrained, corpus.labels, corpus.train, corpus.dev, TagHead(params.label_smoothing), params,
            lambda model: dev_f1(model, corpus, compute),
        )  # fmt: skip
    intents = encode_intents(folder)
    dev = intents.splits["dev"]
    return Subject(
        intents.pretrained, intents.labels, intents.splits["train"], dev,
        SingleLabelHead(intents.params.label_smoothing, None), intents.params,
        lambda model: accuracy(predict_examples(model, dev, compute, batch_tokens=BATCH_TOKENS), dev),
    )  # fmt: skip


def read_adaptation(settings: list[str]) -> dict[str, Any]:
    """The way to adapt of params.yaml with these settings."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        path.write_text(apply_settings(ROOT / "params.yaml", settings), encoding="utf-8")
        return load_task_params(path, Params).model.adaptation


def run(subject: Subject, adaptation: dict[str, Any], compute: Compute, changes: dict[str, Any]) -> Measured:
    """Train as the stage does, without checkpoints, with some parameters of training changed."""
    started, processor = time.perf_counter(), time.process_time()
    params = subject.params.model_copy(update=changes)
    torch.manual_seed(params.seed)
    model = load_classifier(subject.pretrained, labels=subject.labels, dropout=params.dropout)
    adapt_model(model, **adaptation)
    counts = count_weights(model)
    training = start(model, subject.train, subject.head, params, compute)
    for split in (subject.train, subject.dev):
        keep_frozen_states(model, split, compute, batch_tokens=BATCH_TOKENS)
    steps, scores, before = [], [], time.perf_counter()
    for step in training.steps:
        steps.append(time.perf_counter() - before)
        if step.ends_epoch:
            scores.append(training.best(lambda own: (subject.score(own),))[0])
        before = time.perf_counter()
    state = [*training.weights.state().values(), *training.weights.masters]
    return Measured(
        counts["trained"], counts["all"], sum(4 * value.numel() for value in state), statistics.median(steps),
        time.perf_counter() - started, time.process_time() - processor, max(scores),
    )  # fmt: skip


def show(name: str, found: Measured, full: Measured | None = None) -> None:
    """Print a line."""
    beside = ""
    if full is not None and found is not full:
        beside = (
            f"; beside full: checkpoint {found.checkpoint_bytes / full.checkpoint_bytes:.1%}, "
            f"step {found.step / full.step:.2f} times, {full.seconds / found.seconds:.1f} times faster in all, "
            f"dev {100 * (found.dev - full.dev):+.1f} points"
        )
    print(
        f"{name}: {found.trained / found.total:.2%} of weights, checkpoint {found.checkpoint_bytes / 1e6:.2f} MB, "
        f"step {1000 * found.step:.0f} ms, {found.seconds:.0f} s, processor {found.processor:.0f} s, "
        f"dev {found.dev:.4f}{beside}",
        flush=True,
    )


if __name__ == "__main__":
    main()
