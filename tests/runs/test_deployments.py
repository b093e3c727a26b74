"""What `tuneline deploy` refuses, in a real checkout with real git and DVC; tests/workers has a server."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import Project, checkout

SERVER = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}  # where nobody listens


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Project:
    """A project with a git remote but none for data."""
    project = checkout(tmp_path_factory.mktemp("desk"), tiny_pretrained)
    origin = tmp_path_factory.mktemp("origin")
    subprocess.run(["git", "init", "--quiet", "--bare", str(origin)], check=True)
    for words in (["branch", "--move", "main"], ["remote", "add", "origin", str(origin)]):
        subprocess.run(["git", *words], cwd=project.folder, check=True)
    return project


def refusal(desk: Project, *words: str, **environment: str) -> str:
    """The message; params.yaml is not changed."""
    before = (desk.folder / "params.yaml").read_bytes()
    said = desk.tuneline("deploy", *words, code=2, **(SERVER | environment)).stderr
    assert (desk.folder / "params.yaml").read_bytes() == before
    assert "Traceback" not in said
    return said


def test_deploy_says_what_is_missing_one_thing_after_the_other(desk: Project, tmp_path: Path) -> None:
    assert "dvc remote add --default" in refusal(desk)
    desk.command("dvc", "remote", "add", "--default", "team", str(desk.folder / "inside"))
    assert "lies inside this checkout" in refusal(desk)
    desk.command("dvc", "remote", "add", "--force", "--default", "team", str(tmp_path / "data"))
    assert "has no branch 'main'" in refusal(desk)
    subprocess.run(["git", "push", "--quiet", "origin", "main"], cwd=desk.folder, check=True)
    assert "PREFECT_API_URL names no Prefect server" in refusal(desk, PREFECT_API_URL="")
    assert "the Prefect server at http://127.0.0.1:9/api failed" in refusal(desk)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cron", "every night"], "the schedule 'every night' is no cron expression"),
        (["--repository", "https://anna:secret@example.org/x"], "https://***@example.org/x holds a password"),
        (["--cron", 'x" y'], "is not one YAML value"),
    ],
)
def test_deploy_refuses_what_cannot_work(desk: Project, words: list[str], said: str) -> None:
    message = refusal(desk, *words)
    assert said in message
    assert "anna:secret" not in message


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("timezone: UTC", "timezone: Berlin", "orchestration.timezone: Value error, no such time zone"),
        ("timeout_seconds: 3600", "timeout_seconds: 0", "orchestration.tokenize.timeout_seconds"),
        ("    retries: 3", "    tries: 3", "orchestration.train.tries: unknown key; did you mean 'retries'?"),
    ],
)
def test_faults_of_the_section_are_named_by_run_too(desk: Project, before: str, after: str, said: str) -> None:
    params = desk.folder / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace(before, after, 1))
    try:
        for command in ("deploy", "run"):
            assert said in desk.tuneline(command, code=2, **SERVER).stderr
    finally:
        params.write_text(text)
