"""Slow and plain ways to the same results, written for a reader, against which the fast ones are tested."""

from collections.abc import Sequence


def entities(tags: Sequence[str], *, strict: bool) -> list[tuple[str, int, int]]:
    """Entities of one sentence as (type, first word, word after the last).

    Strict: an entity opens with B-, and an I- that continues none is nothing. Else it opens one, as in conlleval.
    """
    found: list[tuple[str, int, int]] = []
    open_type: str | None = None
    for index, tag in enumerate(tags):
        prefix, kind = tag[0], tag[2:]
        if prefix == "I" and kind == open_type:
            found[-1] = (kind, found[-1][1], index + 1)
        elif prefix == "B" or (prefix == "I" and not strict):
            found.append((kind, index, index + 1))
            open_type = kind
        else:
            open_type = None
    return found


def tags_of(entities: Sequence[tuple[str, int, int]], words: int) -> list[str]:
    """IOB2 tags of a sentence of `words` words with these entities."""
    tags = ["O"] * words
    for kind, first, after in entities:
        tags[first:after] = [f"B-{kind}", *[f"I-{kind}"] * (after - first - 1)]
    return tags
