import math
from itertools import pairwise

import pytest

from stages.training.schedule import Schedule, lr_multiplier

SCHEDULES: tuple[Schedule, ...] = ("linear", "cosine", "constant")


def run(schedule: Schedule, *, steps: int = 100, warmup_ratio: float = 0.1) -> list[float]:
    return [lr_multiplier(schedule, index=index, steps=steps, warmup_ratio=warmup_ratio) for index in range(steps)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_lr_multiplier_rises_over_the_warmup_to_one(schedule: Schedule) -> None:
    multipliers = run(schedule)
    assert multipliers[:10] == pytest.approx([0.1 * number for number in range(1, 11)])
    assert multipliers[10] == 1


@pytest.mark.parametrize(
    ("schedule", "half", "last"),
    [("linear", 0.5, 1 / 90), ("cosine", 0.5, (1 - math.cos(math.pi / 90)) / 2)],
)
def test_lr_multiplier_falls_to_the_end(schedule: Schedule, half: float, last: float) -> None:
    multipliers = run(schedule)
    assert multipliers[55] == pytest.approx(half)
    assert multipliers[-1] == pytest.approx(last)
    assert all(earlier > later for earlier, later in pairwise(multipliers[10:]))


def test_lr_multiplier_of_cosine_falls_slowly_at_both_ends() -> None:
    linear, cosine = run("linear"), run("cosine")
    assert all(above > below for above, below in zip(cosine[11:55], linear[11:55], strict=True))
    assert all(below < above for below, above in zip(cosine[56:], linear[56:], strict=True))
    assert cosine[10 + 30] == pytest.approx(0.75)  # a third of the way: (1 + cos 60 degrees) / 2


def test_lr_multiplier_of_constant_stays() -> None:
    assert set(run("constant")[9:]) == {1.0}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("steps", "warmup_ratio"), [(1, 0.0), (1, 1.0), (7, 0.0), (7, 1.0), (3, 0.5)])
def test_lr_multiplier_is_positive_and_reaches_one(schedule: Schedule, steps: int, warmup_ratio: float) -> None:
    multipliers = run(schedule, steps=steps, warmup_ratio=warmup_ratio)
    assert all(0 < multiplier <= 1 for multiplier in multipliers)
    assert max(multipliers) == 1
