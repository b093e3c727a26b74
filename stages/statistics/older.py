"""What metrics.json says of older corpora, in prose."""

from collections.abc import Mapping
from typing import Any

from stages.statistics.names import shorten_score

ALSO = "also"  # its key beside the splits; absent if no older corpus was scored


def describe_older(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """For each older corpus its name, its score and what was forgotten of it."""
    return [(name, f"{_score(found)}{_forgetting(found)}") for name, found in metrics.get(ALSO, {}).items()]


def find_forgetting(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """By corpus what was forgotten, as metrics.json has it; corpora of which that is not known are left out."""
    also = metrics.get(ALSO, {})
    return {name: found["forgetting"] for name, found in also.items() if "forgetting" in found}


def without_older(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of the splits of the new corpus alone."""
    return {split: tables for split, tables in metrics.items() if split != ALSO}


def _score(found: Mapping[str, Any]) -> str:
    primary = found["primary"]
    return (
        f"{shorten_score(primary['name'])} {primary['value']:.4f} "
        f"(95 % interval {primary['low']:.4f} to {primary['high']:.4f})"
    )


def _forgetting(found: Mapping[str, Any]) -> str:
    if "forgetting" not in found:
        return ""
    own = found["forgetting"]
    return (
        f"; forgotten {own['value']:+.4f} ({own['low']:+.4f} to {own['high']:+.4f}), from {own['before']:.4f} "
        f"to {own['after']:.4f}"
    )
