"""Texts with numbers as rows of the Arrow file (columns: stages/encoding/texts.py)."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Float64s = npt.NDArray[np.float64]


def targets_of(numbers_ED: Float64s) -> pa.ListArray:
    """Return the numbers of E examples, D each, as they are."""
    count, dimensions = numbers_ED.shape
    offsets = np.arange(count + 1, dtype=np.int32) * dimensions
    return pa.ListArray.from_arrays(offsets, np.ascontiguousarray(numbers_ED, np.float64).ravel())
