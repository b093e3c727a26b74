"""A trained model applied to texts as they arrive."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.encoding.text_rows import TextEncoder
from stages.encoding.texts import EncodedTexts, texts_of
from stages.errors import UserError
from stages.text_tasks.inference import Decide, predict_texts
from stages.text_tasks.predictions import P, TextPredictions
from stages.training.trained_model import TrainedModel, load_trained

BATCH_TOKENS = 4096  # a batch without gradients fits into any memory


@dataclass(frozen=True)
class TextModel:
    """A trained model, and the encoder that cuts texts into windows as those of its training run were cut."""

    trained: TrainedModel
    encoder: TextEncoder

    @property
    def reads_pairs(self) -> bool:
        """Whether an example is a pair of texts."""
        return bool(getattr(self.trained.model.config, "text_pair", False))

    def predict_inputs(self, inputs: Sequence[Any], decide: Decide[P]) -> P:
        """The predictions for what a served model is sent; UserError as in `TextEncoder.encode_inputs`."""
        return self._predict(texts_of(self.encoder.encode_inputs(inputs, pairs=self.reads_pairs)), decide)

    def predict_scored(self, scored: TextPredictions, decide: Decide[P]) -> P:
        """Those for the texts on which another model was scored; UserError if only one of the two reads pairs."""
        if self.reads_pairs != (scored.pairs is not None):
            raise UserError("one of the two models reads pairs of texts, the other single texts")
        rows = self.encoder.encode(scored.texts, scored.pairs).rows()
        return self._predict(texts_of(pa.Table.from_batches([rows])), decide)

    def _predict(self, texts: EncodedTexts, decide: Decide[P]) -> P:
        own = self.trained
        return predict_texts(own.model, texts, own.compute, own.record, decide, batch_tokens=BATCH_TOKENS)


def load_text_model(folder: Path) -> TextModel:
    """Load data/model, or a copy of it, on the best device of this machine; ArtifactError if it is damaged."""
    trained = load_trained(folder)
    window, task = trained.record.parameters["tokenize"], trained.record.parameters["task"]
    encoder = TextEncoder(
        trained.tokenizer,
        length=window["window_length"],
        overlap=window["window_overlap"],
        symmetric=task.get("symmetric", False),
    )
    return TextModel(trained, encoder)
