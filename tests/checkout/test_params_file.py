from difflib import unified_diff
from pathlib import Path

import pytest

from pipeline.checkout.params_file import value_of, with_values
from stages.errors import ParamsError
from tests.conftest import ROOT

PARAMS = ROOT / "params.yaml"


def changed_lines(new: str) -> list[str]:
    old = PARAMS.read_text(encoding="utf-8")
    diff = list(unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0))[2:]
    return [line for line in diff if line[0] in "+-"]


def test_with_values_without_assignments_keeps_the_file_to_the_byte() -> None:
    assert with_values(PARAMS, []) == PARAMS.read_text(encoding="utf-8")


def test_with_values_changes_one_line_and_keeps_its_comment() -> None:
    removed, added = changed_lines(with_values(PARAMS, ["train.learning_rate=5e-5"]))
    assert removed.startswith("-  learning_rate: ")
    assert added.startswith("+  learning_rate: 5e-5 ")
    assert removed.partition("#")[2] == added.partition("#")[2] != ""


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.lerning_rate=1", r"train\.lerning_rate: no such key in .*; did you mean 'train\.learning_rate'\?"),
        ("train=1", "train: no such key"),
        ("train.epochs", "write it as SECTION.KEY=VALUE"),
        ("data.dir=[a", "not one YAML value"),
        ("register.name=a # b", "not one YAML value"),
        ("train.seed=2020-13-45", "not one YAML value"),
    ],
)  # fmt: skip
def test_with_values_refuses_what_cannot_be_set(assignment: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        with_values(PARAMS, [assignment])


def test_with_values_keeps_all_else_of_a_file_that_a_person_wrote(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a:\n    b: 'it''s' # why\n    c: null\nd: {e: 1}\nf:\n- 1\n-   2\n")
    text = with_values(path, ["a.b=new value", 'a.c="x # y"'])
    assert text == 'a:\n    b: new value # why\n    c: "x # y"\nd: {e: 1}\nf:\n- 1\n-   2\n'


def test_with_values_reports_all_faults_at_once() -> None:
    with pytest.raises(ParamsError) as caught:
        with_values(PARAMS, ["a.b=1", "train.epochs=2", "c.d=3"])
    assert "a.b: no such key" in str(caught.value)
    assert "c.d: no such key" in str(caught.value)


def test_with_values_sets_a_map_in_braces_and_unsets_it_again(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(with_values(PARAMS, ["data.split={dev: 0.1, test: 0.1}"]), encoding="utf-8")
    (added,) = [line for line in changed_lines(file.read_text(encoding="utf-8")) if line.startswith("+")]
    assert added.startswith("+  split: {dev: 0.1, test: 0.1} ")
    (again,) = [line for line in with_values(file, ["data.split=null"]).splitlines() if line.startswith("  split:")]
    assert again.split("#")[0].strip() == "split: null"
    with pytest.raises(ParamsError, match=r"data\.split\.dev: no such key"):
        with_values(file, ["data.split.dev=0.2"])


def test_value_of_reads_what_with_values_wrote(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(with_values(PARAMS, ["train.seed=99"]), encoding="utf-8")
    assert value_of(tmp_path / "params.yaml", "train.seed") == 99
    assert value_of(PARAMS, "data.dir") == "data/corpora/demo"
