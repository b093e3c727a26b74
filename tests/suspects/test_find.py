"""An answer that was made wrong on purpose is found, shown and written, in each kind of pipeline."""

import csv
from pathlib import Path
from typing import Any

from tests.pages import visible_text
from tests.suspects.conftest import CORPUS, WRONG, Trained, list_texts

GIVEN = {
    "tags": ["O", "B-sea", "O"],
    "one label": ["sea"],
    "several labels of pairs": ["sea"],
    "several numbers": [["size", 9.5], ["age", 10.5]],
}
LIKELY: dict[str, Any] = {"tags": ["O", "B-war", "O"], "one label": ["war"]}
LINES = {"tags": "train.conll:51"}


def test_a_wrong_answer_of_train_is_listed_first(trained: Trained, found: Any) -> None:
    first, (words, topics) = found["suspects"][0], list_texts("train")[WRONG]
    assert topics == ("war",)
    assert first["where"] == f"{CORPUS}/{LINES.get(trained.name, f'train.csv:{WRONG + 2}')}"
    assert first["example"] == WRONG + 1
    assert first.get("words", first.get("text", "").split()) == words
    assert first["given"] == GIVEN[trained.name]
    assert first["likely"] == LIKELY.get(trained.name, first["likely"]) != first["given"]
    scores = [entry["score"] for entry in found["suspects"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == min(found["count"], 20) < 30


def test_the_list_is_printed_and_written_as_table_and_page(trained: Trained, found: Any, tmp_path: Path) -> None:
    table, page = tmp_path / "suspects.csv", tmp_path / "suspects.html"
    printed = trained.call("--limit", "3", "--csv", str(table), "--page", str(page))
    first = found["suspects"][0]
    assert first["where"] in printed
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["where"] == first["where"]
    assert "sea" in rows[0]["given"] or "9.5" in rows[0]["given"]
    text = visible_text(page.read_text(encoding="utf-8"))
    assert first["where"] in text
    assert " ".join(list_texts("train")[WRONG][0][:2]) in text


def test_dev_and_test_are_judged_by_their_predictions(trained: Trained) -> None:
    found = trained.find("--split", "test", "--limit", "0")
    assert len(found["suspects"]) == found["count"] < 12
    for entry in found["suspects"]:
        assert entry["given"] != entry["likely"]
        assert entry["where"].startswith(f"{CORPUS}/test.")
