"""Older corpora beside the new one: declared to DVC, checked, and encoded to be scored too.

`data/also/` has a folder for each corpus of `evaluate.also`, named by the last part of its path: its test split, and a
manifest of its own, for its labels are those of the model and what the corpus has beyond them. It is an output of its
own, so that no model becomes stale by another test set.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.artifacts import read_versioned, write_json
from stages.encoding.files import Manifest, read_manifest
from stages.errors import ParamsError, list_faults

ALSO = Path("data/also")
INDEX = "corpora.json"  # the names in their order; DVC keeps no empty folder
FORMAT_VERSION = 1
DAG = "dvc.yaml"


def require_declared(folders: Sequence[str], params_file: Path) -> None:
    """ParamsError if a corpus is not there, or no dependency of tokenize in the dvc.yaml beside the params file.

    DVC would take what was encoded from another state of it for fresh. Without a dvc.yaml nothing is cached.
    """
    faults = [f"{folder}: no such file or folder" for folder in folders if not Path(folder).exists()]
    dag = params_file.parent / DAG
    if folders and dag.exists():
        declared = YAML(typ="safe").load(dag)["stages"]["tokenize"]["deps"]
        undeclared = [folder for folder in folders if folder not in declared]
        faults += [f"{folder}: {dag} does not declare it; `tuneline status` does" for folder in undeclared]
    if faults:
        raise ParamsError(list_faults(f"train.replay and evaluate.also of {params_file} are not usable:", faults))


def write_index(folder: Path, names: Sequence[str]) -> None:
    """Write which corpora are in the folder."""
    write_json(folder / INDEX, {"format_version": FORMAT_VERSION, "corpora": list(names)})


def read_corpora(folder: Path) -> Iterator[tuple[str, Path, Manifest]]:
    """Yield the name of each corpus, its folder and its manifest; ArtifactError if a file is missing or damaged."""
    index: dict[str, Any] = read_versioned(folder / INDEX, format_version=FORMAT_VERSION, stage="tokenize")
    for name in index["corpora"]:
        yield name, folder / name, read_manifest(folder / name)
