"""Hidden states after the frozen layers of an encoder, which are the same in each epoch, so that one pass will do.

They stay with the model. Shape legend: N tokens or outputs of a split, R its rows, D width.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

STATES = "frozen_states"  # the attribute of a model


@dataclass(frozen=True)
class FrozenStates:
    """The states of a split: of row r, `states_ND[first_R[r]:first_R[r + 1]]`, in host memory."""

    split: Any
    first_R: npt.NDArray[np.int64]  # [R + 1]
    states_ND: torch.Tensor

    def index(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        """The places of the states of these rows, one row after another."""
        counts = self.first_R[rows + 1] - self.first_R[rows]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return torch.from_numpy(within + np.repeat(self.first_R[rows], counts))


def find_states(model: PreTrainedModel, split: Any) -> FrozenStates | None:
    """The states of a split that were kept with the model, if any."""
    kept: tuple[FrozenStates, ...] = getattr(model, STATES, ())
    return next((states for states in kept if states.split is split), None)


def keep_states(model: PreTrainedModel, states: FrozenStates) -> None:
    """Keep the states of a split with the model."""
    setattr(model, STATES, (*getattr(model, STATES, ()), states))
