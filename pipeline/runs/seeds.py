"""The same parameters under several seeds: how far chance alone moves the scores."""

import statistics
from typing import Any

from pipeline.checkout.layout import EVALUATE, METRICS, PARAMS
from pipeline.checkout.params_file import value_of, with_values
from pipeline.checkout.status import stage_states
from pipeline.runs.launch import run_stale, up_to, write_params
from pipeline.terminal import err
from stages.artifacts import read_json

SEED = "train.seed"
SPLITS = ("dev", "test")


def score_other_seeds(count: int) -> list[dict[str, Any]]:
    """The scores of `count - 1` seeds after that of params.yaml, which is afterwards as it was before."""
    before = PARAMS.read_text(encoding="utf-8")
    first = value_of(PARAMS, SEED)
    scored = []
    try:
        for number in range(1, count):
            err.print(f"seed {first + number}, the first of {count} comes last", style="bold")
            write_params(with_values(PARAMS, [f"{SEED}={first + number}"]))
            scored.append(seed_scores(run_stale(up_to(stage_states(), EVALUATE))))
    finally:
        write_params(before)
    return scored


def seed_scores(by_how: dict[str, list[str]]) -> dict[str, Any]:
    """The seed of params.yaml, the entity F1 of its model, and what had to run for it."""
    metrics = read_json(METRICS)
    f1 = {split: metrics[split]["entity_strict"]["micro"]["f1"] for split in SPLITS}
    return {"seed": value_of(PARAMS, SEED), **f1, **by_how}


def over_seeds(seeds: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation (of a sample) of the F1 of each split."""
    return {
        name: {split: measure([entry[split] for entry in seeds]) for split in SPLITS}
        for name, measure in (("mean", statistics.mean), ("deviation", statistics.stdev))
    }
