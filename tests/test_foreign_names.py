"""Names of files that are not UTF-8, as archives from old Windows machines hold them, get a message that names them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.checkout.params_file import apply_settings
from pipeline.checkout.status import stage_states
from stages.artifacts import write_json
from stages.corpus.folder import find_data_files
from stages.errors import CorpusError, UserError, explain_encoding
from stages.runtime.entry_point import run_recipe
from tests.checkouts import run_command
from tests.processes import real_programs

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie, under DVC

FOREIGN = os.fsdecode(b"caf\xe9")  # in Latin-1


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with such a name in the working directory."""
    monkeypatch.chdir(tmp_path)
    try:
        Path(FOREIGN).mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    return Path(FOREIGN)


def encode(text: str, encoding: str = "utf-8") -> UnicodeEncodeError:
    with pytest.raises(UnicodeEncodeError) as caught:
        text.encode(encoding)
    return caught.value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'{{"a": 1, "path": "data/{FOREIGN}.conll"}}', r"data/caf\xe9.conll: this name is not UTF-8"),
        (f"no such file: '{FOREIGN}/a' or '{FOREIGN}/b'", r"caf\xe9/a, caf\xe9/b: this name is not UTF-8"),
    ],
)
def test_a_name_that_cannot_be_written_is_shown_by_its_bytes(text: str, message: str) -> None:
    assert explain_encoding(encode(text)).startswith(message)


def test_what_a_terminal_cannot_show_is_no_fault_of_a_name() -> None:
    message = explain_encoding(encode("Łódź", "iso-8859-1"))
    assert "set PYTHONUTF8=1" in message
    assert "name" not in message


def test_a_corpus_with_such_files_is_refused_with_all_of_them(foreign: Path) -> None:
    corpus = Path("corpus")
    corpus.mkdir()
    for name in ("train.conll", f"dev-{FOREIGN}.conll", f"readme-{FOREIGN}.md"):
        (corpus / name).touch()
    with pytest.raises(CorpusError, match=r"not UTF-8.*\n  dev-caf\\xe9.conll\n  readme-caf\\xe9.md"):
        find_data_files(corpus)


def test_a_setting_cannot_hold_such_a_name(foreign: Path) -> None:
    params = Path("params.yaml")
    params.write_text("data:\n  dir: corpus\n")
    with pytest.raises(UnicodeEncodeError):
        apply_settings(params, [f"data.dir={FOREIGN}"])


def test_stage_states_names_what_dvc_cannot_track(foreign: Path) -> None:
    (foreign / "train.conll").touch()
    Path("corpus").mkdir()
    foreign.rename(Path("corpus") / foreign)
    subprocess.run(["git", "init", "--quiet"], check=True)
    with Repo.init():
        pass
    write_json(Path("dvc.yaml"), {"stages": {"tokenize": {"cmd": "true", "deps": ["corpus"]}}})
    write_json(
        Path("dvc.lock"),
        {"schema": "2.0", "stages": {"tokenize": {"cmd": "true", "deps": [{"path": "corpus", "md5": "0.dir"}]}}},
    )
    with pytest.raises(UserError, match=r"corpus/caf\\xe9.*: this name is not UTF-8"):
        stage_states()


def test_a_command_ends_with_a_message(foreign: Path) -> None:
    (foreign / "dvc.yaml").touch()
    finished = run_command(["tuneline", "status"], foreign, real_programs())
    assert finished.returncode == UserError.exit_code
    assert finished.stderr.endswith("Rename the file or folder, then run again.\n")
    assert r"caf\xe9: this name is not UTF-8" in finished.stderr


def test_a_stage_ends_with_a_message(
    foreign: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate"])
    with pytest.raises(SystemExit) as ending:
        run_recipe(lambda _: write_json(Path("report.json"), {"worst": str(foreign)}))
    assert ending.value.code == UserError.exit_code
    assert capsys.readouterr().err.startswith(r"error: caf\xe9: this name is not UTF-8")
