from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.corpus.examples.conftest import jsonl, open_files, read_all

SHARES = {"dev": 0.1, "test": 0.2}


def split_of(folder: Path, rows: list[tuple[str, list[str]]], name: str = "all.jsonl") -> dict[str, str]:
    content = jsonl(*({"text": text, "labels": labels} for text, labels in rows))
    found = read_all(open_files(folder, {name: content}, multi_label=True, split=SHARES))
    splits = {each.text: each.split for each in found}
    assert all(splits[each.text] == each.split for each in found)  # equal texts are in one split
    return splits


def test_each_label_has_its_share_in_each_split(tmp_path: Path) -> None:
    sizes = {"a": 1000, "b": 200, "c": 30}
    rows = [(f"{label} {n}", [label]) for label, size in sizes.items() for n in range(size)]
    splits = Counter((text[0], split) for text, split in split_of(tmp_path, rows).items())
    for label, size in sizes.items():
        assert splits[label, "test"] == pytest.approx(size * 0.2, abs=1)
        assert splits[label, "dev"] == pytest.approx(size * 0.1, abs=1)


def test_shares_hold_over_many_rare_labels(tmp_path: Path) -> None:
    rows = [(f"{label}/{n}", [str(label)]) for label in range(400) for n in range(4)]
    splits = Counter(split_of(tmp_path, rows).values())
    assert splits["test"] == pytest.approx(320, rel=0.15)
    assert splits["dev"] == pytest.approx(160, rel=0.25)


def test_label_keeps_a_text_in_train(tmp_path: Path) -> None:
    rows = [(f"{label}/{n}", [str(label)]) for label in range(300) for n in range(1 + label % 2)]
    splits = split_of(tmp_path, rows)
    assert {text.partition("/")[0] for text, split in splits.items() if split == "train"} == {
        str(n) for n in range(300)
    }


def test_text_of_several_labels_counts_for_the_rarest(tmp_path: Path) -> None:
    rows = [(f"common {n}", ["common"]) for n in range(500)]
    rows += [(f"both {n}", ["common", "rare"]) for n in range(20)]
    splits = Counter(split for text, split in split_of(tmp_path, rows).items() if text.startswith("both"))
    assert splits["test"] in (4, 5)
    assert splits["dev"] in (1, 2, 3)


def test_equal_texts_of_two_labels_fall_into_one_split(tmp_path: Path) -> None:
    split_of(tmp_path, [(f"text {n % 50}", [f"label {n % 3}"]) for n in range(200)])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_order_and_division_of_files_change_nothing(tmp_path_factory: pytest.TempPathFactory, random, parts) -> None:  # type: ignore[no-untyped-def]
    rows = [(f"text {n % 90}", [f"label {n % 7}"]) for n in range(120)]
    expected = split_of(tmp_path_factory.mktemp("whole"), rows)
    random.shuffle(rows)
    files = {
        f"part-{part}.jsonl": jsonl(*({"text": text, "labels": labels} for text, labels in rows[part::parts]))
        for part in range(parts)
    }
    found = read_all(open_files(tmp_path_factory.mktemp("parts"), {**files}, multi_label=True, split=SHARES))
    assert {each.text: each.split for each in found} == expected


@pytest.mark.parametrize("label", "abcdefgh")
def test_small_corpus_has_a_text_in_each_split(tmp_path: Path, label: str) -> None:
    assert set(split_of(tmp_path, [(f"text {n}", [label]) for n in range(4)]).values()) == {"train", "dev", "test"}


def test_numbers_are_divided_by_the_shares(tmp_path: Path) -> None:
    content = "text,score\n" + "".join(f"text {n},{n}\n" for n in range(1000))
    found = read_all(open_files(tmp_path, {"all.csv": content}, "numbers", split=SHARES))
    counts = Counter(each.split for each in found)
    assert counts["test"] in (200, 201)
    assert counts["dev"] in (99, 100, 101)


def test_given_split_stays_whole(tmp_path: Path) -> None:
    rows = "text,label\n" + "".join(f"text {n},{n % 2}\n" for n in range(100))
    corpus = open_files(tmp_path, {"train.csv": rows, "test.csv": rows}, split={"dev": 0.1})
    counts = Counter(each.split for each in read_all(corpus))
    assert counts["test"] == 100
    assert counts["dev"] in (9, 10, 11)
    assert corpus.given == ["test"]
