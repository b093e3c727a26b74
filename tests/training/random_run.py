"""A training run that takes random steps in no time, for the tests of checkpoints."""

from pathlib import Path

import torch

from stages.training.checkpoints import Checkpoints, Progress
from stages.training.history import FILE, History, Step
from stages.training.optimizer import MasterWeights
from tests.modeling.conftest import COMPUTE, random_model

FOLDER = Path(".checkpoints/key")
REFERENCE = Path("reference")  # of a run that is only compared with
EPOCH = 2  # steps in an epoch


def fresh(*, precision: str = "fp32", labels: int = 3) -> MasterWeights:
    return MasterWeights(
        random_model(labels=labels, intermediate_size=16),
        COMPUTE[precision],
        vocabulary=torch.tensor([2, 3, 5, 8]),
        weight_decay=0.01,
        layerwise_lr_decay=1.0,
        head_lr_multiplier=1.0,
    )


class TrainingRun:
    """Weights that take random steps, determined by the number of the step; a stand-in for the training loop."""

    def __init__(
        self, f1: list[float], *, folder: Path = FOLDER, precision: str = "fp32", labels: int = 3, steps: int = 0
    ) -> None:
        self.weights, self.f1 = fresh(precision=precision, labels=labels), f1
        self.progress = Progress(History(folder / FILE))
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        step = self.progress.steps + 1
        generator = torch.Generator().manual_seed(step)
        for value in self.weights.state().values():
            value.copy_(torch.rand(value.shape, generator=generator))
        self.weights.sync_model()
        steps, epoch = EPOCH * len(self.f1), -(-step // EPOCH)
        taken = Step(step, steps, epoch, step % EPOCH == 0, 1 / step, 1e-4, 0.25, 70, 40)
        self.progress.add(taken, self.f1[epoch - 1] if taken.ends_epoch else None, self.weights)

    def save(self, checkpoints: Checkpoints, *, steps: int) -> None:
        """Take `steps` steps and write a checkpoint after each."""
        for _ in range(steps):
            self.step()
            checkpoints.save(self.progress, self.weights)


def no_progress() -> Progress:
    return Progress(History(REFERENCE / FILE))


def same_state(left: MasterWeights, right: MasterWeights) -> bool:
    return all(torch.equal(value, right.state()[name]) for name, value in left.state().items())


def same_progress(left: Progress, right: Progress) -> bool:
    plain = [
        ([(entry.step, entry.dev_score) for entry in p.history.entries], p.history.digest, p.best_epoch)
        for p in (left, right)
    ]
    return plain[0] == plain[1] and all(
        torch.equal(one, other) for one, other in zip(left.best_masters, right.best_masters, strict=True)
    )
