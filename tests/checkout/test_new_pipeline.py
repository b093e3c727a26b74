"""Pipelines that `tuneline new` writes, and commands that mean the pipeline whose folder they are called in."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.checkout import new_pipeline
from pipeline.checkout.layout import (
    PARAMS,
    enter_root,
    find_pipelines,
    locate,
    pipeline_folder,
    stage_address,
    use_pipeline,
)  # fmt: skip
from pipeline.checkout.params_file import check_params
from stages.config.sections import read_task
from stages.errors import UserError
from stages.params import read_document
from stages.task import TASKS, task_names
from tests.checkouts import ROOT, set_in

COMMENT = re.compile(r"(?:^| )#.*$", re.MULTILINE)


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_every_committed_dvc_yaml_is_what_new_writes() -> None:
    for folder in find_pipelines():
        params = read_document(folder / PARAMS)
        text = new_pipeline.write_dag(folder, read_task(params, folder / PARAMS), params)
        assert (folder / "dvc.yaml").read_text(encoding="utf-8") == text, folder


def test_a_folders_stages_are_those_of_the_root_with_files_of_its_own() -> None:
    ours = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    text = new_pipeline.write_dag(Path("examples/mine"), task_names()[0], {})
    theirs = YAML(typ="safe").load(text)["stages"]
    assert list(theirs) == list(ours)
    for name, stage in theirs.items():
        assert stage["wdir"] == "../.."
        assert stage["cmd"] == f"{ours[name]['cmd']} --params examples/mine/params.yaml"
        assert stage["outs"] == [f"examples/mine/{path}" for path in ours[name]["outs"]]
        assert stage["params"] == [{"examples/mine/params.yaml": ours[name]["params"]}]
        moved = [path.replace("examples/mine/", "") for path in stage["deps"]]
        assert moved == ours[name]["deps"]
        assert not any(path.startswith("data/") for path in stage["deps"])


@pytest.mark.parametrize("task", task_names())
def test_the_parameters_of_a_new_pipeline_are_valid(task: str) -> None:
    check_params(new_pipeline.write_params_text(task))


def test_the_template_of_the_roots_task_is_what_the_root_has() -> None:
    task = read_task(read_document(PARAMS), PARAMS)
    root = new_pipeline.divide_sections(PARAMS.read_text(encoding="utf-8"))[1]
    own = new_pipeline.divide_sections((TASKS / task / new_pipeline.TEMPLATE).read_text(encoding="utf-8"))[1]
    assert own.items() <= root.items()


def test_an_unknown_task_lists_all_and_nothing_is_written() -> None:
    with pytest.raises(UserError, match=f"no such task; known here: {', '.join(task_names())}"):
        new_pipeline.write_pipeline(Path("examples/none"), "nonsense", [])
    with pytest.raises(UserError, match="no such task; did you mean 'regression'"):
        new_pipeline.write_pipeline(Path("examples/none"), "regresion", [])
    assert not Path("examples/none").exists()


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("examples/two words", "cannot be the folder of a pipeline"),
        ("examples/${task.name}", "cannot be the folder of a pipeline"),
        (".dvc/mine", "cannot be the folder of a pipeline"),
        ("data/mine", "is none of data, mlruns, pipeline, stages, tests"),
        ("examples/data/mine", "is none of data, mlruns, pipeline, stages, tests"),
        ("stages", "is none of data, mlruns, pipeline, stages, tests"),
        ("README.md/mine", "README.md is a file"),
    ],
)
def test_a_folder_that_cannot_hold_a_pipeline_is_refused(folder: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        new_pipeline.write_pipeline(Path(folder), "regression", [])
    assert not (ROOT / folder / "params.yaml").exists()


def test_a_pipeline_that_exists_is_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dvc.yaml", "params.yaml", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = Path("mine/one")
    new_pipeline.write_pipeline(folder, "text_classification", ["register.name=one", "data.dir=corpus"])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match=r"mine/one/params.yaml: it exists\n.*mine/one/dvc.yaml: it exists"):
        new_pipeline.write_pipeline(folder, "regression", [])
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert not new_pipeline.update_dag(folder)
    (folder / "dvc.yaml").write_text("stages: {}\n")
    assert new_pipeline.update_dag(folder)
    assert (folder / "dvc.yaml").read_bytes() == before[folder / "dvc.yaml"]


@pytest.mark.parametrize("folder", [Path(), Path("mine/one")])
def test_older_corpora_are_dependencies_of_tokenize_as_long_as_the_params_name_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "stages").symlink_to(ROOT / "stages")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    if folder != Path():
        new_pipeline.write_pipeline(folder, "regression", ["register.name=one", "data.dir=corpus"])
    before = (folder / "dvc.yaml").read_bytes()
    settings = ["train.replay.corpus=old/a", "train.replay.share=0.2", 'evaluate.also=[old/a, "old/b: c"]']
    with set_in(folder, *settings):
        assert new_pipeline.declare_older_corpora(folder) == ["old/a", "old/b: c"]
        dag = YAML(typ="safe").load(folder / "dvc.yaml")["stages"]
        assert dag["tokenize"]["deps"][:3] == ["${data.dir}", "old/a", "old/b: c"]
        assert not any("old/a" in stage["deps"] for name, stage in dag.items() if name != "tokenize")
        assert new_pipeline.declare_older_corpora(folder) is None
        if folder == Path():  # the source of all others
            assert "old/a" not in new_pipeline.write_dag(Path("mine"), "regression", {})
        else:
            assert not new_pipeline.update_dag(folder)
    assert new_pipeline.declare_older_corpora(folder) == []
    assert (folder / "dvc.yaml").read_bytes() == before


def test_a_command_works_at_the_root_and_means_the_nearest_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNELINE_PIPELINE", "left")  # restored at the end
    inside = tmp_path / "examples/one/data"
    inside.mkdir(parents=True)
    (tmp_path / ".dvc").mkdir()
    for folder in (tmp_path, tmp_path / "examples/one"):
        (folder / "dvc.yaml").touch()
    for place, pipeline, address in (
        (inside, "examples/one", "examples/one/dvc.yaml:train"), (tmp_path / "examples", ".", "train"),
    ):  # fmt: skip
        monkeypatch.chdir(place)
        enter_root()
        assert (Path.cwd(), pipeline_folder()) == (tmp_path.resolve(), Path(pipeline))
        assert (locate(PARAMS), stage_address("train")) == (Path(pipeline) / PARAMS, address)
    assert find_pipelines() == [Path(), Path("examples/one")]
    with use_pipeline(Path("examples/one")):
        assert locate(PARAMS) == Path("examples/one/params.yaml")
    assert pipeline_folder() == Path()


@pytest.mark.parametrize("params", sorted(ROOT.glob("examples/*/params.yaml")), ids=lambda path: path.parent.name)
def test_comments_of_an_example_are_those_that_a_new_pipeline_gets(params: Path) -> None:
    """The values are its own; a comment that is put right at the root, or for a task, is put right there too."""
    new = new_pipeline.write_params_text(read_task(read_document(params), params))
    assert COMMENT.findall(params.read_text(encoding="utf-8")) == COMMENT.findall(new)
