"""A comparison for the terminal, and the texts that the page shares with it."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.comparison.compare import SIDES, Comparison
from pipeline.formatting import format_commit, format_count, format_runs, format_time, format_value
from pipeline.terminal import make_table
from stages.scoring import CHANGES, Presentation, Words
from stages.statistics.names import shorten_score
from stages.statistics.significance import CONFIDENCE
from stages.tracking.version_artifacts import load_task

MAX_EXAMPLES = 3  # of each kind; --json and --html have more
DATA_KINDS = {
    "relabelled": "the same {words.text} with other {words.answers}",
    "moved": "in another split of the second",
    "removed": "only in the first",
    "added": "only in the second",
}
MEANINGS = {
    "broken": "the first is right, the second is not",
    "fixed": "the second is right, the first is not",
    "otherwise": "both are wrong, in different ways",
}
COUNTS = ("first", "second", "added", "removed", "relabelled", "moved_in", "moved_out")  # of a split's examples


def render_text(comparison: Comparison) -> Iterator[RenderableType]:
    """The parts to print in order; long lines are wrapped, never truncated, however narrow the terminal is."""
    presentation = load_task(comparison.task).presentation
    yield _versions(comparison)
    for line in list_warnings(comparison):
        yield _indent(Text(line, "yellow"), above=1, left=0)
    if comparison.scores:
        yield from _scores(comparison, presentation.WORDS)
    if comparison.predictions:
        yield from _predictions(comparison.predictions, presentation)
    yield from _params(comparison)
    yield from _data(comparison.data, presentation)
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


def format_significance(score: dict[str, Any], words: Words) -> list[str]:
    """The interval and the p-value of a difference of scores."""
    if score["interval"] is None:
        return [f"not on the same {words.examples}", ""]
    low, high = score["interval"]
    return [f"{low:+.4f} to {high:+.4f}", f"{score['p_value']:.4f}"]


def format_title(score: dict[str, Any], words: Words) -> str:
    """What the primary score of a comparison is called, at its head."""
    return words.title.format(score=shorten_score(score["primary"]["name"]))


def describe_kind(kind: str, words: Words) -> str:
    """What a kind of difference of the data is."""
    return DATA_KINDS[kind].format(words=words)


def list_gold(example: dict[str, Any], presentation: Presentation) -> dict[str, Any]:
    """An example of the data as a record with the gold answer of each side that has it, by the name of the side."""
    sides = {side: example[side] for side in SIDES if example[side]}
    answers = {side: presentation.read_answer(own) for side, own in sides.items()}
    return {**next(iter(sides.values())), **answers}


def select_examples(data: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The examples of one kind of difference of the data."""
    return [example for example in data["examples"] if kind in example["kinds"]]


def describe_location(example: dict[str, Any]) -> str:
    """Where an example is in the first and in the second data, and whether it was both relabelled and moved."""
    places = [f"{side['split']} ({side['where']})" for side in (example["first"], example["second"]) if side]
    return ", then ".join(places) + (", relabelled and moved" if len(example["kinds"]) > 1 else "")


def _versions(comparison: Comparison) -> Table:
    first, second = (comparison.versions[side] for side in SIDES)
    table = make_table("", version_label(first), version_label(second))
    for (name, first_value), (_, second_value) in zip(version_facts(first), version_facts(second), strict=True):
        table.add_row(name, first_value, second_value)
    return table


def _scores(comparison: Comparison, words: Words) -> Iterator[RenderableType]:
    yield _title(f"Scores: {format_title(next(iter(comparison.scores.values())), words)}")
    table = make_table("", "first", "second", "difference", f"{CONFIDENCE:.0%} interval", "p")
    for split, score in comparison.scores.items():
        table.add_row(split, *format_scores(score), *format_significance(score, words))
        if split == next(iter(comparison.scores)):
            for name, row in score["per_label"].items():
                table.add_row(f"  {name}", *format_scores(row))
    yield _indent(table)


def _predictions(predictions: dict[str, Any], presentation: Presentation) -> Iterator[RenderableType]:
    counts, noun = predictions["counts"], presentation.WORDS.example
    changed = format_count(sum(counts.values()), noun)
    yield _title(f"Predictions: {changed} of {predictions['total']} in test changed")
    for kind in CHANGES:
        yield _indent(f"{counts[kind]} {kind}: {MEANINGS[kind]}")
        for example in [example for example in predictions["examples"] if example["kind"] == kind][:MAX_EXAMPLES]:
            yield _example(f"{noun} {example['example']}", example, ("gold", *SIDES), presentation)


def _params(comparison: Comparison) -> Iterator[RenderableType]:
    yield _title("Parameters", remark="" if comparison.params else "the same")
    if comparison.params:
        table = make_table("", "first", "second")
        for key, values in comparison.params.items():
            table.add_row(key, *(format_value(values[side]) if side in values else "absent" for side in SIDES))
        yield _indent(table)


def _data(data: dict[str, Any], presentation: Presentation) -> Iterator[RenderableType]:
    yield _title("Data", remark=data["note"] or "")
    if not data["splits"]:
        return
    table = make_table(presentation.WORDS.examples, *(name.replace("_", " ") for name in COUNTS))
    for split, counts in data["splits"].items():
        table.add_row(split, *(str(counts[name]) for name in COUNTS))
    yield _indent(table)
    for kind in DATA_KINDS:
        if data["counts"][kind]:
            yield _indent(f"{data['counts'][kind]} {kind}: {describe_kind(kind, presentation.WORDS)}")
        for example in select_examples(data, kind)[:MAX_EXAMPLES]:
            sides = [side for side in SIDES if example[side]]
            yield _example(describe_location(example), list_gold(example, presentation), sides, presentation)


def _code(code: list[dict[str, Any]]) -> Iterator[RenderableType]:
    yield _title("Code of the stages", remark="" if code else "the same")
    if code:
        table = make_table("file", "", "read by")
        for file in code:
            table.add_row(file["path"], file["change"], ", ".join(file["stages"]))
        yield _indent(table)


def _example(title: str, record: dict[str, Any], sides: Sequence[str], presentation: Presentation) -> RenderableType:
    """An example with what each side says of it."""
    rows = presentation.show_text(record)
    rows += [(side, format_runs(presentation.show_answer(record, side, side))) for side in sides]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=max(len(name) for name, _ in rows), style="dim")
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, Text(value))
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
