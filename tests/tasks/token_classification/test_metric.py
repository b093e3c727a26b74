"""Scores that equal those of seqeval, scikit-learn and conlleval to the last digit, on random and on real tags."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import conlleval
import numpy as np
import pytest
from hypothesis import given
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2
from sklearn.metrics import precision_recall_fscore_support

from stages.corpus.reading import DataParams, open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.statistics.bootstrap import f1_interval
from stages.tasks.token_classification.scores.entities import taggings
from stages.tasks.token_classification.scores.metric import counts_by_sentence, scores
from tests import oracles
from tests.checkouts import DEMO
from tests.conftest import CORPORA, needs_corpora
from tests.tasks.token_classification.conftest import SENTENCE_PAIRS, Pairs, confuse, random_tags, sides

Tags = list[list[str]]
READINGS: dict[str, dict[str, Any]] = {
    "entity_strict": {"mode": "strict", "scheme": IOB2},
    "entity_conlleval": {},
}


@cache
def corpus_tags(name: str) -> Tags:
    """The tags of all splits of a corpus, in IOB2."""
    place = DEMO if name == "demo" else CORPORA / name
    params = {"dir": str(place), "format": "auto", "words": "auto", "tags": "auto", "split": None}
    source = open_corpus(DataParams.model_validate(params), allow_unsplit=True)
    sentences = [s.tags for block, _ in source.blocks(Diagnostics()) for s in block.sentences() if s.tags]
    return [oracles.tags_of(oracles.entities(tags, strict=False), len(tags)) for tags in sentences]


def confused_corpus(name: str) -> tuple[Tags, Tags]:
    return corpus_tags(name), confuse(corpus_tags(name), seed=5)


CASES: dict[str, Callable[[], tuple[Tags, Tags]]] = {
    "unrelated random sequences": lambda: (random_tags(1000, seed=1), random_tags(1000, seed=1, outside=0.6)),
    "10,000 random sequences": lambda: (random_tags(10_000, seed=2), confuse(random_tags(10_000, seed=2), seed=3)),
    "demo": lambda: confused_corpus("demo"),
    "nothing predicted": lambda: (corpus_tags("demo"), [["O"] * len(tags) for tags in corpus_tags("demo")]),
    "wnut17": lambda: confused_corpus("wnut17"),
    "wikigold": lambda: confused_corpus("wikigold"),
}
REAL = {"wnut17", "wikigold"}
every_case = pytest.mark.parametrize(
    "make",
    [pytest.param(cache(make), id=name, marks=[needs_corpora] if name in REAL else []) for name, make in CASES.items()],
)


def seqevals(gold: Tags, predicted: Tags, options: dict[str, Any]) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types that were never predicted
        report = classification_report(gold, predicted, output_dict=True, zero_division=0, **options)
    return {
        name.removesuffix(" avg"): {
            "precision": float(row["precision"]), "recall": float(row["recall"]),
            "f1": float(row["f1-score"]), "support": int(row["support"]),
        }
        for name, row in report.items()
    }  # fmt: skip


def ours(table: dict[str, Any]) -> dict[str, Any]:
    """The rows that seqeval has too."""
    columns = ("precision", "recall", "f1", "support")
    rows = {**{name: table[name] for name in ("micro", "macro", "weighted")}, **table["per_type"]}
    return {name: {column: row[column] for column in columns} for name, row in rows.items()}


def check_entities(gold: Tags, predicted: Tags) -> None:
    tables = scores(*taggings(gold, predicted))
    for reading, options in READINGS.items():
        assert ours(tables[reading]) == seqevals(gold, predicted, options), reading


def check_tokens(gold: Tags, predicted: Tags) -> None:
    table = scores(*taggings(gold, predicted))["token"]
    names = sorted({tag for side in (gold, predicted) for tags in side for tag in tags})
    number = {name: index for index, name in enumerate(names)}  # scikit-learn is slow with strings
    flat_gold, flat_predicted = ([number[tag] for tags in side for tag in tags] for side in (gold, predicted))

    def sklearns(labels: list[str], average: str | None) -> Any:
        return precision_recall_fscore_support(
            flat_gold, flat_predicted, labels=[number[name] for name in labels], average=average, zero_division=0
        )

    assert list(table["per_tag"]) == names
    for name, row in zip(names, zip(*sklearns(names, None), strict=True), strict=True):
        assert tuple(table["per_tag"][name].values()) == row
    for group, labels in (("with_O", names), ("without_O", [name for name in names if name != "O"])):
        assert bool(table[group]) == bool(labels)
        for average, row in table[group].items():
            assert tuple(row.values())[:3] == sklearns(labels, average)[:3]
            assert row["support"] == sum(names[tag] in labels for tag in flat_gold)


@every_case
def test_entity_tables_equal_seqevals(make: Callable[[], tuple[Tags, Tags]]) -> None:
    check_entities(*make())


@given(SENTENCE_PAIRS)
def test_entity_tables_equal_seqevals_on_any_tags(pairs: Pairs) -> None:
    gold, predicted = sides([sentence for sentence in pairs if sentence])
    if any(tag != "O" for side in (gold, predicted) for tags in side for tag in tags):
        tables = scores(*taggings(gold, predicted))
        for reading, options in READINGS.items():
            if tables[reading]["per_type"]:  # seqeval has no table without entities
                assert ours(tables[reading]) == seqevals(gold, predicted, options)


@every_case
def test_token_table_equals_scikit_learns(make: Callable[[], tuple[Tags, Tags]]) -> None:
    check_tokens(*make())


@given(SENTENCE_PAIRS)
def test_token_table_equals_scikit_learns_on_any_tags(pairs: Pairs) -> None:
    gold, predicted = sides(pairs)
    if any(gold):
        check_tokens(gold, predicted)


@every_case
def test_conlleval_reading_equals_the_conlleval_package(make: Callable[[], tuple[Tags, Tags]]) -> None:
    gold, predicted = make()
    lines = [
        line
        for tags in zip(gold, predicted, strict=True)
        for line in [*(f"word {g} {p}" for g, p in zip(*tags, strict=True)), ""]
    ]
    table, report = scores(*taggings(gold, predicted))["entity_conlleval"], conlleval.evaluate(lines)
    expected = {"micro": report["overall"]["chunks"], **report["slots"]["chunks"]}
    rows = {"micro": table["micro"], **table["per_type"]}
    assert rows.keys() == expected.keys()
    for name, row in rows.items():
        stats, figures = expected[name]["stats"], expected[name]["evals"]
        assert row["support"] == stats["gold"]
        assert (row["recall"], row["f1"]) == (figures["rec"], figures["f1"])
        if stats["pred"]:  # else conlleval calls the precision 1
            assert row["precision"] == figures["prec"]


def test_scores_have_each_table_under_its_own_name() -> None:
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O"]]
    predicted = [["B-PER", "I-PER", "O", "I-LOC"], ["O", "O"]]
    table = scores(*taggings(gold, predicted))
    micro = table["entity_strict"]["micro"]
    assert (micro["precision"], micro["recall"], micro["f1"], micro["support"]) == (1.0, 0.5, 2 / 3, 2)
    assert table["entity_strict"]["per_type"]["LOC"]["f1"] == 0
    assert table["entity_conlleval"]["micro"]["f1"] == 1
    assert table["token"]["per_tag"]["I-PER"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
    assert table["token"]["without_O"]["micro"]["support"] == 3
    assert table["token"]["with_O"]["micro"]["f1"] == pytest.approx(5 / 6)


@pytest.mark.parametrize("predicted", [["O", "O"], ["B-PER", "O"]])
def test_scores_of_a_split_without_entities_are_zero_not_an_error(predicted: list[str]) -> None:
    table = scores(*taggings([["O", "O"]], [predicted]))
    assert table["entity_strict"]["micro"]["f1"] == 0
    assert table["entity_strict"]["micro"]["support"] == 0
    assert table["entity_strict"]["macro"]["f1"] == 0


def test_intervals_contain_the_f1_and_narrow_with_more_sentences() -> None:
    widths = []
    for count in (100, 1000, 10_000):
        gold = random_tags(count, seed=6)
        table = scores(*taggings(gold, confuse(gold, seed=7)))["entity_strict"]
        for row in (table["micro"], *table["per_type"].values()):
            assert row["f1_low"] < row["f1"] < row["f1_high"]
        widths.append(table["micro"]["f1_high"] - table["micro"]["f1_low"])
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_the_interval_equals_that_of_drawing_single_sentences() -> None:
    """Compared with the plain bootstrap, which draws one sentence after another."""
    gold = random_tags(300, seed=8)
    taggings_ = taggings(gold, confuse(gold, seed=9))
    counts = counts_by_sentence(*(tagging.entities(strict=True) for tagging in taggings_), 300)
    generator = np.random.default_rng(1)
    drawn = generator.integers(300, size=(4000, 300))
    correct, predicted, of_gold = (count[drawn].sum(1) for count in counts)
    expected = np.quantile(2 * correct / (predicted + of_gold), [0.025, 0.975])
    assert f1_interval(*counts) == pytest.approx(expected, abs=0.004)
    assert f1_interval(*counts) == f1_interval(*counts)


def test_without_sentences_or_entities_the_interval_is_zero() -> None:
    for sentences in (0, 5):
        nothing = np.zeros(sentences, dtype=np.int64)
        assert f1_interval(nothing, nothing, nothing) == (0, 0)
