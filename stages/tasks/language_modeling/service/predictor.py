"""A trained model applied to texts with masks as they arrive."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from stages.corpus.text.raw_text import LONE_SURROGATE
from stages.encoding.text_rows import Template, template_of
from stages.encoding.text_tokens import TextTokenizer
from stages.encoding.text_windows import cut_text
from stages.errors import UserError, list_faults
from stages.modeling.inference import each_batch
from stages.tasks.language_modeling.model.loading import load_model
from stages.tasks.language_modeling.model.masks import Int32s, MaskedWindow
from stages.tasks.language_modeling.model.split import split_of
from stages.tasks.language_modeling.presentation import MASK
from stages.training.trained_model import TrainedModel, load_trained

BATCH_TOKENS = 4096  # a batch without gradients fits into any memory
CANDIDATES = 5


@dataclass(frozen=True)
class MaskFiller:
    """A trained model that reads texts as they arrive, cut into windows that overlap by a quarter."""

    trained: TrainedModel
    texts: TextTokenizer
    template: Template
    capacity: int

    def __call__(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """`masks` of each text: for each `[MASK]` its `candidates`, `word` and `score`; UserError if it is no text."""
        faults = [
            f"input {number}: is of type {type(given).__name__}; this model reads a text"
            for number, given in enumerate(inputs)
            if not isinstance(given, str)
        ]
        if faults:
            raise UserError(list_faults("The inputs are not usable:", faults))
        answers: list[dict[str, Any]] = [{"masks": []} for _ in inputs]
        found = list(self._windows(inputs))
        if not found:
            return answers
        split = split_of([window for _, window in found])
        filled: dict[int, list[Any]] = {}
        own = self.trained
        for rows, logits_OC in each_batch(own.model, split, own.compute, batch_tokens=BATCH_TOKENS):
            candidates = iter(self._describe(torch.from_numpy(logits_OC)))
            filled |= {row: [next(candidates) for _ in found[row][1].places_L] for row in rows.tolist()}
        for row, (number, _) in enumerate(found):
            answers[number]["masks"] += [{"candidates": each} for each in filled[row]]
        return answers

    def _windows(self, texts: Sequence[str]) -> Iterator[tuple[int, MaskedWindow]]:
        """The number of the text and a window of it, for each that owns a mask."""
        mask, mask_id = str(self.trained.tokenizer.mask_token), self.trained.tokenizer.mask_token_id
        columns = pa.array([LONE_SURROGATE.sub("\ufffd", text).replace(MASK, mask) for text in texts], pa.string())
        tokens = self.texts.tokenize(columns)
        before, _, after = self.template
        for number in range(len(texts)):
            start, end = tokens.offsets[number : number + 2]
            ids, levels = tokens.ids[start:end], tokens.levels[start:end]
            if not (ids == mask_id).any():
                continue
            for span in cut_text(levels, capacity=self.capacity, overlap=self.capacity // 4):
                owned = np.flatnonzero(ids[span.owned_start : span.owned_end] == mask_id)
                if len(owned):
                    window: Int32s = np.array([*before, *ids[span.start : span.end], *after], np.int32)
                    places = owned + span.owned_start - span.start + len(before)
                    yield number, MaskedWindow(window, places, np.zeros_like(places), np.arange(len(places)))

    def _describe(self, logits_OC: torch.Tensor) -> list[list[dict[str, Any]]]:
        """The likeliest tokens of each output."""
        found = torch.softmax(logits_OC.double(), 1).topk(min(CANDIDATES, logits_OC.shape[1]))
        return [
            [
                {
                    "word": self.trained.tokenizer.backend_tokenizer.decode([token], skip_special_tokens=False).strip(),
                    "score": score,
                }
                for token, score in zip(ids, scores, strict=True)
            ]
            for ids, scores in zip(found.indices.tolist(), found.values.tolist(), strict=True)
        ]


def load_filler(folder: Path) -> MaskFiller:
    """Load data/model, or a copy of it, on the best device of this machine; ArtifactError if it is damaged."""
    trained = load_trained(folder, load_model)
    template = template_of(trained.tokenizer, pairs=False)
    capacity = trained.record.parameters["tokenize"]["window_length"] - template.size
    return MaskFiller(trained, TextTokenizer(trained.tokenizer), template, capacity)
