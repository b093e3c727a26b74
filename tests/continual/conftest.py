"""A small model of each task, and the folder of a run that goes on from it on other examples."""

import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pipeline.checkout.new_pipeline import write_params_text
from pipeline.checkout.params_file import apply_settings
from stages import tokenize, train
from stages.artifacts import file_digest, read_json
from tests.promises.kinds import QUICK, WINDOWS, write_table, write_tags

TASKS: dict[str, tuple[str, ...]] = {
    "token_classification": (),
    "text_classification": ("data.label=feeling",),
    "regression": ("data.target=days",),
}


@dataclass(frozen=True)
class Run:
    """The folder of a pipeline, which is the working directory."""

    folder: Path

    def __call__(self, *stages: Any, **settings: Any) -> None:
        """Run recipes with these values, of which `__` in a key stands for a dot."""
        params = Path("params.yaml")
        values = [f"{key.replace('__', '.')}={value}" for key, value in settings.items()]
        params.write_text(apply_settings(params, values), encoding="utf-8")
        for stage in stages:
            stage.main(params)

    @property
    def weights(self) -> str:
        """The digest of the trained weights."""
        return file_digest(Path("data/model/model.safetensors"))

    def metrics(self) -> dict[str, Any]:
        """What evaluate says."""
        return read_json(Path("data/report/metrics.json"))


@contextmanager
def quiet(folder: Path) -> Iterator[None]:
    """While active, the folder is the working directory, and nothing is sent to MLflow."""
    with (
        chdir(folder),
        mock.patch.dict(os.environ),
        mock.patch("stages.tracking.sync.try_sync"),
        mock.patch("stages.tracking.sync.sync_live", return_value=nullcontext()),
    ):
        yield


def write_run(folder: Path, task: str, *settings: str) -> None:
    """Write the params of a pipeline for small corpora."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(write_params_text(task), encoding="utf-8")
    text = apply_settings(
        folder / "params.yaml", [*QUICK, *WINDOWS, *TASKS[task], "train.epochs=4", "evaluate.precision=fp32", *settings]
    )
    (folder / "params.yaml").write_text(text, encoding="utf-8")


def encoder_settings(model: Path) -> list[str]:
    """What names a folder as the pretrained model."""
    digest = file_digest(model / "model.safetensors")
    return [f"model.pretrained={model}", "model.revision=null", f'model.sha256="{digest}"']


@pytest.fixture(scope="session", params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    """Each task."""
    found: str = request.param
    return found


@pytest.fixture(scope="session")
def parent(task: str, tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Path:
    """The folder of a run that has trained a model on the corpus in `data`."""
    folder = tmp_path_factory.mktemp("parent") / "run"
    write_run(folder, task, *encoder_settings(tiny_pretrained), "data.dir=corpus")
    (write_tags if task == "token_classification" else write_table)(folder / "corpus")
    with quiet(folder):
        Run(folder)(tokenize, train)
    return folder


@pytest.fixture
def run(task: str, parent: Path, tmp_path: Path) -> Iterator[Run]:
    """A run that goes on from the parent, on the examples of its dev split as train, before tokenize."""
    write_run(tmp_path, task, *encoder_settings(parent / "data/model"), "data.dir=corpus")
    (tmp_path / "corpus").mkdir()
    for split, own in (("train", "dev"), ("dev", "dev"), ("test", "test")):
        (file,) = (parent / "corpus").glob(f"{own}.*")
        (tmp_path / "corpus" / f"{split}{file.suffix}").write_bytes(file.read_bytes())
    with quiet(tmp_path):
        yield Run(tmp_path)
