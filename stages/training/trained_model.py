"""A trained model with what it needs to read raw text, from a folder as train writes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from stages.encoding.tokenizer import load_tokenizer
from stages.modeling.classifier import load_classifier
from stages.modeling.device import Compute, choose_compute, move_to
from stages.training.record import TrainingRecord, read_training


@dataclass(frozen=True)
class TrainedModel:
    """A model on its device, its tokenizer, and how it was trained."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    compute: Compute
    record: TrainingRecord

    @property
    def temperature(self) -> float:
        """What calibrates its probabilities; 1 for models of before that was fitted."""
        return float(self.record.decision.get("temperature", 1.0))


def load_trained(folder: Path, load_model: Callable[[Path], PreTrainedModel] = load_classifier) -> TrainedModel:
    """Load data/model, or a copy of it, on the best device of this machine; ArtifactError if it is damaged.

    `load_model` is that of a task whose model is no token classifier.
    """
    compute = choose_compute("auto", "auto")
    model = load_model(folder)
    move_to(model, compute)
    return TrainedModel(model, load_tokenizer(folder), compute, read_training(folder))
