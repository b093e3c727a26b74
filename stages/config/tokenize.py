"""The sections of params.yaml that tokenize reads."""

from typing import Any

from stages.config.evaluate import EvaluateParams
from stages.config.model import ModelParams
from stages.config.train import TrainParams
from stages.params import Section, TaskParams, WindowParams


class Params(Section):
    """The sections that tokenize reads; those of task, data and tokenize get their fields from the task.

    Of `model` it reads the encoder alone, of `train` and `evaluate` the older corpora: the rest is checked, and changes
    nothing.
    """

    task: TaskParams
    data: Section
    model: ModelParams
    tokenize: WindowParams
    train: TrainParams
    evaluate: EvaluateParams

    @property
    def logged(self) -> dict[str, Any]:
        """What tokenize reads of all sections."""
        older = {"train": {"replay"}, "evaluate": {"also"}}
        return self.model_dump(exclude=set(older)) | self.model_dump(include=older)

    @property
    def older_corpora(self) -> list[str]:
        """The corpora beside `data.dir`: those to replay and those to score too."""
        replayed = [self.train.replay.corpus] if self.train.replay.corpus is not None else []
        return list(dict.fromkeys([*replayed, *self.evaluate.also]))
