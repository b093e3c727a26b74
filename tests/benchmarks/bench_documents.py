"""Whole documents beside single sentences, and how the length of windows tells on the speed of training.

    make bench-documents        half an hour on two cores

Wikigold is split by document, the same for all contenders, so that they are scored on the same sentences. Each trains
with the defaults of params.yaml; its F1 is that of its best epoch on dev, its seconds are those of training alone, in
processor time, so that other work on the machine hardly counts. Speeds are those of whole steps over the text of the
demo, cut into windows of one length, in rounds in which the lengths take turns.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from stages.config.train import TrainParams
from stages.encoding.files import EncodedSplit
from stages.modeling.device import Compute, choose_compute, set_deterministic
from tests.benchmarks.contenders import defaults, dev_f1, tuneline
from tests.benchmarks.corpora import Corpus, encode_corpus

SEEDS = (13, 14, 15)
SENTENCES = "sentences"
CONTENDERS: dict[str, dict[str, Any]] = {  # the changes in the section tokenize
    SENTENCES: {"context": "sentence"},
    "documents": {"context": "document"},
    "documents, windows of 128": {"context": "document", "window_length": 128, "window_overlap": 32},
    "documents, windows of 64": {"context": "document", "window_length": 64, "window_overlap": 16},
}
LENGTHS = (20, 64, 128, 256, 512)
BATCHES = (512, 2048)
ROUNDS = 3
STEPS = 12  # of each length in each round; as many warm up
TOKENS = 2048 * STEPS * 2


class Outcome(NamedTuple):
    """What a training run has come to."""

    f1: float
    tokens: int
    seconds: float


def main() -> None:
    """Print a line for each contender and seed, their means, and the speeds."""
    set_deterministic(seed=SEEDS[0], threads=0)
    compute = choose_compute("auto", "auto")
    print_quality(compute)
    print_speeds(compute)


def print_quality(compute: Compute) -> None:
    """Train every contender with every seed."""
    with encoded_corpora() as corpora:
        found: dict[str, list[Outcome]] = {name: [] for name in corpora}
        for seed in SEEDS:
            for name, corpus in corpora.items():
                outcome = train_whole(corpus, defaults(seed=seed), compute)
                found[name].append(outcome)
                print(f"{name}, seed {seed}: {describe(outcome)}", flush=True)
    base = mean(found[SENTENCES])
    for name, outcomes in found.items():
        own = mean(outcomes)
        print(
            f"{name}: mean {describe(own)}; beside {SENTENCES} {own.f1 - base.f1:+.4f} F1, "
            f"{own.tokens / base.tokens:.2f} times the tokens, {own.seconds / base.seconds:.2f} times the time",
            flush=True,
        )


def print_speeds(compute: Compute) -> None:
    """Tokens for each second of a processor at each length of windows, beside those at the shortest."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = encode_corpus("demo", Path(folder))
        for batch_tokens in BATCHES:
            params = defaults(batch_tokens=batch_tokens)
            speeds: dict[int, list[float]] = {length: [] for length in LENGTHS}
            for _ in range(ROUNDS):
                for length in LENGTHS:
                    cut = replace(corpus, train=cut_evenly(corpus.train, length))
                    speeds[length].append(measure_speed(cut, params, compute))
            for length, values in speeds.items():
                ratio = statistics.median(
                    own / shortest for own, shortest in zip(values, speeds[LENGTHS[0]], strict=True)
                )
                print(
                    f"batches of {batch_tokens:>5,}, windows of {length:>3}: {statistics.median(values):>6,.0f} tokens "
                    f"a processor second ({min(values):,.0f} to {max(values):,.0f}), {ratio:.2f} of those at "
                    f"{LENGTHS[0]}",
                    flush=True,
                )


@contextmanager
def encoded_corpora() -> Iterator[dict[str, Corpus]]:
    """Wikigold, encoded as each contender wants it."""
    with tempfile.TemporaryDirectory() as folder:
        corpora = {}
        for number, (name, changes) in enumerate(CONTENDERS.items()):
            own = Path(folder, str(number))
            own.mkdir()
            corpora[name] = encode_corpus("Wikigold, by document", own, **changes)
        yield corpora


def train_whole(corpus: Corpus, params: TrainParams, compute: Compute) -> Outcome:
    """All epochs, scored after each."""
    training = tuneline(corpus, params, compute)
    scores, seconds, tokens = [], 0.0, 0
    started = time.process_time()
    for step in training.steps:
        tokens += step.tokens
        if step.ends_epoch:
            seconds += time.process_time() - started
            scores.append(training.best(lambda model: (dev_f1(model, corpus, compute),))[0])
            started = time.process_time()
    return Outcome(max(scores), tokens, seconds / torch.get_num_threads())


def mean(outcomes: list[Outcome]) -> Outcome:
    """The means of F1 and seconds; the tokens are the same in all."""
    return Outcome(
        statistics.mean(each.f1 for each in outcomes),
        outcomes[0].tokens,
        statistics.mean(each.seconds for each in outcomes),
    )


def describe(outcome: Outcome) -> str:
    """In words."""
    return f"dev F1 {outcome.f1:.4f}, {outcome.tokens:,} tokens in {outcome.seconds:.0f} s of each processor"


def cut_evenly(split: EncodedSplit, length: int) -> EncodedSplit:
    """The tokens of a split, again and again, as rows of this length, with their labels."""
    rows = TOKENS // length
    columns = {name: np.resize(getattr(split, name), rows * length) for name in ("input_ids", "labels", "word_index")}
    return replace(split, offsets=np.arange(rows + 1, dtype=np.int32) * length, **columns)


def measure_speed(corpus: Corpus, params: TrainParams, compute: Compute) -> float:
    """Tokens for each second that a processor works, over whole steps."""
    steps = tuneline(corpus, params, compute).steps
    seen, started = 0, 0.0
    for number, step in enumerate(steps, start=1):
        if number > STEPS:
            seen += step.tokens
        if number == STEPS:
            started = time.process_time()
        if number == 2 * STEPS:
            break
    return seen / (time.process_time() - started)


if __name__ == "__main__":
    main()
