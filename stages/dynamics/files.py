"""dynamics.arrow beside the weights of a model: what training thought of each answer. Written and read here alone.

A row is an output of the train split, in the order of its rows: a word, or a window of a text.

confidence    float                 how far the model agreed with the given answer, the mean over the epochs, each taken
                                    in the step that trained on it: the probability of the given label (Swayamdipta
                                    et al., 2020), or the distance to the given number, negative
predicted     fixed list<float>     what it held for likely instead, in the last epoch; see `judge` of the task's head

Means over the epochs, since a small corpus may have dozens of them: 8 bytes for a word, 80 MB for 10 million.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.errors import ArtifactError

FORMAT_VERSION = 1
FILE = "dynamics.arrow"
VERSION = b"format_version"

Float32s = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Dynamics:
    """The columns of the file, for O outputs and V values of each."""

    confidence_O: Float32s
    predicted_OV: Float32s


def write_dynamics(model: Path, dynamics: Dynamics) -> None:
    """Write the file into the folder of a model, uncompressed, so that no version of a codec changes its bytes."""
    predicted = pa.FixedSizeListArray.from_arrays(
        pa.array(dynamics.predicted_OV.ravel()), dynamics.predicted_OV.shape[1]
    )
    table = pa.table({"confidence": dynamics.confidence_O, "predicted": predicted})
    table = table.replace_schema_metadata({VERSION: str(FORMAT_VERSION)})
    with pa.OSFile(str(model / FILE), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_dynamics(model: Path) -> Dynamics:
    """Map the file into memory; ArtifactError, with what to do, if it is missing, damaged or of another version."""
    path = model / FILE
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except FileNotFoundError:
        raise ArtifactError(
            f"{path}: no such file. The model was trained before this was recorded, or its task does not record it. "
            "Train it again: dvc repro --force train"
        ) from None
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path} is damaged ({error}). Delete it and run `dvc repro train`.") from None
    version = (table.schema.metadata or {}).get(VERSION, b"none").decode()
    if version != str(FORMAT_VERSION):
        raise ArtifactError(f"{path} has format version {version}, this Tuneline reads {FORMAT_VERSION}. Train again.")
    predicted = table.column("predicted").combine_chunks()
    width = predicted.type.list_size
    return Dynamics(table.column("confidence").to_numpy(), predicted.flatten().to_numpy().reshape(-1, width))
