"""What a training run works on: model, head, weights and data, made from parameters and encoded corpus."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from stages.adaptation.adapt import adapt_model
from stages.config.train import Params
from stages.continual.parent import require_parent
from stages.continual.retain import retain
from stages.dynamics.recorder import Recorder
from stages.encoding.files import REPLAY, Manifest
from stages.modeling.device import Compute
from stages.modeling.head import Head, JudgingHead, TaskModel, load_model
from stages.training.distributed import World
from stages.training.loop import Settings, plan_batches
from stages.training.optimizer import MasterWeights, find_vocabulary

INFERENCE_BATCH_TOKENS = 4096  # a batch without gradients fits into any memory


@dataclass(frozen=True)
class TrainingRun:
    """What a training run works on, in each of its processes."""

    params: Params
    settings: Settings
    manifest: Manifest
    task: TaskModel
    head: Head
    model: PreTrainedModel
    weights: MasterWeights
    splits: dict[str, Any]  # as the task reads them
    compute: Compute
    world: World
    recorder: Recorder | None  # None of a head that does not judge


def make_run(
    params: Params,
    manifest: Manifest,
    task: TaskModel,
    splits: dict[str, Any],
    pretrained: Path,
    compute: Compute,
    world: World,
) -> TrainingRun:
    """The run of these parameters, before its first step; `pretrained` is the folder of the encoder or the parent."""
    model = load_model(task, pretrained, labels=manifest.labels, dropout=params.train.dropout)
    model.config.update(manifest.details.get("config", {}))
    adapt_model(model, **params.model.adaptation)
    head = task.make_head(model, params.task, manifest, compute, label_smoothing=params.train.label_smoothing)
    train = splits["train"]
    if params.train.retain:
        parent = require_parent(pretrained, params.task.name)
        head, train = retain(
            head, train, parent, manifest.labels, compute, world,
            weight=params.train.retain, batch_tokens=INFERENCE_BATCH_TOKENS,
        )  # fmt: skip
    weights = MasterWeights(
        model,
        compute,
        vocabulary=find_vocabulary(model, train.input_ids),
        weight_decay=params.train.weight_decay,
        layerwise_lr_decay=params.train.layerwise_lr_decay,
        head_lr_multiplier=params.train.head_lr_multiplier,
        average_weights=params.train.average_weights,
    )
    settings = Settings(
        **params.train.model_dump(include=set(Settings.__dataclass_fields__)),
        old_rows=manifest.counts.get(REPLAY, {}).get("windows", 0),
        old_share=params.train.replay.share,
    )
    return TrainingRun(
        params=params,
        settings=settings,
        manifest=manifest,
        task=task,
        head=head,
        model=model,
        weights=weights,
        splits={**splits, "train": train},
        compute=compute,
        world=world,
        recorder=make_recorder(head, train, settings, compute),
    )


def make_recorder(head: Head, split: Any, settings: Settings, compute: Compute) -> Recorder | None:
    """What keeps how far the model agrees with each answer in `split`; none for a head that does not judge."""
    if not isinstance(head, JudgingHead):
        return None
    plan = plan_batches(split, settings)
    return Recorder(head, split, plan, old_rows=settings.old_rows, device=compute.device)
