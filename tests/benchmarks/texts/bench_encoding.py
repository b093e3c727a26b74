"""Speed of encoding raw texts against `datasets.map` with the fast tokenizer, and peak memory.

    python -m tests.benchmarks.texts.bench_encoding        about three minutes on two cores

Texts of 20 words, drawn from the real corpora beside the project. The peer reads 100,000 of them from memory, Tuneline
a million (its cache of chunks fills on the way, so fewer would be slower a text), and both end with an Arrow file of
token ids. Each measurement is a separate process; they take turns, and the medians are compared.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from transformers import PreTrainedTokenizerFast

from stages.config.model import ModelParams
from stages.encoding.text_rows import TextEncoder
from stages.encoding.texts import text_schema, text_writer
from stages.encoding.tokenizer import load_tokenizer
from stages.modeling.pretrained import find_pretrained
from stages.params import read_document
from tests.checkouts import ROOT
from tests.conftest import CORPORA

ROUNDS = 3
WORDS = 20  # of a text
BLOCK = 10_000  # texts
FOLDERS = ["clothing_reviews", "mrpc", "trecqa", "emobank", "clinc150"]


def main() -> None:
    """Print texts per second and peak memory of each contender, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--role", choices=ROLES)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    if arguments.role:
        print(json.dumps(ROLES[arguments.role](arguments.texts)))
        return
    count = arguments.texts
    rounds = [
        {name: measure(role, count if role == "tuneline" else count // 10) for name, role in CONTENDERS.items()}
        for _ in range(arguments.rounds)
    ]
    ours = statistics.median(found["Tuneline"]["texts_per_second"] for found in rounds)
    print(f"\n{count:,} texts of {WORDS} words, medians of {arguments.rounds} rounds; the peer has a tenth of them")
    for name in CONTENDERS:
        speed = statistics.median(found[name]["texts_per_second"] for found in rounds)
        peak = max(found[name]["peak_mib"] for found in rounds)
        print(f"{name:<36} {speed:>9,.0f} texts/s   Tuneline / this = {ours / speed:5.1f}   peak {peak:,.0f} MiB")
    more = measure("tuneline", 3 * count)
    print(f"{3 * count:,} texts: Tuneline {more['texts_per_second']:,.0f} texts/s, peak {more['peak_mib']:,.0f} MiB")


def measure(role: str, count: int) -> dict[str, float]:
    """Measure one contender in a separate process."""
    command = [sys.executable, "-m", "tests.benchmarks.texts.bench_encoding", "--role", role, "--texts", str(count)]
    finished = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return found


def draw_texts(count: int) -> Iterator[list[str]]:
    """Blocks of texts of real words, each as often as in the corpora."""
    words = [
        word
        for folder in FOLDERS
        for path in sorted((CORPORA / folder).iterdir())
        for word in path.read_text(encoding="utf-8", errors="replace").split()
    ]
    generator = np.random.default_rng(13)
    for _ in range(0, count, BLOCK):
        numbers = generator.integers(0, len(words), (BLOCK, WORDS)).tolist()
        yield [" ".join([words[number] for number in row]) for row in numbers]


def pretrained_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of params.yaml."""
    shipped = ModelParams(**read_document(ROOT / "params.yaml")["model"])
    return load_tokenizer(find_pretrained(**shipped.encoder))


def peak_mib() -> float:
    """Peak memory of this process and of the largest of its children."""
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + children) / 1024


def tuneline(count: int) -> dict[str, float]:
    """Blocks of texts to the Arrow file, as tokenize writes it; drawing the texts is not counted."""
    encoder = TextEncoder(pretrained_tokenizer(), length=256, overlap=64)
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder, text_writer(Path(folder) / "x.arrow", text_schema("labels")) as file:
        for number, block in enumerate(draw_texts(count)):
            texts = pa.array(block)
            labels = pa.ListArray.from_arrays(np.arange(len(texts) + 1, dtype=np.int32), np.zeros(len(texts), np.int32))
            started = time.perf_counter()
            file.write_batch(encoder.encode(texts).rows(first=number * BLOCK, answers=labels))
            seconds += time.perf_counter() - started
    return {"texts_per_second": count / seconds, "peak_mib": peak_mib()}


def datasets_map(workers: int | None) -> Callable[[int], dict[str, float]]:
    """`datasets.map`, batched, with the fast tokenizer, as in the library's examples."""

    def run(count: int) -> dict[str, float]:
        import datasets

        datasets.disable_progress_bars()
        tokenizer = pretrained_tokenizer()
        with tempfile.TemporaryDirectory() as folder:
            data = datasets.Dataset.from_dict({"text": [text for block in draw_texts(count) for text in block]})
            data = data.add_column("labels", [0] * len(data))
            started = time.perf_counter()
            data.map(
                lambda examples: tokenizer(examples["text"], truncation=True, max_length=256),
                batched=True,
                num_proc=workers,
                cache_file_name=str(Path(folder) / "encoded.arrow"),
            )
            seconds = time.perf_counter() - started
        return {"texts_per_second": len(data) / seconds, "peak_mib": peak_mib()}

    return run


ROLES: dict[str, Callable[[int], dict[str, float]]] = {
    "tuneline": tuneline,
    "map": datasets_map(None),
    "map-2": datasets_map(2),
}

CONTENDERS = {
    "Tuneline": "tuneline",
    "datasets.map, batched": "map",
    "datasets.map, batched, num_proc=2": "map-2",
}

if __name__ == "__main__":
    main()
