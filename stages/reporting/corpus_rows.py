"""Rows of the table that `tuneline check` shows of a corpus: a label, and a cell for each split."""

from collections.abc import Iterator, Mapping
from typing import Any

Splits = Mapping[str, Mapping[str, Any]]  # the figures of each split
Row = list[str]

MOST = 20  # of labels or values that are all shown
ENDS = 8  # of more, so many of the most frequent and as many of the rarest are shown


def count_row(label: str, splits: Splits, *path: str) -> Row:
    """The number at a path in the figures of each split; empty where a split has none."""
    numbers = [_find(figures, path) for figures in splits.values()]
    return [label, *("" if number is None else f"{number:,}" for number in numbers)]


def count_rows(splits: Splits, key: str, *, totals: Mapping[str, int] | None = None) -> Iterator[Row]:
    """The counts by name at `key`, the most frequent name first; of many names, the first and the last ones.

    With `totals`, the share of each split's total stands beside each count.
    """
    names = list_names(splits, key)
    shown = names if len(names) <= MOST else [*names[:ENDS], *names[-ENDS:]]
    for place, name in enumerate(shown):
        if place == ENDS and len(shown) < len(names):
            yield [f"  ... {len(names) - len(shown):,} more", *("" for _ in splits)]
        counts = [figures.get(key, {}).get(name, 0) for figures in splits.values()]
        shares = [""] * len(counts)
        if totals is not None:
            of = [totals[split] for split in splits]
            shares = [f" ({count / total:4.0%})" if total else "" for count, total in zip(counts, of, strict=True)]
        cells = [f"{count:,}{share}" for count, share in zip(counts, shares, strict=True)]
        yield [f"  {name if name.isprintable() else repr(name)}", *cells]


def list_names(splits: Splits, key: str) -> list[str]:
    """The names that the counts at `key` have in any split, the most frequent first, equal ones by name."""
    totals: dict[str, int] = {}
    for figures in splits.values():
        for name, count in figures.get(key, {}).items():
            totals[name] = totals.get(name, 0) + count
    return sorted(totals, key=lambda name: (-totals[name], name))


def length_rows(splits: Splits, *, example: str, examples: str, window: int) -> Iterator[Row]:
    """How many tokens the examples have, and how many are longer than a window; none if tokens were not counted."""
    if not all("tokens" in figures for figures in splits.values()):
        return
    yield [f"tokens of a {example}", *("" for _ in splits)]
    for label, key in (("  half have at most", "median"), ("  90 %", "p90"), ("  99 %", "p99"), ("  all", "max")):
        yield count_row(label, splits, "tokens", key)
    yield count_row(f"  {examples} over {window:,}, the window", splits, "longer_than_window")


def example_rows(profile: Mapping[str, Any], answers: Iterator[Row], *, example: str, examples: str) -> list[Row]:
    """The rows of labelled texts: their number, the rows of their `answers`, their slices and their lengths."""
    splits: Splits = profile["splits"]
    rows = [count_row(examples, splits, "examples")]
    if any("dropped" in figures for figures in splits.values()):
        rows.append(count_row("  left out for their faults", splits, "dropped"))
    rows += answers
    for column in next(iter(splits.values()), {}).get("slices", {}):
        values = {split: {"values": figures.get("slices", {}).get(column, {})} for split, figures in splits.items()}
        rows.append([f"slice {column}", *(f"{len(figures['values']):,} values" for figures in values.values())])
        rows += count_rows(values, "values")
    rows += length_rows(splits, example=example, examples=examples, window=profile["window"])
    if any("unknown_tokens" in figures for figures in splits.values()):
        rows.append(count_row("words unknown to the tokenizer", splits, "unknown_tokens"))
    return rows


def _find(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if value is not None else None
    return value
