"""Labelled texts as rows of the Arrow file (columns: stages/encoding/texts.py)."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def label_ids(labels: pa.ListArray, names: Sequence[str]) -> pa.ListArray:
    """Return the labels of E examples as indices into `names`, which are sorted; each label once, in rising order."""
    assert list(names) == sorted(set(names))
    ids = pc.index_in(labels.flatten(), value_set=pa.array(names, pa.string()))
    assert not ids.null_count, "a label that the pass before did not see"
    example_L = np.repeat(np.arange(len(labels)), labels.value_lengths().to_numpy(zero_copy_only=False))
    found = np.unique(np.stack([example_L, ids.to_numpy(zero_copy_only=False)], axis=1).astype(np.int64), axis=0)
    offsets = np.append(0, np.cumsum(np.bincount(found[:, 0], minlength=len(labels))))
    return pa.ListArray.from_arrays(offsets.astype(np.int32), found[:, 1].astype(np.int32))
