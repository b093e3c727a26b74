"""Checkouts of the project, and folders to train in, with a tiny model and a small corpus."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import preloaded
from tests.in_process import run_tuneline
from tests.processes import PATIENCE, real_programs, start, wait_until

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "data/corpora/demo"


def write_params(folder: Path, pretrained: Path, **changes: Any) -> None:
    """The project's params.yaml with the tiny model and settings that train in seconds; `changes` by dotted key."""
    from pipeline.checkout.params_file import apply_settings
    from stages.artifacts import file_digest

    values = {
        "model.pretrained": str(pretrained),
        "model.revision": "null",
        "model.sha256": f'"{file_digest(pretrained / "model.safetensors")}"',
        "tokenize.window_length": 64,
        "tokenize.window_overlap": 16,
        "train.epochs": 5,
        "train.learning_rate": 0.005,
        "train.batch_tokens": 128,
        "train.dropout": 0.0,
        "train.threads": 1,  # two would wait for each other where the machine has other work
        "register.name": "tiny-ner",
        **changes,
    }
    text = apply_settings(ROOT / "params.yaml", [f"{key}={value}" for key, value in values.items()])
    (folder / "params.yaml").write_text(text, encoding="utf-8")


@contextmanager
def set_in(folder: Path, *settings: str) -> Iterator[None]:
    """Within, params.yaml has other values."""
    from pipeline.checkout.params_file import apply_settings

    params = folder / "params.yaml"
    before = params.read_bytes()
    params.write_text(apply_settings(params, settings), encoding="utf-8")
    try:
        yield
    finally:
        params.write_bytes(before)


def write_small_corpus(folder: Path, *, train: int = 150, rest: int = 40) -> None:
    """The first sentences of each split of the demo corpus."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("dev", rest), ("test", rest)):
        sentences = (DEMO / f"{split}.conll").read_text(encoding="utf-8").split("\n\n")
        (folder / f"{split}.conll").write_text("\n\n".join(sentences[:count]) + "\n", encoding="utf-8")


def run_stages(folder: Path, *stages: str) -> None:
    """Run stages in a folder without DVC."""
    for stage in stages:
        environment = preloaded.environment() | {"PYTHONPATH": str(ROOT)}
        finished = run_command(["python", "-m", f"stages.{stage}"], folder, environment)
        assert finished.returncode == 0, finished.stderr


def run_command(words: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a program of the environment's PATH in a folder."""
    return subprocess.run(
        [shutil.which(words[0], path=environment["PATH"]) or words[0], *words[1:]],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Project:
    """A checkout of the project in a folder of its own, with git and DVC of its own.

    Its commands are run by the fork server (tests/preloaded), or `real`, each by an interpreter of its own.
    """

    folder: Path
    real: bool = False

    def command(self, *words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run an installed command in the checkout and check its exit code."""
        programs = real_programs() if self.real else preloaded.environment()
        finished = run_command(list(words), self.folder, programs | environment)
        assert finished.returncode == code, finished.stdout + finished.stderr
        return finished

    def tuneline(self, *words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the console script."""
        return self.command("tuneline", *words, code=code, **environment)

    def json(self, *words: str, **environment: str) -> Any:
        """Run the console script with --json and parse what it prints."""
        return json.loads(self.tuneline(*words, "--json", **environment).stdout)

    def call(self, *words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the console script in this process (see `run_tuneline`) and check its exit code."""
        finished = run_tuneline(list(words), self.folder, environment)
        assert finished.returncode == code, finished.stdout + finished.stderr
        return finished

    def call_json(self, *words: str, **environment: str) -> Any:
        """Run the console script in this process with --json and parse what it prints."""
        return json.loads(self.call(*words, "--json", **environment).stdout)


def checkout(folder: Path, pretrained: Path) -> Project:
    """Copy what git would commit into `folder`, with the tiny model and a small corpus, and commit it there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists() and name != "dvc.lock" and not name.startswith("data/corpora/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    write_small_corpus(folder / "data/corpora/demo")
    write_params(folder, pretrained)
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "start"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    return Project(folder)


@dataclass(frozen=True)
class Trainable:
    """A folder in which `python -m stages.train` runs."""

    folder: Path

    def start(self, *launcher: str, real: bool = True, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a training run, by `python -m LAUNCHER` if given; it writes to the log.

        It has an interpreter of its own if `real`, or else comes from the fork server.
        """
        programs = real_programs() if real else preloaded.environment()
        python = str(shutil.which("python", path=programs["PATH"]))
        command = [python, *launcher, "-m", "stages.train"]
        return start(command, self.folder, **programs, PYTHONPATH=str(ROOT), **environment)

    def run(self, *launcher: str, code: int = 0, **environment: str) -> str:
        """Run a training run to its end, check its exit code, and return what it wrote to the log.

        Without a launcher it is run by the fork server.
        """
        before = len(self.log())
        process = self.start(*launcher, real=bool(launcher), **environment)
        assert process.wait(PATIENCE) == code, self.log()
        return self.log()[before:]

    def log(self) -> str:
        """What all trainings of this folder have written so far."""
        path = self.folder / "server.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def wait_for(self, words: str, process: "subprocess.Popen[bytes]", *, after: int = 0) -> None:
        """Return once the log holds `words` behind its first `after` characters."""
        wait_until(lambda: words in self.log()[after:], self.log, process)

    def checkpoints(self) -> list[Path]:
        """The folders of whole checkpoints, the newest last."""
        return sorted(self.folder.glob(".checkpoints/*/step-*"))

    def model(self) -> tuple[str, str]:
        """The weights' digest, and the history of steps."""
        from stages.artifacts import file_digest

        model = self.folder / "data/model"
        return file_digest(model / "model.safetensors"), (model / "history.jsonl").read_text(encoding="utf-8")
