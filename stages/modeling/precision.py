"""The number format of a model's arithmetic, as it is asked for."""

from typing import Literal

Precision = Literal["auto", "bf16", "fp32"]  # auto: bf16 where the processor computes in it
