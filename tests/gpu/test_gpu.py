"""`make gpu` with tiny models on the CPU, on a machine that has no package but those it says it needs."""

import json
import os
import re
import signal
import subprocess
import time
import venv
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.measures import Rows
from tests.checkouts import ROOT
from tests.gpu import peers
from tests.gpu.__main__ import main
from tests.gpu.machine import PACKAGES
from tests.gpu.parts import PARTS, Part
from tests.gpu.runner import run_parts
from tests.gpu.workload import TINY, SkippedError, Target, draw_lengths, make_model, make_split

MEASURED = {part.name for part in PARTS if part.measures}


@dataclass(frozen=True)
class Finished:
    """A run of `python -m tests.gpu` that has ended."""

    code: int
    report: dict[str, Any]
    output: str


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the packages that `make gpu` needs and with what these depend on, and with no other."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    for name in dependencies(set(PACKAGES)):
        found = distribution(name)
        for entry in {path.parts[0] for path in found.files or () if path.parts[0] != ".."}:
            if not (site / entry).exists():
                (site / entry).symlink_to(found.locate_file(entry))
    return folder / "bin" / "python"


def dependencies(names: set[str]) -> set[str]:
    """These distributions and all that are installed of what they require, extras left out."""
    known: set[str] = set()
    while waiting := names - known:
        name = waiting.pop()
        known.add(name)
        try:
            required = distribution(name).requires or []
        except PackageNotFoundError:
            names.discard(name)
            continue
        names |= {re.split(r"[^\w.-]", rule, maxsplit=1)[0] for rule in required if "extra ==" not in rule}
    return names


@pytest.fixture(scope="module")
def whole(bare_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """All parts."""
    report = tmp_path_factory.mktemp("gpu") / "report.json"
    command = [str(bare_python), "-m", "tests.gpu", "--device", "cpu", "--small", "--report", str(report)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400)
    return Finished(finished.returncode, json.loads(report.read_text()), finished.stdout + finished.stderr)


def test_all_parts_pass_on_the_cpu_of_a_bare_machine(whole: Finished, bare_python: Path) -> None:
    imports = [f"import {name}" for name in ("prefect", "mlflow", "dvc", "pytest", "pandas", "accelerate")]
    for line in imports:
        assert subprocess.run([bare_python, "-c", line], capture_output=True, check=False).returncode, line
    records = whole.report["parts"]
    assert list(records) == [part.name for part in PARTS]
    assert {name: record.get("log") for name, record in records.items() if record["status"] != "passed"} == {}
    assert whole.code == 0


def test_the_report_has_the_machine_and_figures_of_each_part_that_measures(whole: Finished) -> None:
    machine = whole.report["machine"]
    assert machine["packages"].keys() == set(PACKAGES)
    assert (machine["gpus"], machine["status"]) == ([], "passed")
    figures = {name: whole.report["parts"][name]["figures"] for name in MEASURED}
    assert figures["training"]["peer"] == "a loop as the Trainer's (accelerate is missing)"
    for shape in TINY:
        for lengths in ("short", "256", "512"):
            assert figures["training"][f"{shape.name} {lengths}"]["times_faster"] > 0
            assert figures["inference"][f"{shape.name} {lengths}"]["times_faster"] > 0
            assert figures["peer-compiled"][f"{shape.name} {lengths}"]
    (profiled,) = figures["where-time-goes"].values()
    assert len(profiled["shares_of_busy_time"]) == 15
    assert 0 < sum(profiled["shares_of_busy_time"].values()) <= 1
    for part, name in (("step-in-a-graph", "graph"), ("step-compiled", "compiled")):
        (found,) = figures[part].values()
        assert found["eager"] > 0
        assert found[name] > 0
        assert found["shapes"] <= found["batches"]
    for name in whole.report["parts"]:
        assert name in whole.output


def records_of(parts: list[Part], folder: Path, *, seconds: float = 60) -> dict[str, dict[str, Any]]:
    """Run these parts here and return their records."""
    found: dict[str, dict[str, Any]] = {}
    run_parts(parts, device="cpu", small=True, folder=folder, seconds=seconds, report=found.__setitem__)
    return found


def crash(target: Target) -> None:
    target.record(seen=1)
    os.kill(os.getpid(), signal.SIGKILL)


def hang(target: Target) -> None:
    time.sleep(60)


def wrong(target: Target) -> None:
    raise AssertionError("the promise is broken")


def impossible(target: Target) -> None:
    raise SkippedError("it needs two GPUs, and there is one")


def slow(target: Target) -> None:
    target.record(first=1)
    time.sleep(60)


def fine(target: Target) -> None:
    target.record(left=target.left)


def test_a_part_that_fails_hides_no_other(tmp_path: Path) -> None:
    parts = [Part(crash, 30), Part(hang, 1), Part(wrong, 30), Part(impossible, 30), Part(fine, 30, measures=True)]
    found = records_of(parts, tmp_path)
    assert {name: record["status"] for name, record in found.items()} == {
        "crash": "failed", "hang": "failed", "wrong": "failed", "impossible": "skipped", "fine": "passed",
    }  # fmt: skip
    assert found["crash"]["reason"] == "its process ended with exit code -9"
    assert found["crash"]["figures"] == {"seen": 1}
    assert found["hang"]["reason"] == "it took longer than 1 s"
    assert found["wrong"]["reason"] == "AssertionError: the promise is broken"
    assert found["wrong"]["log"][-1] == "AssertionError: the promise is broken"
    assert found["impossible"]["reason"] == "it needs two GPUs, and there is one"
    assert 20 < found["fine"]["figures"]["left"] < 30


def test_a_part_that_measures_too_long_keeps_its_figures_and_has_not_failed(tmp_path: Path) -> None:
    (record,) = records_of([Part(slow, 1, measures=True)], tmp_path).values()
    assert (record["status"], record["figures"]) == ("skipped", {"first": 1})
    assert record["reason"] == "it took longer than 1 s"


def test_what_does_not_fit_is_skipped(tmp_path: Path) -> None:
    found = records_of([Part(fine, 30), Part(wrong, 30)], tmp_path, seconds=2)
    assert {record["reason"] for record in found.values()} == {"no time left"}


@pytest.mark.skipif(not find_spec("accelerate"), reason="the Trainer needs accelerate")
def test_the_trainer_is_the_peer_where_accelerate_is_installed(tmp_path: Path) -> None:
    target = Target("cpu", True, tmp_path, float("inf"))
    rows = Rows(make_split(draw_lengths("short", tokens=1000, longest=64), TINY[0]))
    assert peers.peer_name() == "Trainer"
    speed = peers.peer_speed(target, rows, make_model(TINY[0]), batch=4, compiled=False, seconds=0.05)
    assert speed is not None
    assert speed > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--device", "cpu", "--only", "nothing"], "no such part: nothing"), (["--device", "cuda"], "not usable")],
)
def test_an_unknown_part_and_a_missing_gpu_are_one_clear_error(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM"):  # main sets some of them
        monkeypatch.setenv(name, "")
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert "Traceback" not in output.err
