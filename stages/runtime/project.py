"""Where a run leaves what outlives it, such as the registry, also if DVC runs it in a temporary copy of the project."""

import os
from pathlib import Path

EXPERIMENTS = Path(".dvc/tmp/exps")
FETCHED = Path(".tuneline/pretrained")
REGISTRY = "models:/"  # what the name of a registered model begins with, as in MLflow


def project_folder() -> Path:
    """The root of the project: the working directory, or the absolute path of the project that it is a copy of.

    `dvc exp run` with `--temp` or `--queue` runs the stages in a copy inside the project, which it deletes at the end,
    and names the project in $DVC_ROOT.
    """
    owner = Path(os.environ.get("DVC_ROOT", "."))
    is_copy = Path.cwd().resolve().is_relative_to((owner / EXPERIMENTS).resolve())
    return owner if is_copy else Path()


def fetched_model(sha256: str) -> Path:
    """Where the files of the registered model whose weights have this digest are kept, once they were fetched."""
    return project_folder() / FETCHED / sha256
