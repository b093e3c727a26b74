"""Scoring compared with seqeval, inference with the token-classification pipeline of transformers, in one run.

    make bench-evaluate        about ten minutes on two cores; `make run` first, for the model

Scoring: a million sentences, the tags of WNUT-17 (else of the demo) repeated, a tenth of the predicted ones replaced at
random. Tuneline's figures include all three tables and their intervals, those of seqeval one report each. Inference:
raw text to entities with data/model, in words per second; medians of three rounds in which the contenders take turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2
from transformers import pipeline

from stages.corpus.reading import DataParams, open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.raw_text import word_spans
from stages.modeling.classifier import load_classifier
from stages.modeling.device import choose_compute, move_to, set_deterministic
from stages.tasks.token_classification.scores.entities import Tagging, taggings
from stages.tasks.token_classification.scores.metric import scores
from stages.tasks.token_classification.service.predictor import Recognizer
from tests import oracles
from tests.checkouts import DEMO, ROOT
from tests.conftest import CORPORA

MODEL = ROOT / "data/model"
ROUNDS = 3
REPLACED = 0.1  # of the predicted tags
READINGS: dict[str, dict[str, Any]] = {"entity_strict": {"mode": "strict", "scheme": IOB2}, "entity_conlleval": {}}
BATCH_SIZES = (8, 32, 128)  # of which the tuned pipeline takes the best
FEW_TEXTS = 300  # for the pipeline as documented, which takes them one by one


def main() -> None:
    """Print seconds, words per second and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=1_000_000)
    set_deterministic(seed=13, threads=0)
    bench_scoring(parser.parse_args().sentences)
    bench_inference()


def bench_scoring(sentences: int) -> None:
    """Tables of `sentences` sentences, by Tuneline and by seqeval."""
    gold, predicted = repeat_corpus(sentences)
    print(f"{sentences:,} sentences, {len(gold.ids_W):,} words", flush=True)
    ours = [seconds(lambda: scores(gold, predicted)) for _ in range(ROUNDS)]
    tables = scores(gold, predicted)
    lists = [as_lists(gold), as_lists(predicted)]
    from_lists = seconds(lambda: scores(*taggings(*lists)))
    median = statistics.median(ours)
    print(f"Tuneline, all tables and intervals          {median:7.1f} s")
    print(f"Tuneline, from lists of strings             {from_lists:7.1f} s", flush=True)
    for reading, options in READINGS.items():
        started = time.perf_counter()
        report = classification_report(*lists, output_dict=True, zero_division=0, **options)
        spent = time.perf_counter() - started
        same = all(
            tables[reading]["per_type"][name]["f1"] == row["f1-score"]
            for name, row in report.items()
            if not name.endswith(" avg")
        ) and tables[reading]["micro"]["f1"] == float(report["micro avg"]["f1-score"])
        print(
            f"seqeval, {reading:<34} {spent:7.1f} s  {spent / median:.0f} times Tuneline's, "
            f"{spent / from_lists:.1f} from lists; same numbers: {same}",
            flush=True,
        )


def bench_inference() -> None:
    """Raw text to entities, in words per second."""
    texts = [space_words(" ".join(words)) for words in corpus("words")]
    few = texts[:FEW_TEXTS]
    bf16 = choose_compute("auto", "auto")
    recognizer = Recognizer.load(MODEL)
    exact = replace(recognizer, model=load_classifier(MODEL), compute=choose_compute("auto", "fp32"))
    move_to(exact.model, exact.compute)
    by_length = sorted(texts, key=len)
    documented = pipeline("token-classification", model=str(MODEL))
    tuned = pipeline("token-classification", model=str(MODEL), dtype=bf16.dtype)
    best = min(
        BATCH_SIZES, key=lambda size: seconds(lambda: tuned(by_length[:: len(by_length) // 200], batch_size=size))
    )
    contenders: dict[str, tuple[Callable[[], Any], list[str]]] = {
        "Tuneline": (lambda: recognizer(texts), texts),
        "pipeline, as documented": (lambda: documented(few), few),
        f"pipeline, tuned (batch {best}, {bf16.precision}, by length)": (
            lambda: tuned(by_length, batch_size=best),
            texts,
        ),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, (run, given) in contenders.items():
            speeds[name].append(sum(len(word_spans(text)) for text in given) / seconds(run))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(f"\n{len(texts):,} texts, {bf16.precision}, {torch.get_num_threads()} threads")
    for name, median in medians.items():
        print(f"{name:<50} {median:9,.0f} words/s  Tuneline / this = {medians['Tuneline'] / median:.1f}")
    for name, ours, peer in (("fp32", exact, documented), (bf16.precision, recognizer, tuned)):
        same = [
            begins(text, found) == begins_of_peer(text, peer(text)) for text, found in zip(few, ours(few), strict=True)
        ]
        print(f"same entities as the pipeline in {name}: {sum(same)} of {len(same)} texts")


def space_words(text: str) -> str:
    """Put spaces around the words of a text, so that both contenders split it into the same words."""
    return " ".join(text[start:end] for start, end in word_spans(text))


def begins(text: str, found: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """The first character and the type of each entity's words."""
    return [
        (start, entity["type"])
        for entity in found
        for start, end in word_spans(text)
        if entity["start"] <= start < entity["end"]
    ]


def begins_of_peer(text: str, tokens: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """The same from the pipeline's prediction for the first token of each word."""
    starts = {start for start, _ in word_spans(text)}
    return [(token["start"], token["entity"][2:]) for token in tokens if token["start"] in starts]


def corpus(column: str) -> list[list[str]]:
    """The words or the tags, in IOB2, of all sentences."""
    place = CORPORA / "wnut17" if CORPORA.is_dir() else DEMO
    params = {"dir": str(place), "format": "auto", "words": "auto", "tags": "auto", "split": None}
    source = open_corpus(DataParams.model_validate(params))
    sentences = [s for block, _ in source.blocks(Diagnostics()) for s in block.sentences() if s.tags]
    if column == "words":
        return [list(s.words) for s in sentences]
    return [oracles.tags_of(oracles.entities(s.tags, strict=False), len(s.tags)) for s in sentences]


def repeat_corpus(sentences: int) -> tuple[Tagging, Tagging]:
    """Gold and predicted tags of `sentences` sentences."""
    (once,) = taggings(corpus("tags"))
    times = -(-sentences // once.sentences)
    lengths = np.tile(np.diff(once.bounds), times)[:sentences]
    bounds = np.append(0, np.cumsum(lengths))
    gold = np.tile(once.ids_W, times)[: bounds[-1]]
    generator = np.random.default_rng(13)
    chosen = generator.random(len(gold)) < REPLACED
    predicted = np.where(chosen, gold[generator.integers(len(gold), size=len(gold))], gold)
    return Tagging(gold, bounds, once.tags), Tagging(predicted, bounds, once.tags)


def as_lists(tagging: Tagging) -> list[list[str]]:
    """The tags as seqeval wants them."""
    flat = np.array(tagging.tags, dtype=object)[tagging.ids_W].tolist()
    return [flat[start:end] for start, end in zip(tagging.bounds[:-1], tagging.bounds[1:], strict=True)]


def seconds(run: Callable[[], Any]) -> float:
    """How long `run` takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
