"""tokenize: annotated text -> data/encoded, windows of tokens with a label on the first token of each word."""

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
from stages.corpus.faults import DROPPED
from stages.corpus.profile import Context, CorpusProfile, profile_corpus
from stages.corpus.reading import Corpus, open_corpus
from stages.corpus.text.diagnostics import HEADLINES, Diagnostic, Diagnostics
from stages.corpus.text.documents import group_documents
from stages.corpus.text.schemes import TagReader, label_ids
from stages.corpus.type_names import format_type
from stages.encoding.dropped import write_dropped
from stages.encoding.files import FORMAT_VERSION, Manifest, split_writer, write_manifest
from stages.encoding.rows import Encoder
from stages.encoding.tokenizer import load_tokenizer, tokenizer_digest
from stages.encoding.vocabulary import Vocabulary
from stages.errors import ParamsError
from stages.modeling.pretrained import find_pretrained, position_limit
from stages.params import load_params
from stages.runtime.entry_point import run_recipe
from stages.runtime.progress import progress_bar
from stages.tracking import sync
from stages.tracking.environment import current_execution
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

    # Two passes over the files: labels and scheme are known only at the end, and the corpus may not fit into memory.
    profile, diagnostics = check_corpus(corpus, vocabulary, context=params.tokenize.context)
    tags, words = profile.reader, sum(split.words for split in profile.splits.values())

    with atomic_write(ENCODED) as folder:
        folder.mkdir()
        write_dropped(folder, name_dropped(corpus, diagnostics))
        with progress_bar(total=words, unit="word", description="encode") as progress:
            counts = encode(corpus, tags, encoder, folder, context=params.tokenize.context, on_block=progress.update)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            labels=tags.labels,
            scheme=tags.scheme,
            tokenizer_digest=tokenizer_digest(vocabulary.tokenizer),
            parameters=params.tokenize.model_dump(),
            counts={split: dict(counts[split]) | count_dropped(profile, split) for split in corpus.splits},
            digests={split: file_digest(folder / f"{split}.arrow") for split in corpus.splits},
        )
        write_manifest(folder, manifest)

    for split, numbers in manifest.counts.items():
        log.info("%-5s %s", split, ", ".join(f"{number:,} {name}" for name, number in numbers.items()))
    event_log = EventLog(folder_digest(ENCODED), "tokenize")
    event_log.log_encoding(params.model_dump(), manifest.counts, current_execution())
    sync.try_sync(event_log)


def check_corpus(corpus: Corpus, vocabulary: Vocabulary, *, context: Context) -> tuple[CorpusProfile, Diagnostics]:
    """Read the corpus once; return what it contains, with a reader that knows its tags, and what was noticed.

    Logs warnings, first those on the corpus as a whole; one CorpusError reports all faults.
    """
    diagnostics = Diagnostics()
    with progress_bar(total=None, unit="word", description="check") as progress:
        profile = profile_corpus(
            corpus, diagnostics, count_tokens=vocabulary.look_up, context=context, on_block=progress.update
        )
    warnings = diagnostics.of("warning")
    log_warnings([warning for warning in warnings if warning.code in HEADLINES], diagnostics)
    diagnostics.raise_errors(f"{corpus.place} is not usable:")
    types = ", ".join(map(format_type, sorted(profile.reader.types)))
    log.info("%s is %s with %s", corpus.place, profile.reader.scheme, types)
    for note in diagnostics.of("note"):
        if note.code == "cut-split":
            log.info("%s", note.message)
    log_warnings([warning for warning in warnings if warning.code not in HEADLINES], diagnostics)
    return profile, diagnostics


def log_warnings(warnings: list[Diagnostic], diagnostics: Diagnostics) -> None:
    """Log the first warning of each code, and all that name a sentence that was left out."""
    for code in dict.fromkeys(warning.code for warning in warnings):
        of_code = [warning for warning in warnings if warning.code == code]
        shown = of_code if code.startswith(DROPPED) else of_code[:1]
        more = diagnostics.counts[code] - len(shown)
        for warning in shown:
            others = f" (and {more:,} more; see `tuneline check`)" if more > 0 and warning is shown[-1] else ""
            log.warning("warning: %s: %s%s", warning.where, warning.message, others)


def name_dropped(corpus: Corpus, diagnostics: Diagnostics) -> dict[str, list[str]]:
    """Return by split a line for each of the first sentences that were left out, places relative to the corpus."""
    folder = f"{corpus.place}/"
    return {
        split: [
            f"{each.where.removeprefix(folder)}: {each.message}"
            for each in diagnostics.kept
            if each.code == f"{DROPPED}{split}"
        ]
        for split in corpus.splits
    }


def count_dropped(profile: CorpusProfile, split: str) -> dict[str, int]:
    """Return the count of a split's sentences that were left out, for the manifest; nothing if there are none."""
    dropped = profile.splits[split].dropped
    return {"dropped": dropped} if dropped else {}


def encode(
    corpus: Corpus,
    tags: TagReader,
    encoder: Encoder,
    folder: Path,
    *,
    context: Context,
    on_block: Callable[[int], object],
) -> dict[str, Counter[str]]:
    """Write the Arrow file of each split and return its counts; `tokens` includes special tokens.

    Calls `on_block` after each block with its number of words.
    """
    counts = {split: Counter[str]() for split in corpus.splits}
    diagnostics = Diagnostics()
    blocks = corpus.blocks(diagnostics)
    with ExitStack() as stack:
        writers = [stack.enter_context(split_writer(folder / f"{split}.arrow")) for split in corpus.splits]
        for block, split_S in prefetch(group_documents(blocks) if context == "document" else blocks):
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
                count["tokens"] += len(rows.column("input_ids").values)
            on_block(len(entities.types))
    diagnostics.raise_errors(f"{corpus.place} has changed while it was read:")
    return counts


def prefetch(items: Iterator[T]) -> Iterator[T]:
    """Yield the items; a thread computes the next one meanwhile, so that Arrow reads while NumPy encodes."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item


def check_length(window_length: int, pretrained: Path) -> None:
    """Raise ParamsError if the encoder has fewer positions than a window has tokens."""
    limit = position_limit(pretrained)
    if limit is not None and window_length > limit:
        raise ParamsError(
            f"tokenize.window_length is {window_length}, but this encoder reads at most {limit} tokens. "
            f"Longer sentences become several windows: tuneline run --set tokenize.window_length={limit}"
        )


if __name__ == "__main__":
    run_recipe(main)
