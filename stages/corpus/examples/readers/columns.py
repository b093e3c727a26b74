"""Which columns or fields hold texts, answers and slices, as the user says or as their names suggest."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from stages.corpus.examples.readers.params import Answers
from stages.corpus.readers.columns import AUTO
from stages.corpus.text.diagnostics import UnreadableError

Wanted = Literal["labels", "numbers"]

TEXT_NAMES = (
    "text", "sentence", "text1", "texta", "sentence1", "premise", "question", "question1", "review", "reviewtext",
    "reviewbody", "utterance", "query", "content", "body", "message", "comment", "commenttext", "tweet", "post",
    "document", "article", "description", "headline", "title", "input", "data",
)  # fmt: skip
PAIR_NAMES = (
    "textpair", "pair", "text2", "textb", "sentence2", "hypothesis", "question2", "answer", "passage", "context",
    "response", "paraphrase",
)  # fmt: skip
LABEL_NAMES = (  # those of names before those of numbers: datasets often have both
    "labeltext", "labelname", "label", "labels", "intent", "intents", "category", "categories", "class", "classes",
    "sentiment", "topic", "topics", "emotion", "emotions", "target", "targets", "tag", "tags", "accept", "choice",
    "choices", "polarity", "output", "y",
)  # fmt: skip
TARGET_NAMES = (
    "target", "targets", "score", "scores", "rating", "ratings", "stars", "value", "number", "similarity",
    "similarityscore", "relevance", "severity", "label", "labels", "y",
)  # fmt: skip
SHOWN_CHARACTERS = 200  # of the names of columns in a message
IGNORED = re.compile(r"[\s_\-.]")  # in a name, as is the case of its letters


@dataclass(frozen=True)
class Columns:
    """What is wanted of each record, as the parameters say it; `place` is the folder of the corpus."""

    place: Path
    wanted: Wanted
    multi_label: bool
    text: int | str
    pair: int | str | None
    answers: Answers
    slices: tuple[str, ...]
    split: int | str | None
    separator: str | None
    symmetric: bool = False  # whether two texts are the same pair in either order


@dataclass(frozen=True)
class Chosen:
    """The names of the columns of one file. Columns without names are called 1, 2, 3 ..."""

    text: str
    pair: str | None
    answers: tuple[str, ...]
    is_spread: bool  # whether each label has a column of 0 and 1
    slices: tuple[str, ...]
    split: str | None
    extra: tuple[str, ...]  # that are not read

    @property
    def names(self) -> list[str]:
        """All columns that are read, each once."""
        wanted = (self.text, self.pair, *self.answers, *self.slices, self.split)
        return list(dict.fromkeys(name for name in wanted if name is not None))


def number_names(width: int) -> list[str]:
    """Return the names of columns that have none."""
    return [str(number) for number in range(1, width + 1)]


def choose_columns(columns: Columns, present: Sequence[str], where: object) -> Chosen:
    """Choose the columns to read among those `present`; UnreadableError with all that are missing."""
    faults: list[str] = []

    def choose(parameter: str, value: int | str, usual: Sequence[str]) -> str:
        name = _find_usual(usual, present) if value == AUTO else _find(value, present)
        if name is None:
            faults.append(_describe_missing(parameter, value, usual, present))
        return name or ""

    text = choose("text", columns.text, TEXT_NAMES)
    others = [name for name in present if name != text]
    pair = None
    if columns.pair is not None:
        pair = choose(
            "text_pair", columns.pair, [name for name in PAIR_NAMES if _find_usual([name], others)] or PAIR_NAMES
        )
    answers, parameter = columns.answers.columns, columns.answers.parameter
    usual = LABEL_NAMES if columns.wanted == "labels" else TARGET_NAMES
    if isinstance(answers, tuple):
        chosen = tuple(choose(parameter, column, usual) for column in answers)
    else:
        chosen = (choose(parameter, answers, usual),)
    slices = tuple(choose("slices", name, ()) for name in columns.slices)
    split = None if columns.split is None else choose("split_column", columns.split, ())
    if faults:
        raise UnreadableError("column", where, f"holds {show_names(present)}, but {'; '.join(faults)}")
    read = [text, *([pair] if pair else []), *chosen]
    if repeated := next(
        (name for name in (*read, *slices, split) if name is not None and present.count(name) > 1), None
    ):
        message = f"has {present.count(repeated)} columns named {repeated!r}; give each a name of its own"
        raise UnreadableError("column", where, message)
    if repeated := next((name for name in read if read.count(name) > 1), None):
        message = f"text, text_pair and {parameter} would all be read from {repeated!r}: name each with data.*"
        raise UnreadableError("column", where, message)
    used = {*read, *slices, split}
    extra = tuple(name for name in present if name not in used)
    is_spread = isinstance(answers, tuple) and columns.wanted == "labels"
    return Chosen(text, pair, chosen, is_spread, slices, split, extra)


def show_names(names: Sequence[str]) -> str:
    """Return the names of columns for a message: the first of many."""
    shown = ", ".join(map(repr, names)) or "nothing"
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]} ..."


def has_usual_name(columns: Columns, names: Sequence[str]) -> bool:
    """Whether any of these cells is a column's name, as the parameters or custom have it."""
    answers = columns.answers.columns
    said = [columns.text, columns.pair, columns.split, *columns.slices]
    said += answers if isinstance(answers, tuple) else [answers]
    if any(name in said for name in names if name != AUTO):
        return True
    usual = {*TEXT_NAMES, *PAIR_NAMES, *LABEL_NAMES, *TARGET_NAMES} - {"y", "data"}
    return any(_reduce(name) in usual for name in names)


def _find(value: int | str, present: Sequence[str]) -> str | None:
    if isinstance(value, int):
        return present[value - 1] if value <= len(present) else None
    return value if value in present else None


def _find_usual(usual: Sequence[str], present: Sequence[str]) -> str | None:
    reduced = {_reduce(name): name for name in reversed(present)}
    return next((reduced[name] for name in usual if name in reduced), None)


def _reduce(name: str) -> str:
    return IGNORED.sub("", name).casefold()


def _describe_missing(parameter: str, value: int | str, usual: Sequence[str], present: Sequence[str]) -> str:
    if value == AUTO:
        return f"no {parameter} as {', '.join(usual[:6])}: name the column with data.{parameter}"
    if isinstance(value, int):
        return f"data.{parameter} names column {value}, and there are {len(present)}"
    near = get_close_matches(value, present, n=1, cutoff=0.6)
    return f"no {value!r}, which data.{parameter} names{f'; did you mean {near[0]!r}?' if near else ''}"
