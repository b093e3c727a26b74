from difflib import unified_diff
from pathlib import Path

import pytest

from pipeline.checkout.params_file import apply_settings, read_value
from stages.errors import ParamsError
from tests.conftest import ROOT

PARAMS = ROOT / "params.yaml"


def changed_lines(new: str) -> list[str]:
    old = PARAMS.read_text(encoding="utf-8")
    diff = list(unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0))[2:]
    return [line for line in diff if line[0] in "+-"]


def test_apply_settings_without_settings_keeps_every_byte() -> None:
    assert apply_settings(PARAMS, []) == PARAMS.read_text(encoding="utf-8")


def test_apply_settings_changes_one_line_and_keeps_its_comment() -> None:
    removed, added = changed_lines(apply_settings(PARAMS, ["train.learning_rate=5e-5"]))
    assert removed.startswith("-  learning_rate: ")
    assert added.startswith("+  learning_rate: 5e-5 ")
    assert removed.partition("#")[2] == added.partition("#")[2] != ""


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.lerning_rate=1", r"train\.lerning_rate: no such key in .*; did you mean 'train\.learning_rate'\?"),
        ("train=1", "train: no such key"),
        ("train.epochs", "write it as SECTION.KEY=VALUE"),
        ("data.dir=[a", "not a single YAML value"),
        ("register.name=a # b", "not a single YAML value"),
        ("train.seed=2020-13-45", "not a single YAML value"),
    ],
)  # fmt: skip
def test_apply_settings_rejects_an_invalid_setting(setting: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        apply_settings(PARAMS, [setting])


def test_apply_settings_keeps_the_rest_of_a_handwritten_file(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a:\n    b: 'it''s' # why\n    c: null\nd: {e: 1}\nf:\n- 1\n-   2\n")
    text = apply_settings(path, ["a.b=new value", 'a.c="x # y"'])
    assert text == 'a:\n    b: new value # why\n    c: "x # y"\nd: {e: 1}\nf:\n- 1\n-   2\n'


def test_apply_settings_reports_all_errors_together() -> None:
    with pytest.raises(ParamsError) as caught:
        apply_settings(PARAMS, ["a.b=1", "train.epochs=2", "c.d=3"])
    assert "a.b: no such key" in str(caught.value)
    assert "c.d: no such key" in str(caught.value)


def test_apply_settings_sets_a_map_in_braces_and_removes_it(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(apply_settings(PARAMS, ["data.split={dev: 0.1, test: 0.1}"]), encoding="utf-8")
    (added,) = [line for line in changed_lines(file.read_text(encoding="utf-8")) if line.startswith("+")]
    assert added.startswith("+  split: {dev: 0.1, test: 0.1} ")
    (again,) = [line for line in apply_settings(file, ["data.split=null"]).splitlines() if line.startswith("  split:")]
    assert again.split("#")[0].strip() == "split: null"
    with pytest.raises(ParamsError, match=r"data\.split\.dev: no such key"):
        apply_settings(file, ["data.split.dev=0.2"])


def test_read_value_reads_a_setting(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(apply_settings(PARAMS, ["train.seed=99"]), encoding="utf-8")
    assert read_value(tmp_path / "params.yaml", "train.seed") == 99
    assert read_value(PARAMS, "data.dir") == "data/corpora/demo"
