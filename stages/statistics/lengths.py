"""The lengths of texts as slices: whether long texts are answered worse than short ones."""

import itertools

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

ENDS = (50, 100, 200, 400, 800, 1600, 3200)  # in characters
SEVERAL, ONE = "several windows", "one window"


def slice_by_length(texts: pa.StringArray, pairs: pa.StringArray | None) -> pa.DictionaryArray:
    """For each example in which range its characters lie, those of both texts of a pair counted together.

    The dictionary is in the order of lengths.
    """
    length_E = np.asarray(pc.utf8_length(texts), np.int64)
    if pairs is not None:
        length_E = length_E + np.asarray(pc.utf8_length(pairs), np.int64)
    return _encode(np.searchsorted(ENDS, length_E), list_lengths())


def list_lengths() -> list[str]:
    """The names of all ranges of lengths, the shortest first."""
    ranges = [f"{low + 1:,} to {high:,}" for low, high in itertools.pairwise(ENDS)]
    return [f"up to {ENDS[0]:,}", *ranges, f"more than {ENDS[-1]:,}"]


def slice_by_windows(windows_E: npt.NDArray[np.int64]) -> pa.DictionaryArray:
    """For each example whether it was encoded in one window or in several."""
    return _encode((windows_E > 1).astype(np.int64), [ONE, SEVERAL])


def _encode(index_E: npt.NDArray[np.int64], names: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(index_E, pa.int32()), pa.array(names, pa.string()))
