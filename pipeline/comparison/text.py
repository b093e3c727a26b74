"""A comparison for the terminal; and the words in which its facts are told, on the page as well."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.comparison.compare import CHANGES, SIDES, Comparison
from pipeline.comparison.mistakes import marked
from pipeline.formatting import commit, counted, moment, shown
from stages.statistics.significance import CONFIDENCE
from stages.tasks.token_classification.entities import OUTSIDE

SHOWN = 3  # sentences of each kind; --json and --html have more
DATA_KINDS = {
    "relabelled": "the same words with other tags",
    "moved": "in another split now",
    "removed": "only in the first",
    "added": "only in the second",
}
MEANINGS = {
    "broken": "the first is right, the second is not",
    "fixed": "the second is right, the first is not",
    "otherwise": "both are wrong, but not in the same way",
}
COUNTS = ("first", "second", "added", "removed", "relabelled", "moved_in", "moved_out")  # of a split's sentences


def rendered(comparison: Comparison) -> Iterator[RenderableType]:
    """What to print, part by part; long lines are folded, never cut, however narrow the terminal is."""
    yield _versions(comparison)
    for line in warnings(comparison):
        yield _indented(Text(line, "yellow"), above=1, left=0)
    if comparison.scores:
        yield from _scores(comparison)
    if comparison.predictions:
        yield from _predictions(comparison.predictions)
    yield from _params(comparison)
    yield from _data(comparison.data)
    yield from _code(comparison.code)
    yield _title("Environment", nothing="the same" if not comparison.environment else "")
    yield from (_indented(line) for line in comparison.environment)


def label(version: dict[str, Any]) -> str:
    """NAME/VERSION."""
    return f"{version['name']}/{version['version']}"


def facts(version: dict[str, Any]) -> list[tuple[str, str]]:
    """What is known of a version as a whole, in pairs of label and value."""
    return [
        ("aliases", ", ".join(version["aliases"]) or "none"),
        ("registered", moment(version["registered"])),
        ("git commit", commit(version["git"])),
        ("model digest", version["digest"]),
        ("MLflow run", version["mlflow_run"] or "none"),
    ]


def warnings(comparison: Comparison) -> list[str]:
    """What is to be known before anything is believed."""
    lines = [
        f"the recorded {name} of {label(version)} is not the one that was registered"
        for version in comparison.versions.values()
        for name in version["altered"]
    ]
    return lines + ([comparison.note] if comparison.note else [])


def figures(row: dict[str, Any]) -> list[str]:
    """Two scores and their difference."""
    first, second = row["first"], row["second"]
    difference = "" if None in (first, second) else f"{second - first:+.4f}"
    return [*("none" if value is None else f"{value:.4f}" for value in (first, second)), difference]


def certainty(score: dict[str, Any]) -> list[str]:
    """How sure a difference of scores is: its interval and p-value."""
    if score["interval"] is None:
        return ["not on the same sentences", ""]
    low, high = score["interval"]
    return [f"{low:+.4f} to {high:+.4f}", f"{score['p_value']:.4f}"]


def entities(tags: list[str]) -> list[tuple[str, int, int]]:
    """The entities of a sentence: name, first word, word after the last; no two sequences of tags have the same.

    The name is the type, or the whole tag of an I- that goes on with nothing: scored strictly, that is no entity.
    """
    found: list[tuple[str, int, int]] = []
    inside = ""  # the type that an I- would go on with
    for place, tag in enumerate(tags):
        kind = "" if tag == OUTSIDE else tag[2:]
        if kind and kind == inside and tag.startswith("I-"):
            name, first, _ = found[-1]
            found[-1] = (name, first, place + 1)
        elif kind:
            found.append((kind if tag.startswith("B-") else tag, place, place + 1))
        inside = kind
    return found


def of_kind(data: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The examples of one kind of difference of the data."""
    return [example for example in data["examples"] if kind in example["kinds"]]


def place(example: dict[str, Any]) -> str:
    """Where a sentence of the data stood, and where it stands; of one that was moved, whether it was relabelled too."""
    places = [f"{side['split']} ({side['where']})" for side in (example["first"], example["second"]) if side]
    return ", then ".join(places) + (", relabelled and moved" if len(example["kinds"]) > 1 else "")


def _versions(comparison: Comparison) -> Table:
    first, second = (comparison.versions[side] for side in SIDES)
    table = _table("", label(first), label(second))
    for (name, one), (_, other) in zip(facts(first), facts(second), strict=True):
        table.add_row(name, one, other)
    return table


def _scores(comparison: Comparison) -> Iterator[RenderableType]:
    yield _title("Scores: F1 of entities")
    table = _table("", "first", "second", "difference", f"{CONFIDENCE:.0%} interval", "p")
    for split, score in comparison.scores.items():
        table.add_row(split, *figures(score), *certainty(score))
        if split == next(iter(comparison.scores)):
            for name, row in score["per_type"].items():
                table.add_row(f"  {name}", *figures(row))
    yield _indented(table)


def _predictions(predictions: dict[str, Any]) -> Iterator[RenderableType]:
    counts = predictions["counts"]
    changed = counted(sum(counts.values()), "sentence")
    yield _title(f"Predictions: {changed} of {predictions['sentences']} in test changed")
    for kind in CHANGES:
        yield _indented(f"{counts[kind]} {kind}: {MEANINGS[kind]}")
        for example in [example for example in predictions["examples"] if example["kind"] == kind][:SHOWN]:
            yield _sentence(
                f"sentence {example['sentence']}",
                example["words"],
                {side: example[side] for side in ("gold", *SIDES)},
            )


def _params(comparison: Comparison) -> Iterator[RenderableType]:
    yield _title("Parameters", nothing="" if comparison.params else "the same")
    if comparison.params:
        table = _table("", "first", "second")
        for key, values in comparison.params.items():
            table.add_row(key, *(shown(values[side]) if side in values else "absent" for side in SIDES))
        yield _indented(table)


def _data(data: dict[str, Any]) -> Iterator[RenderableType]:
    yield _title("Data", nothing=data["note"] or "")
    if not data["splits"]:
        return
    table = _table("sentences", *(name.replace("_", " ") for name in COUNTS))
    for split, counts in data["splits"].items():
        table.add_row(split, *(str(counts[name]) for name in COUNTS))
    yield _indented(table)
    for kind, meaning in DATA_KINDS.items():
        if data["counts"][kind]:
            yield _indented(f"{data['counts'][kind]} {kind}: {meaning}")
        for example in of_kind(data, kind)[:SHOWN]:
            sides = {side: example[side]["tags"] for side in SIDES if example[side]}
            yield _sentence(place(example), (example["first"] or example["second"])["words"], sides)


def _code(code: list[dict[str, Any]]) -> Iterator[RenderableType]:
    yield _title("Code of the stages", nothing="" if code else "the same")
    if code:
        table = _table("file", "", "read by")
        for file in code:
            table.add_row(file["path"], file["change"], ", ".join(file["stages"]))
        yield _indented(table)


def _sentence(title: str, words: list[str], sides: dict[str, list[str]]) -> RenderableType:
    """A sentence with the entities of each side, `[words TYPE]`."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=max(map(len, sides)), style="dim")
    grid.add_column(overflow="fold")
    for side, tags in sides.items():
        grid.add_row(side, Text(marked(words, [list(entity) for entity in entities(tags)])))
    above = Table.grid()
    above.add_row(Text(title, "dim", overflow="fold"))
    above.add_row(grid)
    return _indented(above, left=4)


def _title(text: str, *, nothing: str = "") -> Padding:
    return _indented(Text.assemble((text, "bold"), f": {nothing}" if nothing else ""), above=1, left=0)


def _indented(part: RenderableType, *, above: int = 0, left: int = 2) -> Padding:
    """In a Padding, since a console that folds nothing folds what is in one all the same."""
    shown_part = Text(part) if isinstance(part, str) else part
    if isinstance(shown_part, Text):
        shown_part.no_wrap, shown_part.overflow = False, "fold"
    return Padding(shown_part, (above, 0, 0, left))


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    return table
