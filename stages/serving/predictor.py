"""A trained model applied to raw text."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from transformers import PreTrainedModel

from stages.corpus.text.raw_text import visible_span, word_spans
from stages.encoding.files import split_of
from stages.encoding.rows import Encoder
from stages.encoding.tokenizer import load_tokenizer
from stages.encoding.vocabulary import Vocabulary
from stages.modeling.device import Compute, choose_compute, move_to
from stages.tasks.token_classification.entities import Tagging
from stages.tasks.token_classification.head import labels_of, load_classifier
from stages.tasks.token_classification.inference import INFERENCE_BATCH_TOKENS, predict
from stages.tasks.token_classification.mistakes import entity_scores
from stages.training.record import read_training

# Half of a character beyond U+FFFF, left where JavaScript cut a text by its length; UTF-8 cannot encode it.
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Recognizer:
    """A token classifier with the tokenizer and the device that it needs to read text."""

    model: PreTrainedModel
    encoder: Encoder
    compute: Compute

    @classmethod
    def load(cls, folder: Path) -> "Recognizer":
        """Load data/model, or a copy of it, on the best device of this machine."""
        compute = choose_compute("auto", "auto")
        model = load_classifier(folder)
        move_to(model, compute)
        window = read_training(folder).parameters["tokenize"]
        vocabulary = Vocabulary(load_tokenizer(folder))
        encoder = Encoder(vocabulary, length=window["window_length"], overlap=window["window_overlap"])
        return cls(model, encoder, compute)

    def __call__(self, texts: list[str]) -> list[list[dict[str, Any]]]:
        """The entities of each text: `text`, `type`, `start` and `end` in characters, `score` from 0 to 1.

        `score` is the mean probability of the predicted tags of the entity's words. A lone surrogate is read as U+FFFD.
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
        predictions = predict(self.model, split, self.compute, batch_tokens=INFERENCE_BATCH_TOKENS)
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
