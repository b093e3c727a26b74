"""Dropout masks that depend on the position in a batch, not on the process or on how the batch is cut into parts.

A mask is a section of a stream of random bytes, one byte for each value. Seed, step and site (the number of the dropout
within a forward pass) determine the stream. It is that of PCG64, which can start at any position (`advance`): the
second of two processes, or the second half of a batch that did not fit into memory, draws the same bytes as in one
piece, and a run that resumes needs no state of a generator. It also costs a fifth of `bernoulli_`, which draws 32 bits
for a decision that takes 8: the dropout probability is rounded to the nearest 1/256.

That holds on a CPU. A GPU draws its masks itself, one after another, from torch's default generator, which is seeded
once for each forward pass: they depend on seed, step and the position of the part in the batch.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch

VALUES_PER_DRAW = 8  # bytes of a 64-bit draw
LEVELS = 256  # of a byte


@dataclass
class Masks:
    """The masks of one forward pass, drawn in the order of its sites."""

    seed: int
    step: int
    site: int = field(default=0)

    def draw(self, shape: tuple[int, ...], *, rate: float, before: int, like: torch.Tensor) -> "Mask | None":
        """A mask for the values of `shape` that follow `before` others at this site; None if `rate` rounds to 0."""
        self.site += 1
        dropped = round(rate * LEVELS)
        if not dropped:
            return None
        # Directly into a tensor of the right type: a comparison to bool and a cast take ten times as long.
        kept = torch.empty(shape, dtype=like.dtype, device=like.device)
        if like.device.type == "cpu":
            stream = np.random.PCG64(np.random.SeedSequence([self.seed, self.step, self.site]))
            stream.advance(before // VALUES_PER_DRAW)
            skipped, count = before % VALUES_PER_DRAW, math.prod(shape)
            numbers = stream.random_raw(-(-(skipped + count) // VALUES_PER_DRAW))
            draws = torch.from_numpy(numbers.view(np.uint8)[skipped : skipped + count].reshape(shape))
            torch.ge(draws, dropped, out=kept)
        else:
            kept.bernoulli_(1 - dropped / LEVELS)
        return Mask(kept, LEVELS / (LEVELS - dropped))

    def seed_generators(self, before: int) -> None:
        """Seed torch's default generators for what is drawn from them, after `before` tokens of the batch."""
        entropy = np.random.SeedSequence([self.seed, self.step, before])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]) >> 1)  # 63 bits


@dataclass(frozen=True)
class Mask:
    """1 where a value is kept and 0 where it is dropped; kept values are multiplied by `scale`."""

    kept: torch.Tensor
    scale: float


def drop(values: torch.Tensor, mask: Mask | None) -> torch.Tensor:
    """Apply the mask to the values."""
    return values if mask is None else values * mask.kept * mask.scale


def rounded_rate(rate: float) -> float:
    """The dropout probability that masks have: the nearest multiple of 1/256."""
    return round(rate * LEVELS) / LEVELS
