"""The schedule of the learning rate over a training run."""

import math
from typing import Literal

Schedule = Literal["linear", "cosine", "constant"]


def lr_multiplier(schedule: Schedule, *, index: int, steps: int, warmup_ratio: float) -> float:
    """The learning rate multiplier of step `index`, counted from 0, of `steps`.

    It rises linearly over the first `warmup_ratio` of the steps. Then it falls to 0, linearly or as half a cosine
    (Loshchilov and Hutter, 2017, SGDR without restarts), or stays constant.
    """
    warmup = max(1, round(steps * warmup_ratio))
    if index < warmup:
        return (index + 1) / warmup
    left = (steps - index) / max(1, steps - warmup)
    return {"linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2, "constant": 1.0}[schedule]
