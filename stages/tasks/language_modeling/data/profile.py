"""Profile raw text: what a corpus contains, and what may be wrong with it, before an hour of training.

Shape legend: E documents, P pieces of documents.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.splits import SUGGESTED_SHARE, UNSPLIT, Int8s, suggest_split
from stages.corpus.text.diagnostics import Diagnostics, Severity
from stages.corpus.text.sentences import SPLITS, UInt64s
from stages.tasks.language_modeling.data.documents import Int64s, TextBlock
from stages.tasks.language_modeling.data.raw_corpus import DocumentDigests, RawCorpus, assign_documents

MANY_UNKNOWN = 0.2  # share of tokens; another encoder knows more
SHORT = 16  # documents: so many of median length fill a window
FEW_WORDS = 100_000  # in train, of which an encoder hardly learns a language
MANY_SHARED = 0.01  # share of the documents of dev or test

CountTokens = Callable[[pa.StringArray], tuple[Int64s, Int64s]]  # [P] of each piece, and how many are unknown


@dataclass(frozen=True)
class RawSplit:
    """What one split contains; tokens are zeros if they were not counted."""

    documents: int
    characters: int
    words: int  # that white space parts
    tokens_E: Int64s
    unknown: int

    def to_json(self, window: int | None) -> dict[str, Any]:
        """Return the figures for JSON output; `window` is how many tokens a window holds, if they were counted."""
        figures: dict[str, Any] = {"documents": self.documents, "characters": self.characters, "words": self.words}
        if window is not None and self.documents:
            ends = np.quantile(self.tokens_E, (0.5, 0.9, 0.99, 1), method="inverted_cdf").astype(int).tolist()
            figures |= {
                "tokens": dict(zip(("median", "p90", "p99", "max"), ends, strict=True)),
                "all_tokens": int(self.tokens_E.sum()),
                "longer_than_window": int((self.tokens_E > window).sum()),
                "unknown_tokens": self.unknown,
            }
        return figures


@dataclass(frozen=True)
class RawProfile:
    """What a corpus contains by split; the split of each of its documents, and where each begins."""

    splits: dict[str, RawSplit]
    split_E: Int8s
    line_E: Int64s
    file_E: Int64s  # its number in the corpus

    def to_json(self, *, window: int | None) -> dict[str, Any]:
        """Return the figures for JSON output; `window` is how many tokens a window holds, if they were counted."""
        return {"window": window, "splits": {name: split.to_json(window) for name, split in self.splits.items()}}


def profile_corpus(
    corpus: RawCorpus,
    diagnostics: Diagnostics,
    count_tokens: CountTokens | None,
    *,
    window: int,
    on_block: Callable[[int], object],
) -> RawProfile:
    """Read the whole corpus; calls `on_block` after each block with its number of documents.

    Faults and doubts are added to `diagnostics`; the caller decides whether to continue. Without `count_tokens`, tokens
    are not profiled. `window` is the number of tokens that one window holds.
    """
    digests, parts = DocumentDigests(), [np.zeros((7, 0), np.int64)]
    for block, document_P, file in corpus.blocks(diagnostics):
        digests.add(block, document_P)
        is_first_P = np.diff(document_P, prepend=parts[-1][0, -1] if parts[-1].size else -1) != 0
        first_P = np.where(is_first_P, 1, 0)
        counts = _count(block, count_tokens)
        parts.append(np.stack([document_P, first_P * block.line_P, first_P * file, *counts]))
        on_block(int(is_first_P.sum()))
    document_P, *columns = np.concatenate(parts, axis=1)
    found = digests.finish()
    line_E, file_E, *figures = (_sum(document_P, column, len(found)) for column in columns)
    split_E = assign_documents(corpus, found, file_E)
    splits = {name: _take(figures, split_E == number) for number, name in enumerate(corpus.splits)}
    if not diagnostics.of("error"):  # figures of the readable part alone would mislead
        _report_files(corpus, file_E, diagnostics)
        _report_sizes(splits, corpus, diagnostics)
        if count_tokens is not None:
            _report_tokens(splits, corpus, diagnostics, window=window)
        _report_shared(found, split_E, corpus, diagnostics)
    diagnostics.sort([str(path) for path, _ in corpus.files])
    return RawProfile(splits, split_E, line_E, file_E)


def _count(block: TextBlock, count_tokens: CountTokens | None) -> list[Int64s]:
    """[P] characters, words, tokens and unknown tokens of each piece."""
    characters_P = pc.utf8_length(block.pieces).to_numpy().astype(np.int64)
    words_P = pc.count_substring(block.pieces, " ").to_numpy().astype(np.int64) + 1
    tokens = count_tokens(block.pieces) if count_tokens else (np.zeros_like(words_P), np.zeros_like(words_P))
    return [characters_P, words_P, *tokens]


def _sum(document_P: Int64s, values_P: Int64s, documents: int) -> Int64s:
    sums_E = np.zeros(documents, np.int64)
    np.add.at(sums_E, document_P, values_P)
    return sums_E


def _take(figures: list[Int64s], chosen_E: npt.NDArray[np.bool_]) -> RawSplit:
    characters_E, words_E, tokens_E, unknown_E = (column[chosen_E] for column in figures)
    return RawSplit(int(chosen_E.sum()), int(characters_E.sum()), int(words_E.sum()), tokens_E, int(unknown_E.sum()))


def _report_files(corpus: RawCorpus, file_E: Int64s, diagnostics: Diagnostics) -> None:
    for path in corpus.ignored:
        diagnostics.add("warning", "ignored-file", path, "not read: its name says neither train, dev nor test")
    empty = set(range(len(corpus.files))) - set(np.unique(file_E).tolist())
    files = [(str(corpus.files[number][0]), "holds no text") for number in sorted(empty)]
    diagnostics.add_all("warning", "empty", len(files), files)
    missing = [name for name in SPLITS[1:] if name not in corpus.splits]
    if missing:
        what = "train, dev and test" if corpus.splits == (UNSPLIT,) else missing[0]
        command = suggest_split(corpus.place, dict.fromkeys(missing, SUGGESTED_SHARE))
        diagnostics.add("warning", "unsplit", corpus.place, f"no {what}. To train on it: {command}")


def _report_sizes(splits: dict[str, RawSplit], corpus: RawCorpus, diagnostics: Diagnostics) -> None:
    total = sum(split.documents for split in splits.values())
    for name, split in splits.items():
        if not split.documents:
            hint = (
                ""
                if total > len(splits) or corpus.document == "file"
                else (". An empty line parts two documents; where each file is one: --set data.document=file")
            )
            message = f"no document in {name}; each split needs one, and there are {total:,}{hint}"
            diagnostics.add("error", "no-document", corpus.place, message)
    train = next(iter(splits.values()))
    if 0 < train.words < FEW_WORDS:
        message = f"{train.words:,} words in {next(iter(splits))}: so few hardly change what an encoder knows"
        diagnostics.add("note", "few-words", corpus.place, message)


def _report_tokens(splits: dict[str, RawSplit], corpus: RawCorpus, diagnostics: Diagnostics, *, window: int) -> None:
    for name, split in splits.items():
        if split.documents and split.tokens_E.sum() == split.unknown:
            message = f"no document of {name} has a word that the tokenizer knows, so nothing can be masked there"
            diagnostics.add("error", "no-word", corpus.place, message)
    tokens = sum(int(split.tokens_E.sum()) for split in splits.values())
    unknown = sum(split.unknown for split in splits.values())
    if unknown > MANY_UNKNOWN * tokens:
        message = (
            f"the tokenizer does not know {unknown / tokens:.0%} of the words ({unknown:,} of {tokens:,} tokens), and "
            "these are never masked. Take an encoder of this language and script: set model.pretrained"
        )
        diagnostics.add("warning", "unknown-words", corpus.place, message)
    name, train = next(iter(splits.items()))
    median = int(np.median(train.tokens_E)) if train.documents else window
    if median * SHORT < window and train.documents > 1:
        message = (
            f"half of the documents of {name} have at most {median:,} tokens, of {window:,} that a window holds: words "
            "are learnt from little context. If empty lines part paragraphs rather than documents: "
            "--set data.document=file"
        )
        diagnostics.add("note", "short-documents", corpus.place, message)


def _report_shared(digests: UInt64s, split_E: Int8s, corpus: RawCorpus, diagnostics: Diagnostics) -> None:
    train = np.unique(digests[split_E == 0])
    for number, name in list(enumerate(corpus.splits))[1:]:
        own = digests[split_E == number]
        shared = int(np.isin(own, train).sum())
        if shared:
            message = (
                f"{shared:,} of {len(own):,} documents of {name} are in {corpus.splits[0]} too: their scores flatter"
            )
            severity: Severity = "warning" if shared > MANY_SHARED * len(own) else "note"
            diagnostics.add(severity, "shared-documents", corpus.place, message)
