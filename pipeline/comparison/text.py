"""A comparison for the terminal, and the texts that the page shares with it."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.comparison.compare import CHANGES, SIDES, Comparison
from pipeline.comparison.mistakes import mark_entities
from pipeline.formatting import format_commit, format_count, format_time, format_value
from pipeline.terminal import make_table
from stages.statistics.significance import CONFIDENCE
from stages.tasks.token_classification.entities import OUTSIDE

MAX_EXAMPLES = 3  # sentences of each kind; --json and --html have more
DATA_KINDS = {
    "relabelled": "the same words with other tags",
    "moved": "in another split of the second",
    "removed": "only in the first",
    "added": "only in the second",
}
MEANINGS = {
    "broken": "the first is right, the second is not",
    "fixed": "the second is right, the first is not",
    "otherwise": "both are wrong, in different ways",
}
COUNTS = ("first", "second", "added", "removed", "relabelled", "moved_in", "moved_out")  # of a split's sentences


def render_text(comparison: Comparison) -> Iterator[RenderableType]:
    """The parts to print in order; long lines are wrapped, never truncated, however narrow the terminal is."""
    yield _versions(comparison)
    for line in list_warnings(comparison):
        yield _indent(Text(line, "yellow"), above=1, left=0)
    if comparison.scores:
        yield from _scores(comparison)
    if comparison.predictions:
        yield from _predictions(comparison.predictions)
    yield from _params(comparison)
    yield from _data(comparison.data)
    yield from _code(comparison.code)
    yield _title("Environment", remark="the same" if not comparison.environment else "")
    yield from (_indent(line) for line in comparison.environment)


def version_label(version: dict[str, Any]) -> str:
    """NAME/VERSION."""
    return f"{version['name']}/{version['version']}"


def version_facts(version: dict[str, Any]) -> list[tuple[str, str]]:
    """Label and value of each fact about a version as a whole."""
    git = version["git"]
    return [
        ("aliases", ", ".join(version["aliases"]) or "none"),
        ("registered", format_time(version["registered"])),
        ("git commit", format_commit(git["commit"], dirty=git["dirty"], reason=git["reason"])),
        ("model digest", version["digest"]),
        ("MLflow run", version["mlflow_run"] or "none"),
    ]


def list_warnings(comparison: Comparison) -> list[str]:
    """Reasons to distrust the comparison, and its note."""
    lines = [
        f"the recorded {name} of {version_label(version)} is not the one that was registered"
        for version in comparison.versions.values()
        for name in version["altered"]
    ]
    return lines + ([comparison.note] if comparison.note else [])


def format_scores(row: dict[str, Any]) -> list[str]:
    """Two scores and their difference."""
    first, second = row["first"], row["second"]
    difference = "" if None in (first, second) else f"{second - first:+.4f}"
    return [*("none" if value is None else f"{value:.4f}" for value in (first, second)), difference]


def format_significance(score: dict[str, Any]) -> list[str]:
    """The interval and the p-value of a difference of scores."""
    if score["interval"] is None:
        return ["not on the same sentences", ""]
    low, high = score["interval"]
    return [f"{low:+.4f} to {high:+.4f}", f"{score['p_value']:.4f}"]


def extract_entities(tags: list[str]) -> list[tuple[str, int, int]]:
    """The entities of a sentence as name, first word, word after the last; different tags give different entities.

    The name is the type, or the whole tag of an I- that continues no entity: strict scoring does not count it.
    """
    found: list[tuple[str, int, int]] = []
    current = ""  # the type that an I- would continue
    for position, tag in enumerate(tags):
        kind = "" if tag == OUTSIDE else tag[2:]
        if kind and kind == current and tag.startswith("I-"):
            name, first, _ = found[-1]
            found[-1] = (name, first, position + 1)
        elif kind:
            found.append((kind if tag.startswith("B-") else tag, position, position + 1))
        current = kind
    return found


def select_examples(data: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The examples of one kind of difference of the data."""
    return [example for example in data["examples"] if kind in example["kinds"]]


def describe_location(example: dict[str, Any]) -> str:
    """Where a sentence is in the first and in the second data, and whether it was both relabelled and moved."""
    places = [f"{side['split']} ({side['where']})" for side in (example["first"], example["second"]) if side]
    return ", then ".join(places) + (", relabelled and moved" if len(example["kinds"]) > 1 else "")


def _versions(comparison: Comparison) -> Table:
    first, second = (comparison.versions[side] for side in SIDES)
    table = make_table("", version_label(first), version_label(second))
    for (name, first_value), (_, second_value) in zip(version_facts(first), version_facts(second), strict=True):
        table.add_row(name, first_value, second_value)
    return table


def _scores(comparison: Comparison) -> Iterator[RenderableType]:
    yield _title("Scores: F1 of entities")
    table = make_table("", "first", "second", "difference", f"{CONFIDENCE:.0%} interval", "p")
    for split, score in comparison.scores.items():
        table.add_row(split, *format_scores(score), *format_significance(score))
        if split == next(iter(comparison.scores)):
            for name, row in score["per_type"].items():
                table.add_row(f"  {name}", *format_scores(row))
    yield _indent(table)


def _predictions(predictions: dict[str, Any]) -> Iterator[RenderableType]:
    counts = predictions["counts"]
    changed = format_count(sum(counts.values()), "sentence")
    yield _title(f"Predictions: {changed} of {predictions['sentences']} in test changed")
    for kind in CHANGES:
        yield _indent(f"{counts[kind]} {kind}: {MEANINGS[kind]}")
        for example in [example for example in predictions["examples"] if example["kind"] == kind][:MAX_EXAMPLES]:
            yield _sentence(
                f"sentence {example['sentence']}",
                example["words"],
                {side: example[side] for side in ("gold", *SIDES)},
            )


def _params(comparison: Comparison) -> Iterator[RenderableType]:
    yield _title("Parameters", remark="" if comparison.params else "the same")
    if comparison.params:
        table = make_table("", "first", "second")
        for key, values in comparison.params.items():
            table.add_row(key, *(format_value(values[side]) if side in values else "absent" for side in SIDES))
        yield _indent(table)


def _data(data: dict[str, Any]) -> Iterator[RenderableType]:
    yield _title("Data", remark=data["note"] or "")
    if not data["splits"]:
        return
    table = make_table("sentences", *(name.replace("_", " ") for name in COUNTS))
    for split, counts in data["splits"].items():
        table.add_row(split, *(str(counts[name]) for name in COUNTS))
    yield _indent(table)
    for kind, meaning in DATA_KINDS.items():
        if data["counts"][kind]:
            yield _indent(f"{data['counts'][kind]} {kind}: {meaning}")
        for example in select_examples(data, kind)[:MAX_EXAMPLES]:
            sides = {side: example[side]["tags"] for side in SIDES if example[side]}
            yield _sentence(describe_location(example), (example["first"] or example["second"])["words"], sides)


def _code(code: list[dict[str, Any]]) -> Iterator[RenderableType]:
    yield _title("Code of the stages", remark="" if code else "the same")
    if code:
        table = make_table("file", "", "read by")
        for file in code:
            table.add_row(file["path"], file["change"], ", ".join(file["stages"]))
        yield _indent(table)


def _sentence(title: str, words: list[str], sides: dict[str, list[str]]) -> RenderableType:
    """A sentence with the entities of each side, `[words TYPE]`."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=max(map(len, sides)), style="dim")
    grid.add_column(overflow="fold")
    for side, tags in sides.items():
        grid.add_row(side, Text(mark_entities(words, [list(entity) for entity in extract_entities(tags)])))
    above = Table.grid()
    above.add_row(Text(title, "dim", overflow="fold"))
    above.add_row(grid)
    return _indent(above, left=4)


def _title(text: str, *, remark: str = "") -> Padding:
    return _indent(Text.assemble((text, "bold"), f": {remark}" if remark else ""), above=1, left=0)


def _indent(part: RenderableType, *, above: int = 0, left: int = 2) -> Padding:
    """Indent a part by a Padding, in which text wraps even if the console does not wrap lines."""
    content = Text(part) if isinstance(part, str) else part
    if isinstance(content, Text):
        content.no_wrap, content.overflow = False, "fold"
    return Padding(content, (above, 0, 0, left), expand=False)
