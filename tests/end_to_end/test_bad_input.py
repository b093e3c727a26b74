"""Each mistake gets one message that says what, where and what next, exit code 2, and leaves nothing half-written."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from stages import evaluate, tokenize, train
from stages.artifacts import file_digest, read_json, write_json
from stages.encoding.files import SCHEMA, split_writer
from stages.runtime import entry_point
from tests.checkouts import Project, checkout, run_stages, write_params, write_small_corpus

Spoil = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path, tiny_pretrained: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which every stage would run."""
    write_small_corpus(tmp_path / "data/corpora/demo", train=20, rest=5)
    shutil.copy(empty_store, tmp_path)
    shutil.copytree(tiny_pretrained, tmp_path / "pretrained")
    write_params(tmp_path, tmp_path / "pretrained", **{"train.epochs": 1})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stage"])
    return tmp_path


def replaced(file: str, old: str, new: str) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return spoil


def removed(file: str) -> Spoil:
    return lambda folder: (folder / file).unlink()


def written(file: str, content: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(content, encoding="utf-8")

    return spoil


TRAIN = "data/corpora/demo/train.conll"


def adapted_elsewhere(folder: Path) -> None:
    """LoRA for layers that other encoders have."""
    replaced("params.yaml", "adapt: full", "adapt: lora")(folder)
    replaced("params.yaml", "targets: all-linear", "targets: [q_proj]")(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (removed(TRAIN), "data/corpora/demo/train.*: no such file"),
        (written(TRAIN, "Bonn B-LOC\nalone\n"), f"{TRAIN}:2: needs 2 columns, has 1: 'alone'"),
        (written(TRAIN, "Bonn X-LOC\n"), f"{TRAIN}:1: 'X-LOC' is not a tag"),
        (written("data/corpora/demo/dev.conll", "\n \n"), "dev.conll: is empty"),
        (replaced("params.yaml", "window_length", "window_lenght"), "did you mean 'window_length'?"),
        (replaced("params.yaml", "window_length: 64", "window_length: many"), "window_length: Input should be"),
        (replaced("params.yaml", "window_length: 64", "window_length: 2"), "greater than or equal to 8, but it is 2"),
        (replaced("params.yaml", "window_length: 64", "window_length: 256"), "encoder reads at most 128 tokens"),
        (replaced("params.yaml", "window_overlap: 16", "window_overlap: 60"), "at most half of window_length"),
        (replaced("params.yaml", "dir: data/corpora/demo", "dir: ."), "not the whole project"),
        (replaced("params.yaml", "context: sentence", "context: document"), "no document is marked here. Mark them"),
        (removed("pretrained/model.safetensors"), "has no model.safetensors"),
        (removed("pretrained/config.json"), "has no readable config.json"),
        (written("pretrained/model.safetensors", "x"), "but model.sha256 is"),
        (removed("pretrained/tokenizer.json"), "a tokenizer without a vocabulary"),
        (written("data/encoded", "a file in the way"), "cannot write data/encoded"),
        (removed("params.yaml"), "params.yaml: no such file"),
    ],
)  # fmt: skip
def test_tokenize_refuses(folder: Path, capsys: pytest.CaptureFixture[str], spoil: Spoil, message: str) -> None:
    spoil(folder)
    before = sorted(path for path in (folder / "data").rglob("*"))
    with pytest.raises(SystemExit) as exit_:
        entry_point.run_recipe(tokenize.main)
    shown = capsys.readouterr().err
    assert exit_.value.code == 2
    assert message in shown
    assert "Traceback" not in shown
    assert sorted(path for path in (folder / "data").rglob("*")) == before


@pytest.mark.parametrize(
    ("recipe", "spoil", "message"),
    [
        (train, removed("data/encoded/manifest.json"), "data/encoded/manifest.json: no such file"),
        (train, written("data/encoded/train.arrow", "x"), "train.arrow is not the file that"),
        (train, replaced("params.yaml", "device: auto", "device: cuda"), "torch sees no GPU here"),
        (train, replaced("params.yaml", "adapt: full", "adapt: freeze"), "model.freeze is 3, but this encoder has 2"),
        (train, adapted_elsewhere, "attention.self.key, attention.self.query"),
        (evaluate, lambda _: None, "data/model/training.json: no such file"),
    ],
    ids=["manifest lost", "arrow damaged", "no GPU", "too few layers", "no such layer", "no model"],
)
def test_later_stages_refuse(
    folder: Path, capsys: pytest.CaptureFixture[str], recipe: type, spoil: Spoil, message: str
) -> None:
    tokenize.main(Path("params.yaml"))
    spoil(folder)
    with pytest.raises(SystemExit) as exit_:
        entry_point.run_recipe(recipe.main)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
    assert not (folder / "data/model").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path, empty_store: Path) -> Path:
    """A folder with a model, which evaluate would take."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copy(empty_store, folder)
    write_small_corpus(folder / "data/corpora/demo", train=20, rest=5)
    write_params(folder, tiny_pretrained, **{"train.epochs": 1})
    run_stages(folder, "tokenize", "train")
    return folder


def windows_broken(folder: Path) -> None:
    """As a fault in the windowing would: the fifth word of dev's first sentence is owned twice, the sixth never."""
    encoded = folder / "data/encoded"
    with pa.ipc.open_file(encoded / "dev.arrow") as reader:
        rows = reader.read_all().to_pylist()
    words = rows[0]["word_index"]
    words[words.index(5)] = 4
    with split_writer(encoded / "dev.arrow") as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
    manifest = read_json(encoded / "manifest.json")
    manifest["digests"]["dev"] = file_digest(encoded / "dev.arrow")
    write_json(encoded / "manifest.json", manifest)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (windows_broken, "data/encoded/dev.arrow, sentence 1 ("),
        (windows_broken, "2 windows own its word 5 instead of one, as do 2 words in all"),
        (replaced("data/model/config.json", '"B-LOC"', '"B-PLACE"'), "data/model predicts O, B-PLACE, I-LOC"),
        (written("data/encoded/test.arrow", "x"), "test.arrow is not the file that"),
        (removed("data/encoded/train.arrow"), "train.arrow is not the file that"),
        (written("data/model/training.json", "{"), "data/model/training.json is damaged"),
    ],
    ids=["windows: where", "windows: what", "other labels", "arrow damaged", "arrow lost", "record damaged"],
)
def test_evaluate_refuses(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Spoil,
    message: str,
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stage"])
    spoil(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        entry_point.run_recipe(evaluate.main)
    shown = capsys.readouterr().err
    assert exit_.value.code == 2
    assert message in shown
    assert not (tmp_path / "data/report").exists()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Project:
    return checkout(tmp_path_factory.mktemp("bad"), tiny_pretrained)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--set", "train.lerning_rate=1"], "did you mean 'train.learning_rate'?"),
        (["run", "--set", "train.epochs=many"], "train.epochs: Input should be a valid integer"),
        (["run", "--set", "train.epochs"], "write it as SECTION.KEY=VALUE"),
        (["run", "--stage", "trane"], "--stage trane: no such stage; there are tokenize, train, evaluate, register"),
        (["run", "--seeds", "2", "--stage", "train"], "so the run must include evaluate; drop --stage train"),
        (["run", "--seeds", "0"], "greater than or equal to 1"),
        (["mistakes"], "data/report/predictions.parquet: no such file. `dvc repro evaluate` makes it."),
        (["predict", "nothing", "params.yaml"], "no model is registered as nothing; there is none yet"),
        (["predict", "nothing", "nofile"], "No such file"),
        (["lineage"], "name a model, as in `tuneline lineage demo-ner@champion`, or a file with --data"),
        (["lineage", "--data", "nofile"], "nofile: no such file, no MD5 (8 to 32 hexadecimal digits), and no model"),
        (["reproduce", "nothing@champion"], "no model is registered as nothing"),
        (["compare", "nothing/1", "nothing/2"], "no model is registered as nothing"),
        (["gc", "--yes", "--dry-run"], "give one of them"),
        (["unknown"], "No such command 'unknown'"),
    ],
)
def test_command_line_refuses_and_changes_nothing(project: Project, words: list[str], message: str) -> None:
    before = (project.folder / "params.yaml").read_bytes()
    finished = project.call(*words, code=2)
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""
    assert (project.folder / "params.yaml").read_bytes() == before
    assert not (project.folder / "data/encoded").exists()


def test_run_refuses_a_corpus_folder_that_is_not_there(project: Project) -> None:
    before = (project.folder / "params.yaml").read_bytes()
    finished = project.call("run", "--set", "data.dir=data/corpora/nowhere", code=2)
    assert (project.folder / "params.yaml").read_bytes() == before
    assert "data/corpora/nowhere: no such file or folder" in finished.stderr
    assert "server" not in finished.stderr


def test_run_refuses_a_misspelt_section_before_anything_starts(project: Project) -> None:
    text = (project.folder / "params.yaml").read_text()
    (project.folder / "params.yaml").write_text(text.replace("\ndata:", "\ndate:"))
    finished = project.call("run", code=2)
    (project.folder / "params.yaml").write_text(text)
    assert "date: no such section; did you mean 'data'?" in finished.stderr
    assert "server" not in finished.stderr


def test_run_passes_a_stages_refusal_on(project: Project, prefect_api: str) -> None:
    corpus = project.folder / TRAIN
    good = corpus.read_text()
    corpus.write_text("alone\n")
    finished = project.tuneline("run", code=2, PREFECT_API_URL=prefect_api)
    corpus.write_text(good)
    assert f"{TRAIN}:1: needs 2 columns, has 1" in finished.stderr
    assert "error: tokenize stopped on an error in its input" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_commands_outside_a_project_say_so(project: Project) -> None:
    outside = Project(project.folder.parent)
    assert "no dvc.yaml here or above" in outside.call("status", code=2).stderr
