"""Training speed beside the Hugging Face Trainer: real sub-words a second, all in one process, on the demo corpus.

    make bench        about five minutes on two cores

Every contender trains the same pretrained encoder on the same windows for the same number of real sub-words; padding
does not count. Medians of three rounds, in which the contenders take turns.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments

from stages.corpus.reading import open_corpus
from stages.encoding.files import EncodedSplit, read_split
from stages.encoding.rows import Encoder
from stages.encoding.tokenizer import load_tokenizer
from stages.encoding.vocabulary import Vocabulary
from stages.modeling.classifier import load_classifier
from stages.modeling.device import choose_compute, make_repeatable
from stages.modeling.pretrained import find_pretrained
from stages.modeling.training import MasterWeights, Settings, train
from stages.params import load_params
from stages.tokenize import Params as TokenizeParams
from stages.tokenize import checked, encode
from stages.train import Params as TrainParams
from tests.conftest import ROOT

ROUNDS = 3
SUBWORDS = 20_000  # in each round


class Rows(Dataset[dict[str, list[int]]]):
    """The windows as the Trainer wants them, as many as make up `SUBWORDS`."""

    def __init__(self, split: EncodedSplit) -> None:
        self.subwords = 0
        self.rows: list[dict[str, list[int]]] = []
        for start, end in pairwise(split.offsets):
            if self.subwords < SUBWORDS:
                self.subwords += int(end - start)
                columns = {"input_ids": split.input_ids, "labels": split.labels}
                self.rows.append({name: values[start:end].tolist() for name, values in columns.items()})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return self.rows[index]


def main(encoded: Path) -> None:
    """Print sub-words a second of each contender, and how many times faster than it Tuneline is.

    `encoded` is an empty folder for the encoded corpus.
    """
    make_repeatable(seed=13, threads=0)
    tokenize = load_params(ROOT / "params.yaml", TokenizeParams)
    params = load_params(ROOT / "params.yaml", TrainParams)
    pretrained = find_pretrained(params.model)
    tokenizer = load_tokenizer(pretrained)
    corpus = open_corpus(tokenize.data.model_copy(update={"dir": str(ROOT / tokenize.data.dir)}))
    encoder = Encoder(
        Vocabulary(tokenizer), length=tokenize.tokenize.window_length, overlap=tokenize.tokenize.window_overlap
    )
    tags, _ = checked(corpus, encoder.vocabulary, context=tokenize.tokenize.context)
    encode(corpus, tags, encoder, encoded, context=tokenize.tokenize.context, on_block=lambda _: None)
    split = read_split(encoded, "train")
    dataset = Rows(split)
    compute = choose_compute(params.runtime.device, params.train.precision)
    settings = Settings(**params.train.model_dump(include=set(Settings.__dataclass_fields__)))

    def ours(_: Path) -> float:
        model = load_classifier(pretrained, labels=tags.labels, dropout=params.train.dropout)
        weights = MasterWeights(model, settings, compute)
        seen, started = 0, time.perf_counter()
        for step in train(model, weights, split, settings, compute, seed=13):
            seen += step.subwords
            if seen >= SUBWORDS:
                break
        return seen / (time.perf_counter() - started)

    def trainer(**options: Any) -> Callable[[Path], float]:
        def run(folder: Path) -> float:
            arguments = TrainingArguments(
                output_dir=str(folder), num_train_epochs=1, save_strategy="no", report_to="none", disable_tqdm=True,
                logging_strategy="no", use_cpu=compute.device.type == "cpu", **options,
            )  # fmt: skip
            model = load_classifier(pretrained, labels=tags.labels, dropout=params.train.dropout)
            model.set_attn_implementation("sdpa")  # the library's own default
            hf = Trainer(
                model, arguments, train_dataset=dataset, data_collator=DataCollatorForTokenClassification(tokenizer)
            )
            started = time.perf_counter()
            hf.train()
            return dataset.subwords / (time.perf_counter() - started)

        return run

    contenders: dict[str, Callable[[Path], float]] = {
        "Tuneline": ours,
        "Trainer, defaults (batch 8, fp32)": trainer(),
        "Trainer, tuned (batch 32, bf16, by length)": trainer(
            per_device_train_batch_size=32, bf16=compute.precision == "bf16", train_sampling_strategy="group_by_length"
        ),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            with tempfile.TemporaryDirectory() as folder:
                speeds[name].append(run(Path(folder)))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(
        f"\n{compute.device.type}, {torch.get_num_threads()} threads, {SUBWORDS:,} sub-words a round, {ROUNDS} rounds"
    )
    for name, speed in medians.items():
        spread = f"{min(speeds[name]):,.0f} to {max(speeds[name]):,.0f}"
        print(f"{name:<44} {speed:>7,.0f} sub-words/s ({spread})  Tuneline / this = {medians['Tuneline'] / speed:.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
