"""The sections of params.yaml that train reads."""

from typing import Self

from pydantic import Field, model_validator

from stages.config.model import ModelParams
from stages.modeling.precision import Precision
from stages.params import RuntimeParams, Section, TaskParams
from stages.training.schedule import Schedule


class ReplayParams(Section):
    """Old examples among those of an epoch: of which corpus, and their share."""

    corpus: str | None = Field(min_length=1)
    share: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _has_both_or_none(self) -> Self:
        if self.corpus is None and self.share:
            raise ValueError("share needs a corpus of old examples: set train.replay.corpus, or the share to 0")
        if self.corpus is not None and not self.share:
            raise ValueError("corpus needs a share of the epoch: set train.replay.share, for example to 0.2")
        return self


class TrainParams(Section):
    """What decides the result of a training run."""

    seed: int = Field(ge=0, lt=2**32)
    epochs: int = Field(ge=1)
    min_steps: int = Field(ge=0, le=1_000_000)
    early_stopping_patience: int = Field(ge=0)
    learning_rate: float = Field(gt=0, lt=1)
    schedule: Schedule
    warmup_ratio: float = Field(ge=0, le=1)
    head_lr_multiplier: float = Field(gt=0)
    layerwise_lr_decay: float = Field(gt=0, le=1)
    weight_decay: float = Field(ge=0)
    max_gradient_norm: float = Field(gt=0)
    label_smoothing: float = Field(ge=0, lt=1)
    dropout: float = Field(ge=0, le=0.99)
    average_weights: bool
    batch_tokens: int = Field(ge=16)
    micro_batch_tokens: int = Field(ge=0)
    precision: Precision
    threads: int = Field(ge=0, le=1024)
    processes: int = Field(ge=1, le=1024)
    replay: ReplayParams
    retain: float = Field(ge=0)


class Params(Section):
    """The sections that train reads."""

    task: TaskParams
    model: ModelParams
    train: TrainParams
    runtime: RuntimeParams
