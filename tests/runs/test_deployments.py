"""The errors of `tuneline deploy`, in a real checkout with the real git and DVC; tests/workers has a Prefect server."""

import subprocess
from pathlib import Path

import pytest

from pipeline.checkout.layout import DAG, PARAMS, use_pipeline
from pipeline.runs.automations import project_name
from tests.checkouts import Project, checkout

UNHEARD = "http://127.0.0.1:9/api"  # where no server listens


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Project:
    """A project with a git remote but none for data."""
    project = checkout(tmp_path_factory.mktemp("desk"), tiny_pretrained)
    origin = tmp_path_factory.mktemp("origin")
    subprocess.run(["git", "init", "--quiet", "--bare", str(origin)], check=True)
    for words in (["branch", "--move", "main"], ["remote", "add", "origin", str(origin)]):
        subprocess.run(["git", *words], cwd=project.folder, check=True)
    return project


def deploy_error(desk: Project, *words: str) -> str:
    """The error message of `tuneline deploy`; it must not change params.yaml."""
    before = (desk.folder / "params.yaml").read_bytes()
    message = desk.call("deploy", *words, code=2).stderr
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
    # Prefect reads its settings once for a process.
    unnamed, away = (desk.tuneline("deploy", code=2, PREFECT_API_URL=url).stderr for url in ("", UNHEARD))
    assert "PREFECT_API_URL names no Prefect server" in unnamed
    assert f"the Prefect server at {UNHEARD} failed" in away
    assert "Traceback" not in unnamed + away


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
            assert expected in desk.call(command, code=2).stderr
    finally:
        params.write_text(text)


def test_pipelines_have_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    folders = [Path(), Path("a-b"), Path("a/b"), Path("examples/one"), Path("two")]
    monkeypatch.chdir(tmp_path)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DAG).touch()
    PARAMS.write_text("register: {name: examples-one}\n", encoding="utf-8")
    for folder in folders:
        with use_pipeline(folder):
            names.append(project_name())
    assert len(set(names)) == len(folders)
    assert [names[0], names[4]] == ["examples-one", "two"]  # the root's model, and a folder that no other is like
