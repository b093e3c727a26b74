import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.reporting.axes import CURVE_POINTS, downsample, ticks
from stages.reporting.evaluation import Record, Report
from stages.tasks.token_classification.report.report import render
from stages.tasks.token_classification.scores.marking import mark_entities
from tests.pages import HOSTILE, Read

NOTHING: Record = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


def mistake_of(sentence: int, *, kind: str = "type", gold: str = "LOC", predicted: str = "PER") -> Record:
    return {
        "example": sentence,
        "words": ["In", "New", "York", "today"],
        "gold": [(gold, 1, 3)],
        "predicted": [(predicted, 1, 3, 0.9)],
        "kinds": [kind],
        "labels": sorted({gold, predicted}),
        "confidence": 0.9,
    }


def split_of(
    types: Sequence[str] = ("LOC", "PER"), mistakes: Sequence[Record] = (), row: Record | None = None
) -> Record:
    """A split in which every score is the same."""
    row = row or {"precision": 0.75, "recall": 0.5, "f1": 0.6, "support": 8}
    averages = {"micro": row, "macro": row, "weighted": row}
    bounds = {"f1_low": 0.5 * row["f1"], "f1_high": row["f1"]}
    count = row["support"]
    return {
        "sentences": 10,
        "words": 1200,
        "scores": {
            "entity_strict": {
                "micro": {**row, **bounds},
                "macro": row,
                "weighted": row,
                "per_type": {name: {**row, **bounds} for name in types},
            },
            "entity_conlleval": {**averages, "per_type": dict.fromkeys(types, row)},
            "token": {
                "per_tag": {"O": row} | {f"B-{name}": row for name in types},
                "without_O": averages if types else {},
                "with_O": averages,
            },
        },
        "errors": {
            "of_gold": dict.fromkeys(("correct", "type", "boundary", "boundary_and_type", "missed"), count),
            "of_predicted": dict.fromkeys(("correct", "type", "boundary", "boundary_and_type", "spurious"), count),
        },
        "confusion": {"types": [*types, "nothing"], "counts": [[count] * (len(types) + 1)] * (len(types) + 1)},
        "seen": {"seen": {"recall": 0.5, "support": count}, "unseen": {"recall": 0.0, "support": 0}},
        "by_entity_length": [{**row, "length": "1"}],
        "by_sentence_length": [{**row, "length": "1-10"}],
        "reliability": {
            "error": 0.04,
            "bins": [{"low": 0.9, "high": 1.0, "score": 0.95, "precision": 0.9, "count": count}] if count else [],
        },
        "mistakes": list(mistakes),
        "mistake_count": len(mistakes),
    }


def report_of(splits: dict[str, Record]) -> Report:
    steps: list[Record] = [{"step": step, "loss": 2.0 / step, "learning_rate": 1e-5 * step} for step in range(1, 5)]
    return {
        "facts": [("Seed", "13")],
        "splits": splits,
        "learning": {
            "steps": steps,
            "epochs": [{"epoch": 1, "step": 2, "dev_score": 0.4}, {"epoch": 2, "step": 4, "dev_score": 0.6}],
            "best_epoch": 2,
        },
    }


def report_full_of(string: str) -> Report:
    """A report in which every string that comes from the input is the same."""
    mistake = mistake_of(1, gold=string, predicted=string)
    mistake["words"] = [string] * 4
    mistake["predicted"] = [(string, 0, 3, 0.9)]
    split = split_of([string], [mistake])
    split["by_entity_length"][0]["length"] = string
    report = report_of({string: split})
    report["facts"] = [(string, string)]
    return report


@pytest.mark.parametrize("hostile", HOSTILE)
def test_render_shows_every_string_as_text(hostile: str) -> None:
    page, expected = (Read(render(report_full_of(string))) for string in (hostile, "harmless"))
    assert page.elements == expected.elements
    assert page.attributes == expected.attributes
    assert page.texts.count(hostile) >= 20
    assert " ".join([hostile] * 2) in page.text


def test_render_gives_the_same_text_for_the_same_report() -> None:
    splits = {name: split_of(mistakes=[mistake_of(1)]) for name in ("test", "dev")}
    assert render(report_of(splits)) == render(report_of(splits))


@pytest.mark.parametrize("types", [[], ["LOC"], [f"type {number}" for number in range(40)]], ids=len)
@pytest.mark.parametrize("row", [None, NOTHING], ids=["with predictions", "without predictions"])
def test_render_accepts_any_number_of_types_and_a_split_without_predictions(
    types: list[str], row: Record | None
) -> None:
    text = Read(render(report_of({"test": split_of(types, row=row), "dev": split_of(types)}))).text
    assert ("No entity was predicted." in text) == (row is NOTHING)
    assert "nan" not in text
    for name in types:
        assert name in text


def test_render_without_a_mistake_has_no_filter() -> None:
    page = Read(render(report_of({"test": split_of(), "dev": split_of()})))
    assert "form" not in page.elements
    assert "test 0 sentences of 10." in page.text


def test_render_says_that_only_the_first_mistakes_are_listed() -> None:
    split = split_of(mistakes=[mistake_of(1), mistake_of(2)])
    split["mistake_count"] = 41
    assert "test 41 sentences of 10; here are the first 2." in Read(render(report_of({"test": split}))).text


def test_render_puts_the_most_confident_mistake_of_all_splits_first() -> None:
    splits = {name: split_of(mistakes=[mistake_of(number)]) for number, name in enumerate(("test", "dev"), start=1)}
    splits["test"]["mistakes"][0]["confidence"] = 0.2
    text = Read(render(report_of(splits))).text
    assert text.index("dev sentence 2: wrong type") < text.index("test sentence 1: wrong type")


def test_render_names_the_split_in_every_figure_and_table() -> None:
    page = render(report_of({"test": split_of(mistakes=[mistake_of(1)])}))
    captions = [part.split("</")[0:2] for tag in ("<caption>", "<figcaption>") for part in page.split(tag)[1:]]
    assert len(captions) >= 15
    assert all('class="split">' in caption[0] for caption in captions)


def test_render_of_a_training_run_without_steps_says_so() -> None:
    report = report_of({"test": split_of()})
    report["learning"] = {"steps": [], "epochs": [], "best_epoch": 0}
    assert "The training run recorded no step." in Read(render(report)).text


def test_downsample_keeps_a_short_curve_and_averages_consecutive_steps_of_a_long_one() -> None:
    steps: list[Record] = [
        {"step": step, "loss": step % 2, "learning_rate": 1.0} for step in range(1, 4 * CURVE_POINTS + 1)
    ]
    assert downsample(steps[:CURVE_POINTS]) == steps[:CURVE_POINTS]
    few = downsample(steps)
    assert len(few) == CURVE_POINTS
    assert few[0] == {"step": 2.5, "loss": 0.5, "learning_rate": 1.0}


@given(st.integers(1, 5 * CURVE_POINTS))
def test_downsample_has_at_most_as_many_points_as_asked_for(count: int) -> None:
    steps: list[Record] = [{"step": step, "loss": 1.0, "learning_rate": 1.0} for step in range(count)]
    assert 0 < len(downsample(steps)) <= CURVE_POINTS


@given(st.floats(-1e6, 1e6, allow_subnormal=False), st.floats(1e-6, 1e6))
def test_ticks_enclose_the_values_at_equal_distances(low: float, width: float) -> None:
    values = ticks(low, low + width)
    assert 2 <= len(values) <= 8
    assert values[0] <= low
    assert values[-1] >= low + width or math.isclose(values[-1], low + width)
    steps = [after - before for before, after in pairwise(values)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.5, 3.0])
def test_ticks_around_a_single_value_are_at_least_two(value: float) -> None:
    values = ticks(value, value)
    assert values[0] <= value <= values[-1]
    assert len(values) > 1


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3)), max_size=8))
def test_runs_contain_every_word_once_and_in_order(lengths: list[tuple[bool, int]]) -> None:
    entities, place = [], 0
    for inside, length in lengths:
        if inside:
            entities.append(("LOC", place, place + length))
        place += length
    words = [f"word{number}" for number in range(place)]
    cut = mark_entities(words, entities, entities[:1])
    assert " ".join(run.text for run in cut).split() == words
    assert [run.is_right for run in cut if run.label] == [entity in entities[:1] for entity in entities]
