"""Binary records of Prodigy, each a decision on one span: the accepted spans of a text are merged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.corpus.text.diagnostics import Diagnostics, UnreadableError

Record = dict[str, Any]
MERGED_LIMIT = 1 << 24  # characters of texts, which wait in memory for further records
ACCEPTED = "accept"


def merge_binary_records(
    path: Path, records: Iterator[tuple[int, Record]], diagnostics: Diagnostics
) -> Iterator[tuple[int, Record]]:
    """Yield each record with its line; binary ones come last, one for each text, with all spans that were accepted.

    A binary record, as ner.teach writes it, says nothing of the other words of its text. A warning counts the texts.
    """
    texts: dict[tuple[str, str], tuple[int, Record]] = {}
    spans: dict[tuple[str, str], dict[str, Any]] = {}
    characters = 0
    for line, record in records:
        if not _is_accepted_decision(record):
            yield line, record
            continue
        key = str(record.get("_input_hash")), record["text"]
        if key not in texts:
            characters += len(record["text"])
            if characters > MERGED_LIMIT:
                message = (
                    "binary records of Prodigy with over 16 million characters of text, too many to merge in memory. "
                    "Divide the file, with all records of a text in one part"
                )
                raise UnreadableError("size", f"{path}:{line}", message)
            texts[key], spans[key] = (line, record), {}
        for span in record["spans"]:
            spans[key][str([span.get(name) for name in ("start", "end", "label")])] = span
    if texts:
        message = (
            f"{sum(map(len, spans.values())):,} accepted spans of Prodigy's binary records were merged into "
            f"{len(texts):,} texts. Their other words count as O, though nobody said so: complete them in Prodigy "
            "first (ner.silver-to-gold)"
        )
        diagnostics.add("warning", "binary", path, message)
    for key, (line, record) in texts.items():
        yield line, record | {"spans": list(spans[key].values())}


def _is_accepted_decision(record: Record) -> bool:
    """Whether a record is binary and accepted; rejected ones are skipped like any other record that was rejected.

    Old versions of Prodigy do not write `_is_binary`, but name the view; whole texts are annotated in ner_manual.
    """
    spans = record.get("spans")
    return (
        (record.get("_is_binary") is True or record.get("_view_id") == "ner")
        and record.get("answer", ACCEPTED) == ACCEPTED
        and isinstance(record.get("text"), str)
        and isinstance(spans, list)
        and all(isinstance(span, dict) for span in spans)
    )
