"""The words for what a classifier of texts does and how well; see `Presentation` in stages/scoring.py."""

from collections.abc import Iterator, Mapping
from typing import Any

from stages.reporting.corpus_rows import MOST, count_rows, example_rows, list_names
from stages.reporting.pairs import explain_pairs
from stages.scoring import Legend, Run, Table, Words
from stages.statistics.names import shorten_score
from stages.text_tasks import presentation as shared

WORDS = Words(
    "text", "texts", "label", "labels",
    answers="labels", text="text", item="an example", items="examples", label_score="F1",
)  # fmt: skip
LEGEND = Legend(
    scoring="A label is correct only if gold has it too.",
    right="a label that gold has too",
    wrong="one that it does not have",
    note="",
    same="a label of both",
    other="one of this side only",
)
SERVING_PARAMS = {"all_scores": False}
SCORES_TITLE = "Scores of all labels together, and the F1 of each; low to high: 95 % interval."

tabulate_data, show_text, answer_to_json = shared.tabulate_data, shared.show_text, shared.answer_to_json
make_inputs, make_sample, read_input = shared.make_inputs, shared.make_sample, shared.read_input


def describe_primary(tables: Mapping[str, Any]) -> str:
    """The primary score with its interval and the number of examples."""
    return shared.describe_primary(tables, examples="examples")


def tabulate_scores(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The primary score of each split, and the F1 of each label."""
    rows = []
    for split, tables in metrics.items():
        primary = tables["primary"]
        rows.append(_row(split, "all labels", shorten_score(primary["name"]), primary, "value", "low", "high"))
        for label, row in tables["per_label"].items():
            rows.append(_row(split, label, "F1", row, "f1", "f1_low", "f1_high"))
    return rows


def describe_task(metrics: Mapping[str, Any]) -> tuple[str, list[str]]:
    """What goes in and what comes out, and the labels."""
    labels = list(metrics["test"]["per_label"])
    return f"Text classification: strings in, calibrated probabilities of {len(labels)} labels out", labels


def tabulate_corpus(profile: Mapping[str, Any]) -> Table:
    """Texts, the labels with their shares, slices and tokens; of many labels the most frequent and the rarest."""
    count = len(profile["labels"])
    rows = example_rows(profile, _tabulate_labels(profile["splits"]), example=WORDS.example, examples=WORDS.examples)
    return Table(["", *profile["splits"]], rows, caption="1 label" if count == 1 else f"{count:,} labels")


def tabulate_card(metrics: Mapping[str, Any], *, limit: int) -> Table:
    """The primary score of dev and test, and on test of at most `limit` labels, the lowest F1 first."""
    rows = []
    for split in ("dev", "test"):
        primary = metrics[split]["primary"]
        rows.append(_cells(split, f"all, by {shorten_score(primary['name'])}", primary, "value", "low", "high"))
    per_label = sorted(metrics["test"]["per_label"].items(), key=lambda item: item[1]["f1"])
    rows += [_cells("test", f"{label}, by F1", row, "f1", "f1_low", "f1_high") for label, row in per_label[:limit]]
    note = "" if len(per_label) <= limit else f"The {limit} labels with the lowest F1 of {len(per_label)}."
    return Table(["split", "label", "score", "95 % interval", "examples"], rows, note=note)


def list_limits(parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a classifier of texts cannot do."""
    return [
        shared.limit_length(parameters),
        "Knows no label beside these: a text of none of them gets one all the same, if each text has one.",
    ]


def show_answer(record: Mapping[str, Any], side: str, against: str) -> list[Run]:
    """The labels of a side, with their probabilities where it has them."""
    others = {_label(answer) for answer in record[against]}
    runs = []
    for answer in record[side]:
        label = _label(answer)
        runs.append(Run("", label, None if isinstance(answer, str) else answer[1], label in others, label))
    return runs or [Run("no label")]


def read_answer(side: Mapping[str, Any]) -> list[str]:
    """The gold labels of a text."""
    labels: list[str] = side["labels"]
    return labels


def explain_answers(
    config: Mapping[str, Any], parameters: Mapping[str, Mapping[str, Any]], decision: Mapping[str, Any]
) -> list[str]:
    """How labels are chosen, their thresholds, and the temperature."""
    thresholds = decision["thresholds"]
    lines = explain_pairs(config, symmetric=parameters["task"]["symmetric"])
    if thresholds is None:
        lines.append("Each text gets one label, the most probable.")
    else:
        chosen = dict(zip(config["id2label"].values(), thresholds, strict=True))
        shown = ", ".join(f"`{label}` {chosen[label]:.4f}" for label in list(chosen)[:MOST])
        more = f" and {len(chosen) - MOST} more" if len(chosen) > MOST else ""
        lines.append(f"A text gets each label whose `score` reaches its threshold, chosen on dev: {shown}{more}.")
    return [
        *lines,
        f"`score` is a probability, calibrated on dev (temperature {decision['temperature']:.4f}).",
        'With `params={"all_scores": True}` an answer has the score of each label, under `scores`.',
    ]


def print_answer(answer: Mapping[str, Any]) -> list[str]:
    """A line for each label, or one that says that there is none."""
    labels = answer.get("labels") or ([answer] if answer.get("label") else [])
    lines = [f"{found['label']}  ({found['score']:.2f})" for found in labels] or ["no label"]
    scores = sorted((answer.get("scores") or {}).items(), key=lambda item: -item[1])
    return [*lines, *(f"  {score:.4f}  {label}" for label, score in scores)]


def _tabulate_labels(splits: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    """The labels of each split: how many, how even, each with its share of the texts, and how many a text has."""
    labels = [figures.get("labels", {}) for figures in splits.values()]
    yield ["labels", *(f"{len(counts):,}" for counts in labels)]
    if len(list_names(splits, "labels")) > MOST:
        ranges = [sorted(counts.values()) or [0] for counts in labels]
        yield ["  texts of the most frequent", *(f"{counts[-1]:,}" for counts in ranges)]
        yield ["  of the median", *(f"{counts[len(counts) // 2]:,}" for counts in ranges)]
        yield ["  of the rarest", *(f"{counts[0]:,}" for counts in ranges)]
    yield from count_rows(splits, "labels", totals={split: figures["examples"] for split, figures in splits.items()})
    by_number = [
        {int(number): count for number, count in figures.get("labels_per_example", {}).items()}
        for figures in splits.values()
    ]
    for number in sorted({number for counts in by_number for number in counts} - {1}):
        noun = "no label" if number == 0 else f"{number} labels"
        yield [f"texts with {noun}", *(f"{counts.get(number, 0):,}" for counts in by_number)]


def _label(answer: Any) -> str:
    label: str = answer if isinstance(answer, str) else answer[0]
    return label


def _row(split: str, label: str, score: str, row: Mapping[str, Any], value: str, low: str, high: str) -> dict[str, Any]:
    figures = {"value": f"{row[value]:.4f}", "low": f"{row[low]:.4f}", "high": f"{row[high]:.4f}"}
    return {"split": split, "label": label, "score": score, **figures, "support": row["support"]}


def _cells(split: str, label: str, row: Mapping[str, Any], value: str, low: str, high: str) -> list[str]:
    return [split, label, f"{row[value]:.4f}", f"{row[low]:.4f} to {row[high]:.4f}", str(row["support"])]
