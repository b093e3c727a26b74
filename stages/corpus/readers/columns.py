"""Which columns or fields hold the words and the tags, as the user says or as their names or contents suggest."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.corpus.annotations.offsets import Unit
from stages.corpus.text.diagnostics import UnreadableError

AUTO = "auto"
WORD_NAMES = ("tokens", "words", "text", "sentence")
DOCUMENT_NAMES = ("document_id", "doc_id", "document", "doc")
TAG_NAMES = ("ner_tags", "tags", "labels", "label", "ner", "entities", "spans")


@dataclass(frozen=True)
class Columns:
    """The parameters data.words and data.tags: a column number from 1, a field's name, or `auto`; and data.offsets.

    `place` is the folder of the corpus.
    """

    words: int | str = AUTO
    tags: int | str = AUTO
    place: Path | None = None
    offsets: Unit = "characters"


def column_index(parameter: str, value: int | str, width: int, where: object) -> int | None:
    """Return the column, from 0, that data.`parameter` names in a file without column names; None for `auto`."""
    if value == AUTO:
        return None
    if not isinstance(value, int):
        raise UnreadableError(
            "column", where, f"its columns have no names; data.{parameter} must be a number, not {value!r}"
        )
    if value > width:
        raise UnreadableError("column", where, f"has {width} columns, and data.{parameter} names column {value}")
    return value - 1


def choose_names(columns: Columns, present: Collection[str], where: object) -> tuple[str, str]:
    """Choose the columns or fields of words and of tags among the names that are `present`."""
    words = choose_name("words", columns.words, WORD_NAMES, present, where)
    tags = choose_name("tags", columns.tags, TAG_NAMES, present, where)
    require_two_columns(words, tags, where)
    return words, tags


def require_two_columns(words: int | str, tags: int | str, where: object) -> None:
    """Raise UnreadableError if words and tags would be read from one column."""
    if words == tags:
        message = f"data.words and data.tags both name {words!r}; they must be two columns"
        raise UnreadableError("column", where, message)


def choose_name(parameter: str, value: int | str, usual: Sequence[str], present: Collection[str], where: object) -> str:
    """Choose the column or field that data.`parameter` names, or the first of the `usual` ones for `auto`."""
    names = ", ".join(present) or "nothing"
    if value == AUTO:
        for name in usual:
            if name in present:
                return name
        message = f"holds {names}, but no {parameter} as {', '.join(usual)}: name the field with data.{parameter}"
        raise UnreadableError("column", where, message)
    if value not in present:
        raise UnreadableError("column", where, f"holds {names}, but no {value!r}, which data.{parameter} names")
    return str(value)
