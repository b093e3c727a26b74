"""Names of tags that are written as numbers; Hugging Face datasets keep them in metadata."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.corpus.text.diagnostics import AnnotationError

DATASET_INFO = "dataset_info.json"  # what `Dataset.save_to_disk` and the hub's older loaders write beside the data


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """Return the features that Hugging Face datasets store in a Parquet file; empty if another program wrote it."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def features_beside(path: Path, place: Path | None) -> dict[str, Any]:
    """Return the features in a dataset_info.json in the file's folder or its parent; empty if there is none.

    Only within the corpus folder `place`: files elsewhere are not a declared input of the stage.
    """
    for folder in (path.parent, path.parent.parent):
        if place is None or not folder.is_relative_to(place):
            break
        try:
            features = json.loads((folder / DATASET_INFO).read_text(encoding="utf-8"))["features"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return features if isinstance(features, dict) else {}
    return {}


def tag_names(features: dict[str, Any], column: str) -> list[str] | None:
    """Return the names of a column's tag numbers: of a `List`, `Sequence` or bracketed list of `ClassLabel`."""
    feature = features.get(column)
    inner = feature[0] if isinstance(feature, list) and len(feature) == 1 else feature
    inner = inner.get("feature", inner) if isinstance(inner, dict) else None
    names = inner.get("names") if isinstance(inner, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else None


def tag_name(number: int, names: list[str] | None) -> str:
    """Return the name of a tag number; AnnotationError if it has none."""
    if names is None:
        raise AnnotationError(
            f"the tag {number} is a number without a name; write the tags themselves, or put the dataset's "
            f"{DATASET_INFO} beside the file"
        )
    if not 0 <= number < len(names):
        raise AnnotationError(f"the tag {number} has no name; there are {len(names)}, from 0: {', '.join(names)[:80]}")
    return names[number]
