"""Axes of plots drawn as SVG, and the ticks and hues that go with them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

GOLDEN_ANGLE = 137.508  # degrees; hues this far apart stay distinct, however many there are


@dataclass(frozen=True)
class Axes:
    """The units of a plot's box, from the left and from the top, and the values at its edges."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_ticks: list[float]
    y_ticks: list[float]
    left: int = 44
    right: int = 348
    top: int = 12
    bottom: int = 188

    def at_x(self, value: float) -> float:
        """How far from the left a value stands."""
        low, high = self.x
        return round(self.left + (value - low) / (high - low) * (self.right - self.left), 1)

    def at_y(self, value: float) -> float:
        """How far from the top a value stands."""
        low, high = self.y
        return round(self.bottom - (value - low) / (high - low) * (self.bottom - self.top), 1)

    def line(self, points: Sequence[Any], x: str, y: str) -> str:
        """The points of an SVG polyline through the fields `x` and `y` of each point."""
        return " ".join(f"{self.at_x(point[x])},{self.at_y(point[y])}" for point in points)


def axes_around(xs: Sequence[float], ys: Sequence[float], *, whole_x: bool = False) -> Axes | None:
    """Axes around the points, or None for no point; a `whole_x` is a count, with room at both ends."""
    if not xs:
        return None
    y_ticks = ticks(min(ys), max(ys))
    low, high = (0.5, max(xs) + 0.5) if whole_x else (0.0, max(xs))
    x_ticks = [value for value in ticks(low, high, least=float(whole_x)) if low <= value <= high]
    return Axes((low, high), (y_ticks[0], y_ticks[-1]), x_ticks, y_ticks)


def ticks(low: float, high: float, count: int = 5, *, least: float = 0.0) -> list[float]:
    """Round values, about `count`, from at or below `low` to at or above `high` and never one alone.

    They are 1, 2 or 5 times a power of ten apart, and at least `least`.
    """
    rough = max((high - low) / count, least) or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)
    return [number * step for number in range(first, last + 1)]


def plain(value: float) -> str:
    """A tick as people write it: 20,000 and 0.00005."""
    return f"{value:,.10f}".rstrip("0").rstrip(".")
