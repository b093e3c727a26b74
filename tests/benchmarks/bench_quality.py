"""Time to the dev F1 that three default epochs of the Hugging Face Trainer reach, on two corpora, over three seeds.

    make bench-quality      about forty minutes on two cores

The Trainer's time is that of its training alone. Tuneline's is that of its epochs, with the defaults of params.yaml, up
to the first whose dev F1 is as good, without scoring. For each seed the two run one after the other, in one process.
"""

import statistics
import tempfile
import time
from pathlib import Path

from stages.modeling.device import Compute, choose_compute, set_deterministic
from tests.benchmarks.contenders import defaults, dev_f1, trainer, tuneline
from tests.benchmarks.corpora import Corpus, encode_corpus
from tests.benchmarks.measures import Rows

CORPORA = ("WNUT-17", "Wikigold")
SEEDS = (13, 14, 15)


def main() -> None:
    """Print a line for each corpus and seed, and the medians."""
    set_deterministic(seed=SEEDS[0], threads=0)
    compute, peer_compute = choose_compute("auto", "auto"), choose_compute("auto", "fp32")
    for name in CORPORA:
        with tempfile.TemporaryDirectory() as folder:
            corpus = encode_corpus(name, Path(folder))
            rows = Rows(corpus.train)
            ratios, bests, goals = [], [], []
            for seed in SEEDS:
                with tempfile.TemporaryDirectory() as output:
                    model, peer_seconds = trainer(corpus, rows, Path(output), seed=seed)
                goal = dev_f1(model, corpus, peer_compute)
                seconds, epoch, best = time_to(goal, corpus, seed, compute)
                goals.append(goal)
                bests.append(best)
                ratios.append(peer_seconds / seconds)
                print(
                    f"{name}, seed {seed}: Trainer {goal:.4f} in {peer_seconds:.0f} s; Tuneline as good in "
                    f"{seconds:.0f} s (epoch {epoch}), {ratios[-1]:.1f} times as fast; {best:.4f} at its end",
                    flush=True,
                )
            print(
                f"{name}: median {statistics.median(ratios):.1f} times as fast; mean dev F1 of the Trainer "
                f"{statistics.mean(goals):.4f}, of Tuneline after all epochs {statistics.mean(bests):.4f}",
                flush=True,
            )


def time_to(goal: float, corpus: Corpus, seed: int, compute: Compute) -> tuple[float, int, float]:
    """Seconds and epochs until dev F1 is `goal`, infinite if it never is, and the best dev F1 of all epochs."""
    training = tuneline(corpus, defaults(seed=seed), compute)
    spent, reached, scores = 0.0, (float("inf"), 0), []
    started = time.perf_counter()
    for step in training.steps:
        if step.ends_epoch:
            spent += time.perf_counter() - started
            scores.append(training.best(lambda model: (dev_f1(model, corpus, compute),))[0])
            if scores[-1] >= goal and not reached[1]:
                reached = spent, step.epoch
            started = time.perf_counter()
    return *reached, max(scores)


if __name__ == "__main__":
    main()
