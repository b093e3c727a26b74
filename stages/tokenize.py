"""tokenize: annotated text -> data/encoded, windows of sub-words with a label on the first sub-word of each word."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import numpy as np

from stages.artifacts import atomic_write, file_digest, folder_digest
from stages.config.tokenize import Params
from stages.corpus.profile import Context, profile_corpus
from stages.corpus.reading import Corpus, open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.documents import in_whole_documents
from stages.corpus.text.schemes import TagReader, label_ids
from stages.encoding.files import FORMAT_VERSION, Manifest, split_writer, write_manifest
from stages.encoding.rows import Encoder
from stages.encoding.tokenizer import load_tokenizer, tokenizer_digest
from stages.encoding.vocabulary import Vocabulary
from stages.errors import ParamsError
from stages.modeling.pretrained import find_pretrained, position_limit
from stages.params import load_params
from stages.runtime.entry_point import run_recipe
from stages.runtime.progress import bar
from stages.tracking import sync
from stages.tracking.environment import execution
from stages.tracking.event_log import EventLog

ENCODED = Path("data/encoded")

log = logging.getLogger("tokenize")

T = TypeVar("T")


def main(params_file: Path) -> None:
    """Check the corpus, encode its three splits, write data/encoded."""
    params = load_params(params_file, Params)
    corpus = open_corpus(params.data)
    pretrained = find_pretrained(**params.model.model_dump())
    check_length(params.tokenize.window_length, pretrained)
    vocabulary = Vocabulary(load_tokenizer(pretrained))
    encoder = Encoder(vocabulary, length=params.tokenize.window_length, overlap=params.tokenize.window_overlap)

    # Twice over the files: labels and scheme are known at the end, and no corpus is held in memory.
    tags, words = checked(corpus, vocabulary, context=params.tokenize.context)

    with atomic_write(ENCODED) as folder:
        folder.mkdir()
        with bar(total=words, unit="word", description="encode") as progress:
            counts = encode(corpus, tags, encoder, folder, context=params.tokenize.context, on_block=progress.update)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            labels=tags.labels,
            scheme=tags.scheme,
            tokenizer_digest=tokenizer_digest(vocabulary.tokenizer),
            parameters=params.tokenize.model_dump(),
            counts={split: dict(counts[split]) for split in corpus.splits},
            digests={split: file_digest(folder / f"{split}.arrow") for split in corpus.splits},
        )
        write_manifest(folder, manifest)

    for split, numbers in manifest.counts.items():
        log.info("%-5s %s", split, ", ".join(f"{number:,} {name}" for name, number in numbers.items()))
    event_log = EventLog(folder_digest(ENCODED), "tokenize")
    event_log.log_encoding(params.model_dump(), manifest.counts, execution())
    sync.try_sync(event_log)


def checked(corpus: Corpus, vocabulary: Vocabulary, *, context: Context) -> tuple[TagReader, int]:
    """A reader that knows the corpus's tags, and its number of words; CorpusError with all that is wrong with it.

    Warnings are logged.
    """
    diagnostics = Diagnostics()
    with bar(total=None, unit="word", description="check") as progress:
        found = profile_corpus(
            corpus, diagnostics, measure=vocabulary.look_up, context=context, on_block=progress.update
        )
    diagnostics.raise_errors(f"{corpus.place} is not usable:")
    log.info("%s is %s with %s", corpus.place, found.reader.scheme, ", ".join(sorted(found.reader.types)))
    for code in dict.fromkeys(finding.code for finding in diagnostics.of("warning")):
        first = next(finding for finding in diagnostics.of("warning") if finding.code == code)
        others = (
            f" (and {diagnostics.counts[code] - 1:,} more; see `tuneline check`)"
            if diagnostics.counts[code] > 1
            else ""
        )
        log.warning("warning: %s: %s%s", first.where, first.message, others)
    return found.reader, sum(split.words for split in found.splits.values())


def encode(
    corpus: Corpus,
    tags: TagReader,
    encoder: Encoder,
    folder: Path,
    *,
    context: Context,
    on_block: Callable[[int], object],
) -> dict[str, Counter[str]]:
    """Write the Arrow file of each split; returns its counts, where `subwords` has special tokens too: they cost alike.

    `on_block` is told the number of words after each block.
    """
    counts = {split: Counter[str]() for split in corpus.splits}
    diagnostics = Diagnostics()
    blocks = corpus.blocks(diagnostics)
    with ExitStack() as stack:
        writers = [stack.enter_context(split_writer(folder / f"{split}.arrow")) for split in corpus.splits]
        for block, split_S in made_ahead(in_whole_documents(blocks) if context == "document" else blocks):
            entities = tags.read(block)
            documents = block.documents if context == "document" else None
            labels = label_ids(entities, tags)
            encoded = encoder.encode(block.words, labels, distinct=block.distinct, documents=documents)
            lengths = np.diff(block.offsets)
            for number in np.unique(split_S):
                count, chosen_S = counts[corpus.splits[number]], split_S == number
                rows = encoded.rows(chosen_S, first=count["sentences"])
                writers[number].write_batch(rows)
                count["sentences"] += int(chosen_S.sum())
                count["words"] += int(lengths[chosen_S].sum())
                count["entities"] += int((entities.starts & np.repeat(chosen_S, lengths)).sum())
                count["windows"] += len(rows)
                count["subwords"] += len(rows.column("input_ids").values)
            on_block(len(entities.types))
    diagnostics.raise_errors(f"{corpus.place} has changed while it was read:")
    return counts


def made_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items; while one is in use, a thread makes the next: Arrow reads and NumPy lays out at the same time."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item


def check_length(window_length: int, pretrained: Path) -> None:
    """Refuse windows that the encoder has no positions for."""
    limit = position_limit(pretrained)
    if limit is not None and window_length > limit:
        raise ParamsError(
            f"tokenize.window_length is {window_length}, but this encoder reads at most {limit} sub-words. "
            f"Longer sentences become several windows: tuneline run --set tokenize.window_length={limit}"
        )


if __name__ == "__main__":
    run_recipe(main)
