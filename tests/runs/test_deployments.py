"""The errors of `tuneline deploy`, in a real checkout with the real git and DVC; tests/workers has a Prefect server."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import Project, checkout

SERVER = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}  # where no server listens


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Project:
    """A project with a git remote but none for data."""
    project = checkout(tmp_path_factory.mktemp("desk"), tiny_pretrained)
    origin = tmp_path_factory.mktemp("origin")
    subprocess.run(["git", "init", "--quiet", "--bare", str(origin)], check=True)
    for words in (["branch", "--move", "main"], ["remote", "add", "origin", str(origin)]):
        subprocess.run(["git", *words], cwd=project.folder, check=True)
    return project


def deploy_error(desk: Project, *words: str, **environment: str) -> str:
    """The error message of `tuneline deploy`; it must not change params.yaml."""
    before = (desk.folder / "params.yaml").read_bytes()
    message = desk.tuneline("deploy", *words, code=2, **(SERVER | environment)).stderr
    assert (desk.folder / "params.yaml").read_bytes() == before
    assert "Traceback" not in message
    return message


def test_deploy_names_each_missing_requirement(desk: Project, tmp_path: Path) -> None:
    assert "dvc remote add --default" in deploy_error(desk)
    desk.command("dvc", "remote", "add", "--default", "team", str(desk.folder / "inside"))
    assert "lies inside this checkout" in deploy_error(desk)
    desk.command("dvc", "remote", "add", "--force", "--default", "team", str(tmp_path / "data"))
    assert "has no branch 'main'" in deploy_error(desk)
    subprocess.run(["git", "push", "--quiet", "origin", "main"], cwd=desk.folder, check=True)
    assert "PREFECT_API_URL names no Prefect server" in deploy_error(desk, PREFECT_API_URL="")
    assert "the Prefect server at http://127.0.0.1:9/api failed" in deploy_error(desk)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--cron", "every night"], "the schedule 'every night' is not a cron expression"),
        (["--repository", "https://anna:secret@example.org/x"], "https://***@example.org/x contains a password"),
        (["--cron", 'x" y'], "is not a single YAML value"),
    ],
)
def test_deploy_rejects_invalid_options(desk: Project, words: list[str], expected: str) -> None:
    message = deploy_error(desk, *words)
    assert expected in message
    assert "anna:secret" not in message


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("timezone: UTC", "timezone: Berlin", "orchestration.timezone: Value error, no such time zone"),
        ("timeout_seconds: 3600", "timeout_seconds: 0", "orchestration.tokenize.timeout_seconds"),
        ("    retries: 3", "    tries: 3", "orchestration.train.tries: unknown key; did you mean 'retries'?"),
    ],
)
def test_deploy_and_run_report_errors_of_the_section(desk: Project, before: str, after: str, expected: str) -> None:
    params = desk.folder / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace(before, after, 1))
    try:
        for command in ("deploy", "run"):
            assert expected in desk.tuneline(command, code=2, **SERVER).stderr
    finally:
        params.write_text(text)
