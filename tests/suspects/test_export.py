"""What is exported for annotators is read again as it was, but for what they corrected."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.suspects.export import TOOLS, configure_label_studio, export_suspects
from stages.corpus.reading import DataParams, open_corpus
from stages.corpus.splits import TRAIN
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import SPLITS
from stages.params import read_document
from stages.task import load_part
from tests.suspects.conftest import Trained

Record = dict[str, Any]


def read(trained: Trained, folder: Path, text: str) -> list[tuple[Record, Any]]:
    """The texts of a file, each with its answer, as `tokenize` reads a corpus whose train it is."""
    for split in SPLITS:
        (folder / f"{split}.json").write_text(text, encoding="utf-8")
    document = read_document(Path("params.yaml"))
    data = document["data"] | {"dir": str(folder)}
    data |= {"label": "auto"} if "label" in data else {}
    presentation = load_part(trained.case.task, "presentation")
    corpus = load_part(trained.case.task, "tools.comparison").open_compared(data, document["task"])
    diagnostics = Diagnostics()
    shown = [
        corpus.show(block, number)
        for block in corpus.blocks(diagnostics)
        for number in (block.splits == SPLITS.index(TRAIN)).nonzero()[0].tolist()
    ]
    diagnostics.raise_errors("not read:")
    return [(text_of(each), presentation.read_answer(each)) for each in shown]


def text_of(record: Record) -> Record:
    return {name: record[name] for name in ("words", "text", "pair") if name in record}


def correct_doccano(record: Record, task: str) -> None:
    record["label"] = [[*span[:2], "war"] for span in record["label"]] if task == "token_classification" else ["war"]


def correct_label_studio(record: Record, _: str) -> None:
    record["annotations"][0]["result"] = record["predictions"][0]["result"]


FORMATS: dict[str, tuple[Callable[[str], list[Record]], Callable[[Record, str], None]]] = {
    "doccano": (lambda text: [json.loads(line) for line in text.splitlines()], correct_doccano),
    "labelstudio": (json.loads, correct_label_studio),
}


@pytest.mark.parametrize("tool", FORMATS)
def test_only_a_corrected_answer_differs_when_an_export_is_read_again(
    trained: Trained, found: Any, tool: str, tmp_path: Path
) -> None:
    entries, task, (parse, correct) = found["suspects"], trained.case.task, FORMATS[tool]
    if (tool, task) == ("doccano", "regression"):
        pytest.skip("doccano has no numbers")
    exported = export_suspects(tool, entries, task=task)
    before = read(trained, tmp_path, exported)
    assert before == [(text_of(entry), entry["given"]) for entry in entries]
    records = parse(exported)
    correct(records[0], task)
    after = read(trained, tmp_path, json.dumps(records))
    assert after[1:] == before[1:]
    assert after[0][0] == before[0][0]
    assert after[0][1] == entries[0]["likely"] if tool == "labelstudio" else after[0][1] != before[0][1]


def test_label_studio_is_told_which_answers_there_are(trained: Trained, found: Any) -> None:
    said = configure_label_studio(found["suspects"], task=trained.case.task)
    assert said.startswith("<View>")
    assert 'name="text" value="$text"' in said
    assert ('"size"' in said and '"age"' in said) if trained.case.task == "regression" else '"war"' in said


@pytest.mark.parametrize("trained", ["tags"], indirect=True)
def test_the_command_writes_the_file_and_the_labelling_configuration(trained: Trained, tmp_path: Path) -> None:
    said = trained.call("--export", "labelstudio", str(tmp_path / "tasks.json"))
    assert "its labelling configuration: <View>" in said
    assert json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))[0]["data"]["where"] in said


@pytest.mark.parametrize("tool", TOOLS)
def test_words_that_a_reader_would_split_stay_whole(tool: str, tmp_path: Path) -> None:
    entry = {
        "where": "train.conll:1", "score": 0.9, "words": ["St.", "Mary's", "don't", "U.S.-led"],
        "given": ["B-LOC", "I-LOC", "O", "B-MISC"], "likely": ["O", "O", "O", "O"],
    }  # fmt: skip
    path = tmp_path / "exported.json"
    path.write_text(export_suspects(tool, [entry], task="token_classification"), encoding="utf-8")
    params = DataParams(dir=str(path), format="auto", words="auto", tags="auto", split=None)
    ((block, _),) = open_corpus(params, allow_unsplit=True).blocks(Diagnostics())
    assert block.words.to_pylist() == [entry["words"]]
    assert block.tags.to_pylist() == entry["given"]
