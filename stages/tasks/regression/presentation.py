"""The words for what a model of numbers does and how well; see `Presentation` in stages/scoring.py."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stages.reporting.corpus_rows import example_rows
from stages.reporting.pairs import explain_pairs
from stages.scoring import Legend, Run, Table, Words
from stages.statistics.names import shorten_score
from stages.text_tasks import presentation as shared

WORDS = Words(
    "text", "texts", "target", "targets", answers="numbers", text="text", item="a number", items="numbers"
)  # fmt: skip
LEGEND = Legend(
    scoring="A text counts as right if each number is within half a standard deviation of the gold ones.",
    right="the number that gold has",
    wrong="another one",
    note="",
    same="a number of both",
    other="one of this side only",
)
SERVING_PARAMS: dict[str, Any] = {}
SCORES_TITLE = "The scores of all targets together and of each."
FIGURES = ("pearson", "spearman", "rmse", "mae", "r2")

tabulate_data, show_text, answer_to_json = shared.tabulate_data, shared.show_text, shared.answer_to_json
make_inputs, make_sample, read_input = shared.make_inputs, shared.make_sample, shared.read_input


def describe_primary(tables: Mapping[str, Any]) -> str:
    """The primary score with its interval and the number of texts."""
    return shared.describe_primary(tables, examples="texts")


def tabulate_scores(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All scores, a row for each split and target."""
    return [
        {"split": split, "target": target, **{name: f"{row[name]:.4f}" for name in FIGURES}, "support": row["support"]}
        for split, tables in metrics.items()
        for target, row in {"all targets": tables["overall"], **tables["per_target"]}.items()
    ]


def describe_task(metrics: Mapping[str, Any]) -> tuple[str, list[str]]:
    """What goes in and what comes out, and the targets."""
    targets = list(metrics["test"]["per_target"])
    return f"Regression: strings in, {'a number' if len(targets) == 1 else f'{len(targets)} numbers'} out", targets


def tabulate_corpus(profile: Mapping[str, Any]) -> Table:
    """Texts, mean, deviation and extremes of each target, slices and tokens."""
    splits = profile["splits"]
    count = max((len(figures.get("numbers", ())) for figures in splits.values()), default=0)
    names = profile.get("targets") or (["target"] if count == 1 else [f"target {n}" for n in range(1, count + 1)])
    rows = example_rows(profile, _tabulate_targets(splits, names), example=WORDS.example, examples=WORDS.examples)
    return Table(["", *splits], rows, caption=f"numbers, {'1 target' if count == 1 else f'{count} targets'}")


def tabulate_card(metrics: Mapping[str, Any], *, limit: int) -> Table:
    """The scores of dev and test, and on test of at most `limit` targets, the largest error first."""
    rows = [_cells(split, "all", metrics[split]["overall"]) for split in ("dev", "test")]
    per_target = sorted(metrics["test"]["per_target"].items(), key=lambda item: -item[1]["rmse"])
    rows += [_cells("test", target, row) for target, row in per_target[:limit]]
    note = "" if len(per_target) <= limit else f"The {limit} targets with the largest RMSE of {len(per_target)}."
    return Table(["split", "target", *(shorten_score(name) for name in FIGURES), "texts"], rows, note=note)


def list_limits(parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a model of numbers cannot do."""
    return [
        shared.limit_length(parameters),
        "Numbers far from those of its training data are not to be expected of it, and none comes with an interval.",
    ]


def show_answer(record: Mapping[str, Any], side: str, against: str) -> list[Run]:
    """The number of each target."""
    others: dict[str, float] = dict(record[against])
    return [
        Run("", f"{target} {number:.4g}", is_right=others.get(target) == number, colour=target)
        for target, number in record[side]
    ]


def read_answer(side: Mapping[str, Any]) -> list[list[Any]]:
    """The gold numbers of a text, each with its target."""
    return [list(pair) for pair in side["targets"].items()]


def explain_answers(
    config: Mapping[str, Any],
    parameters: Mapping[str, Mapping[str, Any]],
    decision: Mapping[str, Any],
) -> list[str]:
    """The unit, and the numbers in train, which are what the model may be expected to answer."""
    task, unit = parameters["task"], parameters["task"]["unit"]
    ranges = ", ".join(
        f"`{target}` {mean:.4g} ± {deviation:.4g}"
        for target, mean, deviation in zip(
            config["id2label"].values(), decision["means"], decision["deviations"], strict=True
        )
    )
    return [
        *explain_pairs(config, symmetric=task["symmetric"]),
        f"`number` is in {unit}." if unit else "`number` is in the unit of the training data.",
        f"Mean and standard deviation in train: {ranges}.",
    ]


def print_answer(answer: Mapping[str, Any]) -> list[str]:
    """A line for each number."""
    return [
        f"{found['target']}  {found['number']:.4g}" + (f" {found['unit']}" if found.get("unit") else "")
        for found in answer.get("numbers", [answer])
    ]


def _tabulate_targets(splits: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> Iterator[list[str]]:
    """The numbers of each target: mean, standard deviation, lowest and highest."""
    for number, name in enumerate(names):
        found = [dict(enumerate(figures.get("numbers", ()))).get(number, {}) for figures in splits.values()]
        yield [str(name), *("" for _ in splits)]
        for label, key in (
            ("mean", "mean"),
            ("standard deviation", "deviation"),
            ("lowest", "min"),
            ("highest", "max"),
        ):
            yield [f"  {label}", *(f"{figures[key]:,.4g}" if figures else "" for figures in found)]


def _cells(split: str, target: str, row: Mapping[str, Any]) -> list[str]:
    return [split, target, *(f"{row[name]:.4f}" for name in FIGURES), str(row["support"])]
