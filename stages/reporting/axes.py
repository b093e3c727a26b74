"""Axes, ticks and hues of plots that are drawn as SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GOLDEN_ANGLE = 137.508  # degrees; multiples of it are distinct hues, however many there are
MINUS = "\u2212"
LARGEST, SMALLEST = 7, 8  # digits before the point, and after it, that are written without an exponent
CURVE_POINTS = 400  # more than a curve has pixels only make the page heavier


@dataclass(frozen=True)
class Axes:
    """The box of a plot in SVG units, from the left and from the top, and the values at its edges."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_ticks: list[float]
    y_ticks: list[float]
    left: int = 44
    right: int = 348
    top: int = 12
    bottom: int = 188

    def at_x(self, value: float) -> float:
        """The horizontal position of a value."""
        low, high = self.x
        return round(self.left + (value - low) / (high - low) * (self.right - self.left), 1)

    def at_y(self, value: float) -> float:
        """The vertical position of a value."""
        low, high = self.y
        return round(self.bottom - (value - low) / (high - low) * (self.bottom - self.top), 1)

    def line(self, points: Sequence[Any], x: str, y: str) -> str:
        """The points of an SVG polyline through the fields `x` and `y` of each point."""
        return " ".join(f"{self.at_x(point[x])},{self.at_y(point[y])}" for point in points)


def axes_between(x: tuple[float, float], y: tuple[float, float]) -> Axes:
    """Axes from the first to the last round value around two ranges, which may be empty."""
    x_ticks, y_ticks = ticks(*x), ticks(*y)
    return Axes((x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1]), x_ticks, y_ticks)


def axes_around(xs: Sequence[float], ys: Sequence[float], *, whole_x: bool = False) -> Axes | None:
    """Axes around the points, or None for no point; with `whole_x`, x is a count with a margin at both ends."""
    if not xs:
        return None
    y_ticks = ticks(min(ys), max(ys))
    low, high = (0.5, max(xs) + 0.5) if whole_x else (0.0, max(xs))
    x_ticks = [value for value in ticks(low, high, least=float(whole_x)) if low <= value <= high]
    return Axes((low, high), (y_ticks[0], y_ticks[-1]), x_ticks, y_ticks)


def ticks(low: float, high: float, count: int = 5, *, least: float = 0.0) -> list[float]:
    """About `count` round values, at least two, from at or below `low` to at or above `high`.

    They are 1, 2 or 5 times a power of ten apart, and at least `least`.
    """
    rough = max((high - low) / count, least) or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)
    return [number * step for number in range(first, last + 1)]


def format_tick(value: float) -> str:
    """Format a tick: 20,000 and 0.00005."""
    return f"{value:,.10f}".rstrip("0").rstrip(".").replace("-", MINUS)


def format_number(value: float, scale: float | None = None) -> str:
    """A number of any size in the digits that matter: its first four, or as many decimals as three of `scale` have.

    250,000, 1.5 and 4.193e+09; 0.05 on a scale of 1.795.
    """
    size, digits = (value, 4) if scale is None else (scale, 3)
    exponent = math.floor(math.log10(abs(size))) if size else 0
    decimals = max(0, digits - 1 - exponent)
    if exponent >= LARGEST or decimals > SMALLEST:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    text = f"{round(value, decimals) + 0.0:,.{decimals}f}"  # + 0.0 turns -0.0 into 0.0
    if scale is None and "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", MINUS)


def downsample(steps: Sequence[Mapping[str, Any]], points: int = CURVE_POINTS) -> list[dict[str, Any]]:
    """At most `points` steps, each the mean of equally many consecutive ones; all their fields are numbers."""
    width = max(1, math.ceil(len(steps) / points))
    groups = [steps[first : first + width] for first in range(0, len(steps), width)]
    return [{name: math.fsum(step[name] for step in group) / len(group) for name in group[0]} for group in groups]


def learning_axes(learning: Mapping[str, Any]) -> dict[str, Any]:
    """The shortened `steps` of a training run (see `describe_learning`), and axes of loss, learning rate and score."""
    steps, epochs = downsample(learning["steps"]), learning["epochs"]
    at = [step["step"] for step in steps]
    return {
        "steps": steps,
        "loss_axes": axes_around(at, [0.0, *(step["loss"] for step in steps)]),
        "rate_axes": axes_around(at, [0.0, *(step["learning_rate"] for step in steps)]),
        "score_axes": axes_around([e["epoch"] for e in epochs], [e["dev_score"] for e in epochs], whole_x=True),
    }
