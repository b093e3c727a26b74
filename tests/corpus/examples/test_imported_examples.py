"""An import keeps the files of labelled texts: what is read of the copy is what is read of the source."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.corpus.examples.readers.columns import Wanted
from stages.tasks import regression, text_classification
from stages.tasks.regression.tools import importing as of_numbers
from stages.tasks.text_classification.tools import importing as of_labels
from stages.tools import convert_corpus
from tests.corpus.examples.conftest import Files, Read, jsonl, open_files, read_all, write
from tests.corpus.examples.test_formats import FORMS, MULTIPLE

READING = {"labels": of_labels.READING, "numbers": of_numbers.READING}
NAMES = {"labels": text_classification.__name__, "numbers": regression.__name__}
SOUND = st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"])
TEXTS = st.text(SOUND, min_size=1, max_size=20)


def import_files(
    folder: Path, files: Files, capsys: pytest.CaptureFixture[str], wanted: Wanted = "labels", **changes: Any
) -> tuple[list[Read], list[Read], dict[str, Any]]:
    """What is read of the source and of the copy, and what the import reports."""
    source, params = write(folder / "source", files), folder / "mine.yaml"
    sections: dict[str, Any] = {
        "task": {"name": NAMES[wanted].rpartition(".")[2]}, "data": {"dir": str(source), "split": None}
    }  # fmt: skip
    for key, value in READING[wanted].items():
        section, _, name = key.partition(".")
        sections[section][name] = changes.get(name, value)
    params.write_text(json.dumps(sections), encoding="utf-8")
    capsys.readouterr()
    convert_corpus.main(params)
    report = json.loads(capsys.readouterr().out)
    own = {name: value for name, value in sections["data"].items() if name != "dir"}
    multi_label = bool(changes.get("multi_label"))
    read = [
        read_all(open_files(folder, {}, wanted, multi_label=multi_label, **own, dir=str(place)))
        for place in (source, folder / "mine")
    ]
    return read[0], read[1], report


@pytest.mark.parametrize("files", FORMS.values(), ids=FORMS)
def test_import_keeps_one_label(tmp_path: Path, capsys: pytest.CaptureFixture[str], files: Files) -> None:
    before, after, report = import_files(tmp_path, files, capsys)
    assert before == after
    assert report["labels"] == ["neg", "pos"]
    assert sum(split["examples"] for split in report["splits"].values()) == len(before) == 3
    assert report["window"] is None
    assert not [each for each in report["findings"] if each["severity"] == "error"]


@pytest.mark.parametrize(("files", "changes"), MULTIPLE.values(), ids=MULTIPLE)
def test_import_keeps_several_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: Files, changes: dict[str, Any]
) -> None:
    before, after, report = import_files(tmp_path, files, capsys, multi_label=True, **changes)
    assert before == after
    assert report["splits"]["all"]["labels_per_example"] == {"0": 1, "2": 1}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXTS, st.floats(-1e9, 1e9)), min_size=2, max_size=8, unique_by=lambda row: row[1]))
def test_import_keeps_numbers(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], rows: list[tuple[str, float]]
) -> None:
    files: Files = {"all.jsonl": jsonl(*({"text": text, "score": number} for text, number in rows))}
    if len({number**2 for _, number in rows}) < 2:  # their differences may be too small to count
        return
    before, after, report = import_files(tmp_path_factory.mktemp("import"), files, capsys, "numbers")
    assert before == after
    assert [each.answer for each in after] == [[number] for _, number in rows]
    assert report["targets"] == ["target"]
    assert "labels" not in report
