"""Labels of texts beside two peers, on CLINC150 (150 intents): accuracy, and the time that it took.

    make bench-intents          an hour on two cores
    python -m tests.benchmarks.texts.bench_intents --seeds 13
    python -m tests.benchmarks.texts.bench_intents --steps 200      the speed of training alone, a few minutes

All start from the encoder of params.yaml. The Trainer fine-tunes `AutoModelForSequenceClassification` in batches of 32,
in bf16 where the machine computes in it, grouped by length, as PEERS says; its time is that of training alone. Tuneline
has the defaults of text_classification; its time is that of its epochs up to the first whose dev accuracy is as good as
the Trainer's at its end, without scoring. The frozen encoder's means of tokens go into logistic regression. For each
seed all run one after another, in one process. Test decides nothing.

With --steps N, N batches of each are trained in turns, over three rounds.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from pipeline.checkout.new_pipeline import write_params_text
from stages.config import tokenize, train
from stages.config.sections import load_task_params
from stages.corpus.text.sentences import SPLITS
from stages.encoding.texts import read_texts
from stages.encoding.tokenizer import load_tokenizer
from stages.modeling.batches import sorted_rows
from stages.modeling.classifier import load_classifier
from stages.modeling.device import Compute, choose_compute, set_deterministic
from stages.modeling.pretrained import find_pretrained
from stages.modeling.text_split import TextSplit, predict_examples
from stages.tasks.text_classification.data.corpus import check_corpus
from stages.tasks.text_classification.model.head import SingleLabelHead
from stages.tasks.text_classification.model.inference import mark_labels
from tests.benchmarks.contenders import Training, run_trainer, start
from tests.conftest import CORPORA

SEEDS = (13, 14, 15)
PEERS: dict[str, dict[str, Any]] = {
    "Trainer, tuned: 3 epochs at 5e-5, its defaults": {},
    "Trainer, tuned: 4 epochs at 2e-4": {"num_train_epochs": 4, "learning_rate": 2e-4},
}
SCORED = ("dev", "test")
ROUNDS = 3
BATCH = 32  # texts, of the Trainer and of inference for peers
BATCH_TOKENS = 4096  # of our inference
INVERSE_PENALTY = 30.0  # C of logistic regression on vectors of length 1

Row = dict[str, Any]
Reached = tuple[float, float, float]  # seconds of training, accuracy on dev and on test
Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Intents:
    """CLINC150 under the pretrained encoder of params.yaml, with the defaults of the task."""

    labels: list[str]
    splits: dict[str, TextSplit]
    pretrained: Path
    tokenizer: PreTrainedTokenizerFast
    params: train.TrainParams

    def rows(self, split: str) -> list[Row]:
        """The texts as the Trainer wants them."""
        own = self.splits[split]
        return [
            {"input_ids": own.input_ids[first:end].tolist(), "labels": int(label)}
            for (first, end), label in zip(pairwise(own.offsets.tolist()), own.answers_R, strict=True)
        ]


def main() -> None:
    """Print accuracy and seconds of each, for each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--steps", type=int)
    arguments = parser.parse_args()
    set_deterministic(seed=SEEDS[0], threads=0)
    compute = choose_compute("auto", "auto")
    with tempfile.TemporaryDirectory() as folder:
        intents = encode_intents(Path(folder))
        if arguments.steps:
            compare_speed(intents, compute, arguments.steps)
            return
        started = time.perf_counter()
        dev, test = score_frozen(intents)
        print(f"frozen: dev {dev:.4f}, test {test:.4f}, {time.perf_counter() - started:.0f} s", flush=True)
        kept = [compare_quality(intents, compute, seed) for seed in arguments.seeds]
        seconds, dev, test = (statistics.mean(values) for values in zip(*kept, strict=True))
        print(f"Tuneline, means: dev {dev:.4f}, test {test:.4f}, {seconds:.0f} s for all epochs")


def encode_intents(folder: Path) -> Intents:
    """Encode the corpus into `folder` as a new pipeline for it would."""
    path = folder / "params.yaml"
    path.write_text(write_params_text("text_classification"), encoding="utf-8")
    params: Any = load_task_params(path, tokenize.Params)
    data = params.data.model_copy(update={"dir": str(CORPORA / "clinc150")})
    pretrained = find_pretrained(**params.model.encoder)
    tokenizer = load_tokenizer(pretrained)
    corpus = check_corpus(params.model_copy(update={"data": data}), tokenizer)
    corpus.encode(folder, labels=corpus.labels, names={split: split for split in SPLITS}, on_block=lambda _: None)
    splits = {}
    for split in ("train", "dev", "test"):
        texts = read_texts(folder, split)
        label_E = mark_labels(texts, len(corpus.labels)).argmax(1)
        splits[split] = TextSplit(texts, params.task.pooling, label_E[texts.example])
    own = load_task_params(path, train.Params).train
    return Intents(corpus.labels, splits, pretrained, tokenizer, own)


def compare_quality(intents: Intents, compute: Compute, seed: int) -> Reached:
    """Print what each contender reaches with a seed, and when Tuneline is as good as each peer.

    Returns the accuracy of the epoch that Tuneline keeps, the best on dev, and the seconds of all epochs.
    """
    epochs = list(train_ours(intents, compute, seed))
    for number, (seconds, dev, test) in enumerate(epochs, start=1):
        print(f"seed {seed}: Tuneline, epoch {number}: dev {dev:.4f}, test {test:.4f}, {seconds:.0f} s", flush=True)
    for name, options in PEERS.items():
        model, seconds = train_peer(intents, compute, seed, intents.rows("train"), **options)
        dev, test = (
            accuracy(forward(model, intents, split, lambda output, _: output.logits), intents.splits[split])
            for split in SCORED
        )
        reached = next((spent for spent, score, _ in epochs if score >= dev), float("inf"))
        print(
            f"seed {seed}: {name}: dev {dev:.4f}, test {test:.4f}, {seconds:.0f} s; "
            f"Tuneline is as good {seconds / reached:.1f} times sooner",
            flush=True,
        )
    _, dev, test = max(epochs, key=lambda epoch: epoch[1])
    return epochs[-1][0], dev, test


def train_ours(intents: Intents, compute: Compute, seed: int) -> Iterator[Reached]:
    """What is reached after each epoch."""
    training = start_ours(intents, compute, seed)
    scored = [intents.splits[split] for split in SCORED]

    def score(model: PreTrainedModel) -> tuple[float, ...]:
        logits = (predict_examples(model, own, compute, batch_tokens=BATCH_TOKENS) for own in scored)
        return tuple(accuracy(found_EC, own) for found_EC, own in zip(logits, scored, strict=True))

    spent, started = 0.0, time.perf_counter()
    for step in training.steps:
        if step.ends_epoch:
            spent += time.perf_counter() - started
            dev, test = training.best(score)
            yield spent, dev, test
            started = time.perf_counter()


def start_ours(intents: Intents, compute: Compute, seed: int) -> Training:
    """The training run of a model with the defaults of the task."""
    params = intents.params.model_copy(update={"seed": seed})
    torch.manual_seed(seed)
    model = load_classifier(intents.pretrained, labels=intents.labels, dropout=params.dropout)
    head = SingleLabelHead(params.label_smoothing, None)
    return start(model, intents.splits["train"], head, params, compute)


def train_peer(
    intents: Intents, compute: Compute, seed: int, rows: Sequence[Row], **options: Any
) -> tuple[PreTrainedModel, float]:
    """The Trainer's model, and the seconds that `train` took."""
    torch.manual_seed(seed)
    model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
        intents.pretrained, num_labels=len(intents.labels), dtype=torch.float32, local_files_only=True
    )
    collator = DataCollatorWithPadding(intents.tokenizer)
    tuned = {
        "per_device_train_batch_size": BATCH,
        "bf16": compute.precision == "bf16",
        "train_sampling_strategy": "group_by_length",
    }
    with tempfile.TemporaryDirectory() as output:
        return model, run_trainer(model, rows, collator, Path(output), seed=seed, **tuned | options)


def compare_speed(intents: Intents, compute: Compute, steps: int) -> None:
    """Print the tokens per second of Tuneline and of the Trainer, in turns."""
    order = np.random.default_rng(SEEDS[0]).permutation(len(intents.splits["train"].lengths))[: steps * BATCH]
    every = intents.rows("train")
    rows = [every[number] for number in order]
    tokens = sum(len(row["input_ids"]) for row in rows)

    def ours() -> float:
        own = start_ours(intents, compute, SEEDS[0]).steps
        started = time.perf_counter()
        seen = sum(step.tokens for step in islice(own, steps))
        return seen / (time.perf_counter() - started)

    def trainers() -> float:
        return tokens / train_peer(intents, compute, SEEDS[0], rows, num_train_epochs=1)[1]

    contenders: dict[str, Callable[[], float]] = {"Tuneline": ours, "Trainer, tuned": trainers}
    rounds = []
    for _ in range(ROUNDS):
        rounds.append({name: run() for name, run in contenders.items()})
        print(", ".join(f"{name} {speed:,.0f} tokens/s" for name, speed in rounds[-1].items()), flush=True)
    for name in contenders:
        print(f"{name}: median {statistics.median(found[name] for found in rounds):,.0f} tokens/s")
    ratio = statistics.median(found["Tuneline"] / found["Trainer, tuned"] for found in rounds)
    print(f"Tuneline is {ratio:.2f} times as fast")


def score_frozen(intents: Intents) -> list[float]:
    """Accuracy on dev and test of logistic regression on the frozen encoder."""
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000)
    model.fit(embed(intents, "train"), intents.splits["train"].answers_R)
    return [model.score(embed(intents, split), intents.splits[split].answers_R) for split in SCORED]


def embed(intents: Intents, split: str) -> Floats:
    """[E, D] the mean of the tokens that the frozen encoder has for each text, as a vector of length 1."""
    encoder = AutoModel.from_pretrained(intents.pretrained, dtype=torch.float32, local_files_only=True)

    def mean(output: Any, mask_BT: torch.Tensor) -> torch.Tensor:
        return functional.normalize((output.last_hidden_state * mask_BT[:, :, None]).sum(1))

    return forward(encoder, intents, split, mean)


@torch.inference_mode()
def forward(
    model: PreTrainedModel, intents: Intents, split: str, read: Callable[[Any, torch.Tensor], torch.Tensor]
) -> Floats:
    """[E, C] what `read` makes of a model's output and the mask of padding, for each text."""
    model.eval()
    own, rows = intents.splits[split], intents.rows(split)
    found: dict[int, Floats] = {}
    for numbers in sorted_rows(own.lengths, budget=BATCH_TOKENS):
        inputs = [{"input_ids": rows[number]["input_ids"]} for number in numbers]
        padded = intents.tokenizer.pad(inputs, return_tensors="pt").to(model.device)
        values_BC = read(model(**padded), padded["attention_mask"])
        found |= dict(zip(numbers.tolist(), values_BC.float().cpu().numpy(), strict=True))
    return np.stack([found[number] for number in range(len(rows))])


def accuracy(logits_EC: Floats, split: TextSplit) -> float:
    """The share of texts whose label has the highest logit."""
    return float(np.mean(logits_EC.argmax(1) == split.answers_R))


if __name__ == "__main__":
    main()
