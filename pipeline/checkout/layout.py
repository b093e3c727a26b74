"""The names of a checkout: its root, its pipelines, their stages and files, and parameters that `pipeline` reads.

A folder with a dvc.yaml is a pipeline: the root of the repository, and others below it. A command works at the root, so
that code, git, DVC, corpora and the registry are found alike for all, and means one pipeline: `enter_root` chooses it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.terminal import CALLED_IN
from stages.errors import UserError

# Files of a pipeline, from its folder; `locate` says where the current pipeline has them.
DAG = Path("dvc.yaml")
LOCK = Path("dvc.lock")
PARAMS = Path("params.yaml")
REGISTRATION = Path("data/registration.json")
TRAINING = Path("data/model/training.json")
CONFIG = Path("data/model/config.json")
METRICS = Path("data/report/metrics.json")
PREDICTIONS = Path("data/report/predictions.parquet")
PAGE = Path("data/report/report.html")
ENCODED = Path("data/encoded")
ALSO = Path("data/also")
TOKENIZE = "tokenize"
TRAIN = "train"
EVALUATE = "evaluate"
REGISTER = "register"
STAGES = (TOKENIZE, TRAIN, EVALUATE, REGISTER)
CHECKPOINT_DIR = "runtime.checkpoint_dir"  # the parameter
TRAIN_KEY_GLOB = "[0-9a-f]" * 64  # matches the checkpoint folder of a training run, which its train key names
VARIABLE = "TUNELINE_PIPELINE"  # holds the folder of the current pipeline, from the root


def enter_root() -> None:
    """Change to the root of the repository; the current pipeline is the nearest folder upward with a dvc.yaml.

    The root is the nearest folder from there upward with a folder .dvc, else the pipeline's own. UserError if there is
    no pipeline, UnicodeEncodeError if its path is not UTF-8.
    """
    here = Path.cwd()
    str(here).encode()  # UnicodeEncodeError if DVC and MLflow could not record this path
    pipeline = next((folder for folder in (here, *here.parents) if (folder / DAG).is_file()), None)
    if pipeline is None:
        raise UserError(f"{here} is not inside a Tuneline project: no dvc.yaml here or above. Change to your checkout.")
    root = find_root(pipeline) or pipeline
    os.environ[VARIABLE] = pipeline.relative_to(root).as_posix()
    os.environ[CALLED_IN] = str(here)
    os.chdir(root)


def find_root(folder: Path) -> Path | None:
    """The nearest folder from an absolute one upward that DVC was initialised in."""
    return next((each for each in (folder, *folder.parents) if (each / ".dvc").is_dir()), None)


def pipeline_folder() -> Path:
    """The folder of the current pipeline from the root, which is the working directory; without a choice the root."""
    return Path(os.environ.get(VARIABLE, "."))


@contextmanager
def use_pipeline(folder: Path) -> Iterator[None]:
    """Make the pipeline in `folder`, a path from the root, the current one of this process, then the one before."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = folder.as_posix()
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before


def locate(file: Path) -> Path:
    """Where the current pipeline has one of its files, from the root."""
    return pipeline_folder() / file


def stage_address(stage: str) -> str:
    """What DVC calls a stage of the current pipeline at the root."""
    return stage if pipeline_folder() == Path() else f"{locate(DAG).as_posix()}:{stage}"


def find_pipelines() -> list[Path]:
    """The folders of all pipelines below the root, from there, the root first; not those in hidden folders."""
    found = []
    for folder, names, files in os.walk("."):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in ("mlruns", "data"))
        if DAG.name in files:
            found.append(Path(folder))
    return found
