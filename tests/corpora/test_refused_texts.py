"""Malformed texts through the commands that read them: one message with its place, exit code 2, nothing written."""

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.checkout.new_pipeline import write_pipeline
from pipeline.checkout.params_file import apply_settings, write_setting
from pipeline.cli.main import app
from pipeline.corpora import check, importing
from stages import tokenize
from stages.corpus.examples.readers.columns import Wanted
from stages.errors import UserError
from stages.runtime import entry_point
from tests.checkouts import Project
from tests.corpus.examples.conftest import write
from tests.corpus.examples.test_malformed_examples import CASES, Case
from tests.corpus.examples.test_odd_examples import REFUSED

TASKS: dict[Wanted, str] = {"labels": "text_classification", "numbers": "regression"}
ALL = {**CASES, **REFUSED}


@pytest.fixture(scope="module")
def pipelines(project: Project) -> Iterator[Path]:
    """A checkout with a pipeline for each of the two tasks, named as what they want."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        for wanted, task in TASKS.items():
            write_pipeline(Path(wanted), task, ["tokenize.window_length=64", "tokenize.window_overlap=16"])
        yield project.folder


@pytest.fixture
def here(pipelines: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Children run in this process."""
    for module in (check, importing):
        monkeypatch.setattr(module, "run_json", run_here)
    return pipelines


def run_here(module: str, params: Path, *, on_progress: Callable[[str], None]) -> Any:
    with redirect_stdout(io.StringIO()) as output:
        import_module(module).main(params)
    return json.loads(output.getvalue())


def snapshot(*folders: Path) -> dict[Path, bytes | None]:
    paths = sorted(path for folder in folders for path in folder.rglob("*") if ".tuneline" not in path.parts)
    return {path: path.read_bytes() if path.is_file() else None for path in paths}


def run_command(words: Sequence[str]) -> tuple[int, str]:
    """Exit code, and what a command prints, as `tuneline` would."""
    result = CliRunner().invoke(app, list(words))
    if isinstance(result.exception, UserError):
        return result.exception.exit_code, f"error: {result.exception}"
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def settings_of(case: Case) -> list[str]:
    return [word for key, value in case.settings.items() for word in ("--set", write_setting(f"data.{key}", value))]


def lines_of(shown: str, place: object) -> list[str]:
    """The lines of a message with places as `Case.expected` has them."""
    text = shown.replace(f"{place}/", "").replace(str(place), "FOLDER")
    return [line.removeprefix("error").removeprefix(":").strip() for line in text.splitlines()]


@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
def test_check_refuses(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    corpus = write(tmp_path, case.files)
    monkeypatch.chdir(here / case.wanted)
    before = snapshot(tmp_path, here / "data", here / case.wanted)
    code, shown = run_command(["check", str(corpus), *settings_of(case)])
    assert code == 2, shown
    assert any(line.startswith(case.expected) for line in lines_of(shown, os.path.relpath(corpus, here))), shown
    assert snapshot(tmp_path, here / "data", here / case.wanted) == before


@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
def test_tokenize_refuses(
    pipelines: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: Case,
) -> None:
    corpus = write(tmp_path / "corpus", case.files)
    missing = {
        split: 0.1 for split in ("dev", "test") if not any(name.startswith((split, "all")) for name in case.files)
    }
    settings = {"split": missing or None} | case.settings | {"dir": "corpus"}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stage"])
    text = apply_settings(
        pipelines / case.wanted / "params.yaml",
        [write_setting(f"data.{key}", value) for key, value in settings.items()],
    )
    Path("params.yaml").write_text(text, encoding="utf-8")
    before = snapshot(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        entry_point.run_recipe(tokenize.main)
    shown = capsys.readouterr()
    assert (exit_.value.code, shown.out) == (2, "")
    assert "Traceback" not in shown.err
    assert shown.err.count("error: ") == 1
    assert max(map(len, shown.err.splitlines())) < 600
    if not any(line.startswith(case.expected) for line in lines_of(shown.err, corpus.name)):
        assert case.expected.startswith("FOLDER: ")  # of all texts, which here have to suffice for three splits too
        assert re.search("no example in (train|dev|test)|only a in train|corpus holds", shown.err), shown.err
    assert snapshot(tmp_path) == before


OF_EACH_FORMAT = (
    "UTF-16", "gzip cut off", "unknown label", "too many cells", "several labels", "not 0 or 1", "decimal comma",
    "spans of label studio", "more texts than labels", "a line without a label", "an empty text of a class",
    "one label", "a column of Parquet twice", "shards with other columns", "a string beside names",
)  # fmt: skip


@pytest.mark.parametrize("case", [ALL[name] for name in OF_EACH_FORMAT], ids=OF_EACH_FORMAT)
def test_import_refuses(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    source = write(tmp_path, case.files)
    monkeypatch.chdir(here / case.wanted)
    before = snapshot(tmp_path, here / "data", here / case.wanted, here / ".tuneline")
    code, shown = run_command(["import", str(source), "mine", *settings_of(case)])
    assert code == 2, shown
    assert any(line.startswith(case.expected) for line in lines_of(shown, source)), shown
    assert snapshot(tmp_path, here / "data", here / case.wanted, here / ".tuneline") == before


@pytest.mark.parametrize("names", ["/etc/names.txt", "../names.txt"])
def test_names_of_labels_outside_the_corpus_are_refused(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    monkeypatch.chdir(here / "labels")
    code, shown = run_command(["check", str(tmp_path), "--set", f"data.label_names={names}"])
    assert code == 2
    assert "label_names must be a file within dir" in shown


@pytest.mark.parametrize("wanted", TASKS)
def test_object_of_a_corpus_that_is_missing_has_the_keys_of_its_task(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: Wanted
) -> None:
    monkeypatch.chdir(here / wanted)
    code, shown = run_command(["check", str(tmp_path / "nowhere"), "--json"])
    found = json.loads(shown)
    monkeypatch.chdir(here / wanted)
    write(tmp_path, {"train.csv": "text,label\n" + "".join(f"text {n},{n % 2}\n" for n in range(20))})
    sound = json.loads(run_command(["check", str(tmp_path), "--json"])[1])
    assert code == 2
    assert found.keys() == sound.keys()
    assert "scheme" not in found
    assert ("labels" in found, "targets" in found) == (wanted == "labels", wanted == "numbers")


def test_refused_inputs_are_many() -> None:
    assert len(ALL) == len(CASES) + len(REFUSED) >= 40
