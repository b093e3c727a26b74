"""Records of JSON or of a table, in whatever form: words with tags, words with spans, or text with spans."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.corpus.annotations.label_studio import is_task, read_task, refuse_address
from stages.corpus.annotations.offsets import OffsetReader
from stages.corpus.annotations.spans import Span, TaggedText, parse_span, tag_word_spans
from stages.corpus.readers.columns import (
    AUTO,
    DOCUMENT_NAMES,
    TAG_NAMES,
    WORD_NAMES,
    Columns,
    choose_name,
    require_two_columns,
)
from stages.corpus.readers.list_cells import is_list, parse_list
from stages.corpus.readers.tag_names import tag_name, tag_names
from stages.corpus.text.diagnostics import AnnotationError, Diagnostics, UnreadableError
from stages.corpus.text.documents import DocumentNumbers
from stages.corpus.text.sentences import BLOCK_WORDS, NO_DOCUMENT, Block, BlockBuilder, check_characters

Record = dict[str, Any]
GLINER = ("tokenized_text", "ner")  # words, and spans of words that include the last one


def read_records(
    path: Path, records: Iterator[tuple[int, Record]], columns: Columns, features: Record, diagnostics: Diagnostics
) -> Iterator[Block]:
    """Yield the records of a file, each with its line, in blocks; those that are not annotated text become errors.

    `features` are those of Hugging Face datasets, which name the numbers of tags.
    """
    builder, documents = BlockBuilder(), DocumentNumbers()
    reader = RecordReader(path, columns, features, diagnostics)
    for line, record in records:
        texts = reader.read(record, line)
        name = next((record[name] for name in DOCUMENT_NAMES if name in record), None)
        document = NO_DOCUMENT
        if texts and (name is not None or sum(len(text.sentences) for text in texts) > 1):
            (document,) = documents.assign([(line,) if name is None else name])
        for text in texts:
            for words, tags in zip(text.sentences, text.tags, strict=True):
                builder.add(words, tags, line, document)
        if builder.word_count >= BLOCK_WORDS:
            yield builder.build(str(path))
            builder = BlockBuilder()
    if builder.sentences:
        yield builder.build(str(path))
    reader.report()


@dataclass
class RecordReader:
    """Reads the records of one file, whatever their form; `report` adds what only all of them together show."""

    path: Path
    columns: Columns
    features: Record
    diagnostics: Diagnostics
    notes: Counter[str] = field(default_factory=Counter)  # what was skipped
    widened: int = 0  # spans that hold more than the annotation says
    # Faults of texts whose spans fit if offsets count in another unit: one error instead, if there are many of them.
    misplaced: Diagnostics = field(default_factory=Diagnostics)

    def __post_init__(self) -> None:
        self._offsets = OffsetReader(self.columns.offsets)

    def read(self, record: Record, line: int) -> list[TaggedText]:
        """Return the texts of a record that have a word; none if it has a fault, which becomes a diagnostic."""
        where, fitting = f"{self.path}:{line}", self._offsets.fitting.total()
        fault = None
        try:
            texts = self._read_texts(record, where)
            for text in texts:
                for strings in (*text.sentences, *text.tags):
                    check_characters(strings)
        except AnnotationError as error:
            texts, fault = [], str(error)
        diagnostics = self.misplaced if self._offsets.fitting.total() > fitting else self.diagnostics
        if fault is not None:
            diagnostics.add("error", "record", where, fault)
        for word in (word for text in texts for word in text.cut_words):
            message = f"a span begins or ends inside {word!r}, which became two words. Are the offsets right?"
            diagnostics.add("warning", "cut-word", where, message)
        self.widened += sum(len(text.widened) for text in texts)
        self.notes["records without a word were skipped"] += sum(not any(text.sentences) for text in texts)
        return [text for text in texts if any(text.sentences)]

    def report(self) -> None:
        """Add the diagnostics that concern the file as a whole; UnreadableError if its offsets are in another unit."""
        if self.widened:
            message = (
                f"{self.widened:,} spans hold whole words where their annotation repeats a part of them, as Label "
                "Studio writes it with granularity=word; the offsets were taken"
            )
            self.diagnostics.add("warning", "widened", self.path, message)
        for note, count in self.notes.items():
            if count:
                self.diagnostics.add("note", "records", self.path, f"{count:,} {note}")
        self._offsets.require_unit()
        self.diagnostics.extend(self.misplaced)

    def _read_texts(self, record: Record, where: str) -> list[TaggedText]:
        if is_task(record):
            name = self.columns.words if isinstance(self.columns.words, str) and self.columns.words != AUTO else None
            texts = read_task(record, name, self.notes)
            return [self._tag(text, spans, where, words=_find_places(record["data"], text)) for text, spans in texts]
        if record.get("answer", "accept") != "accept":
            self.notes["examples that were not accepted in Prodigy were skipped"] += 1
            return []
        if "answer" in record and "label" not in record:
            record = {"spans": [], **record}  # Prodigy omits the field where nothing was marked
        words_name, tags_name = _choose_fields(self.columns, record)
        words, tags = _parse_cells(record, words_name, tags_name)
        if isinstance(words, list) and words and all(isinstance(word, dict) for word in words):
            # As Prodigy writes them; doccano keeps such a field, and has its spans in another one.
            text, spans = record.get("text"), record.get("spans", tags)
            if not isinstance(text, str) or not isinstance(spans, list):
                raise AnnotationError(f"{words_name} are objects, so it needs text and spans too")
            places = _token_places(words, text)
            return [self._tag(text, [parse_span(span) for span in spans], where, words=places)]
        if isinstance(words, str):
            if not isinstance(tags, list):
                message = f"{words_name} is a text, so {tags_name} must be a list of spans, not {format_value(tags)}"
                raise AnnotationError(message)
            return [self._tag(words, [parse_span(span) for span in tags], where)]
        return [self._tag_list(words_name, words, tags_name, tags)]

    def _tag_list(self, words_name: str, words: Any, tags_name: str, tags: Any) -> TaggedText:
        """Return words that are a list as one sentence, with the tags or the spans that stand beside it."""
        words = _require_strings(words_name, words)
        if (words_name, tags_name) == GLINER and isinstance(tags, list):
            return tag_word_spans(words, [parse_span(span) for span in tags])
        if isinstance(tags, list) and any(isinstance(tag, list | dict) for tag in tags):
            raise AnnotationError(
                f"{tags_name} holds spans of words, which are read as GLiNER writes them alone: in the fields "
                f"{' and '.join(GLINER)}, the last word included"
            )
        tags = _require_strings(tags_name, tags, names=tag_names(self.features, tags_name), may_be_numbers=True)
        if len(words) != len(tags):
            raise AnnotationError(f"{len(words)} {words_name} but {len(tags)} {tags_name}: {' '.join(words)[:80]!r}")
        return TaggedText([words], [tags], [0])

    def _tag(
        self, text: str, spans: list[Span], where: str, *, words: list[tuple[int, int]] | None = None
    ) -> TaggedText:
        try:
            tagged = self._offsets.tag(text, spans, words, where=where)
        except AnnotationError:
            refuse_address(text)
            raise
        if tagged.cut_words:
            refuse_address(text)
        return tagged


def _choose_fields(columns: Columns, record: Record) -> tuple[str, str]:
    """Choose the fields of words and of tags; of several fields of tags the first that holds what the words need."""
    if columns.words == columns.tags == AUTO and all(name in record for name in GLINER):
        return GLINER
    try:
        words = choose_name("words", columns.words, WORD_NAMES, record, "")
        usual = [name for name in TAG_NAMES if name in record]
        if len(usual) > 1:
            of_text = isinstance(record[words], str)
            usual.sort(key=lambda name: _rank_tags(record[name], of_text=of_text))
        tags = choose_name("tags", columns.tags, usual or TAG_NAMES, record, "")
        require_two_columns(words, tags, "")
    except UnreadableError as error:
        raise AnnotationError(error.message) from None
    return words, tags


def _rank_tags(value: Any, *, of_text: bool) -> int:
    """Rank what may be tags: for a text spans, then an empty list, then a class of the text; for words a list."""
    if not isinstance(value, list):
        return 1 if isinstance(value, str) and is_list(value) else 2
    return 1 if of_text and not any(isinstance(item, list | dict) for item in value) else 0


def _parse_cells(record: Record, words_name: str, tags_name: str) -> tuple[Any, Any]:
    """Return words and tags, parsed where they are strings with a list in each; a text may begin with a bracket too."""
    words, tags = record[words_name], record[tags_name]
    is_cell = isinstance(tags, str) and is_list(tags)
    if is_cell:
        tags = parse_list(tags, tags_name)
    if (
        isinstance(words, str)
        and isinstance(tags, list)
        and (is_cell or tags)
        and (is_list(words) or (is_cell and tags))
        and all(isinstance(tag, str | int) for tag in tags)
    ):
        words = parse_list(words, words_name)
    return words, tags


def _find_places(data: Record, text: str) -> list[tuple[int, int]] | None:
    """Return start and end of each word where the data of a task say it, as those that `tuneline suspects` writes."""
    tokens = data.get("tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, dict) for token in tokens):
        return None
    return _token_places(tokens, text)


def _token_places(tokens: list[Record], text: str) -> list[tuple[int, int]]:
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
        raise AnnotationError(f"{name} must be a list, not {format_value(values)}")
    if may_be_numbers and values and all(type(value) is int for value in values):
        return [tag_name(value, names) for value in values]
    for value in values:
        if not isinstance(value, str):
            raise AnnotationError(f"{name} must be strings, but one is {format_value(value)}")
    return values


def format_value(value: Any) -> str:
    """Format the beginning of a value for a message."""
    try:
        return repr(value)[:80]
    except RecursionError:
        return "a value nested too deep"
