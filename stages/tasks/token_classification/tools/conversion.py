"""A corpus of tagged text in any format -> the same text in the standard form; see `Conversion` in corpus/parts.py.

The standard form is what `tuneline import` keeps: a word, a tab and its IOB2 tag a line, a blank line after each
sentence, `-DOCSTART-` and a blank line before each document where the source marks documents. Its files are
train.conll, dev.conll and test.conll, or corpus.conll of a corpus without splits.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.artifacts import atomic_write, file_digest
from stages.corpus.profile import profile_corpus
from stages.corpus.reading import Corpus, DataParams, open_corpus
from stages.corpus.splits import UNSPLIT
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.documents import DOCUMENT_START
from stages.corpus.text.schemes import Entities, TagReader, iob2_tags
from stages.corpus.text.sentences import NO_DOCUMENT, OUTSIDE, Block
from stages.errors import CorpusError
from stages.params import Section, TaskParams, load_params
from stages.runtime.progress import progress_bar

DOCUMENT_MARK = f"{DOCUMENT_START}\t{OUTSIDE}\n\n"
# A first word that begins so would make a file look like JSON Lines or Parquet, or lose its first character.
MISLEADING = ('{"', "PAR1", "\ufeff")
FIRST_LINE = "# CoNLL columns: word, IOB2 tag\n"
WHOLE = "corpus"  # name of the file of a corpus without splits; the name of the corpus might be that of a split


class ImportTask(TaskParams):
    """The task, of which nothing else decides how a corpus is read."""

    name: Literal["token_classification"]


class Params(Section):
    """The sections that an import reads."""

    task: ImportTask
    data: DataParams


@dataclass
class StandardText:
    """Writes one split in the standard form, block by block.

    If any sentence of a split belongs to a document, each sentence that belongs to none becomes a document: otherwise
    the text before the first mark would be read as one. `is_late` is set if a document appeared only after such a
    sentence was written; the split must then be written again with `has_documents` from the start.
    """

    write: Callable[[bytes], object]
    has_documents: bool = False
    is_late: bool = False
    counts: Counter[str] = field(default_factory=Counter)  # sentences, words, documents
    entities: Counter[str] = field(default_factory=Counter)  # by type
    _last: tuple[str, int] = ("", NO_DOCUMENT)  # the document of the last sentence: its source and number

    def add(self, block: Block, entities: Entities, types: list[str]) -> None:
        """Write the sentences of a block; `types` are the names of entity types by number."""
        pieces: list[str] = []
        for text, document in zip(_sentences(block, entities, types), block.documents.tolist(), strict=True):
            place = (block.source, document)
            if self.has_documents if document == NO_DOCUMENT else place != self._last:
                pieces.append(DOCUMENT_MARK)
                self.is_late |= not self.has_documents and self.counts["sentences"] > 0
                self.has_documents = True
                self.counts["documents"] += 1
            elif not self.counts["sentences"] and text.startswith(MISLEADING):
                pieces.append(FIRST_LINE)
            self._last = place
            pieces.append(f"{text}\n\n")
            self.counts["sentences"] += 1
            self.counts["words"] += text.count("\n") + 1
        for kind, count in enumerate(np.bincount(entities.types[entities.starts])):
            if count:
                self.entities[types[kind]] += int(count)
        self.write("".join(pieces).encode())

    def to_json(self) -> dict[str, Any]:
        """Return the figures for JSON output."""
        figures = {name: self.counts[name] for name in ("sentences", "words", "documents")}
        return figures | {"entities": dict(sorted(self.entities.items()))}


def convert(params_file: Path, folder: Path) -> dict[str, Any]:
    """Check the corpus, write it in the standard form into the new `folder`, and read that back.

    One CorpusError reports all faults, also that it reads back differently.
    """
    params = load_params(params_file, Params)
    assert params.data.split is None  # a split by hash is a parameter of training and can be changed there
    corpus = open_corpus(params.data, allow_unsplit=True)
    diagnostics = Diagnostics()
    with progress_bar(total=None, unit="word", description="check") as progress:
        profile = profile_corpus(corpus, diagnostics, count_tokens=None, context="sentence", on_block=progress.update)
    diagnostics.raise_errors(f"{corpus.place} is not usable:")
    words = sum(split.words for split in profile.splits.values())

    names = {split: f"{WHOLE if split == UNSPLIT else split}.conll" for split in corpus.splits}
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        files = [temporary / name for name in names.values()]
        written = write(corpus, files, [False] * len(files), words=words)
        if any(text.is_late for text in written):
            written = write(corpus, files, [text.has_documents for text in written], words=words)
        with progress_bar(total=words, unit="word", description="verify") as progress:
            verify(temporary, list(names.values()), on_block=progress.update)

    splits = {split: text.to_json() for split, text in zip(corpus.splits, written, strict=True)}
    return {"scheme": profile.reader.scheme, "window": None, "splits": splits, **diagnostics.to_json()}


def write(corpus: Corpus, files: list[Path], has_documents: list[bool], *, words: int) -> list[StandardText]:
    """Write the file of each split; `words` is the total number of words."""
    with ExitStack() as stack, progress_bar(total=words, unit="word", description="write") as progress:
        streams = [stack.enter_context(file.open("wb")) for file in files]
        texts = [StandardText(stream.write, known) for stream, known in zip(streams, has_documents, strict=True)]
        add_blocks(corpus, texts, on_block=progress.update)
    return texts


def add_blocks(corpus: Corpus, texts: list[StandardText], *, on_block: Callable[[int], object]) -> None:
    """Add each block to the text of its split; calls `on_block` with its number of words."""
    diagnostics, reader = Diagnostics(), TagReader()
    for block, split_S in corpus.blocks(diagnostics):
        entities = reader.read(block)
        texts[split_S[0]].add(block, entities, list(reader.types))  # a file is of one split, and a block of one file
        on_block(len(block.words.values))
    diagnostics.raise_errors(f"{corpus.place} has changed while it was read:")


def verify(folder: Path, names: list[str], *, on_block: Callable[[int], object]) -> None:
    """Read the files and convert them again; CorpusError unless the bytes are the same."""
    params = DataParams(dir=str(folder), format="auto", words="auto", tags="auto", split=None)
    digests = [hashlib.sha256() for _ in names]
    try:
        corpus = open_corpus(params, allow_unsplit=True)
        add_blocks(corpus, [StandardText(digest.update) for digest in digests], on_block=on_block)
        differing = [
            name
            for name, digest in zip(names, digests, strict=True)
            if digest.hexdigest() != file_digest(folder / name)
        ]
    except CorpusError as error:
        raise CorpusError(f"the standard form cannot hold this corpus: {error}") from None
    if differing:
        raise CorpusError(
            f"the standard form cannot hold this corpus: {' and '.join(differing)} would read back differently. "
            "Does a word begin with -DOCSTART-, or is there a tab in the name of an entity type?"
        )


def _sentences(block: Block, entities: Entities, types: list[str]) -> list[str]:
    """[S] the lines of each sentence, without a final line end."""
    lines = pc.binary_join_element_wise(block.words.values, iob2_tags(entities, types), "\t")
    sentences: list[str] = pc.binary_join(pa.ListArray.from_arrays(block.offsets, lines), "\n").to_pylist()
    return sentences
