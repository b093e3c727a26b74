"""JSON Lines and JSON arrays: words with tags, or text with spans as doccano, Prodigy and Label Studio export it."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from stages.corpus.readers.columns import DOCUMENT_NAMES, Columns, choose_names
from stages.corpus.readers.spans import TaggedText, parse_span, tag_words
from stages.corpus.readers.tag_names import features_beside, tag_name, tag_names
from stages.corpus.readers.text_files import read_text
from stages.corpus.text.diagnostics import AnnotationError, Diagnostics, UnreadableError
from stages.corpus.text.documents import DocumentNumbers
from stages.corpus.text.sentences import BLOCK_WORDS, NO_DOCUMENT, Block, BlockBuilder, check_characters

ARRAY_LIMIT = 1 << 28  # characters; an array is read into memory as a whole
Features = dict[str, Any]


def read_json(path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics) -> Iterator[Block]:
    """Yield the records of a file in blocks; records that are not annotated text become errors in `diagnostics`."""
    builder, documents, notes = BlockBuilder(), DocumentNumbers(), Counter[str]()
    features = features_beside(path, columns.place)
    for line, record in _read_records(path, stream, diagnostics):
        try:
            text = _read_record(record, columns, features, notes)
        except AnnotationError as error:
            diagnostics.add("error", "record", f"{path}:{line}", str(error))
            continue
        if text is None:
            continue
        for word in text.cut_words:
            message = f"a span begins or ends inside {word!r}, which became two words. Are the offsets right?"
            diagnostics.add("warning", "cut-word", f"{path}:{line}", message)
        name = next((record[name] for name in DOCUMENT_NAMES if name in record), None)
        document = NO_DOCUMENT
        if name is not None or len(text.sentences) > 1:
            (document,) = documents.assign([(line,) if name is None else name])
        for words, tags in zip(text.sentences, text.tags, strict=True):
            builder.add(words, tags, line, document)
        if builder.word_count >= BLOCK_WORDS:
            yield builder.build(str(path))
            builder = BlockBuilder()
    if builder.sentences:
        yield builder.build(str(path))
    for note, count in notes.items():
        diagnostics.add("note", "records", path, f"{count:,} {note}")


def _read_records(path: Path, stream: BinaryIO, diagnostics: Diagnostics) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each record with its line, or with its number where the file is one array."""
    pieces = read_text(path, stream)
    first = next(pieces, (1, ""))
    if first[1].lstrip().startswith("["):
        text = first[1]
        for _, piece in pieces:
            text += piece
            if len(text) > ARRAY_LIMIT:
                raise UnreadableError("size", path, "a JSON array of over 256 MB; write JSON Lines, a record a line")
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise UnreadableError(
                "json", f"{path}:{error.lineno}", f"not JSON ({_reason(error)}); is it cut off?"
            ) from None
        except (ValueError, RecursionError) as error:
            raise UnreadableError("json", path, f"not the JSON of a corpus: {_reason(error)}") from None
        yield from _select_objects(path, enumerate(values, start=1), diagnostics)
        return
    if first[1].lstrip().startswith("{\n"):
        raise UnreadableError("json", f"{path}:1", "an object over several lines; write one on each line, or an array")
    yield from _select_objects(path, _parse_lines(path, first, pieces, diagnostics), diagnostics)


def _parse_lines(
    path: Path, first: tuple[int, str], pieces: Iterator[tuple[int, str]], diagnostics: Diagnostics
) -> Iterator[tuple[int, Any]]:
    piece: tuple[int, str] | None = first
    while piece is not None:
        for number, line in enumerate(piece[1].split("\n"), start=piece[0]):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                diagnostics.add(
                    "error", "json", f"{path}:{number}", f"not JSON ({_reason(error)}): {line.strip()[:80]!r}"
                )
        piece = next(pieces, None)


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' at')} at character {error.colno}"
    return "nested too deep" if isinstance(error, RecursionError) else "a number of thousands of digits"


def _select_objects(
    path: Path, values: Iterator[tuple[int, Any]] | enumerate[Any], diagnostics: Diagnostics
) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, value in values:
        if isinstance(value, dict):
            yield line, value
        else:
            diagnostics.add("error", "json", f"{path}:{line}", f"needs an object with words and tags: {_shown(value)}")


def _read_record(
    record: dict[str, Any], columns: Columns, features: Features, notes: Counter[str]
) -> TaggedText | None:
    """Return sentences and tags of one record; None if it is skipped, which `notes` counts by reason."""
    if isinstance(record.get("data"), dict) and isinstance(record.get("annotations"), list):
        task = _convert_label_studio(record, columns, notes)
        if task is None:
            return None
        record, columns = task, Columns()
    if record.get("answer", "accept") != "accept":
        notes["examples that were not accepted in Prodigy were skipped"] += 1
        return None
    if "answer" in record:
        record = {"spans": [], **record}  # Prodigy omits the field where nothing was marked
    try:
        words_name, tags_name = choose_names(columns, record, "")
    except UnreadableError as error:
        raise AnnotationError(error.message) from None
    text = _read_spans(record, words_name, tags_name)
    if text is None:
        words = _require_strings(words_name, record[words_name])
        tags = _require_strings(tags_name, record[tags_name], names=tag_names(features, tags_name), may_be_numbers=True)
        if len(words) != len(tags):
            raise AnnotationError(f"{len(words)} {words_name} but {len(tags)} {tags_name}: {' '.join(words)[:80]!r}")
        text = TaggedText([words], [tags], [])
    for strings in (*text.sentences, *text.tags):
        check_characters(strings)
    if not any(text.sentences):
        notes["records without a word were skipped"] += 1
        return None
    return text


def _read_spans(record: dict[str, Any], words_name: str, tags_name: str) -> TaggedText | None:
    """Read a record of text and spans, with the field `tokens` of Prodigy; None if its words are a list of strings."""
    words: Any = record[words_name]
    tags, places = record[tags_name], None
    if isinstance(words, list) and words and all(isinstance(word, dict) for word in words):  # as Prodigy writes
        text, spans = record.get("text"), record.get("spans")
        if not isinstance(text, str) or not isinstance(spans, list):
            raise AnnotationError(f"{words_name} are objects, so it needs text and spans too")
        places = _token_places(words, text)
        words, tags = text, spans
    if not isinstance(words, str):
        return None
    if not isinstance(tags, list):
        raise AnnotationError(f"{words_name} is a text, so {tags_name} must be a list of spans, not {_shown(tags)}")
    return tag_words(words, [parse_span(span) for span in tags], words=places)


def _convert_label_studio(record: dict[str, Any], columns: Columns, notes: Counter[str]) -> dict[str, Any] | None:
    """Convert the first annotation of a task to a record of text and spans; None if the task is not annotated."""
    done = [a for a in record["annotations"] if isinstance(a, dict) and not a.get("was_cancelled")]
    if not done:
        notes["tasks without an annotation were skipped"] += 1
        return None
    if len(done) > 1:
        notes["tasks have several annotations; the first was used"] += 1
    results = done[0].get("result")
    if not isinstance(results, list):
        raise AnnotationError("the annotation of this task has no list `result`")
    spans = []
    for result in results:
        kind = result.get("type", "labels") if isinstance(result, dict) else None
        if kind == "labels":
            spans.append(result.get("value"))
        elif not isinstance(kind, str) or kind.endswith("labels"):
            raise AnnotationError(f"an annotation of type {kind} in it; only labels of plain text are read")
    text_fields = {name: value for name, value in record["data"].items() if isinstance(value, str)}
    candidates = [name for name in (columns.words, "text") if name in text_fields] or list(text_fields)
    if len(candidates) != 1 and not {columns.words, "text"} & set(candidates):
        names = ", ".join(text_fields) or "no text"
        raise AnnotationError(f"its data holds {names}: name the field that was annotated with data.words")
    return {"text": text_fields[str(candidates[0])], "spans": spans}


def _token_places(tokens: list[dict[str, Any]], text: str) -> list[tuple[int, int]]:
    """Return start and end of each token, without those of white space alone, which spaCy makes of double blanks."""
    try:
        places = [(int(token["start"]), int(token["end"])) for token in tokens]
    except (KeyError, TypeError, ValueError):
        raise AnnotationError("tokens are objects without start and end") from None
    edges = [0, *(edge for place in places for edge in place), len(text)]
    if edges != sorted(edges):
        raise AnnotationError(f"tokens overlap, are not in order, or leave the text of {len(text)} characters")
    return [place for place in places if text[slice(*place)].strip()]


def _require_strings(
    name: str, values: Any, *, names: list[str] | None = None, may_be_numbers: bool = False
) -> list[str]:
    """Return `values` as a list of strings; numbers, where allowed, become the `names` of tags."""
    if not isinstance(values, list):
        raise AnnotationError(f"{name} must be a list, not {_shown(values)}")
    if may_be_numbers and values and all(type(value) is int for value in values):
        return [tag_name(value, names) for value in values]
    for value in values:
        if not isinstance(value, str):
            raise AnnotationError(f"{name} must be strings, but one is {_shown(value)}")
    return values


def _shown(value: Any) -> str:
    """Format the beginning of a value for a message."""
    try:
        return repr(value)[:80]
    except RecursionError:
        return "a value nested too deep"
