"""Find the examples of a split whose answers are probably wrong, in a child process."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.checkout.layout import pipeline_folder
from pipeline.checkout.processes import run_json


def find_suspects(split: str, *, limit: int, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """The first `limit` suspects of the current pipeline, or all if that is 0, as `stages.tools.find_suspects` says.

    UserError if there is no such split, no model, or none that training recorded anything of.
    """
    with tempfile.TemporaryDirectory() as folder:
        params = Path(folder) / "find_suspects.json"
        section = {"pipeline": pipeline_folder().as_posix(), "split": split, "limit": limit}
        params.write_text(json.dumps({"find_suspects": section}), encoding="utf-8")
        return run_json("stages.tools.find_suspects", params, on_progress=on_progress)
