"""`tuneline predict` with a version of each kind: from standard input and files, in all forms, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from typer.testing import CliRunner

from pipeline.cli.models import commands
from pipeline.registry import served
from stages.artifacts import read_json, write_json
from stages.errors import UserError
from tests.tasks.kinds import KINDS, OTHER, TEXT, register_model, write_model

OF_DOCUMENTS = "entities-of-documents"

Predict = Callable[..., str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path, empty_store: Path) -> Path:
    """A folder that counts as a project, whose registry has a version of each kind, by the name of the kind."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "dvc.yaml").touch()
    (folder / ".dvc").mkdir()
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, kind in KINDS.items():
            model = write_model(kind, folder / name / "model", tiny_pretrained)
            register_model(name, kind, model, f"sqlite:///{folder}/mlflow.db")
        model = write_model(KINDS["entities"], folder / OF_DOCUMENTS / "model", tiny_pretrained)
        record = read_json(model / "training.json")
        record["parameters"]["tokenize"]["context"] = "document"
        write_json(model / "training.json", record)
        register_model(OF_DOCUMENTS, KINDS["entities"], model, f"sqlite:///{folder}/mlflow.db")
    return folder


@pytest.fixture
def predict(project: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """Runs `tuneline predict` in the project; `given` is what is on standard input."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")

    def run(*words: str, given: str | bytes = "") -> str:
        found = CliRunner().invoke(commands, ["predict", *words], input=given)
        if found.exception is not None:
            raise found.exception
        return found.stdout

    return run


def line_of(given: Any) -> str:
    return "\t".join(given.values()) if isinstance(given, dict) else given


@pytest.mark.parametrize("name", KINDS)
def test_lines_records_and_tables_get_the_answers_of_the_served_model(predict: Predict, name: str) -> None:
    kind = KINDS[name]
    inputs = kind.inputs(TEXT, "Munich, Nobody, 5.")
    records = [each if kind.reads_pairs else {"text": each} for each in inputs]
    model = mlflow.pyfunc.load_model(f"models:/{name}/1")
    expected = [
        {**record, **kind.parts.presentation.answer_to_json(answer)}
        for record, answer in zip(records, model.predict(inputs), strict=True)
    ]
    lines = "\n".join(map(line_of, inputs)) + "\n"
    Path("texts.jsonl").write_text("".join(json.dumps(each | {"id": 7}) + "\n" for each in records), encoding="utf-8")
    pd.DataFrame([{"id": 7, **each} for each in records]).to_csv("texts.csv", index=False)
    Path("texts.txt").write_text(lines, encoding="utf-8")
    for words, given in ((["texts.txt"], ""), (["texts.jsonl"], ""), (["texts.csv"], ""), ([], lines)):
        assert json.loads(predict(name, *words, "--json", given=given)) == {"predictions": expected}
    printed = predict(f"{name}@challenger", "texts.txt").splitlines()
    answers = [found for answer in model.predict(inputs) for found in kind.parts.presentation.print_answer(answer)]
    assert [line for line in printed if not line.startswith("  ")] == list(map(line_of, inputs))
    assert [line[2:] for line in printed if line.startswith("  ")] == answers


def test_the_score_of_every_label_is_shown_on_request(predict: Predict) -> None:
    (answer,) = json.loads(predict("one-label", "--all-scores", "--json", given=TEXT))["predictions"]
    assert set(answer["scores"]) == set(KINDS["one-label"].labels)
    shown = predict("one-label", "--all-scores", given=TEXT)
    best, *others = sorted(answer["scores"].items(), key=lambda item: -item[1])
    lines = [f"{best[0]}  ({best[1]:.2f})", *(f"  {score:.4f}  {label}" for label, score in [best, *others])]
    assert shown.splitlines() == [TEXT, *(f"  {line}" for line in lines)]


@pytest.mark.parametrize("name", ["entities", "a-number"])
def test_scores_of_labels_are_refused_where_there_are_none(predict: Predict, name: str) -> None:
    with pytest.raises(UserError, match=f"{name}/1 has no scores of labels to show: leave out --all-scores"):
        predict(name, "--all-scores", given=TEXT)


def test_sentences_of_documents_are_read_in_their_context(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [TEXT, OTHER, "", OTHER, TEXT]

    def answers(model: str, *words: str, given: list[str]) -> list[Any]:
        found = json.loads(predict(model, *words, "--json", given="\n".join(given)))["predictions"]
        assert [answer["text"] for answer in found] == given
        return [answer["entities"] for answer in found]

    def places(found: list[Any]) -> list[Any]:
        return [[(entity["type"], entity["start"], entity["end"]) for entity in entities] for entities in found]

    together = answers(OF_DOCUMENTS, "--documents", given=lines)
    assert together[2] == []
    apart = [answers(OF_DOCUMENTS, "--documents", given=part) for part in (lines[:2], lines[3:])]
    assert places(together) == places([*apart[0], [], *apart[1]])
    assert together != answers(OF_DOCUMENTS, given=lines)
    assert answers("entities", "--documents", given=lines) == answers("entities", given=lines)
    monkeypatch.setattr(served, "BLOCK", 1)
    assert places(together) == places(answers(OF_DOCUMENTS, "--documents", given=lines))
    with pytest.raises(UserError, match="one-label/1 reads no sentences in their context: leave out --documents"):
        predict("one-label", "--documents", given=TEXT)


def test_a_number_is_shown_with_its_unit(predict: Predict) -> None:
    (answer,) = json.loads(predict("a-number", "--json", given=TEXT))["predictions"]
    assert predict("a-number", given=TEXT).splitlines() == [TEXT, f"  severity  {answer['number']:.4g} points"]
    assert predict("several-numbers", given=TEXT).count("points") == 0


def test_a_record_may_hold_line_ends_and_tabs(predict: Predict) -> None:
    texts = {"text": f"{TEXT}\n{OTHER}\t.", "pair": "a\tb"}
    (answer,) = json.loads(predict("pairs", "--json", given=json.dumps(texts)))["predictions"]
    assert {key: answer[key] for key in texts} == texts
    (answer,) = json.loads(predict("one-label", "--json", given=f"{TEXT}\t{OTHER}"))["predictions"]
    assert answer["text"] == f"{TEXT}\t{OTHER}"  # a tab is no more than a space to a model of single texts
    (answer,) = json.loads(predict("one-label", "--json", given="{no JSON"))["predictions"]
    assert answer["text"] == "{no JSON"
    Path("cells.csv").write_text(f'text\n"{TEXT}\n{OTHER}"\nnext\n', encoding="utf-8")
    answers = json.loads(predict("one-label", "cells.csv", "--json"))["predictions"]
    assert [answer["text"] for answer in answers] == [f"{TEXT}\n{OTHER}", "next"]


@pytest.mark.parametrize(
    ("name", "given", "faults"),
    [
        ("pairs", f"a\tb\n{TEXT}\na\tb\tc", ["2: holds one text, and this model reads pairs: TEXT, a tab, TEXT; or {",
                                             "3: holds 3 texts, and this model reads pairs"]),
        ("pairs", '{"text": "a"}\n{"pair": "b"}', ["1: has no text under `pair`; there is `text`",
                                                    "2: has no text under `text`; there is `pair`"]),
        ("one-label", '{"text": "a", "pair": "b"}', ["1: has a second text under `pair`, and this model reads one"]),
        ("a-number", 'fine\n{"sentence": "a"}', ["2: has no text under `text`; there is `sentence`"]),
        ("entities", '{"text": 5}\n{}', ["1: has 5 under `text`, which is no text",
                                         "2: has no text under `text`; there is nothing"]),
    ],
)  # fmt: skip
def test_all_texts_that_the_model_does_not_read_are_named_before_it_is_loaded(
    predict: Predict, monkeypatch: pytest.MonkeyPatch, name: str, given: str, faults: list[str]
) -> None:
    monkeypatch.setattr(served.ServedVersion, "answer", None)
    with pytest.raises(UserError) as refused:
        predict(name, given=given)
    first, *lines = str(refused.value).splitlines()
    assert first == "The texts are not usable:"
    assert len(lines) == len(faults)
    for line, fault in zip(lines, faults, strict=True):
        assert line.strip().startswith(f"standard input:{fault}")


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("a.csv", b"id,sentence\n1,x\n", "a.csv:2: has no text under `text`; there is `id`, `sentence`"),
        ("a.csv", b'text\nfine\n"not closed\n', "a.csv:3: not a table with ',' between its cells"),
        ("a.tsv", b"text,pair\nx,y\n", "a.tsv:2: has no text under `text`; there is `text,pair`"),
        ("a.txt", "Zoë in Köln".encode("latin-1"), "(?s)a.txt:1: .*not UTF-8.*iconv"),
        ("a.txt", "Zoë".encode("utf-16"), "(?s)a.txt: is UTF-16, not UTF-8 text.*iconv"),
    ],
)
def test_files_that_cannot_be_read_are_refused_with_their_place(
    predict: Predict, file: str, data: bytes, message: str
) -> None:
    Path(file).write_bytes(data)
    with pytest.raises(UserError, match=message):
        predict("one-label", file)


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (f"\ufeff{TEXT}\r\n\r\nnothing here".encode(), [TEXT, "", "nothing here"]),
        (b"a \xed\xa0\xbd\xed\xb8\x80 in CESU-8", ["a \U0001f600 in CESU-8"]),
    ],
)
def test_files_of_any_editor_are_read(predict: Predict, data: bytes, texts: list[str]) -> None:
    Path("lines.txt").write_bytes(data)
    predictions = json.loads(predict("entities", "lines.txt", "--json"))["predictions"]
    assert [line["text"] for line in predictions] == texts
    for entity in predictions[0]["entities"]:
        assert texts[0][entity["start"] : entity["end"]] == entity["text"]


def test_models_that_there_are_are_named_where_there_is_none(predict: Predict) -> None:
    with pytest.raises(UserError, match="there is no entities@canary; there is entities/1 @challenger"):
        predict("entities@canary", given=TEXT)


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_no_text_gets_no_answer(predict: Predict, words: list[str]) -> None:
    assert predict("one-label", *words, given="").strip() == ('{"predictions": []}' if words else "")


def test_many_texts_are_read_block_by_block(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    """And answered in their order."""
    monkeypatch.setattr(served, "BLOCK", 7)
    texts = [f"{TEXT} {number}" for number in range(20)]
    answers = json.loads(predict("one-label", "--json", given="\n".join(texts)))["predictions"]
    assert [answer["text"] for answer in answers] == texts
    (alone,) = json.loads(predict("one-label", "--json", given=texts[13]))["predictions"]
    assert answers[13]["score"] == pytest.approx(alone["score"], abs=0.02)
