"""The real corpora beside the project, with the counts that their sources state."""

# ruff: noqa: E501 - most cases are a line each

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stages.corpus.examples.readers.columns import Wanted
from stages.corpus.text.diagnostics import Diagnostics
from tests.conftest import CORPORA
from tests.corpus.examples.conftest import open_files, profile, read_all

Counts = dict[str, int]

CASES: list[tuple[str, Wanted, bool, dict[str, Any], Counts, int]] = [
    ("clinc150", "labels", False, {}, {"train": 15_000, "dev": 3_000, "test": 4_500}, 150),
    ("hwu64", "labels", False, {}, {"train": 8_954, "dev": 1_076, "test": 1_076}, 64),
    ("nlupp/banking", "labels", True, {"split": {"dev": 0.1, "test": 0.1}}, {"train": 1663, "dev": 201, "test": 207}, 48),
    ("emobank", "numbers", False, {"target": ["V", "A", "D"], "split_column": "split"},
     {"train": 8_062, "dev": 1_000, "test": 1_000}, 0),
    ("mrpc", "labels", False, {"text": "#1 String", "text_pair": "#2 String", "label": "Quality"},
     {"train": 3_576, "dev": 500, "test": 1_725}, 2),
    ("trecqa", "labels", False, {"text": "qtext", "text_pair": "atext"},
     {"train": 4_718, "dev": 1_148, "test": 1_517}, 2),
]  # fmt: skip


def needs(name: str) -> Path:
    if not (CORPORA / name).is_dir():
        pytest.skip(f"{name} lies beside the project, not in it")
    return CORPORA / name


@pytest.mark.parametrize(("name", "wanted", "multi_label", "settings", "counts", "labels"), CASES)
def test_real_corpora_are_read_whole(
    tmp_path: Path, name: str, wanted: Wanted, multi_label: bool, settings: dict[str, Any], counts: Counts, labels: int
) -> None:
    corpus = open_files(tmp_path, {}, wanted, multi_label=multi_label, **settings, dir=str(needs(name)))
    found, diagnostics = profile(corpus)
    assert not diagnostics.of("error")
    assert {split: figures.examples for split, figures in found.splits.items()} == counts
    assert len(found.labels) == labels


def test_mrpc_keeps_quotes_that_are_text(tmp_path: Path) -> None:
    settings = {"text": "#1 String", "text_pair": "#2 String", "label": "Quality"}
    first = read_all(open_files(tmp_path, {}, **settings, dir=str(needs("mrpc"))))[0]
    assert first.text.startswith('Amrozi accused his brother, whom he called "the witness", of')
    assert first.answer == ["1"]


def test_thucnews_is_read_with_its_names(tmp_path: Path) -> None:
    place = needs("thucnews")
    for source, copy in (("dev.txt", "train.txt"), ("test.txt", "test.txt"), ("class.txt", "class.txt")):
        shutil.copyfile(place / source, tmp_path / copy)
    found, diagnostics = profile(open_files(tmp_path, {}, label_names="class.txt", split={"dev": 0.1}))
    assert not diagnostics.of("error")
    assert found.splits["test"].labels == Counter(dict.fromkeys(found.labels, 1_000))
    assert found.splits["train"].labels == Counter(dict.fromkeys(found.labels, 900))


def test_clothing_reviews_have_gaps_that_can_be_left_out(tmp_path: Path) -> None:
    place = needs("clothing_reviews")
    for source, copy in (("val.csv", "train.csv"), ("test.csv", "test.csv")):
        shutil.copyfile(place / source, tmp_path / copy)
    settings = {"label": "Recommended IND", "slices": ["Department Name"], "split": {"dev": 0.1}}
    diagnostics = Diagnostics()
    read_all(open_files(tmp_path, {}, **settings), diagnostics)
    assert diagnostics.counts["empty-text"] == 152
    found, diagnostics = profile(open_files(tmp_path, {}, **settings, faulty="drop"))
    assert not diagnostics.of("error")
    train = found.splits["train"]
    assert train.examples + found.splits["dev"].examples + train.dropped == 2_349
    assert set(train.slices["Department Name"]) >= {"Tops", "Dresses", "Bottoms"}
