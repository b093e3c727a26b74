"""The comparison of two versions in a real MLflow store as data, text and page, without any training."""

import io
import json
import re
import subprocess
from contextlib import chdir
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from pipeline.comparison.compare import Comparison, compare
from pipeline.comparison.page import render_page
from pipeline.comparison.text import render_text
from stages.errors import UserError
from stages.tasks.token_classification.scores.marking import extract_entities
from stages.tracking.client import connect
from stages.tracking.lineage_record import FileEntry
from tests.pages import HOSTILE, Read
from tests.registry.versions import (
    CORPUS,
    FIRST,
    GOLD,
    NAME,
    SECOND,
    TRAIN,
    WORDS,
    make_record,
    predictions,
    register,
    stage,
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a registry.

    demo-ner/1 and 2 differ in everything, other/1 is made from data that no longer exists, other/2 was scored on
    other sentences of dev, other/3 has other names for all types, and other/4 knows ORG too, from dev.
    """
    folder = tmp_path_factory.mktemp("project")
    before = {f"{split}.conll": TRAIN for split in ("train", "dev", "test")}
    after = {**before, "train.conll": "Anna B-LOC\nslept O\n\nBonn B-LOC\n\nnew O\n"}
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        CORPUS.mkdir(parents=True)
        commits = []
        subprocess.run(["git", "init", "--quiet"], check=True)
        for files in (before, after):
            for name, text in files.items():
                (CORPUS / name).write_text(text, encoding="utf-8")
            subprocess.run(["git", "add", str(CORPUS)], check=True)
            subprocess.run(["git", "commit", "--quiet", "--message", "data"], check=True)
            head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
            commits.append(head.stdout.strip())
        first = make_record(commits[0], before)
        second = make_record(commits[1], after, python="3.12.1", precision="fp32", packages={"torch": "2.13.0"})
        params, new = FileEntry("stages/params.py", "0" * 32), FileEntry("stages/new.py", "1" * 32)
        corpus = second.stages["tokenize"].inputs[:3]
        second = replace(
            second,
            params=second.params | {"train": {"seed": 14, "epochs": 5, "dropout": None}},
            stages={"tokenize": stage(*corpus, params, new), "train": stage(params)},
        )
        lost = make_record(commits[0], {**before, "dev.conll": "lost O\n"})
        dev = predictions(WORDS[:1], GOLD[:1], FIRST[:1])
        other_dev = predictions(WORDS[1:], GOLD[1:], SECOND[1:])
        client = connect()
        new_names = [[[tag.replace("-", "-NEW.") for tag in tags] for tags in side] for side in (GOLD, FIRST)]
        renamed = predictions(WORDS, *new_names)
        with_org = predictions([["Siemens", "Bonn"]], [["B-ORG", "B-LOC"]], [["B-ORG", "O"]])
        for number, (name, record, test, own_dev) in enumerate(
            [
                (NAME, first, predictions(WORDS, GOLD, FIRST), dev),
                (NAME, second, predictions(WORDS, GOLD, SECOND), dev),
                ("other", lost, predictions(WORDS, GOLD, SECOND), dev),
                ("other", first, predictions(WORDS, GOLD, FIRST), other_dev),
                ("other", first, renamed, renamed),
                ("other", first, predictions(WORDS, GOLD, FIRST), with_org),
            ]
        ):
            work = folder / f"made{number}"
            work.mkdir()
            register(client, name, record, {"test": test, "dev": own_dev}, work)
        client.set_registered_model_alias(NAME, "champion", "1")
    return folder


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")


def compare_versions(first: str, second: str) -> Comparison:
    return compare(first, second, on_progress=lambda _: None)


@pytest.fixture(scope="module")
def comparison(project: Path) -> Comparison:
    """Of demo-ner/1 and demo-ner/2."""
    with chdir(project), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
        return compare_versions(f"{NAME}@champion", f"{NAME}/2")


def test_parameters_code_and_environment_are_compared(comparison: Comparison) -> None:
    assert [(each["name"], each["version"], each["aliases"]) for each in comparison.versions.values()] == [
        (NAME, 1, ["champion"]), (NAME, 2, [])
    ]  # fmt: skip
    assert comparison.params == {"train.seed": {"first": 13, "second": 14}, "train.dropout": {"second": None}}
    assert comparison.code == [
        {"path": "stages/new.py", "change": "added", "stages": ["tokenize"]},
        {"path": "stages/params.py", "change": "changed", "stages": ["tokenize", "train"]},
        {"path": "stages/tokenize.py", "change": "removed", "stages": ["tokenize"]},
    ]
    assert comparison.environment == [
        "precision fp32 instead of bf16", "python 3.12.1 instead of 3.11.9", "numpy none instead of 2.4.0"
    ]  # fmt: skip


def test_the_data_of_both_commits_is_compared(comparison: Comparison, project: Path) -> None:
    data = comparison.data
    assert (data["same_files"], data["note"]) == (False, None)
    assert data["counts"] == {"added": 1, "removed": 0, "relabelled": 1, "moved": 0}
    assert [example["second"]["words"] for example in data["examples"]] == [["Anna", "slept"], ["new"]]
    assert not list(project.glob(".tuneline/compare-*"))


def test_scores_are_compared_with_their_significance(comparison: Comparison) -> None:
    test = comparison.scores["test"]
    # Of 4 entities of gold, 2 of 2 were right (I-PER alone is none), and 3 of 5.
    assert (test["first"], test["second"]) == (pytest.approx(2 * 2 / (2 + 4)), pytest.approx(2 * 3 / (5 + 4)))
    assert test["difference"] == pytest.approx(0)
    assert test["interval"][0] <= 0 <= test["interval"][1]
    assert 0 < test["p_value"] <= 1
    assert test["per_type"]["LOC"] == {"first": pytest.approx(2 / 3), "second": 1}
    assert comparison.scores["dev"]["difference"] == 0
    assert comparison.note is None


def test_sentences_with_changed_predictions_are_listed_by_kind(comparison: Comparison) -> None:
    assert comparison.predictions is not None
    assert comparison.predictions["sentences"] == 4
    assert comparison.predictions["counts"] == {"broken": 1, "fixed": 1, "otherwise": 1}
    assert [(example["kind"], example["sentence"]) for example in comparison.predictions["examples"]] == [
        ("broken", 3), ("fixed", 2), ("otherwise", 1)
    ]  # fmt: skip
    assert comparison.predictions["examples"][0] == {
        "kind": "broken", "example": 3, "sentence": 3,
        "words": WORDS[2], "gold": GOLD[2], "first": FIRST[2], "second": SECOND[2]
    }  # fmt: skip


def test_a_version_does_not_differ_from_itself(here: None) -> None:
    found = compare_versions(f"{NAME}/2", f"{NAME}/2")
    assert (found.params, found.code, found.environment) == ({}, [], [])
    assert found.data["note"] == "the same files, read with the same parameters"
    assert found.scores["test"]["interval"] == (0, 0)
    assert found.scores["test"]["p_value"] == 1
    assert found.predictions is not None
    assert sum(found.predictions["counts"].values()) == 0
    assert "Parameters: the same" in print_text(found)
    assert "The same." in Read(render_page(found)).text


def test_without_the_data_of_one_version_all_else_is_compared(here: None) -> None:
    found = compare_versions(NAME + "/1", "other/1")
    assert found.data["splits"] == {}
    assert found.data["note"] is not None
    assert re.fullmatch(rf"not compared: {CORPUS}/dev.conll with the MD5 \S+ is neither here .*", found.data["note"])
    assert found.scores["test"]["second"] > 0
    assert "Data: not compared: " in print_text(found)
    assert found.data["note"] in Read(render_page(found)).text


def test_scores_on_other_sentences_of_dev_get_no_significance(here: None) -> None:
    found = compare_versions("other/1", "other/2")
    assert (found.scores["dev"]["interval"], found.scores["dev"]["p_value"]) == (None, None)
    assert found.scores["test"]["p_value"] is not None
    assert "not on the same sentences" in print_text(found)
    assert "The two were not scored on the same sentences of dev." in Read(render_page(found)).text


def test_types_that_only_one_version_knows_are_named_and_not_compared(here: None) -> None:
    found = compare_versions("other/4", f"{NAME}/2")
    assert found.note == "only other/4 knows ORG; they are compared on LOC, PER"
    dev = found.scores["dev"]
    assert dev["per_type"]["ORG"] == {"first": 1.0, "second": None}
    assert dev["first"] == 0  # its only LOC was missed
    again = compare_versions(f"{NAME}/1", f"{NAME}/2")
    assert found.scores["test"] == again.scores["test"] | {
        name: {"ORG": {"first": None, "second": None}, **again.scores["test"]["per_type"]}
        for name in ("per_label", "per_type")
    }
    assert found.predictions == again.predictions
    assert found.note in print_text(found)
    assert found.note in Read(render_page(found)).text


def test_versions_without_a_type_in_common_are_not_compared_by_score(here: None) -> None:
    found = compare_versions(f"{NAME}/1", "other/3")
    assert (found.scores, found.predictions) == ({}, None)
    assert found.note == (
        f"scores and predictions were not compared: only {NAME}/1 knows LOC, PER; only other/3 knows NEW.LOC, NEW.PER; "
        "they have no type in common"
    )


def test_without_predictions_all_else_is_compared(here: None, project: Path) -> None:
    (path,) = project.glob("made3/artifacts/*/artifacts/report/predictions.parquet")
    content = path.read_bytes()
    path.write_bytes(content[:100])
    try:
        found = compare_versions(f"{NAME}/1", "other/2")
    finally:
        path.write_bytes(content)
    assert (found.scores, found.predictions) == ({}, None)
    assert found.note is not None
    assert found.note.startswith("scores and predictions were not compared: other/2 has no predictions that this")
    assert found.note in Read(render_page(found)).text
    assert "Parameters: the same" in print_text(found)


def test_an_altered_record_causes_a_warning(here: None, project: Path) -> None:
    (path,) = project.glob("made3/artifacts/*/artifacts/origin/other/*/params.yaml")
    before = path.read_bytes()
    path.write_bytes(b"altered")
    try:
        found = compare_versions(f"{NAME}/1", "other/2")
    finally:
        path.write_bytes(before)
    assert (found.versions["first"]["altered"], found.versions["second"]["altered"]) == ([], ["params.yaml"])
    for shown in (print_text(found), Read(render_page(found)).text):
        assert "the recorded params.yaml of other/2 is not the one that was registered" in shown


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (f"{NAME}/9", rf"^there is no {NAME}/9; there is {NAME}/1 @champion, {NAME}/2$"),
        (f"{NAME}@best", f"^there is no {NAME}@best; there is {NAME}/1 @champion"),
        ("nobody", f"^no model is registered as nobody; there is {NAME}, other$"),
    ],
)
def test_an_unknown_version_is_refused_with_a_list_of_the_known_ones(here: None, reference: str, message: str) -> None:
    for sides in ((reference, NAME), (NAME, reference)):
        with pytest.raises(UserError, match=message):
            compare_versions(*sides)


def print_text(comparison: Comparison, width: int = 80) -> str:
    """The output on a terminal, on a console like that of the commands."""
    shown = io.StringIO()
    console = Console(file=shown, width=width, soft_wrap=True, highlight=False, markup=False, emoji=False)
    for part in render_text(comparison):
        console.print(part)
    return shown.getvalue()


def full_of(text: str, comparison: Comparison) -> Comparison:
    """The comparison with this string wherever a corpus, a parameter or a registry could put one."""
    found = deepcopy(comparison)
    assert found.predictions is not None
    for example in found.predictions["examples"]:
        example["words"] = [text] * len(example["words"])
        example["second"] = [f"B-{text}"] * len(example["words"])
    for example in found.data["examples"]:
        for side in filter(None, (example["first"], example["second"])):
            side["words"] = [text] * len(side["words"])
            side |= {"tags": [f"I-{text}"] * len(side["words"]), "where": f"{text}:1"}
    found.scores["test"]["per_label"] = {text: found.scores["test"]["per_label"]["LOC"]}
    return replace(
        found,
        versions={side: {**version, "name": text, "aliases": [text]} for side, version in found.versions.items()},
        params={text: {"first": text, "second": text}},
        code=[{"path": text, "change": "changed", "stages": [text]}],
        environment=[text],
        note=text,
    )


@pytest.mark.parametrize("hostile", HOSTILE)
def test_page_shows_every_string_as_text(comparison: Comparison, hostile: str) -> None:
    page, expected = (Read(render_page(full_of(text, comparison))) for text in (hostile, "harmless"))
    assert page.elements == expected.elements
    assert page.attributes == expected.attributes
    assert page.texts.count(hostile) >= 10
    assert page.text.count(" ".join(hostile.split())) == expected.text.count("harmless")


def test_page_refers_to_nothing_outside_itself_and_its_elements_are_closed(comparison: Comparison) -> None:
    page = render_page(comparison)
    read = Read(page)
    assert "default-src 'none'; style-src 'unsafe-inline'\"" in page
    assert not {"script", "link", "img", "iframe", "object"} & set(read.elements)
    assert "src" not in read.attributes
    assert "url(" not in page
    for element in ("table", "section", "details", "div", "p", "li", "mark"):
        assert page.count(f"</{element}>") == read.elements.count(element)
    identities = re.findall(r' id="([^"]+)"', page)
    assert len(identities) == len(set(identities))
    assert set(re.findall(r'href="#?([^"]+)"', page)) <= set(identities)
    assert render_page(comparison) == page


def test_text_and_page_have_all_parts(comparison: Comparison) -> None:
    page, text = Read(render_page(comparison)).text, " ".join(print_text(comparison).split())
    for words in (f"{NAME}/1", f"{NAME}/2", "train.seed", "absent", "stages/new.py", "numpy none instead of 2.4.0"):
        assert words in page
        assert words in text
    assert "1 fixed: the second is right, the first is not" in text
    assert (
        "gold [Anna PER] met [Bo Li PER] first [Anna PER] met [Bo Li I-PER] second [Anna PER] met [Bo PER] Li" in text
    )
    assert "1 relabelled: the same words with other tags train (train.conll:1), then train (train.conll:1)" in text


@pytest.mark.parametrize("width", [40, 80])
def test_long_lines_of_text_are_wrapped_and_never_truncated(comparison: Comparison, width: int) -> None:
    found = full_of("a-long-name/" * 9, comparison)
    text = print_text(found, width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "…" not in text


def test_a_comparison_is_json(comparison: Comparison) -> None:
    assert json.loads(json.dumps(asdict(comparison)))["predictions"]["counts"]["fixed"] == 1


TAGS = st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]), max_size=6)


@given(TAGS, TAGS)
def test_no_two_sequences_of_tags_have_the_same_entities(first: list[str], second: list[str]) -> None:
    if len(first) == len(second):
        assert (extract_entities(first) == extract_entities(second)) == (first == second)
    last = 0
    for _, start, end in extract_entities(first):
        assert last <= start < end <= len(first)
        last = end
