"""Tasks as Label Studio exports them: the texts that were annotated, with their spans."""

import re
from collections import Counter
from typing import Any

from stages.corpus.annotations.spans import Span, is_said, parse_span
from stages.corpus.text.diagnostics import AnnotationError

# What the text is where the labelling configuration says valueType="url": the export has the offsets alone.
ADDRESS = re.compile(r"\s*(?:/data/(?:upload|local-files)/\S+|(?:https?|s3|gs|azure-blob)://\S+)\s*")
TEXT_LABELS = "labels"  # the type of a region of plain text; others are hypertextlabels, paragraphlabels ...


def is_task(record: dict[str, Any]) -> bool:
    """Whether a record is a task of an export."""
    return isinstance(record.get("data"), dict) and isinstance(record.get("annotations"), list)


def read_task(task: dict[str, Any], field: str | None, notes: Counter[str]) -> list[tuple[str, list[Span]]]:
    """Return each annotated text of a task with the spans of its first annotation; none if the task is not annotated.

    `field` names the text to read; without it, each that has spans is read. `notes` counts what is
    skipped, by reason. AnnotationError if the spans are not of plain text, or if it is not clear of which text.
    """
    annotation = choose_annotation(task, notes)
    if annotation is None:
        return []
    texts = {name: value for name, value in task["data"].items() if isinstance(value, str)}
    of_object: dict[str, list[Span]] = {}
    for name, span in _list_regions(annotation.get("result")):
        of_object.setdefault(name, []).append(span)
    if not of_object:
        return _choose_unlabelled(texts, field, notes)
    of_text: dict[str, list[Span]] = {}
    for name, spans in of_object.items():
        of_text.setdefault(_find_text(name, spans, texts, field), []).extend(spans)
    if field in texts:
        notes["texts that data.words does not name were skipped"] += sum(name != field for name in of_text)
        return [(texts[name], of_text.get(name, [])) for name in texts if name == field]
    return [(text, of_text[name]) for name, text in texts.items() if name in of_text]


def choose_annotation(task: dict[str, Any], notes: Counter[str]) -> dict[str, Any] | None:
    """Return the first annotation of a task that was not cancelled, if any; `notes` counts what is skipped."""
    done = [a for a in task["annotations"] if isinstance(a, dict) and not a.get("was_cancelled")]
    if not done:
        notes["tasks without an annotation were skipped"] += 1
        return None
    if len(done) > 1:
        notes["tasks have several annotations; the first was used"] += 1
    return done[0]


def refuse_address(text: str) -> None:
    """Raise AnnotationError if what stands for the text, and does not fit its spans, is an address."""
    if ADDRESS.fullmatch(text):
        raise AnnotationError(
            f'its text is an address, {text.strip()[:80]!r}: of a project with valueType="url", Label Studio exports '
            "the spans without the text. Write the content of that file in place of its address"
        )


def _list_regions(results: Any) -> list[tuple[str, Span]]:
    """Return each span with the name of the object that it marks; other results, such as choices, have none."""
    if not isinstance(results, list):
        raise AnnotationError("the annotation of this task has no list `result`")
    regions = []
    for result in results:
        kind = result.get("type", TEXT_LABELS) if isinstance(result, dict) else None
        if kind == TEXT_LABELS:
            value = result.get("value")
            if isinstance(value, dict) and isinstance(value.get("start"), str):
                raise AnnotationError(f"a span starts at {value['start'][:80]!r}: HTML; only plain text is read")
            regions.append((str(result.get("to_name", "")), parse_span(value)))
        elif not isinstance(kind, str) or kind.endswith(TEXT_LABELS):
            raise AnnotationError(f"an annotation of type {kind} in it; only labels of plain text are read")
    return regions


def _find_text(name: str, spans: list[Span], texts: dict[str, str], field: str | None) -> str:
    """Return the field of the text that the object `name` of the labelling configuration shows.

    The export does not say which that is, and the names of both are often the same, but need not be.
    """
    fitting = [each for each, text in texts.items() if _fits(spans, text)] if len(texts) > 1 else list(texts)
    for choice in (name, field):
        if choice is not None and choice in (fitting or texts):
            return choice
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(texts) or "no text"
    raise AnnotationError(
        f"its data holds {names}: name the field that was annotated{f' as {name}' if name else ''} with data.words"
    )


def _fits(spans: list[Span], text: str) -> bool:
    return all(0 <= span.start < span.end <= len(text) and is_said(span, text) for span in spans)


def _choose_unlabelled(texts: dict[str, str], field: str | None, notes: Counter[str]) -> list[tuple[str, list[Span]]]:
    """Return the text of a task in which nothing was marked, if it is clear which that is."""
    for name in (field, "text", *(texts if len(texts) == 1 else ())):
        if name in texts:
            return [(texts[str(name)], [])]
    notes["tasks without a span and with several texts were skipped; choose one with data.words"] += 1
    return []
