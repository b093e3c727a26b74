"""States of stages, from the real DVC, in a project whose stages only copy a file."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.checkout.layout import REGISTRATION, STAGES
from pipeline.checkout.status import check_inputs, stage_states
from stages.errors import UserError
from stages.tracking.registry import Registration, write_marker

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie, under DVC

STATES = """
import json, sys
from pipeline.checkout.status import stage_states
states = {state.name: state.because for state in stage_states()}
print(json.dumps([states, [name for name in ("mlflow", "networkx") if name in sys.modules]]))
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project in the working directory whose four stages have run and whose model is registered."""
    outputs = ["data/encoded", "data/model", "data/report", str(REGISTRATION)]
    stages = {
        name: {"cmd": f"cp {source} {output}", "deps": [source], "params": [name], "outs": [output]}
        for name, source, output in zip(STAGES, ["data/corpus", *outputs], outputs, strict=False)
    }
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    (tmp_path / "params.yaml").write_text("".join(f"{name}: {{value: 1}}\n" for name in STAGES))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/corpus").write_text(json.dumps({"name": "tiny", "model_digest": "0af1"}))
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    with chdir(tmp_path):
        with Repo.init() as repo:
            repo.reproduce()
        write_marker(Registration("sqlite:///mlflow.db", "tiny", 1, "0af1", "run"))
        Path("mlflow.db").touch()
        yield tmp_path


def test_a_fresh_project_needs_neither_mlflow_nor_the_graph(project: Path) -> None:
    finished = subprocess.run([sys.executable, "-c", STATES], capture_output=True, text=True, check=True)
    states, imported = json.loads(finished.stdout)
    assert states == {name: [] for name in STAGES}
    assert list(states) == list(STAGES)
    assert imported == []


def test_a_stale_stage_has_a_reason_and_makes_those_downstream_stale(project: Path) -> None:
    (project / "params.yaml").write_text(
        "".join(f"{name}: {{value: {2 if name == 'train' else 1}}}\n" for name in STAGES)
    )
    because = {state.name: state.because for state in stage_states()}
    assert list(because) == list(STAGES)
    assert because == {
        "tokenize": [],
        "train": ["train.value: 1 -> 2"],
        "evaluate": ["train runs first"],
        "register": ["evaluate runs first"],
    }


def test_a_model_that_the_registry_does_not_have_makes_register_stale(project: Path) -> None:
    (project / "mlflow.db").unlink()
    assert [state.name for state in stage_states() if not state.fresh] == ["register"]


def test_check_inputs_names_a_missing_corpus(project: Path) -> None:
    (project / "data/corpus").unlink()
    with pytest.raises(UserError, match="data/corpus: no such file or folder, and tokenize needs it"):
        check_inputs(stage_states())


def test_stage_states_reports_errors_of_dvc_yaml(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages: 1\n")
    with pytest.raises(UserError):
        stage_states()
