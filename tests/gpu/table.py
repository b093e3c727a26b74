"""A report as text."""

from collections.abc import Iterator
from typing import Any

WIDTH = 24


def table_of(report: dict[str, Any]) -> str:
    """A line for each part, its figures below it."""
    lines = []
    for name, record in report["parts"].items():
        lines.append(f"{name:<{WIDTH}} {record['status']:<8} {record['seconds']:>6.1f} s  {record.get('reason', '')}")
        lines += [f"    {path}: {shown(value)}" for path, value in leaves(record["figures"], "")]
    statuses = [record["status"] for record in report["parts"].values()]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in ("passed", "failed", "skipped"))
    return "\n".join([*lines, f"{counts}, in {report['seconds']:.0f} s"])


def leaves(figures: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Each figure with the names that lead to it."""
    for name, value in figures.items():
        if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()):
            yield from leaves(value, f"{prefix}{name} / ")
        else:
            yield f"{prefix}{name}", value


def shown(value: Any) -> str:
    """A figure with as many digits as one reads."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(inner)}" for name, inner in value.items())
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
