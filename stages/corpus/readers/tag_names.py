"""The names of tags that are written as numbers: Hugging Face datasets keep them beside the data, not in it."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.corpus.text.diagnostics import AnnotationError

DATASET_INFO = "dataset_info.json"  # what `Dataset.save_to_disk` and the hub's older loaders write beside the data


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """What Hugging Face datasets note of the columns in a Parquet file; empty if another program wrote it."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def features_beside(path: Path, place: Path | None) -> dict[str, Any]:
    """What a dataset_info.json in the file's folder, or the one above, says of the columns; empty if there is none.

    Only within the folder `place` that is the corpus, since what lies elsewhere is no declared input.
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
    """The names of a column's tag numbers: of a `List` or `Sequence` of `ClassLabel`, or of one in brackets."""
    feature = features.get(column)
    inner = feature[0] if isinstance(feature, list) and len(feature) == 1 else feature
    inner = inner.get("feature", inner) if isinstance(inner, dict) else None
    names = inner.get("names") if isinstance(inner, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else None


def tag_name(number: int, names: list[str] | None) -> str:
    """The name of one; AnnotationError if it has none."""
    if names is None:
        raise AnnotationError(
            f"the tag {number} is a number that nothing names; write the tags themselves, or put the dataset's "
            f"{DATASET_INFO} beside the file"
        )
    if not 0 <= number < len(names):
        raise AnnotationError(f"the tag {number} has no name; there are {len(names)}, from 0: {', '.join(names)[:80]}")
    return names[number]
