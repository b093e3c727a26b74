"""Dropout masks that belong to a place and not to a process: the same however a batch is cut into parts.

A mask is a stretch of a stream of random bytes that seed, step and site (which of the dropouts of a forward pass)
determine; a byte decides about one value. The stream is PCG64's, which can be entered anywhere (`advance`): the second
process of two, or the second half of a batch that did not fit into memory, draws what it would have got in one piece,
and a training that is resumed needs no generator's state. It also costs a fifth of `bernoulli_`, which draws 32 bits
for a decision that takes 8: the rate is rounded to the next 1/256.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch

VALUES_PER_DRAW = 8  # bytes of a 64-bit draw


@dataclass
class Masks:
    """The masks of one forward pass, drawn in the order of its sites."""

    seed: int
    step: int
    site: int = field(default=0)

    def draw(self, shape: tuple[int, ...], *, rate: float, before: int, like: torch.Tensor) -> "Mask | None":
        """A mask for the values of `shape` that follow `before` others at this site; None if the rate is nothing."""
        self.site += 1
        dropped = round(rate * 256)
        if not dropped:
            return None
        entropy = [self.seed, self.step, self.site]
        if like.is_cuda:  # drawn where it is used; there it belongs to the process after all
            generator = torch.Generator(like.device).manual_seed(_number([*entropy, before]))
            draws = torch.randint(256, shape, dtype=torch.uint8, device=like.device, generator=generator)
        else:
            stream = np.random.PCG64(np.random.SeedSequence(entropy))
            stream.advance(before // VALUES_PER_DRAW)
            skipped, count = before % VALUES_PER_DRAW, math.prod(shape)
            numbers = stream.random_raw(-(-(skipped + count) // VALUES_PER_DRAW))
            draws = torch.from_numpy(numbers.view(np.uint8)[skipped : skipped + count].reshape(shape))
        # Into a tensor of the right type at once: a comparison to bool and a cast take ten times as long.
        kept = torch.ge(draws, dropped, out=torch.empty(shape, dtype=like.dtype, device=like.device))
        return Mask(kept, 256 / (256 - dropped))

    def seed_modules(self, before: int) -> None:
        """Seed torch's global generators, for modules that draw their own masks, after `before` sub-words."""
        torch.manual_seed(_number([self.seed, self.step, before]))


@dataclass(frozen=True)
class Mask:
    """1 where a value is kept and 0 where it is dropped; what is kept is multiplied by `scale`."""

    kept: torch.Tensor
    scale: float


def drop(values: torch.Tensor, mask: Mask | None) -> torch.Tensor:
    """The values under the mask."""
    return values if mask is None else values * mask.kept * mask.scale


def _number(entropy: list[int]) -> int:
    """A seed of 63 bits."""
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]) >> 1
