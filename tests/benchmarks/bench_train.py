"""Training speed compared with three peers: tokens per second, all in one process, on the demo corpus.

    make bench-train        about eight minutes on two cores

Every contender trains the same pretrained encoder on the same windows; padding does not count. The figures are medians
of three rounds in which the contenders take turns with a product of two large matrices, as a measure of the machine.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoConfig

from stages.config.train import TrainParams
from stages.modeling.device import Compute, choose_compute, set_deterministic
from tests.benchmarks.contenders import defaults, textbook, trainer, tuneline
from tests.benchmarks.corpora import Corpus, encode_corpus
from tests.benchmarks.measures import Rows, matrix_speed, operations_per_token

ROUNDS = 3
TOKENS = 20_000  # of each contender in each round
TEXTBOOK_TOKENS = 5_000
MATRIX = 2048
LARGE_BATCH = 2048
TUNELINE, LARGE = "Tuneline, defaults", f"Tuneline, batches of {LARGE_BATCH:,} tokens"


def main(folder: Path) -> None:
    """Print tokens per second of each contender, how many times faster Tuneline is, and its share of the matrix speed.

    `folder` is empty.
    """
    set_deterministic(seed=13, threads=0)
    compute = choose_compute("auto", "auto")
    corpus = encode_corpus("demo", folder / "encoded")
    config = AutoConfig.from_pretrained(corpus.pretrained)
    operations = 3 * operations_per_token(config, corpus.train, len(corpus.labels))
    rows, few_rows = Rows(corpus.train, TOKENS), Rows(corpus.train, TEXTBOOK_TOKENS)

    def peer(**options: object) -> Callable[[], float]:
        def run() -> float:
            with tempfile.TemporaryDirectory(dir=folder) as output:
                return rows.tokens / trainer(corpus, rows, Path(output), num_train_epochs=1, **options)[1]

        return run

    contenders: dict[str, Callable[[], float]] = {
        TUNELINE: lambda: our_speed(corpus, compute, defaults()),
        LARGE: lambda: our_speed(corpus, compute, defaults(batch_tokens=LARGE_BATCH)),
        "Trainer, defaults (batch 8, fp32)": peer(),
        "Trainer, tuned (batch 32, bf16, by length)": peer(
            per_device_train_batch_size=32, bf16=compute.precision == "bf16", train_sampling_strategy="group_by_length"
        ),
        "Textbook loop (batch 16, padded to 128, fp32)": lambda: few_rows.tokens / textbook(corpus, few_rows),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    shares: dict[str, list[float]] = {TUNELINE: [], LARGE: []}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            before = matrix_speed(compute, MATRIX)
            speeds[name].append(run())
            if name in shares:
                peak = (before + matrix_speed(compute, MATRIX)) / 2
                shares[name].append(speeds[name][-1] * operations / peak)

    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(f"\n{compute.device.type}, {compute.precision}, {torch.get_num_threads()} threads, {ROUNDS} rounds")
    for name, speed in medians.items():
        spread = f"{min(speeds[name]):,.0f} to {max(speeds[name]):,.0f}"
        ratios = (
            f"defaults / this = {medians[TUNELINE] / speed:.2f}, large batches / this = {medians[LARGE] / speed:.2f}"
        )
        print(f"{name:<46} {speed:>7,.0f} tokens/s ({spread})  {ratios}")
    for name, values in shares.items():
        share = f"{statistics.median(values):.0%} ({min(values):.0%} to {max(values):.0%})"
        print(f"{name}: {share} of the {compute.precision} matrix speed, over whole steps")


def our_speed(corpus: Corpus, compute: Compute, params: TrainParams) -> float:
    """Tokens per second of whole steps."""
    steps = tuneline(corpus, params, compute).steps
    seen, started = 0, time.perf_counter()
    for step in steps:
        seen += step.tokens
        if seen >= TOKENS:
            break
    return seen / (time.perf_counter() - started)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "encoded").mkdir()
        main(Path(folder))
