"""A corpus of raw text: its files, their documents, and the split of each."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np

from stages.corpus.folder import list_data_files
from stages.corpus.splits import BY_HASH, Int8s, SplitParams, assign_splits, raise_shares, split_numbers
from stages.corpus.text.diagnostics import Diagnostics, UnreadableError
from stages.corpus.text.sentences import UInt64s
from stages.errors import CorpusError
from stages.tasks.language_modeling.data.documents import ADVICE, Int64s, TextBlock, read_documents
from stages.tasks.language_modeling.data.params import DataParams, Document

TEXT_NAME = (".txt", ".txt.gz")


@dataclass(frozen=True)
class RawCorpus:
    """The files of a corpus, each with the number of its split by its place in `splits`, or BY_HASH."""

    place: Path
    files: list[tuple[Path, int]]
    splits: tuple[str, ...]
    document: Document
    split: SplitParams | None
    ignored: list[Path] = field(default_factory=list)

    def blocks(self, diagnostics: Diagnostics) -> Iterator[tuple[TextBlock, Int64s, int]]:
        """Yield each block, the number of each piece's document within the corpus, [P], and the number of its file.

        Faults of files become errors in `diagnostics`.
        """
        first = 0
        for number, (path, _) in enumerate(self.files):
            last = -1
            try:
                for block in read_documents(path, self.document, diagnostics):
                    last = int(block.document_P[-1])
                    yield block, block.document_P + first, number
            except UnreadableError as error:
                diagnostics.add_all("error", error.code, 1, [(error.where, error.message)], faulty=0)
            first += last + 1


class DocumentDigests:
    """The digest of each document of a corpus, 8 bytes each, made of its pieces as they are read."""

    def __init__(self) -> None:
        self._digests = array("Q")
        self._last = -1
        self._open = blake2b(digest_size=8)  # of the last document

    def add(self, block: TextBlock, document_P: Int64s) -> None:
        """Add the pieces of a block; `document_P` numbers their documents within the corpus."""
        for document, piece in zip(document_P.tolist(), block.pieces.to_pylist(), strict=True):
            if document != self._last:
                self._close()
                self._last = document
            else:
                self._open.update(b" ")
            self._open.update(piece.encode())

    def finish(self) -> UInt64s:
        """[E] the digests of all documents."""
        self._close()
        return np.array(self._digests, np.uint64)

    def _close(self) -> None:
        if self._last >= 0:
            self._digests.append(int.from_bytes(self._open.digest(), "big"))
            self._open = blake2b(digest_size=8)


def open_corpus(params: DataParams, *, allow_unsplit: bool = False) -> RawCorpus:
    """Find the files of a corpus; CorpusError if there are none, if some hold labels, or if a split is missing."""
    place = Path(params.dir)
    found = list_data_files(place)
    labelled = [file.path for file in found if place.is_dir() and not file.path.name.lower().endswith(TEXT_NAME)]
    if labelled:
        names = ", ".join(path.name for path in labelled)[:200]
        raise CorpusError(f"{place} holds {names}, which end as files of labelled text do. {ADVICE}")
    if not found:
        raise CorpusError(f"{place}: no raw text in it. Files that are read end in {' or '.join(TEXT_NAME)}.")
    split = assign_splits(place, found, params.split, allow_missing=allow_unsplit)
    return RawCorpus(place, split.files, split.splits, params.document, params.split, split.ignored)


def assign_documents(corpus: RawCorpus, digests: UInt64s, files: Int64s) -> Int8s:
    """[E] the number of each document's split: that of its file, or by its digest; equal ones are of one split."""
    numbers: Int8s = np.array([split for _, split in corpus.files], np.int8)[files]
    hashed = numbers == BY_HASH
    if hashed.any():  # then the splits are train, dev and test, as `split_numbers` numbers them
        assert corpus.split is not None
        numbers[hashed] = split_numbers(digests[hashed], raise_shares(corpus.split, digests[hashed]))
    return numbers
