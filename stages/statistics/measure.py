"""Measures that follow from sums over examples: accuracy, F1, Matthews, RMSE, Pearson.

A measure is a function of the totals of K counts, so that a resample of the examples needs their totals alone. Equal
examples are one kind and are drawn together: a million predictions of 150 classes are some thousand kinds.

Shape legend: S examples, N kinds of examples, K counts, T totals (resamples or trials).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Matrix = Any  # a dense array or a sparse.csr_array, of integers or of float64
Score = Callable[[Floats], Floats]  # totals [K, T] -> values [T]

LOOKUP = 1 << 22  # distinct keys that a table may have
ROUNDING = 1e-12  # of a score: differences below it are none


@dataclass(frozen=True)
class Counts:
    """K counts of each of S examples.

    `counts_KN` holds those of an example of each kind: dense, or sparse where an example touches few of many.
    `kind_S` is the kind of each example; None if each is a kind of its own, so that N is S.
    """

    counts_KN: Matrix
    kind_S: Numbers | None

    @property
    def examples(self) -> int:
        """The number of examples."""
        return int(self.counts_KN.shape[1]) if self.kind_S is None else len(self.kind_S)

    @property
    def times_N(self) -> Numbers:
        """How many examples are of each kind."""
        kinds = self.counts_KN.shape[1]
        return np.ones(kinds, np.int64) if self.kind_S is None else np.bincount(self.kind_S, minlength=kinds)

    @property
    def totals_K(self) -> Floats:
        """The sums over all examples."""
        return sum_counts(self.counts_KN, self.times_N[:, None].astype(np.float64))[:, 0]

    def select(self, chosen_S: Truths) -> "Counts":
        """The counts of the chosen examples; kinds of which none is chosen are left out."""
        if self.kind_S is None:
            return Counts(self.counts_KN[:, np.flatnonzero(chosen_S)], None)
        kept_M, kind_S = number_kinds(self.kind_S[chosen_S])
        return Counts(self.counts_KN[:, kept_M], kind_S)


@dataclass(frozen=True)
class Measure:
    """A score of predictions as a function of totals over their examples.

    `score` turns totals [K, T] into values [T] as they are printed. Higher values are better unless `is_error`.
    `gold_S` is whatever identifies the gold answer of each example, of shape [S, …].
    """

    counts: Counts
    score: Score
    gold_S: npt.NDArray[Any]
    is_error: bool = False

    @property
    def value(self) -> float:
        """The score of all examples."""
        return float(self.score(self.counts.totals_K[:, None])[0])

    @property
    def support(self) -> int:
        """The number of examples."""
        return self.counts.examples

    @property
    def sign(self) -> int:
        """1 if higher values are better, else -1."""
        return -1 if self.is_error else 1

    def select(self, chosen_S: Truths) -> "Measure":
        """The measure of the chosen examples."""
        return replace(self, counts=self.counts.select(chosen_S), gold_S=self.gold_S[chosen_S])


def f1_measure(counts_3S: Numbers) -> Measure:
    """Micro F1, from the correct, predicted and gold entities of each sentence."""
    return Measure(count_kinds(counts_3S), f1, counts_3S[2])


def f1(totals_3T: Floats) -> Floats:
    """Micro F1 from the totals of correct, predicted and gold items; 0 where there are none."""
    correct, predicted, gold = totals_3T
    return divide(2 * correct, predicted + gold)


def divide(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    """The quotient, 0 where the denominator is 0."""
    above, below = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    ratio: Floats = np.divide(above, below, out=np.zeros(below.shape), where=below != 0)
    return ratio


def count_kinds(counts_KS: Numbers) -> Counts:
    """Find the kinds of examples among counts that are integers from 0 on; they come in lexicographic order."""
    key_S = np.zeros(counts_KS.shape[1], np.int64)
    most = 1
    for row in counts_KS:
        base = int(row.max(initial=0)) + 1
        most *= base
        if most > np.iinfo(np.int64).max:
            counts_KN, kind_S = np.unique(counts_KS, axis=1, return_inverse=True)
            return Counts(counts_KN, kind_S.reshape(-1))
        key_S = key_S * base + row
    _, first_N, kind_S = _number(key_S)
    return Counts(counts_KS[:, first_N], kind_S)


def number_kinds(key_S: Numbers) -> tuple[Numbers, Numbers]:
    """Return the distinct keys in ascending order, and for each example the index of its own."""
    key_N, _, kind_S = _number(key_S)
    return key_N, kind_S


def pair_kinds(first: Counts, second: Counts) -> tuple[Counts, Counts]:
    """The counts of two models on the same examples, with the same kinds: pairs of the kinds of both."""
    if first.kind_S is None or second.kind_S is None:
        return (_spread(first), _spread(second))
    pair_N, kind_S = number_kinds(first.kind_S * second.counts_KN.shape[1] + second.kind_S)
    one_N, other_N = np.divmod(pair_N, max(1, second.counts_KN.shape[1]))
    return Counts(first.counts_KN[:, one_N], kind_S), Counts(second.counts_KN[:, other_N], kind_S)


def sum_counts(counts_KN: Matrix, times_NT: Floats) -> Floats:
    """Totals [K, T] of so many examples of each kind.

    Sums of integers are exact in any order. Those of other numbers are taken in an order that does not depend on the
    number of threads, as it does in BLAS.
    """
    if sparse.issparse(counts_KN) or np.issubdtype(counts_KN.dtype, np.integer):
        totals_KT: Floats = counts_KN.astype(times_NT.dtype) @ times_NT
    else:
        totals_KT = np.einsum("kn,tn->kt", counts_KN, np.ascontiguousarray(times_NT.T))
    return totals_KT.astype(np.float64, copy=False)


def _number(key_S: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Distinct keys, an example of each, and the index of each example's own key."""
    if not len(key_S) or int(key_S.max()) >= LOOKUP:
        key_N, first_N, kind_S = np.unique(key_S, return_index=True, return_inverse=True)
        return key_N, first_N, kind_S
    size = int(key_S.max()) + 1
    example = np.full(size, -1)
    example[key_S] = np.arange(len(key_S))
    key_N = np.flatnonzero(example >= 0)
    index = np.zeros(size, np.int64)
    index[key_N] = np.arange(len(key_N))
    return key_N, example[key_N], index[key_S]


def _spread(counts: Counts) -> Counts:
    return counts if counts.kind_S is None else Counts(counts.counts_KN[:, counts.kind_S], None)
