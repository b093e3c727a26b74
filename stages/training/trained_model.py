"""A trained model with what it needs to read raw text, from a folder as train writes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from stages.encoding.text_rows import TextEncoder
from stages.encoding.texts import EncodedTexts, texts_of
from stages.encoding.tokenizer import load_tokenizer
from stages.errors import UserError
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


def load_trained(folder: Path) -> TrainedModel:
    """Load data/model, or a copy of it, on the best device of this machine; ArtifactError if it is damaged."""
    compute = choose_compute("auto", "auto")
    model = load_classifier(folder)
    move_to(model, compute)
    return TrainedModel(model, load_tokenizer(folder), compute, read_training(folder))


@dataclass(frozen=True)
class TextModel:
    """A trained model, and the encoder that cuts texts into windows as those of its training run were cut."""

    trained: TrainedModel
    encoder: TextEncoder

    @property
    def reads_pairs(self) -> bool:
        """Whether an example is a pair of texts."""
        return bool(getattr(self.trained.model.config, "text_pair", False))

    def encode_inputs(self, inputs: Sequence[Any]) -> EncodedTexts:
        """Encode what a served model is sent; UserError as in `TextEncoder.encode_inputs`."""
        return texts_of(self.encoder.encode_inputs(inputs, pairs=self.reads_pairs))

    def encode_scored(self, texts: pa.StringArray, pairs: pa.StringArray | None) -> EncodedTexts:
        """Encode the texts on which another model was scored; UserError if only one of the two reads pairs."""
        if self.reads_pairs != (pairs is not None):
            raise UserError("one of the two models reads pairs of texts, the other single texts")
        return texts_of(pa.Table.from_batches([self.encoder.encode(texts, pairs).rows()]))


def load_text_model(folder: Path) -> TextModel:
    """Load data/model, or a copy of it, on the best device of this machine; ArtifactError if it is damaged."""
    trained = load_trained(folder)
    window, task = trained.record.parameters["tokenize"], trained.record.parameters["task"]
    encoder = TextEncoder(
        trained.tokenizer,
        length=window["window_length"],
        overlap=window["window_overlap"],
        symmetric=task["symmetric"],
    )
    return TextModel(trained, encoder)
