"""Heads of a tagger: dev F1 of plain, constrained and CRF decoding side by side, and words per second of decoding.

    make bench-heads                           about an hour and a half on two cores
    python -m tests.benchmarks.bench_heads --corpora demo --seeds 13

For each corpus and seed a linear head and a CRF are trained with the defaults of params.yaml. Each way to decode is
scored after each epoch, in the strict reading and as conlleval reads tags, and keeps its epoch with the best strict F1.
Seconds are those of the training alone. Then the sentences of the last corpus are decoded, with the potentials of its
last CRF, by Tuneline and by pytorch-crf with batches of several sizes, sorted by length; medians of rounds in which the
contenders take turns.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchcrf
from transformers import PreTrainedModel

from stages.modeling.device import Compute, choose_compute, set_deterministic
from stages.tasks.token_classification.model.decoding import constrain, label_marginals, viterbi
from stages.tasks.token_classification.model.inference import WordLogits, predict_logits
from stages.tasks.token_classification.scores.entities import Tagging
from stages.tasks.token_classification.scores.metric import scores
from tests.benchmarks.contenders import LINEAR, defaults, tuneline
from tests.benchmarks.corpora import SOURCES, Corpus, encode_corpus

CRF = LINEAR.model_copy(update={"head": "crf"})
READINGS = ("entity_strict", "entity_conlleval")
WAYS = ("plain", "constrained", "crf")
WORDS = 200_000  # to decode
BATCH_SIZES = (32, 256, 2048)  # sentences, of pytorch-crf
ROUNDS = 3

F1s = tuple[float, ...]  # by reading


def main() -> None:
    """Print a line for each training run, the means of each corpus, and the speeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", nargs="+", default=list(SOURCES), choices=SOURCES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[13, 14, 15])
    options = parser.parse_args()
    set_deterministic(seed=options.seeds[0], threads=0)
    compute = choose_compute("auto", "auto")
    for name in options.corpora:
        with tempfile.TemporaryDirectory() as folder:
            corpus = encode_corpus(name, Path(folder))
            found: dict[str, list[F1s]] = {way: [] for way in WAYS}
            for seed in options.seeds:
                linear_seconds, best, _ = train_head(corpus, seed, compute, LINEAR, ("plain", "constrained"))
                crf_seconds, best_of_crf, model = train_head(corpus, seed, compute, CRF, ("crf",))
                for way, f1s in (best | best_of_crf).items():
                    found[way].append(f1s)
                print(
                    f"{name}, seed {seed}: {describe({way: rows[-1] for way, rows in found.items()})}; "
                    f"{linear_seconds:.0f} s of training, with a CRF {crf_seconds:.0f} s",
                    flush=True,
                )
            means = {way: tuple(map(statistics.mean, zip(*rows, strict=True))) for way, rows in found.items()}
            print(f"{name}, means: {describe(means)}", flush=True)
            if name == options.corpora[-1]:
                bench_decoding(predict_logits(model, corpus.train, compute, batch_tokens=4096))


def describe(f1s: dict[str, F1s]) -> str:
    """Strict and conlleval F1 of each way to decode."""
    return ", ".join(f"{way} {' / '.join(f'{value:.4f}' for value in values)}" for way, values in f1s.items())


def train_head(
    corpus: Corpus, seed: int, compute: Compute, task: Any, ways: tuple[str, ...]
) -> tuple[float, dict[str, F1s], PreTrainedModel]:
    """Seconds of training, the best dev F1 of each way to decode, and the model."""
    training = tuneline(corpus, defaults(seed=seed), compute, task)
    spent, started = 0.0, time.perf_counter()
    best: dict[str, F1s] = {}
    for step in training.steps:
        if step.ends_epoch:
            spent += time.perf_counter() - started
            for weights in (nullcontext(), training.weights.averaged()):
                with weights:
                    found = predict_logits(training.model, corpus.dev, compute, batch_tokens=4096)
                for way in ways:
                    ids_W = found.logits_WC.argmax(1) if way == "plain" else found.predicted_W
                    best[way] = max(best.get(way, (-1.0,)), score(ids_W, found, corpus))
            started = time.perf_counter()
    return spent, best, training.model


def score(ids_W: np.ndarray, found: WordLogits, corpus: Corpus) -> F1s:
    """Micro F1 in each reading."""
    gold, predicted = (Tagging(ids, found.bounds, tuple(corpus.labels)) for ids in (found.gold_W, ids_W))
    tables = scores(gold, predicted)
    return tuple(tables[reading]["micro"]["f1"] for reading in READINGS)


def bench_decoding(found: WordLogits) -> None:
    """Words per second, from logits to labels, repeated up to WORDS words."""
    times = -(-WORDS // len(found.gold_W))
    logits_WC = np.tile(found.logits_WC, (times, 1))
    bounds = np.append(0, np.cumsum(np.tile(np.diff(found.bounds), times)))
    oracle = make_oracle(found)
    label_W = viterbi(logits_WC, bounds, found.potentials)
    allowed = found.potentials.map(lambda values: torch.where(values.isfinite(), 0.0, -torch.inf))
    contenders: dict[str, Callable[[], Any]] = {
        "argmax": lambda: logits_WC.argmax(1),
        "linear head, constrained": lambda: constrain(logits_WC, bounds, allowed),
        "linear head, constrained, every sentence searched": lambda: viterbi(logits_WC, bounds, allowed),
        "CRF": lambda: viterbi(logits_WC, bounds, found.potentials),
        "CRF, probabilities": lambda: label_marginals(logits_WC, bounds, found.potentials, label_W),
    } | {
        f"pytorch-crf, batches of {size}": lambda size=size: decode_by_oracle(oracle, logits_WC, bounds, size)  # type: ignore[misc]
        for size in BATCH_SIZES
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, decode in contenders.items():
            started = time.perf_counter()
            decode()
            seconds[name].append(time.perf_counter() - started)
    ours = statistics.median(seconds["CRF"])
    print(f"\n{len(logits_WC):,} words, {logits_WC.shape[1]} labels, {torch.get_num_threads()} threads")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:<50} {len(logits_WC) / median:12,.0f} words/s  Tuneline's CRF / this = {median / ours:.1f}")
    same = (decode_by_oracle(oracle, logits_WC, bounds, max(BATCH_SIZES)) == label_W).mean()
    print(f"same labels: {same:.2%}")


def make_oracle(found: WordLogits) -> Any:
    """A CRF of pytorch-crf with the same potentials; it knows no -inf."""
    oracle = torchcrf.CRF(found.logits_WC.shape[1], batch_first=True).requires_grad_(requires_grad=False)
    potentials = found.potentials.map(lambda values: values.nan_to_num(neginf=-1e4))
    for name, values in (
        ("start_transitions", potentials.start_C),
        ("transitions", potentials.transitions_CC),
        ("end_transitions", potentials.end_C),
    ):
        getattr(oracle, name).copy_(values)
    return oracle


def decode_by_oracle(oracle: Any, logits_WC: np.ndarray, bounds: np.ndarray, size: int) -> np.ndarray:
    """[W] the labels, by batches of `size` sentences, longest first."""
    lengths = np.diff(bounds)
    order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
    label_W = np.empty(len(logits_WC), np.int64)
    for start in range(0, len(order), size):
        block = order[start : start + size]
        step = np.arange(lengths[block[0]])
        mask = step < lengths[block, None]
        places = np.where(mask, bounds[block, None] + step, 0)
        paths = oracle.decode(torch.from_numpy(logits_WC[places]), torch.from_numpy(mask))
        label_W[places[mask]] = np.concatenate(paths)
    return label_W


if __name__ == "__main__":
    main()
