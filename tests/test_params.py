import re
from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml

from pipeline.checkout.params_file import apply_settings
from stages import evaluate, register, tokenize, train
from stages.config.sections import load_task_params
from stages.errors import ParamsError
from stages.params import (
    RENAMED,
    SECTIONS,
    compose,
    find_pair,
    read_document,
    section_faults,
    section_names,
)
from stages.tools import check_params
from tests.checkouts import ROOT

RECIPES = (tokenize, train, evaluate, register)


def write_changed(folder: Path, *pairs: tuple[str, str], file: str = "params.yaml") -> Path:
    text = (ROOT / file).read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_shipped_params_are_valid_and_have_a_reason_beside_each_section() -> None:
    check_params.main(ROOT / "params.yaml")
    assert tuple(read_document(ROOT / "params.yaml")) == SECTIONS


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.__name__)
def test_each_recipe_loads_its_sections(recipe: type) -> None:
    params = load_task_params(ROOT / "params.yaml", recipe.Params)
    assert set(params.model_dump(by_alias=True)) == set(section_names(recipe.Params))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  learning_rate:", "  lerning_rate:", r":\d+ train\.lerning_rate: unknown key; did you mean 'learning_rate'"),
        ("  learning_rate:", "  lerning_rate:", r"train\.learning_rate: missing"),
        ("epochs: 5", "epochs: eight", r"yaml:\d+ train\.epochs: Input should be a valid integer, but it is 'eight'"),
        ("epochs: 5", "epochs: 0", r"train\.epochs: Input should be greater than or equal to 1, but it is 0"),
        ("epochs: 5", "epochs: true", r"train\.epochs: Input should be a valid integer"),
        ("precision: auto ", "precision: fp8 ", r"train\.precision: Input should be 'auto', 'bf16' or 'fp32'"),
        ("\ntrain:", "\ntrian:", r"yaml:\d+ trian: no such section; did you mean 'train'\?"),
        ("window_overlap: 64", "window_overlap: 200", "window_overlap may be at most half of window_length"),
        ("name: demo-ner", "name: demo/ner", r"register\.name: String should match pattern"),
        ("sha256: 53aa", "sha256: 53ZZ", r"model\.sha256: String should match pattern"),
        ("adapt: full", "adapt: laura", r"model\.adapt: Input should be 'full', 'lora', 'freeze' or 'head'"),
        ("rank: 8", "rank: 0", r"yaml:\d+ model\.lora\.rank: Input should be greater than or equal to 1, but it is 0"),
        ("alpha: 16 ", "alpha: 0 ", r"yaml:\d+ model\.lora\.alpha: Input should be greater than 0, but it is 0"),
        ("freeze: 3", "freeze: -1", r"yaml:\d+ model\.freeze: Input should be greater than or equal to 0"),
        ("targets: all-linear", "targets: []", r"yaml:\d+ model\.lora\.targets: List should have at least 1 item"),
        ("share: 0.0", "share: 1.0", r"yaml:\d+ train\.replay\.share: Input should be less than 1, but it is 1.0"),
        ("share: 0.0", "share: 0.2", r"train\.replay: Value error, share needs a corpus of old examples"),
        ("corpus: null", "corpus: old", r"train\.replay: Value error, corpus needs a share of the epoch"),
        ("also: []", "also: [a/old, b/old]", r"evaluate\.also: .*two are called old: rename one"),
        ("device: auto", "device: tpu", r"runtime\.device: Input should be 'auto', 'cpu' or 'cuda'"),
        ("device: auto", "device: mps", r"runtime\.device: .* should be auto or cpu on a Mac: on Apple's GPU PyTorch"),
    ],
)  # fmt: skip
def test_check_params_says_what_is_wrong_and_where(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        check_params.main(write_changed(tmp_path, (old, new)))


@pytest.mark.parametrize(
    ("file", "pairs", "message"),
    [
        (
            "params.yaml",
            [("head: linear", "head: softmax")],
            ":7 task.head: Input should be 'linear' or 'crf', but it is 'softmax'",
        ),
        (
            "params.yaml",
            [("head: linear", "head: crf"), ("label_smoothing: 0.0", "label_smoothing: 0.1")],
            ": Value error, task.head crf has no label smoothing, since it scores whole sentences: "
            "set train.label_smoothing to 0, or task.head to linear",
        ),
        (
            "examples/sentiment/params.yaml",
            [("  multi_label: false", "  head: crf\n  multi_label: false")],
            ":7 task.head: unknown key; known here: name, multi_label, class_weights, pooling, symmetric, thresholds, "
            "primary",
        ),
        (
            "examples/severity/params.yaml",
            [("  pooling: mean", "  head: crf\n  pooling: mean")],
            ":7 task.head: unknown key; known here: name, pooling, symmetric, primary, unit",
        ),
    ],
    ids=["unknown", "smoothed", "classes", "numbers"],
)  # fmt: skip
def test_a_head_that_does_not_fit_is_one_fault(
    tmp_path: Path, file: str, pairs: list[tuple[str, str]], message: str
) -> None:
    path = write_changed(tmp_path, *pairs, file=file)
    with pytest.raises(ParamsError) as caught:
        check_params.main(path)
    heading, *faults = str(caught.value).splitlines()
    assert heading == f"{path} is not usable:"
    assert [fault.removeprefix(f"  {path}").lstrip() for fault in faults] == [message]


def test_check_params_reports_all_faults_of_all_sections_at_once(tmp_path: Path) -> None:
    path = write_changed(
        tmp_path, ("epochs: 5", "epochs: 0"), ("dir: data", "dri: data"), ("name: demo-ner", "name: 7")
    )
    with pytest.raises(ParamsError) as caught:
        check_params.main(path)
    for key in ("train.epochs", "data.dri", "data.dir", "register.name"):
        assert key in str(caught.value)


def rename_key(folder: Path, old: str) -> Path:
    """Write the shipped file with one key under its old name."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    node = compose(text)
    *sections, name = old.split(".")
    for section in [*sections, RENAMED[old]]:
        key, node = find_pair(node, section)
    line = key.start_mark.line
    lines = text.splitlines(keepends=True)
    assert lines[line].strip().startswith(f"{RENAMED[old]}:")
    lines[line] = lines[line].replace(RENAMED[old], name, 1)
    path = folder / "params.yaml"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("old", RENAMED)
def test_old_name_of_a_parameter_is_one_fault_that_says_its_new_name(tmp_path: Path, old: str) -> None:
    path = rename_key(tmp_path, old)
    with pytest.raises(ParamsError) as caught:
        check_params.main(path)
    heading, *faults = str(caught.value).splitlines()
    assert heading == f"{path} is not usable:"
    (fault,) = faults
    assert re.fullmatch(
        rf"  {re.escape(str(path))}:\d+ {re.escape(old)}: unknown key; it is now called {RENAMED[old]}", fault
    )


@pytest.mark.parametrize("old", RENAMED)
def test_old_name_of_a_parameter_with_set_is_an_error_that_says_its_new_name(old: str) -> None:
    with pytest.raises(ParamsError, match=rf"{re.escape(old)}: .*; it is now called {RENAMED[old]}"):
        apply_settings(ROOT / "params.yaml", [f"{old}=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("just a word", "holds no sections"),
        ("train: {seed: 1", "cannot be read"),
        ("", "holds no sections"),
        ("- train", "holds no sections"),
        ("train:\n  seed: 1\n  seed: 2\n", r":3 cannot be read: .*duplicate key"),
        ("a:\n\tb: 1\n", r"yaml:2 cannot be read: YAML allows no tab in an indentation; use spaces$"),
        ("a:\r\n  b: 1\r\n  \tc: 1\r\n\td: 1\r\n", r"yaml:3 cannot be read: .*; use spaces; 2 lines have one$"),
        (
            "a: 1\nb: {c: 1\nd: 2\n",
            r":3 cannot be read: while parsing a flow mapping that starts in line 2, did not find",
        ),
        ("a: 1\n---\nb: 1\n", r":2 cannot be read: expected a single document in the stream"),
        ("a: 1\nb: *c\n", r":2 cannot be read: found undefined alias"),
        ("a: &a\n  b: *a\n", "cannot be read: Circular reference"),
        ("a: 2024-13-01\n", "cannot be read: month must be in 1..12"),
        ("a: x\x07\n", "cannot be read: unacceptable character #x0007"),
        ("a: 1\nb: \udce4\n", r":2 cannot be read: it is not UTF-8"),
    ],
)
def test_read_document_refuses_what_is_no_params_file(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ParamsError, match=message):
        read_document(path)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1e-4\nb: 010\nc: yes\nd: 0o17\ne: 1_000\nf: 12:30:00\ng: .5\nh: ~\ni:\n",
        "%YAML 1.1\n---\na: yes\nb: 010\n",
        "\ufeffa: {ä: '😀'}\r\nb: 1\r\n...\n",
        "a:\t1\t# c\nb: {c: 1,\n\td: x\ty}\n",
        "a: &s {b: 1, c: 2}\nd: {<<: *s, c: 3}\ne: *s\n",
        "a: !!str 1\nb: !!float 3\nc: |\n  x\n  y\n",
    ],
)
def test_read_document_reads_what_dvc_reads(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode())
    assert repr(read_document(path)) == repr(load_yaml(path))


def test_a_fault_in_a_merged_key_is_reported_where_its_value_stands(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("base: &base\n  batch_tokens: 4\nevaluate:\n  <<: [*base]\n  precision: fp8\n")
    batch, precision, *_ = section_faults(read_document(path), evaluate.Params, path)
    assert batch.startswith(f"{path}:2 evaluate.batch_tokens: Input should be greater than")
    assert precision.startswith(f"{path}:5 evaluate.precision: Input should be")


def test_every_old_name_is_known() -> None:
    train = {"head_rate", "layer_decay", "early_stopping", "batch_subwords", "micro_batch_subwords"}
    orchestration = {"at_once", "silence", "keep_days", "train.at_once", "train.time_limit", "register.time_limit"}
    old = {f"train.{name}" for name in train} | {f"orchestration.{name}" for name in orchestration}
    assert old | {"evaluate.batch_subwords", "register.gate.level"} <= RENAMED.keys()
