"""Texts and pairs of texts as a served model takes them."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

READS_PAIRS = "text_pair"  # in a model's config.json
PAIR_AS_LINE = 'TEXT, a tab, TEXT; or {"text": "...", "pair": "..."}'
SAMPLE = "The delivery arrived two days late, and nobody answered the phone."
SAMPLE_PAIR = "It took two days longer than promised."


class TextPair(BaseModel):
    """Two texts, such as a question and its answer; fields beside them are not read."""

    text: str
    pair: str


def read_text(given: str | Mapping[str, Any]) -> str:
    """A line, or the `text` of a record; ValueError, which says what is wrong, if it has none, or a second one."""
    if isinstance(given, str):
        return given
    if given.get("pair") is not None:
        raise ValueError("has a second text under `pair`, and this model reads one: leave it out, or join the two")
    return _read_field(given, "text")


def read_pair(given: str | Mapping[str, Any]) -> dict[str, str]:
    """Both texts of a line, with a tab between them, or of a record; ValueError, likewise, unless there are two."""
    if not isinstance(given, str):
        return {name: _read_field(given, name) for name in TextPair.model_fields}
    texts = given.split("\t")
    if len(texts) != 2:
        found = "one text" if len(texts) == 1 else f"{len(texts)} texts"
        raise ValueError(f"holds {found}, and this model reads pairs: {PAIR_AS_LINE}")
    return dict(zip(TextPair.model_fields, texts, strict=True))


def explain_pairs(config: Mapping[str, Any], *, symmetric: bool) -> list[str]:
    """For the model card, that the model with this config.json reads pairs, if it does."""
    if not config.get(READS_PAIRS):
        return []
    order = "; their order changes no answer" if symmetric else "; their order matters"
    return [f"Reads two texts, `text` and `pair`{order}."]


def _read_field(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if isinstance(value, str):
        return value
    if value is not None:
        raise ValueError(f"has {value!r:.80} under `{name}`, which is no text")
    there = ", ".join(f"`{key}`" for key in record) or "nothing"
    raise ValueError(f"has no text under `{name}`; there is {there}")
