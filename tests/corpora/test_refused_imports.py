"""Imports that are refused, fail or are stopped: one message, and nothing is left behind."""

import signal
import subprocess

import fsspec
import pytest

from pipeline.corpora import download
from tests.checkouts import Project
from tests.corpora.conftest import Site
from tests.processes import BIN, PATIENCE, free_port, wait_until


def snapshot(project: Project) -> dict[str, bytes | None]:
    """Read all that an import may write to, except DVC's cache."""
    places = [project.folder / "data", project.folder / ".tuneline", project.folder / ".git/index"]
    paths = [path for place in places for path in ([place, *place.rglob("*")] if place.exists() else [])]
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths if path.name != ".tuneline"}


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("{url}/nothing.conll", "new", "nothing.conll cannot be fetched: the server answers 404"),
        ("{url}/broken.conll", "new", "broken.conll cannot be fetched: the server answers 500"),
        ("{url}/cut.conll", "new", "cut.conll cannot be fetched: "),
        ("{url}/locked/", "new", "the server answers 401"),
        ("http://127.0.0.1:{port}/x.conll", "new", "x.conll cannot be fetched: Cannot connect to host"),
        ("http://nowhere.invalid/x.conll", "new", "x.conll cannot be fetched: Cannot connect to host"),
        ("{url}/empty", "new", "It holds folders, of which one may be meant: deep."),
        ("{url}/unknown.docx", "new", "unknown.docx: ends in none of"),
        ("{url}/bad.conll", "new", "bad.conll:2: needs 2 columns, has 1: 'alone'"),
        ("nowhere/x.conll", "new", "nowhere/x.conll cannot be fetched: no such file or folder"),
        ("s3://bucket/x.conll", "new", "s3://bucket/x.conll cannot be fetched: Unable to locate credentials"),
        ("gs://bucket/x.conll", "new", "install gcsfs to access Google Storage"),
        ("gopher://host/x.conll", "new", "Protocol not known: gopher"),
        ("", "new", "the source is empty"),
        ("{url}/press", "taken", "data/corpora/taken exists already. Choose another name, or replace it with --force"),
        ("{url}/press", "demo", "data/corpora/demo is tracked by git"),
        ("{url}/press", "../new", "'../new' cannot name a corpus"),
        ("{url}/press", "new.dvc", "'new.dvc' cannot name a corpus"),
    ],
)
def test_import_refuses_with_one_message_and_leaves_nothing(
    project: Project, site: Site, source: str, name: str, message: str
) -> None:
    (project.folder / "data/corpora/taken").mkdir(exist_ok=True)
    before = snapshot(project)
    finished = project.call("import", source.format(url=site.url, port=free_port()), name, code=2)
    assert message in finished.stderr
    assert finished.stderr.count("error:") == 1
    assert "Traceback" not in finished.stderr
    assert ".tuneline" not in finished.stderr
    assert finished.stdout == ""
    assert snapshot(project) == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.split={dev: 0.1, test: 0.1}", "--set takes only data.format, data.words, data.tags"),
        ("data.tags=7", "bad.conll: has 2 columns, and data.tags names column 7"),
        ("data.tags=0", "--set data.tags: Value error, columns count from 1"),
    ],
)
def test_import_refuses_settings(project: Project, site: Site, setting: str, message: str) -> None:
    before = snapshot(project)
    finished = project.call("import", f"{site.url}/bad.conll", "new", "--set", setting, code=2)
    assert message in finished.stderr
    assert snapshot(project) == before


def test_server_that_stops_sending_is_given_up(project: Project, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(project)
    monkeypatch.setattr(download, "READ_SECONDS", 0.5)
    monkeypatch.setattr(fsspec.config, "conf", {})  # which keeps the first one of a process
    finished = project.call("import", f"{site.url}/slow.conll", "new", code=2)
    assert "slow.conll cannot be fetched: no answer within 0.5 s" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert snapshot(project) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_import_that_is_stopped_leaves_nothing(project: Project, site: Site, number: signal.Signals) -> None:
    before = snapshot(project)
    process = subprocess.Popen(
        [str(BIN / "tuneline"), "import", f"{site.url}/slow.conll", "new"],
        cwd=project.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: list((project.folder / ".tuneline").glob("import-*/source/slow.conll")), process=process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in stderr
    if number == signal.SIGKILL:
        assert snapshot(project) != before  # a killed process cannot clean up; the next import does
        project.call("import", "nowhere", "new", code=2)
    else:
        assert process.returncode == 128 + number
        assert stderr == "stopped; nothing was imported\n"
    assert snapshot(project) == before


@pytest.mark.parametrize("name", ["unwelcome", "kept"])
def test_error_of_dvc_undoes_everything(project: Project, site: Site, name: str) -> None:
    excluded = project.folder / ".git/info/exclude"
    source = f"{site.url}/letters.conll.gz"
    words = ["import", source, name]
    if name == "kept":
        project.call("import", f"{site.url}/press", name)
        words.append("--force")
    rules = excluded.read_text(encoding="utf-8")
    before = snapshot(project)
    excluded.write_text(f"{rules}\n/data/corpora/{name}.dvc\n", encoding="utf-8")
    finished = project.call(*words, code=2)
    excluded.write_text(rules, encoding="utf-8")
    assert f"DVC cannot add data/corpora/{name}: " in finished.stderr
    assert "git-ignored" in finished.stderr
    assert snapshot(project) == before
