"""Runs with the same parameters and other seeds: how far chance alone moves the scores."""

import statistics
from typing import Any

from pipeline.checkout.layout import EVALUATE, METRICS, PARAMS, locate
from pipeline.checkout.params_file import apply_settings, load_own_task, read_value
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
    params = locate(PARAMS)
    before = read_text(params)
    first = read_value(params, SEED)
    scored = []
    try:
        for number in range(1, count):
            err.print(f"seed {first + number}: run {number} of {count}; seed {first} runs last", style="bold")
            write_params(apply_settings(params, [f"{SEED}={first + number}"]))
            scored.append(read_seed_scores(run_stale(select_stages(stage_states(), EVALUATE))))
    finally:
        write_params(before)
    return scored


def read_seed_scores(by_outcome: dict[str, list[str]]) -> dict[str, Any]:
    """The seed of params.yaml, the primary score of its model on each split, its name, and the stages by outcome."""
    metrics, scores = read_json(locate(METRICS)), load_own_task().scores
    primary = {split: scores.find_primary(metrics[split]) for split in SPLITS}
    values = {split: found["value"] for split, found in primary.items()}
    seed = read_value(locate(PARAMS), SEED)
    return {"seed": seed, **values, "primary": {"name": primary["test"]["name"]}, **by_outcome}


def summarise_seeds(seeds: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and sample standard deviation of the primary score on each split."""
    return {
        name: {split: measure([entry[split] for entry in seeds]) for split in SPLITS}
        for name, measure in (("mean", statistics.mean), ("deviation", statistics.stdev))
    }
