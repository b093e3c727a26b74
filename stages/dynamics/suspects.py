"""Which given answers are probably wrong: the part `tools.suspects` of a task.

The doubt about an answer of train is 1 less its confidence: the mean over epochs of the probability that the model gave
it in the step that trained on it (Swayamdipta et al., 2020; these are their hard-to-learn examples). A network
learns what labels have in common before it learns single wrong ones by heart, so the mean over all epochs tells more
than the last one. With 5 % of the labels flipped it found as many as the mean loss and the area under the margin
(Pleiss et al., 2020) did among texts of 150 classes, and more among entities.

The doubt about an answer of dev or test, which trained nothing, is 1 less the calibrated probability of it, where
the model predicts another (Northcutt et al., 2021). The doubt about a number is its distance from the model's, in
standard deviations of the numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stages.dynamics.files import Dynamics
from stages.encoding.files import Manifest

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Doubts:
    """How doubtful the given answers of the E examples of a split are.

    `show` gives an example by its number from 0: its words or texts, the answers `given` and `likely`, both as the
    part `presentation` of the task reads gold answers, and what else the task says.
    """

    score_E: Floats
    least: float  # an example is suspect if its score is larger
    show: Callable[[int], dict[str, Any]]

    def rank(self) -> Numbers:
        """The numbers of the suspect examples, the surest first."""
        order = np.argsort(-self.score_E, kind="stable")
        return order[: int((self.score_E > self.least).sum())]


class Suspects(Protocol):
    """The part `tools.suspects`, of a task whose head judges (see stages/modeling/head.py)."""

    def doubt_train(self, encoded: Path, manifest: Manifest, dynamics: Dynamics) -> Doubts:
        """The doubts about the train split in the folder `encoded`; ArtifactError if it is missing or damaged."""

    def doubt_predictions(self, predictions: Any) -> Doubts:
        """The doubts about the examples of a split that evaluate has predicted."""
