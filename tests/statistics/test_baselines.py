"""Baselines find what they can, say the same each time, and always say something."""

import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from stages.statistics.baselines import (
    Baseline,
    Fitted,
    predict_label_shares,
    predict_labels_by_tfidf,
    predict_labels_by_vectors,
    predict_mean,
    predict_numbers_by_tfidf,
    predict_numbers_by_vectors,
)
from stages.statistics.measure import Truths
from stages.statistics.tfidf import choose_evenly, count_characters, join_texts, take_texts
from stages.training.evaluation import describe_baselines
from tests.checkouts import ROOT

GOOD, BAD = ["good", "tasty", "fresh", "warm"], ["bad", "stale", "cold", "late"]


def write_texts(count: int, seed: int = 0, *, words: Sequence[Sequence[str]] = (BAD, GOOD)) -> tuple[list[str], Truths]:
    """Texts of three words of their class, alternately of each, and three of both."""
    generator = np.random.default_rng(seed)
    everything = [word for own in words for word in own]
    texts = [
        " ".join([*generator.choice(words[number % len(words)], 3), *generator.choice(everything, 3)])
        for number in range(count)
    ]
    return texts, np.arange(len(words)) == (np.arange(count) % len(words))[:, None]


def test_shares_and_means_are_those_of_train() -> None:
    gold = np.array([[1, 0, 1], [1, 0, 0]], bool)
    assert predict_label_shares(gold, 2).tolist() == [[1, 0, 0.5]] * 2
    assert predict_label_shares(gold[:0], 1).tolist() == [[0, 0, 0]]
    assert predict_mean(np.array([[1.0, 4], [3, 8]]), 2).tolist() == [[2, 6]] * 2


def test_words_tell_classes_apart() -> None:
    (train, gold), (texts, expected) = write_texts(200), write_texts(100, 1)
    found = predict_labels_by_tfidf((train, None), gold, (texts, None), multi_label=False)
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.9
    assert found.sum(1) == pytest.approx(np.ones(100), abs=1e-6)
    assert found.dtype == np.float32


def test_two_words_are_told_from_the_same_in_another_order() -> None:
    texts = ["not good but bad", "not bad but good"] * 30
    found = predict_labels_by_tfidf((texts, None), np.eye(2, dtype=bool)[[0, 1] * 30], (texts, None), multi_label=False)
    assert found.argmax(1).tolist() == [0, 1] * 30


def test_each_of_several_labels_is_a_question_of_its_own() -> None:
    (train, classes), (texts, expected) = write_texts(200), write_texts(100, 1)
    always, never = np.ones((200, 1), bool), np.zeros((200, 1), bool)
    gold = np.hstack([classes, always, never])
    found = predict_labels_by_tfidf((train, None), gold, (texts, None), multi_label=True)
    assert ((found[:, :2] > 0.5) == expected).mean() > 0.9
    assert found[:, 2].tolist() == [1] * 100
    assert found[:, 3].tolist() == [0] * 100


def test_a_label_that_train_lacks_has_no_probability() -> None:
    (train, classes), (texts, _) = write_texts(60), write_texts(20, 1)
    gold = np.hstack([np.zeros((60, 1), bool), classes])
    found = predict_labels_by_tfidf((train, None), gold, (texts, None), multi_label=False)
    assert found[:, 0].tolist() == [0] * 20
    only = np.zeros_like(gold)
    only[:, 1] = True
    found = predict_labels_by_tfidf((train, None), only, (texts, None), multi_label=False)
    assert found.tolist() == [[0, 1, 0]] * 20


def test_words_tell_numbers() -> None:
    (train, classes), (texts, expected) = write_texts(200), write_texts(100, 1)
    sign_E, expected_E = (np.where(each[:, 1], 1.0, -1.0) for each in (classes, expected))
    numbers_ED = np.stack([sign_E, 1000 - 3 * sign_E], axis=1)
    found = predict_numbers_by_tfidf((train, None), numbers_ED, (texts, None))
    assert np.corrcoef(found[:, 0], expected_E)[0, 1] > 0.8
    assert np.corrcoef(found[:, 1], expected_E)[0, 1] < -0.8
    assert found[:, 1].mean() == pytest.approx(1000, abs=1)
    one = predict_numbers_by_tfidf((train, None), numbers_ED[:, :1], (texts, None))
    assert one == pytest.approx(found[:, :1], abs=1e-3)


def test_both_texts_of_a_pair_and_what_they_share_count() -> None:
    generator = np.random.default_rng(0)
    words = [f"w{number}" for number in range(12)]
    firsts = [" ".join(generator.choice(words, 3, replace=False)) for _ in range(600)]
    same_E = np.arange(600) % 2 == 0
    seconds = [
        text if same else firsts[number - 1] for number, (text, same) in enumerate(zip(firsts, same_E, strict=True))
    ]
    gold = np.stack([~same_E, same_E], axis=1)
    train, test = (firsts[:500], seconds[:500]), (firsts[500:], seconds[500:])
    found = predict_labels_by_tfidf(train, gold[:500], test, multi_label=False)
    assert (found.argmax(1) == same_E[500:]).mean() > 0.9
    numbers = predict_numbers_by_tfidf(train, same_E[:500, None].astype(float), test)
    assert ((numbers[:, 0] > 0.5) == same_E[500:]).mean() > 0.9


def test_characters_are_words_where_no_blanks_part_them() -> None:
    texts = [
        f"{before}{word}{after}"
        for word in "\u597d\u574f"
        for before in "\u6211\u4f60\u4ed6"
        for after in "\u5417\u5462\u5427"
    ]
    gold = np.eye(2, dtype=bool)[np.arange(18) // 9]
    unseen = ["\u8fd9\u597d", "\u90a3\u574fX"]
    found = predict_labels_by_tfidf((texts, None), gold, (unseen, None), multi_label=False)
    assert found.argmax(1).tolist() == [0, 1]


@pytest.mark.parametrize("texts", [["", " ", "!?"], []])
def test_texts_without_words_get_what_is_most_frequent(texts: list[str]) -> None:
    gold = np.array([[0, 1]] * 2 + [[1, 0]], bool)[: len(texts)]
    found = predict_labels_by_tfidf((texts, None), gold, (["a"], None), multi_label=False)
    assert found.tolist() == predict_label_shares(gold, 1).tolist()
    numbers = np.array([[1.0], [2], [6]])[: max(1, len(texts))]
    if texts:
        assert predict_numbers_by_tfidf((texts, None), numbers, (["a"], None)).tolist() == [[3]]


def test_of_many_texts_some_are_taken_from_everywhere() -> None:
    assert choose_evenly(200, 50).tolist() == list(range(0, 200, 4))
    assert choose_evenly(3, 50).tolist() == [0, 1, 2]
    assert choose_evenly(0).tolist() == []
    columns = pa.array(["a", "b", "c"]), pa.array(["d", "e", "f"])
    assert join_texts([take_texts(columns, choose_evenly(3, 2)), columns]) == (
        ["a", "b", "a", "b", "c"],
        ["d", "e", "d", "e", "f"],
    )
    assert count_characters([columns, (columns[0], None)]) == 9


def test_vectors_tell_labels_and_numbers() -> None:
    generator = np.random.default_rng(0)
    gold = np.eye(3, dtype=bool)[np.arange(120) % 3]
    vectors = (gold @ generator.normal(0, 1, (3, 8)) + generator.normal(0, 0.1, (120, 8))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    one = predict_labels_by_vectors(vectors[:90], gold[:90], vectors[90:], multi_label=False)
    assert (one.argmax(1) == gold[90:].argmax(1)).all()
    several = predict_labels_by_vectors(vectors[:90], gold[:90], vectors[90:], multi_label=True)
    assert ((several > 0.5) == gold[90:]).all()
    numbers = np.stack([gold.argmax(1) * 5.0, 100 - gold.argmax(1)], axis=1)
    found = predict_numbers_by_vectors(vectors[:90], numbers[:90], vectors[90:])
    assert np.corrcoef(found[:, 0], numbers[90:, 0])[0, 1] > 0.9
    assert found[:, 1].mean() == pytest.approx(99, abs=0.1)


PROGRAM = """
import hashlib
from tests.statistics.test_baselines import *
(train, classes), (texts, _) = write_texts(300), write_texts(100, 1)
labels = predict_labels_by_tfidf((train, train[::-1]), classes, (texts, texts), multi_label=False)
numbers = predict_numbers_by_tfidf((train, None), classes.astype(float), (texts, None))
vectors = np.random.default_rng(0).normal(0, 1, (300, 64)).astype(np.float32)
found = [
    predict_labels_by_vectors(vectors, classes, vectors, multi_label=False),
    predict_numbers_by_vectors(vectors, classes.astype(float), vectors),
]
print(hashlib.sha256(b"".join(each.tobytes() for each in [labels, numbers, *found])).hexdigest())
"""


def test_the_bits_do_not_depend_on_threads_or_the_seed_of_hashes() -> None:
    found = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert found[0] == found[1] != b""


def test_the_log_warns_of_each_baseline_that_the_model_does_not_beat_beyond_chance() -> None:
    names = {"majority": "the majority", "tfidf": "TF-IDF", "frozen_encoder": "the encoder"}
    rows = {name: {"value": 0.5, "gain_low": gain_low} for name, gain_low in zip(names, (0.01, 0.0, -0.1), strict=True)}
    fitted = Fitted({name: Baseline({}, 10, 0.0) for name in names}, 10, [])
    metrics = {split: {"baselines": rows} for split in ("dev", "test")}
    assert describe_baselines(fitted, names, metrics)[len(names) :] == [
        "warning: on test the model is not better than TF-IDF, beyond chance",
        "warning: on test the model is not better than the encoder, beyond chance",
    ]
