"""The checks of `tuneline doctor`: each with what it looks for, and without."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pipeline.checkout.new_pipeline import write_params_text
from pipeline.doctor import checks
from pipeline.doctor.checks import Finding, check_machine, check_packages, check_remote, examine
from stages.task import task_names
from stages.tools import check_machine as tool
from stages.tools.check_machine import has_nvidia_gpu
from tests.checkouts import ROOT, Project
from tests.processes import free_port

MACHINE = {
    "torch": "2.13.0+cpu", "cuda_build": None, "has_gpu": False, "gpus": [], "gpu_fault": None, "device": "cpu",
    "precision": "bf16", "refusal": None, "threads": 2, "free_bytes": 8_000_000_000,
}  # fmt: skip
GPU = {"cuda_build": "13.0", "has_gpu": True, "torch": "2.13.0+cu130"}


@pytest.mark.parametrize(
    ("pins", "state"),
    [
        (f"numpy=={version('numpy')}\n", "ok"),
        ("not-installed-anywhere==1.0\n", "ok"),
        ("# a comment\nnumpy==0.0.1  # too old\n", "warning"),
    ],
)
def test_packages_are_compared_with_their_pins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pins: str, state: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("constraints.txt").write_text(pins)
    found = check_packages()
    assert found.state == state
    assert (f"numpy {version('numpy')}, not 0.0.1" in found.detail) == (state == "warning")


@pytest.mark.parametrize(
    ("facts", "state", "words", "remedy"),
    [
        ({}, "ok", "torch 2.13.0+cpu (CPU) trains on cpu in bf16 with 2 threads; 8.0 GB of memory are free", None),
        ({**GPU, "gpus": ["H100"], "device": "cuda"}, "ok", "(CUDA 13.0) trains on H100 in bf16;", None),
        ({"has_gpu": True}, "warning", "torch is built for CPUs alone", "pip install --force-reinstall torch==2.13.0"),
        (
            {**GPU, "gpu_fault": "The driver is too old"},
            "warning",
            "The driver is too old",
            "install the NVIDIA driver",
        ),
        ({"device": None, "refusal": "torch sees no GPU here."}, "fault", "torch sees no GPU here.", None),
    ],
)
def test_the_machine_is_described_by_torch(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], state: str, words: str, remedy: str | None
) -> None:
    monkeypatch.setattr(checks, "run_json", lambda *_, **__: MACHINE | facts)
    found = check_machine()
    assert found.state == state
    assert words in found.detail
    assert (found.remedy or "").startswith(remedy or "")
    assert (found.remedy is None) == (remedy is None)


@pytest.mark.parametrize("task", task_names())
def test_the_machine_is_described_for_every_task(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "params.yaml").write_text(write_params_text(task), encoding="utf-8")
    tool.main(tmp_path / "params.yaml")
    assert json.loads(capsys.readouterr().out)["device"] in ("cpu", "cuda")


@pytest.mark.parametrize(
    ("vendor", "kind", "is_gpu"),
    [
        ("0x10de", "0x030000", True),
        ("0x10de", "0x030200", True),
        ("0x10de", "0x0c0330", False),
        ("0x8086", "0x030000", False),
    ],
)
def test_a_gpu_is_a_display_controller_of_nvidia(tmp_path: Path, vendor: str, kind: str, is_gpu: bool) -> None:
    device = tmp_path / "0000:01:00.0"
    device.mkdir()
    (device / "vendor").write_text(f"{vendor}\n")
    (device / "class").write_text(f"{kind}\n")
    assert has_nvidia_gpu(tmp_path) == is_gpu
    assert not has_nvidia_gpu(tmp_path / "nowhere")


def remote_in(folder: Path, monkeypatch: pytest.MonkeyPatch, url: Path | None) -> Finding:
    from dvc.repo import Repo

    monkeypatch.chdir(folder)
    with Repo.init(no_scm=True) as repo, repo.config.edit() as config:
        if url:
            config["remote"]["store"] = {"url": str(url)}
            config["core"]["remote"] = "store"
    return check_remote()


def test_the_dvc_remote_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    found = remote_in(tmp_path / "project", monkeypatch, tmp_path / "store")
    assert (found.state, found.detail) == ("ok", f"{tmp_path / 'store'} is writable")
    assert list((tmp_path / "store").iterdir()) == []


def test_a_dvc_remote_that_cannot_be_written_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(checks.UserError, match="is not writable"):
        remote_in(tmp_path / "project", monkeypatch, tmp_path / "file/store")


def test_no_dvc_remote_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = remote_in(tmp_path, monkeypatch, None)
    assert (found.state, found.remedy) == ("warning", "dvc remote add --default NAME URL")


def test_an_error_of_a_check_is_its_finding_and_the_others_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Finding:
        raise checks.UserError("it is broken")

    for name in ("packages", "parameters", "machine", "disk", "git", "remote", "mlflow", "prefect"):
        monkeypatch.setattr(checks, f"check_{name}", fail)
    found = list(examine())
    assert len(found) == 8
    assert {(each.state, each.detail) for each in found} == {("fault", "it is broken")}


def test_doctor_names_the_servers_that_do_not_answer(project: Project) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    arguments = {"PREFECT_API_URL": f"{away}/api", "MLFLOW_TRACKING_URI": away}
    finished = project.tuneline("doctor", "--json", code=2, **arguments)
    report = json.loads(finished.stdout)
    assert not report["ok"]
    states = {check["name"]: check["state"] for check in report["checks"] if check["name"] != "disk"}
    assert states == {
        "packages": "ok", "parameters": "ok", "machine": "ok", "git": "ok", "DVC remote": "warning",
        "MLflow": "fault", "Prefect": "fault",
    }  # fmt: skip
    assert away in project.tuneline("doctor", code=2, **arguments).stdout
    assert project.json("doctor", PREFECT_API_URL="")["ok"]
