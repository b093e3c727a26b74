"""The words of a sentence in one window as a chain for a CRF.

Shape legend: O outputs of a batch, which are words; W words of the split; S chains, T steps of the longest.
"""

from dataclasses import fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from stages.encoding.files import EncodedSplit, Int64s, Outputs
from stages.modeling.heads.crf import lay_out

Truths = npt.NDArray[np.bool_]


class ChainedSplit(EncodedSplit):
    """A split whose outputs have as answers their labels, and the fields of `Chains`.

    A sentence that is cut into windows is a chain in each of them.
    """

    @classmethod
    def of(cls, split: EncodedSplit) -> "ChainedSplit":
        """The same split."""
        return cls(**{field.name: getattr(split, field.name) for field in fields(split)})

    def outputs(self, rows: Int64s, index_N: Int64s) -> Outputs:
        """The words that these rows own; ArtifactError unless exactly one window of the split owns each word."""
        found = super().outputs(rows, index_N)
        row_O = np.searchsorted(np.cumsum(self.lengths[rows]), found.places_L, side="right")
        word_O = self._word_of_place[index_N[found.places_L]]
        first_S, length_S = find_chains(row_O, word_O, self._is_first_W)
        starts_S = self._is_first_W[word_O[first_S]]
        ends_S = self._is_first_W[word_O[first_S + length_S - 1] + 1]
        answers = (*found.answers, lay_out(first_S, length_S), starts_S, ends_S)
        return Outputs(found.places_L, None, answers, (*found.padding, None, None, None))

    @cached_property
    def _word_of_place(self) -> Int64s:
        """The number of the word within the split whose label lies at each place of the columns of tokens."""
        word_of = np.zeros(len(self.input_ids), dtype=np.int64)
        owners_W = self.owners()
        word_of[owners_W] = np.arange(len(owners_W))
        return word_of

    @cached_property
    def _is_first_W(self) -> Truths:
        """[W + 1] whether a sentence begins at each word, as if one began behind the last."""
        bounds = self.word_bounds
        is_first_W = np.zeros(bounds[-1] + 1, dtype=bool)
        is_first_W[bounds] = True
        return is_first_W


def find_chains(row_O: Int64s, word_O: Int64s, is_first_W: Truths) -> tuple[Int64s, Int64s]:
    """First output and length of each chain: a run of outputs of one row that are consecutive words of a sentence."""
    begins_O = np.ones(len(word_O), dtype=bool)
    begins_O[1:] = (np.diff(row_O) != 0) | (np.diff(word_O) != 1) | is_first_W[word_O[1:]]
    first_S = np.flatnonzero(begins_O)
    return first_S, np.diff(np.append(first_S, len(word_O)))
