"""Check a corpus in a child process, without training on it."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.checkout.layout import PARAMS, locate
from pipeline.checkout.processes import run_json
from stages.errors import UserError


def check_corpus(text: str, *, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """Run `stages.tools.check_corpus` with `text` as params.yaml; UserError if the params are not valid."""
    with tempfile.TemporaryDirectory() as folder:
        candidate = Path(folder) / PARAMS
        candidate.write_text(text, encoding="utf-8")
        try:
            return run_json("stages.tools.check_corpus", candidate, on_progress=on_progress)
        except UserError as error:
            raise UserError(str(error).replace(str(candidate), str(locate(PARAMS)))) from None
