"""A split of windows as the engine takes it: an output for each masked token.

Shape legend: R windows, N tokens of a batch, L masked tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from stages.encoding.files import IGNORED, Outputs
from stages.encoding.texts import EncodedTexts
from stages.modeling.text_split import SHOWN_CHARACTERS
from stages.tasks.language_modeling.model.masks import Int32s, Int64s, MaskedWindow, Masking, mask_window

IN_TRAINING, IN_EVALUATION = 1, 2  # so that no two masks are drawn alike; not 0, which a seed sequence does not see
ReadWindow = Callable[[int], MaskedWindow]


@dataclass(frozen=True)
class WindowSplit:
    """Windows, and how each is masked by its number."""

    offsets: Int32s  # [R + 1] the first token of each, and the number of tokens
    input_ids: Int32s
    read: ReadWindow

    @property
    def second(self) -> None:
        """No window has a second text."""
        return None

    @cached_property
    def lengths(self) -> Int32s:
        """[R] the number of tokens of each window."""
        return np.diff(self.offsets)

    def outputs(self, rows: Int64s, _: Int64s) -> Outputs:
        """The masked tokens of these windows; the answers are the ids that stood there."""
        windows = [self.read(row) for row in rows.tolist()]
        starts = np.cumsum(self.lengths[rows], dtype=np.int64) - self.lengths[rows]
        places_L = [start + window.places_L for start, window in zip(starts, windows, strict=True)]
        gold_L = np.concatenate([window.gold_L for window in windows])
        ids_N = np.concatenate([window.ids_T for window in windows])
        return Outputs(np.concatenate(places_L), None, (gold_L,), (IGNORED,), ids_N)

    def weight(self, rows: Int64s, _: Int64s) -> int:
        """The number of masked tokens."""
        return sum(len(self.read(row).places_L) for row in rows.tolist())

    def describe(self, rows: Int64s) -> dict[int, str]:
        """The number of each window."""
        return {row: f"window {row + 1}" for row in rows.tolist()}


@dataclass(frozen=True)
class MaskedTexts(WindowSplit):
    """The windows of an encoded split, masked by the numbers of the windows: the same at each look."""

    texts: EncodedTexts

    def describe(self, rows: Int64s) -> dict[int, str]:
        """The beginning of each window, by its number from 0."""
        return {row: self.texts.texts[row].as_py()[:SHOWN_CHARACTERS] for row in rows.tolist()}


@dataclass(frozen=True)
class TrainingTexts(MaskedTexts):
    """The windows of train, masked anew in each step."""

    masking: Masking

    def at_step(self, seed: int, index: int) -> MaskedTexts:
        """The windows as they are masked in the step of this index."""
        read = draw_masks(self.texts, self.masking, seed, index, IN_TRAINING)
        return MaskedTexts(self.offsets, self.input_ids, read, self.texts)


def mask_texts(texts: EncodedTexts, masking: Masking) -> MaskedTexts:
    """The windows of dev or test: whatever the seed of a training run, all models read the same masks."""
    return MaskedTexts(texts.offsets, texts.input_ids, draw_masks(texts, masking, IN_EVALUATION), texts)


def mask_in_training(texts: EncodedTexts, masking: Masking) -> TrainingTexts:
    """The windows of train."""
    own = mask_texts(texts, masking)
    return TrainingTexts(own.offsets, own.input_ids, own.read, texts, masking)


def split_of(windows: Sequence[MaskedWindow]) -> WindowSplit:
    """Windows that are masked already."""
    lengths = [len(window.ids_T) for window in windows]
    offsets = np.append(0, np.cumsum(lengths, dtype=np.int64)).astype(np.int32)
    return WindowSplit(
        offsets, np.concatenate([np.empty(0, np.int32), *(w.ids_T for w in windows)]), windows.__getitem__
    )


def draw_masks(texts: EncodedTexts, masking: Masking, *seeds: int) -> ReadWindow:
    """How each window is masked, by its number and these seeds; each is drawn once."""
    assert texts.answers is not None
    marks: Int32s = texts.answers.values.to_numpy()
    first = texts.answers.offsets[0].as_py()

    @cache
    def read(row: int) -> MaskedWindow:
        start, end = texts.offsets[row], texts.offsets[row + 1]
        ids_T, marks_T = texts.input_ids[start:end], marks[start - first : end - first]
        return mask_window(ids_T, marks_T, masking, (row + 1, *seeds))

    return read
