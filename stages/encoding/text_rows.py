"""Encode blocks of raw texts, or of pairs of texts, as rows of the Arrow file (columns: stages/encoding/texts.py)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.corpus.text.raw_text import LONE_SURROGATE
from stages.encoding.text_tokens import TextTokenizer
from stages.encoding.text_windows import TextWindows, block_windows
from stages.encoding.texts import ANSWERS, NO_SECOND, ROW_SCHEMA, SLICE
from stages.encoding.windows import join_ranges
from stages.errors import PretrainedError, UserError, list_faults

if TYPE_CHECKING:  # transformers takes a second to import
    from transformers import PreTrainedTokenizerFast

Int32s = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

INPUT_KEYS = ("text", "pair")


class Template(NamedTuple):
    """Ids of the special tokens around one text, or around and between two."""

    before: list[int]
    between: list[int]
    after: list[int]

    @property
    def size(self) -> int:
        """Number of the special tokens."""
        return sum(map(len, self))


def template_of(tokenizer: "PreTrainedTokenizerFast", *, pairs: bool) -> Template:
    """Return the special tokens that a tokenizer adds; PretrainedError if it does not put texts one after the other."""
    count = 2 if pairs else 1
    encoding = tokenizer.backend_tokenizer.encode("a", "a" if pairs else None, add_special_tokens=True)
    segments = [
        (number, [token for token, _ in group])
        for number, group in groupby(zip(encoding.ids, encoding.sequence_ids, strict=True), key=lambda pair: pair[1])
    ]
    if [number for number, _ in segments if number is not None] != list(range(count)):
        raise PretrainedError(
            f"The tokenizer turns {count} texts into {' '.join(encoding.tokens)}, where each is expected once and in "
            "order. Choose another pretrained model."
        )
    parts: list[list[int]] = [[] for _ in range(count + 1)]
    seen = 0
    for number, ids in segments:
        if number is None:
            parts[seen] = ids
        else:
            seen = number + 1
    return Template(parts[0], parts[1] if pairs else [], parts[-1])


@dataclass
class TextEncoder:
    """Encodes texts as windows of at most `length` tokens, special tokens included, that overlap by `overlap`.

    If `symmetric`, a pair is encoded in both orders, at half the weight.
    """

    tokenizer: "PreTrainedTokenizerFast"
    length: int = field(kw_only=True)
    overlap: int = field(kw_only=True)
    symmetric: bool = field(kw_only=True, default=False)

    def __post_init__(self) -> None:
        self.texts = TextTokenizer(self.tokenizer)
        self._templates: dict[bool, Template] = {}  # of pairs only if there are some: not every tokenizer has one

    def encode(self, texts: pa.StringArray, pairs: pa.StringArray | None = None) -> "EncodedTextBlock":
        """Encode texts, with second texts if there are `pairs`; none is null. No token is left out.

        PretrainedError as in `template_of`.
        """
        is_paired = pairs is not None
        if is_paired not in self._templates:
            self._templates[is_paired] = template_of(self.tokenizer, pairs=is_paired)
        template = self._templates[is_paired]
        first = self.texts.tokenize(texts)
        second = None if pairs is None else self.texts.tokenize(pairs)
        windows = block_windows(
            first,
            second,
            capacity=self.length - template.size,
            overlap=self.overlap,
            symmetric=self.symmetric,
        )
        ids = first.ids if second is None else np.concatenate([first.ids, second.ids])
        return EncodedTextBlock(texts, pairs, windows, template, ids)

    def encode_inputs(self, inputs: Sequence[Any], *, pairs: bool) -> pa.Table:
        """Encode what a served model is sent, as rows without answers: strings, or `{text, pair}` for pairs.

        A lone surrogate is read as U+FFFD. UserError, with all faults, if an input is anything else.
        """
        faults = [f"input {number}: {fault}" for number, each in enumerate(inputs) if (fault := _fault_of(each, pairs))]
        if faults:
            raise UserError(list_faults("The inputs are not usable:", faults))
        keys = INPUT_KEYS if pairs else INPUT_KEYS[:1]
        columns = [
            pa.array(
                [LONE_SURROGATE.sub("\ufffd", each if isinstance(each, str) else each[key]) for each in inputs],
                pa.string(),
            )
            for key in keys
        ]
        return pa.Table.from_batches([self.encode(*columns).rows()])


@dataclass(frozen=True)
class EncodedTextBlock:
    """A block of E examples with their tokens and windows."""

    texts: pa.StringArray  # [E]
    pairs: pa.StringArray | None  # [E]
    windows: TextWindows
    template: Template
    ids: Int32s  # tokens of all texts, then of all second texts

    def rows(
        self,
        chosen_E: Bools | None = None,
        *,
        first: int = 0,
        answers: pa.ListArray | None = None,
        slices: dict[str, pa.Array] | None = None,
    ) -> pa.RecordBatch:
        """Return the rows of all windows of the chosen examples, which are numbered from `first`.

        `answers` [E] are label ids (list<int32>, column `labels`) or numbers (list<double>, column `targets`), `slices`
        [E] strings by column.
        """
        windows, examples_E = self.windows, np.arange(len(self.texts))
        if chosen_E is not None and not chosen_E.all():
            chosen_R = chosen_E[windows.examples]
            windows, examples_E = windows.of(chosen_R), np.cumsum(chosen_E) - 1
        ids, offsets = self._join(windows)
        second = np.full(len(windows.examples), NO_SECOND, np.int32)
        if self.pairs is not None:
            second[:] = (windows.ends - windows.starts)[:, 0] + len(self.template.before) + len(self.template.between)
        no_pairs = pa.nulls(len(second), pa.string())
        columns = [
            pa.ListArray.from_arrays(offsets, ids),
            pa.array(second),
            pa.array((examples_E[windows.examples] + first).astype(np.int32)),
            pa.array(windows.numbers.astype(np.int32)),
            pa.array(windows.weights.astype(np.float32)),
            self._on_first_rows(self.texts, windows),
            no_pairs if self.pairs is None else self._on_first_rows(self.pairs, windows),
        ]
        names = list(ROW_SCHEMA.names)
        for name, column in (slices or {}).items():
            names.append(f"{SLICE}{name}")
            columns.append(self._on_first_rows(column.cast(pa.string()), windows))
        if answers is not None:
            names += [name for name, kind in ANSWERS.items() if kind == answers.type]
            columns.append(answers.take(pa.array(windows.examples)))
        return pa.RecordBatch.from_arrays(columns, names=names)

    def _join(self, windows: TextWindows) -> tuple[Int32s, Int32s]:
        """Return the tokens of all rows with their special tokens, and where each row begins."""
        before, between, after = self.template
        sizes = windows.ends - windows.starts
        lengths = sizes.sum(1) + self.template.size
        offsets = np.append(0, np.cumsum(lengths)).astype(np.int32)
        starts = offsets[:-1]
        ids = np.empty(offsets[-1], np.int32)
        is_text = np.ones(len(ids), bool)
        middle = starts + len(before) + sizes[:, 0]
        for place, tokens in ((starts, before), (middle, between), (offsets[1:] - len(after), after)):
            for number, token in enumerate(tokens):
                ids[place + number] = token
                is_text[place + number] = False
        source, _ = join_ranges(windows.starts.ravel(), sizes.ravel())
        ids[is_text] = self.ids[source]
        return ids, offsets

    def _on_first_rows(self, column: pa.Array, windows: TextWindows) -> pa.Array:
        """Return a column of examples as one of rows, null on all but the first of an example."""
        if windows is self.windows and len(windows.examples) == len(column):
            return column
        return column.take(pa.array(windows.examples, mask=windows.numbers > 0))


def _fault_of(given: Any, pairs: bool) -> str | None:
    """Say what is wrong with an input of a served model."""
    expected = "{text, pair}, two texts" if pairs else "a text, or {text}"
    if isinstance(given, str):
        return f"is one text; this model reads {expected}" if pairs else None
    if not isinstance(given, dict):
        return f"is of type {type(given).__name__}; this model reads {expected}"
    keys = INPUT_KEYS if pairs else INPUT_KEYS[:1]
    for key in keys:
        if not isinstance(given.get(key), str):
            return f"has no text under `{key}`; this model reads {expected}"
    unknown = [str(key) for key in given if key not in keys]
    return f"has {', '.join(unknown)} beside; this model reads {expected}" if unknown else None
