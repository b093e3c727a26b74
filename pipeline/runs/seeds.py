"""Runs with the same parameters and other seeds: how far chance alone moves the scores."""

import statistics
from typing import Any

from pipeline.checkout.layout import EVALUATE, METRICS, PARAMS
from pipeline.checkout.params_file import apply_settings, read_value
from pipeline.checkout.status import stage_states
from pipeline.runs.launch import run_stale, select_stages, write_params
from pipeline.terminal import err
from stages.artifacts import read_json
from stages.params import read_text

SEED = "train.seed"
SPLITS = ("dev", "test")


def score_other_seeds(count: int) -> list[dict[str, Any]]:
    """Run up to evaluate with the `count - 1` seeds that follow that of params.yaml, which is restored at the end.

    Returns for each what `read_seed_scores` does.
    """
    before = read_text(PARAMS)
    first = read_value(PARAMS, SEED)
    scored = []
    try:
        for number in range(1, count):
            err.print(f"seed {first + number}: run {number} of {count}; seed {first} runs last", style="bold")
            write_params(apply_settings(PARAMS, [f"{SEED}={first + number}"]))
            scored.append(read_seed_scores(run_stale(select_stages(stage_states(), EVALUATE))))
    finally:
        write_params(before)
    return scored


def read_seed_scores(by_outcome: dict[str, list[str]]) -> dict[str, Any]:
    """The seed of params.yaml, the entity F1 of its model on each split, and the stages by outcome."""
    metrics = read_json(METRICS)
    f1 = {split: metrics[split]["entity_strict"]["micro"]["f1"] for split in SPLITS}
    return {"seed": read_value(PARAMS, SEED), **f1, **by_outcome}


def summarise_seeds(seeds: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and sample standard deviation of the F1 on each split."""
    return {
        name: {split: measure([entry[split] for entry in seeds]) for split in SPLITS}
        for name, measure in (("mean", statistics.mean), ("deviation", statistics.stdev))
    }
