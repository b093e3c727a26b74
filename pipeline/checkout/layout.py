"""The names of a checkout: its stages, the files that they write, and parameters that `pipeline` reads."""

import os
from pathlib import Path

from stages.errors import UserError

PARAMS = Path("params.yaml")
REGISTRATION = Path("data/registration.json")
TRAINING = Path("data/model/training.json")
METRICS = Path("data/report/metrics.json")
PREDICTIONS = Path("data/report/predictions.parquet")
PAGE = Path("data/report/report.html")
ENCODED = "data/encoded"
TOKENIZE = "tokenize"
TRAIN = "train"
EVALUATE = "evaluate"
REGISTER = "register"
STAGES = (TOKENIZE, TRAIN, EVALUATE, REGISTER)
CHECKPOINT_DIR = "runtime.checkpoint_dir"  # the parameter
TRAIN_KEY_GLOB = "[0-9a-f]" * 64  # matches the checkpoint folder of a training run, which its train key names


def enter_root() -> None:
    """Change to the root of the project, the nearest folder upward with a dvc.yaml; UserError if there is none.

    UnicodeEncodeError if its path is not UTF-8.
    """
    here = Path.cwd()
    str(here).encode()  # UnicodeEncodeError if DVC and MLflow could not record this path
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            os.chdir(folder)
            return
    raise UserError(f"{here} is not inside a Tuneline project: no dvc.yaml here or above. Change to your checkout.")
