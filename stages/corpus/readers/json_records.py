"""JSON Lines and JSON arrays: tokens with tags, or text with spans as doccano, Prodigy and Label Studio export it."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from stages.corpus.readers.columns import DOCUMENT_NAMES, Columns, named
from stages.corpus.readers.spans import TaggedText, parsed, tagged
from stages.corpus.readers.tag_names import features_beside, tag_name, tag_names
from stages.corpus.readers.text_files import texts
from stages.corpus.text.diagnostics import AnnotationError, Diagnostics, UnreadableError
from stages.corpus.text.documents import Documents
from stages.corpus.text.sentences import BLOCK_WORDS, NO_DOCUMENT, Block, BlockBuilder, check_characters

ARRAY_LIMIT = 1 << 28  # characters; an array has to be held as a whole
Features = dict[str, Any]


def read_json(path: Path, stream: BinaryIO, columns: Columns, diagnostics: Diagnostics) -> Iterator[Block]:
    """Blocks of the records of a file; those that are no annotated text become diagnostics of grade error."""
    building, documents, notes = BlockBuilder(), Documents(), Counter[str]()
    features = features_beside(path, columns.place)
    for line, record in _records(path, stream, diagnostics):
        try:
            tagged_text = _read(record, columns, features, notes)
        except AnnotationError as error:
            diagnostics.add("error", "record", f"{path}:{line}", str(error))
            continue
        if tagged_text is None:
            continue
        for word in tagged_text.cut_words:
            message = f"a span begins or ends inside {word!r}, which became two words. Are the offsets right?"
            diagnostics.add("warning", "cut-word", f"{path}:{line}", message)
        name = next((record[name] for name in DOCUMENT_NAMES if name in record), None)
        document = NO_DOCUMENT
        if name is not None or len(tagged_text.sentences) > 1:
            (document,) = documents.numbered([(line,) if name is None else name])
        for words, tags in zip(tagged_text.sentences, tagged_text.tags, strict=True):
            building.add(words, tags, line, document)
        if building.words >= BLOCK_WORDS:
            yield building.block(str(path))
            building = BlockBuilder()
    if building.sentences:
        yield building.block(str(path))
    for note, count in notes.items():
        diagnostics.add("note", "records", path, f"{count:,} {note}")


def _records(path: Path, stream: BinaryIO, diagnostics: Diagnostics) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each record with its line, or with its number where the file is one array."""
    pieces = texts(path, stream)
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
                "json", f"{path}:{error.lineno}", f"no JSON ({_why(error)}); is it cut off?"
            ) from None
        except (ValueError, RecursionError) as error:
            raise UnreadableError("json", path, f"no JSON of a corpus: {_why(error)}") from None
        yield from _objects(path, enumerate(values, start=1), diagnostics)
        return
    if first[1].lstrip().startswith("{\n"):
        raise UnreadableError("json", f"{path}:1", "an object over several lines; write one on each line, or an array")
    yield from _objects(path, _lines(path, first, pieces, diagnostics), diagnostics)


def _lines(
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
                diagnostics.add("error", "json", f"{path}:{number}", f"no JSON ({_why(error)}): {line.strip()[:80]!r}")
        piece = next(pieces, None)


def _why(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' at')} at character {error.colno}"
    return "nested too deep" if isinstance(error, RecursionError) else "a number of thousands of digits"


def _objects(
    path: Path, values: Iterator[tuple[int, Any]] | enumerate[Any], diagnostics: Diagnostics
) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, value in values:
        if isinstance(value, dict):
            yield line, value
        else:
            diagnostics.add("error", "json", f"{path}:{line}", f"needs an object with words and tags: {_shown(value)}")


def _read(record: dict[str, Any], columns: Columns, features: Features, notes: Counter[str]) -> TaggedText | None:
    """Sentences and tags of one record; None if it is to be left out, which `notes` counts by reason."""
    if isinstance(record.get("data"), dict) and isinstance(record.get("annotations"), list):
        task = _from_label_studio(record, columns, notes)
        if task is None:
            return None
        record, columns = task, Columns()
    if record.get("answer", "accept") != "accept":
        notes["examples that were not accepted in Prodigy are left out"] += 1
        return None
    if "answer" in record:
        record = {"spans": [], **record}  # Prodigy leaves the field out where nothing was marked
    try:
        words_name, tags_name = named(columns, record, "")
    except UnreadableError as error:
        raise AnnotationError(error.message) from None
    text = _with_spans(record, words_name, tags_name)
    if text is None:
        words = _strings(words_name, record[words_name])
        tags = _strings(tags_name, record[tags_name], names=tag_names(features, tags_name), numbered=True)
        if len(words) != len(tags):
            raise AnnotationError(f"{len(words)} {words_name} but {len(tags)} {tags_name}: {' '.join(words)[:80]!r}")
        text = TaggedText([words], [tags], [])
    for strings in (*text.sentences, *text.tags):
        check_characters(strings)
    if not any(text.sentences):
        notes["records without a word are left out"] += 1
        return None
    return text


def _with_spans(record: dict[str, Any], words_name: str, tags_name: str) -> TaggedText | None:
    """A record of text and spans, Prodigy's with tokens too; None if its words are a list of strings."""
    words: Any = record[words_name]
    tags, places = record[tags_name], None
    if isinstance(words, list) and words and all(isinstance(word, dict) for word in words):  # Prodigy's tokens
        text, spans = record.get("text"), record.get("spans")
        if not isinstance(text, str) or not isinstance(spans, list):
            raise AnnotationError(f"{words_name} are objects, so it needs text and spans too")
        places = _token_places(words, text)
        words, tags = text, spans
    if not isinstance(words, str):
        return None
    if not isinstance(tags, list):
        raise AnnotationError(f"{words_name} is a text, so {tags_name} must be a list of spans, not {_shown(tags)}")
    return tagged(words, [parsed(span) for span in tags], words=places)


def _from_label_studio(record: dict[str, Any], columns: Columns, notes: Counter[str]) -> dict[str, Any] | None:
    """The first annotation of a task as a record of text and spans; None if nobody has annotated it."""
    done = [a for a in record["annotations"] if isinstance(a, dict) and not a.get("was_cancelled")]
    if not done:
        notes["tasks that nobody has annotated are left out"] += 1
        return None
    if len(done) > 1:
        notes["tasks have several annotations, of which the first was taken"] += 1
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
    texts_of = {name: value for name, value in record["data"].items() if isinstance(value, str)}
    named_texts = [name for name in (columns.words, "text") if name in texts_of] or list(texts_of)
    if len(named_texts) != 1 and not {columns.words, "text"} & set(named_texts):
        here = ", ".join(texts_of) or "no text"
        raise AnnotationError(f"its data holds {here}: name the field that was annotated with data.words")
    return {"text": texts_of[str(named_texts[0])], "spans": spans}


def _token_places(tokens: list[dict[str, Any]], text: str) -> list[tuple[int, int]]:
    """Start and end of each token but those of white space alone, which spaCy makes of double blanks and line ends."""
    try:
        places = [(int(token["start"]), int(token["end"])) for token in tokens]
    except (KeyError, TypeError, ValueError):
        raise AnnotationError("tokens are objects without start and end") from None
    edges = [0, *(edge for place in places for edge in place), len(text)]
    if edges != sorted(edges):
        raise AnnotationError(f"tokens overlap, are not in order, or leave the text of {len(text)} characters")
    return [place for place in places if text[slice(*place)].strip()]


def _strings(name: str, values: Any, *, names: list[str] | None = None, numbered: bool = False) -> list[str]:
    """The list as one of strings; with `numbered`, numbers in it are those of tags."""
    if not isinstance(values, list):
        raise AnnotationError(f"{name} must be a list, not {_shown(values)}")
    if numbered and values and all(type(value) is int for value in values):
        return [tag_name(value, names) for value in values]
    for value in values:
        if not isinstance(value, str):
            raise AnnotationError(f"{name} must be strings, but one is {_shown(value)}")
    return values


def _shown(value: Any) -> str:
    """The beginning of a value; of one that is nested deep, what Python can still write."""
    try:
        return repr(value)[:80]
    except RecursionError:
        return "a value nested too deep"
