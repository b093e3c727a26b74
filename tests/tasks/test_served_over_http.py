"""`mlflow models serve` with a version of each task on texts, from a folder that knows nothing of this project.

The other kinds differ in what `tests/tasks/test_served.py` shows, over HTTP too; entities have
tests/end_to_end/test_pipeline.py.
"""

import json
import urllib.request
from pathlib import Path

import mlflow
import pytest

from stages.tracking.registry import describe_served
from tests.processes import BIN, PATIENCE, free_port, served
from tests.tasks.kinds import KINDS, OTHER, TEXT, write_model

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["symmetric-pairs", "several-numbers"])
def test_a_server_answers_as_the_loaded_model_does(name: str, tmp_path: Path, tiny_pretrained: Path) -> None:
    kind, port, place = KINDS[name], free_port(), tmp_path / "served"
    model = write_model(kind, tmp_path / "model", tiny_pretrained)
    mlflow.pyfunc.save_model(str(place), **describe_served(model, kind.task))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [
        str(BIN / "mlflow"), "models", "serve", "--model-uri", str(place), "--env-manager", "local",
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    inputs = kind.inputs(TEXT, OTHER)
    params = dict.fromkeys(kind.parts.presentation.SERVING_PARAMS, True)
    with served(command, elsewhere, f"http://127.0.0.1:{port}/ping", PYTHONPATH=""):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"inputs": inputs, "params": params}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            predictions = json.load(answer)["predictions"]
    assert predictions == mlflow.pyfunc.load_model(str(place)).predict(inputs, params=params)
    log = (elsewhere / "server.log").read_text(encoding="utf-8")
    assert "Warning" not in log
    assert "WARNING" not in log
