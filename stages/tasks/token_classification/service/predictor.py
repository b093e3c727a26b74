"""A trained model applied to raw text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from transformers import PreTrainedModel

from stages.corpus.text.raw_text import LONE_SURROGATE, visible_span, word_spans
from stages.encoding.files import EncodedSplit, split_of
from stages.encoding.rows import Encoder
from stages.encoding.vocabulary import Vocabulary
from stages.modeling.classifier import labels_of
from stages.modeling.device import Compute
from stages.tasks.token_classification.model.inference import INFERENCE_BATCH_TOKENS, WordPredictions, predict
from stages.tasks.token_classification.scores.entities import Tagging
from stages.tasks.token_classification.scores.mistakes import entity_scores
from stages.training.trained_model import load_trained


@dataclass(frozen=True)
class Recognizer:
    """A token classifier with the tokenizer and the device that it needs to read text."""

    model: PreTrainedModel
    encoder: Encoder
    compute: Compute
    temperature: float

    @classmethod
    def load(cls, folder: Path) -> "Recognizer":
        """Load data/model, or a copy of it, on the best device of this machine."""
        trained = load_trained(folder)
        window = trained.record.parameters["tokenize"]
        vocabulary = Vocabulary(trained.tokenizer)
        encoder = Encoder(vocabulary, length=window["window_length"], overlap=window["window_overlap"])
        return cls(trained.model, encoder, trained.compute, trained.temperature)

    def predict(self, split: EncodedSplit) -> WordPredictions:
        """The label of every word of a split, with its calibrated probability."""
        return predict(
            self.model, split, self.compute, batch_tokens=INFERENCE_BATCH_TOKENS, temperature=self.temperature
        )

    def __call__(self, texts: list[str]) -> list[list[dict[str, Any]]]:
        """The entities of each text: `text`, `type`, `start` and `end` in characters, `score` from 0 to 1.

        `score` is the mean calibrated probability of the predicted tags of the entity's words. A lone surrogate is read
        as U+FFFD.
        """
        if not texts:
            return []
        texts = [LONE_SURROGATE.sub("\ufffd", text) for text in texts]
        spans = [word_spans(text) for text in texts]
        words = pa.array(
            [[text[start:end] for start, end in own] for text, own in zip(texts, spans, strict=True)],
            pa.list_(pa.string()),
        )
        no_labels = np.zeros(len(words.values), np.int32)
        split = split_of(pa.Table.from_batches([self.encoder.encode(words, no_labels).rows()]))
        predictions = self.predict(split)
        tagging = Tagging(predictions.predicted_W, split.word_bounds, tuple(labels_of(self.model)))
        entities = tagging.entities(strict=False)
        scores = entity_scores(entities, predictions.probability_W)
        results: list[list[dict[str, Any]]] = [[] for _ in texts]
        for first, after, kind, sentence, score in zip(
            entities.first_E, entities.after_E, entities.type_E, entities.sentence_E, scores, strict=True
        ):
            own = spans[sentence][first - tagging.bounds[sentence] : after - tagging.bounds[sentence]]
            start, end = visible_span(texts[sentence], own[0][0], own[-1][1])
            if start == end:
                continue
            results[sentence].append(
                {
                    "text": texts[sentence][start:end],
                    "type": tagging.types[kind],
                    "start": start,
                    "end": end,
                    "score": float(score),
                }
            )
        return results
