"""Where the words and the tags of a corpus are, when the user says it and when not."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from stages.corpus.text.diagnostics import UnreadableError

AUTO = "auto"
WORD_NAMES = ("tokens", "words", "text", "sentence")
DOCUMENT_NAMES = ("document_id", "doc_id", "document", "doc")
TAG_NAMES = ("ner_tags", "tags", "labels", "label", "ner", "entities", "spans")


@dataclass(frozen=True)
class Columns:
    """The user's choice: a column number from 1, a field's name, or `auto`; and the folder that the corpus is."""

    words: int | str = AUTO
    tags: int | str = AUTO
    place: Path | None = None


def numbered(knob: str, value: int | str, width: int, where: object) -> int | None:
    """The column, from 0, of a file whose columns have no names; None for `auto`."""
    if value == AUTO:
        return None
    if not isinstance(value, int):
        raise UnreadableError(
            "column", where, f"its columns have no names; data.{knob} must be a number, not {value!r}"
        )
    if value > width:
        raise UnreadableError("column", where, f"has {width} columns, and data.{knob} names column {value}")
    return value - 1


def named(columns: Columns, present: Collection[str], where: object) -> tuple[str, str]:
    """The names of the columns or fields for words and tags, of those `present`."""
    words = _named("words", columns.words, WORD_NAMES, present, where)
    tags = _named("tags", columns.tags, TAG_NAMES, present, where)
    refuse_one_for_both(words, tags, where)
    return words, tags


def refuse_one_for_both(words: int | str, tags: int | str, where: object) -> None:
    """UnreadableError if words and tags would be read from the same place."""
    if words == tags:
        raise UnreadableError("column", where, f"data.words and data.tags both name {words!r}; they are two columns")


def _named(knob: str, value: int | str, known: tuple[str, ...], present: Collection[str], where: object) -> str:
    here = ", ".join(present) or "nothing"
    if value == AUTO:
        for name in known:
            if name in present:
                return name
        raise UnreadableError(
            "column", where, f"holds {here}, but no {knob} as {', '.join(known)}: name the field with data.{knob}"
        )
    if value not in present:
        raise UnreadableError("column", where, f"holds {here}, but no {value!r}, which data.{knob} names")
    return str(value)
