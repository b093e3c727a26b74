"""What the tasks on texts share to find suspect answers.

Shape legend: R rows of a split, which are the outputs of the model; E examples.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.dynamics.suspects import Floats, Numbers
from stages.encoding.texts import EncodedTexts

PROBABLE = 0.5  # an answer is suspect that the model held for less probable than that, all in all


def average_rows(texts: EncodedTexts, values_R: Floats) -> Floats:
    """[E] the mean over the rows of each example, by their weights."""
    return np.bincount(texts.example, values_R * texts.weight, minlength=len(texts.first_rows)).astype(np.float64)


def least_rows(texts: EncodedTexts, values_R: Floats) -> Numbers:
    """[E] the row of each example with the least value, the first of several."""
    order = np.lexsort((values_R, texts.example))
    first: Numbers = order[np.searchsorted(texts.example[order], np.arange(len(texts.first_rows)))]
    return first


def show_text(texts: EncodedTexts, example: int) -> dict[str, str]:
    """The `text` of an example, and its `pair` if there is one."""
    shown = {"text": texts.texts[example].as_py()}
    return shown if texts.pairs is None else shown | {"pair": texts.pairs[example].as_py()}


def choose(names: Sequence[str], chosen: Any) -> list[str]:
    """The names whose place in `chosen` is true, in alphabetical order."""
    return sorted(name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen)
