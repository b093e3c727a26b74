"""A trained model applied to raw text."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from transformers import PreTrainedModel

from stages.corpus.text.raw_text import LONE_SURROGATE, visible_span, word_spans
from stages.corpus.text.sentences import Int32s
from stages.encoding.files import split_of
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
        encoder = Encoder(
            vocabulary,
            length=window["window_length"],
            overlap=window["window_overlap"],
            context=window.get("context", "sentence"),  # absent from the record of a model from before the choice
        )
        return cls(trained.model, encoder, trained.compute, trained.temperature)

    def predict(
        self, words: pa.ListArray, labels: Int32s | None = None, *, documents: Int32s | None = None
    ) -> WordPredictions:
        """The label of every word of S sentences, with its calibrated probability; `labels` [W] are the gold ones.

        `documents` [S] is the number of each sentence's document, which a model uses that was trained on documents.
        """
        labels = np.zeros(len(words.values), np.int32) if labels is None else labels
        split = split_of(pa.Table.from_batches([self.encoder.encode(words, labels, documents=documents).rows()]))
        return predict(
            self.model, split, self.compute, batch_tokens=INFERENCE_BATCH_TOKENS, temperature=self.temperature
        )

    def __call__(
        self, sentences: Sequence[str | Sequence[str]], *, documents: bool = False
    ) -> list[list[dict[str, Any]]]:
        """The entities of each sentence: `text`, `type`, `start` and `end` in characters, `score` from 0 to 1.

        A sentence is a text, of any length, or a list of words, which count as joined by blanks. With `documents` they
        are those of one document after another, with an empty one between two documents. `score` is the mean calibrated
        probability of the predicted tags of the entity's words. A lone surrogate is read as U+FFFD.
        """
        if not sentences:
            return []
        texts, spans = zip(*map(_find_words, sentences), strict=True)
        words = pa.array(
            [[text[start:end] for start, end in own] for text, own in zip(texts, spans, strict=True)],
            pa.list_(pa.string()),
        )
        numbers = np.cumsum([not own for own in spans], dtype=np.int32) if documents else None
        predictions = self.predict(words, documents=numbers)
        bounds = np.append(0, np.cumsum(words.value_lengths().to_numpy(), dtype=np.int64))
        tagging = Tagging(predictions.predicted_W, bounds, tuple(labels_of(self.model)))
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


def _find_words(sentence: str | Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The text of a sentence, and where each of its words starts and ends in it."""
    if isinstance(sentence, str):
        text = LONE_SURROGATE.sub("\ufffd", sentence)
        return text, word_spans(text)
    words = [LONE_SURROGATE.sub("\ufffd", word) for word in sentence]
    ends = list(accumulate(len(word) + 1 for word in words))
    return " ".join(words), [(end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True)]
