from difflib import unified_diff
from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml

from pipeline.checkout.params_file import apply_settings, read_value, write_setting
from stages.errors import ParamsError
from tests.checkouts import ROOT

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
        ("train=1", "train: it is a section; set one of its keys, for example train.seed"),
        ("train.epochs", "write it as SECTION.KEY=VALUE"),
        ("data.format=[a", r"data\.format: '\[a' is not a single YAML value, such as 3, \[a, b\] or \{dev: 0\.1\}"),
        ("data.format=- a", "not a single YAML value"),
        ("data.format=[a] # b", "not a single YAML value"),
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
    (key,) = [line for line in apply_settings(file, ["data.split.dev=0.2"]).splitlines() if line.startswith("  split:")]
    assert key.split("#")[0].strip() == "split: {dev: 0.2, test: 0.1}"


# Name -> (text, setting, text afterwards).
HANDWRITTEN = {
    "line ends of Windows": ("a:\r\n  b: 1 # c\r\n  d: 2\r\n", "a.b=3", "a:\r\n  b: 3 # c\r\n  d: 2\r\n"),
    "no line end at the end": ("a:\n  b: 1", "a.b=2", "a:\n  b: 2"),
    "byte order mark": ("\ufeffa: {ä: 1} # c\nb: 1\n", "b=2", "\ufeffa: {ä: 1} # c\nb: 2\n"),
    "document marks": ("---\na: {b: 1}\n...\n", "a.b=2", "---\na: {b: 2}\n...\n"),
    "tabs as spaces": ("a:\n  b:\t1\t# c\n  d: x\ty\n", "a.b=2", "a:\n  b:\t2 # c\n  d: x\ty\n"),
    "quoted key": ("\"a\":\n  'b' : 1\n", "a.b=2", "\"a\":\n  'b' : 2\n"),
    "JSON": ('{\n  "a": {"b":1, "c": "d"}\n}\n', "a.c=x, y", '{\n  "a": {"b":1, "c": "x, y"}\n}\n'),
    "braces over lines": ("a: {b: 1,\n    c: 2} # d\ne: 1\n", "a=null", "a: null # d\ne: 1\n"),
    "in braces over lines": ("a: {b: 1, # d\n    c: 2}\n", "a.c=3", "a: {b: 1, # d\n    c: 3}\n"),
    "section of lines": (
        "a:\n  b: # c\n    d: 1\n    # e\n    f: 2 # g\n\n  # h\ni: 1\n",
        "a.b=null",
        "a:\n  b: null # c\n\n  # h\ni: 1\n",
    ),
    "block scalar": ("a: |\n  x\n  y\n# c\nb: 1\n", "a=z", "a: z\n# c\nb: 1\n"),
    "words over lines": ("a: x\n  y # c\nb: 1\n", "a=z", "a: z # c\nb: 1\n"),
    "list": ("a: [x] # c\nb: 1\n", "a=[V, 'A, D']", "a: [V, 'A, D'] # c\nb: 1\n"),
    "list for a scalar": ("a: auto    # c\nb: 1\n", "a=[V,A]", "a: [V,A]   # c\nb: 1\n"),
    "list of lines": ("a:\n- x # c\n-   y\nb: 1\n", "a=[]", "a: []\nb: 1\n"),
    "list in braces": ("a: {b: [1], c: 2}\n", "a.b=[x,y]", 'a: {b: ["x", "y"], c: 2}\n'),
    "value on its own line": ("a:\n  b:\n    x\n", "a.b=y", "a:\n  b:\n    y\n"),
    "empty value": ("a:   # c\nb: 1\n", "a=x", "a: x # c\nb: 1\n"),
    "tag": ("a: !!float 3\n", "a=5e-5", "a: 5e-5\n"),
    "surrogates and no ASCII": ("ä: '😀' # 😀\nb: 1\n", "b=ü", "ä: '😀' # 😀\nb: ü\n"),
    "merged key": (
        "a: &s {b: 1, c: 2}\nd:\n  <<: *s # e\n  c: 3\n",
        "d.b=4",
        "a: &s {b: 1, c: 2}\nd:\n  b: 4\n  <<: *s # e\n  c: 3\n",
    ),
    "merged key, Windows": (
        "a: &s {b: 1}\r\nd:\r\n  <<: *s\r\n",
        "d.b=4",
        "a: &s {b: 1}\r\nd:\r\n  b: 4\r\n  <<: *s\r\n",
    ),
    "merged key in braces": ("a: &s {b: 1}\nd: {<<: *s}\n", "d.b=4", "a: &s {b: 1}\nd: {b: 4, <<: *s}\n"),
    "own key beside a merge": ("a: &s {b: 1}\nd:\n  <<: *s\n  b: 2\n", "d.b=4", "a: &s {b: 1}\nd:\n  <<: *s\n  b: 4\n"),
    "key that another merges": (
        "a: &s\n  b: 1 # c\nd:\n  <<: *s\n",
        "a.b=2",
        "a: &s\n  b: 2 # c\nd:\n  b: 1\n  <<: *s\n",
    ),
    "two merges": (
        "a: &s {b: 1}\nc: &t {b: 2, d: 1}\ne:\n  <<: [*s, *t]\n",
        "c.d=5",
        "a: &s {b: 1}\nc: &t {b: 2, d: 5}\ne:\n  d: 1\n  <<: [*s, *t]\n",
    ),
    "alias": ("a: &s 1\nb: *s # c\n", "b=2", "a: &s 1\nb: 2  # c\n"),
    "what an alias stands for": ("a: &s x # c\nb: *s\nd: *s\n", "a=z", 'a: &s z # c\nb: "x"\nd: "x"\n'),
    "alias of a section": ("a: &s {b: 1, c: x}\nd: *s\n", "d.b=2", 'a: &s {b: 1, c: x}\nd: {"b": 2, "c": "x"}\n'),
    "section that another merges": (
        "a:\n  s: {b: 1}\nc: &c\n  s: {b: 1}\nd:\n  <<: *c\n",
        "d.s.b=2",
        'a:\n  s: {b: 1}\nc: &c\n  s: {b: 1}\nd:\n  s: {"b": 2}\n  <<: *c\n',
    ),
}


@pytest.mark.parametrize(("text", "setting", "expected"), HANDWRITTEN.values(), ids=HANDWRITTEN)
def test_apply_settings_changes_one_value_and_no_other_byte(
    tmp_path: Path, text: str, setting: str, expected: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode())
    assert apply_settings(path, [setting]) == expected
    before = flatten(load_yaml(path))
    path.write_bytes(expected.encode())
    after = flatten(load_yaml(path))
    key = setting.partition("=")[0]
    changed = {name for name in before.keys() | after.keys() if before.get(name, ...) != after.get(name, ...)}
    assert changed
    assert all(f"{name}.".startswith(f"{key}.") for name in changed)


def flatten(value: object, name: str = "") -> dict[str, object]:
    if not isinstance(value, dict) or not value:
        return {name: value}
    return {inner: leaf for key in value for inner, leaf in flatten(value[key], f"{name}.{key}".lstrip(".")).items()}


@pytest.mark.parametrize(
    "value", ["a b", "|", "", "1", "true", "- a", "a # b", 'say "a"', 0.5, None, ["V", "A: D"], {"dev": 0.1}]
)
def test_a_setting_that_is_written_is_read_as_the_same_value(tmp_path: Path, value: object) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a:\n  b: 1\n")
    path.write_text(apply_settings(path, [write_setting("a.b", value)]))
    assert read_value(path, "a.b") == value


def test_apply_settings_refuses_what_would_change_another_key(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a: &s {b: 1}\nc:\n  <<: *s\n  d: 2\n")
    with pytest.raises(ParamsError, match=r"a: other keys in .* share its value by an anchor; edit the file"):
        apply_settings(path, ["a=null"])


def test_read_value_of_a_key_that_is_missing_is_an_error_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a: {b: 1}\n")
    for key in ("a.c", "b", "a.b.c"):
        with pytest.raises(ParamsError, match=rf"params\.yaml {key}: missing"):
            read_value(path, key)


def test_read_value_reads_a_setting(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(apply_settings(PARAMS, ["train.seed=99"]), encoding="utf-8")
    assert read_value(tmp_path / "params.yaml", "train.seed") == 99
    assert read_value(PARAMS, "data.dir") == "data/corpora/demo"
