"""tokenize: labelled text -> data/encoded, windows of tokens with the answers that train learns; data/also to score."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from stages.artifacts import atomic_write, file_digest, folder_digest
from stages.config.sections import load_task_params
from stages.config.tokenize import Params
from stages.continual.corpora import ALSO, require_declared, write_index
from stages.continual.parent import describe_labels, find_parent
from stages.corpus.splits import TRAIN, UNSPLIT
from stages.corpus.text.sentences import SPLITS
from stages.encoding.files import FORMAT_VERSION, REPLAY, Manifest, write_dropped, write_manifest
from stages.encoding.task_data import CheckedCorpus, TaskData
from stages.encoding.tokenizer import load_tokenizer, tokenizer_digest
from stages.errors import CorpusError, ParamsError
from stages.modeling.pretrained import find_pretrained, position_limit
from stages.runtime.entry_point import run_recipe
from stages.runtime.progress import progress_bar
from stages.task import load_part
from stages.tracking import sync
from stages.tracking.environment import current_execution
from stages.tracking.event_log import EventLog
from stages.tracking.parent import fetch_parent

if TYPE_CHECKING:  # transformers takes a second to import
    from transformers import PreTrainedTokenizerFast

ENCODED = Path("data/encoded")
TEST = "test"
TAUGHT, SCORED = (TRAIN, UNSPLIT), (TEST, UNSPLIT)  # the splits of older corpora that are replayed, and scored

log = logging.getLogger("tokenize")


def main(params_file: Path) -> None:
    """Check the corpora, encode the new one with what is replayed, and those that are scored too."""
    params = load_task_params(params_file, Params)
    fetch_parent(params.model.encoder, task=params.task.name)
    own = params.data.model_dump()["dir"]
    require_declared([place for place in params.older_corpora if place != own], params_file)
    pretrained = find_pretrained(**params.model.encoder)
    check_length(params.tokenize.window_length, pretrained)
    tokenizer = load_tokenizer(pretrained)
    data = cast(TaskData, load_part(params.task.name, "data.corpus"))

    # Two passes over the files: labels are known only at the end, and the corpus may not fit into memory.
    corpus = data.check_corpus(params, tokenizer)
    older = {place: check_older(data, params, tokenizer, place) for place in params.older_corpora}
    replayed = [older[place] for place in [params.train.replay.corpus] if place is not None]
    parent = find_parent(pretrained, params.task.name)
    known, decision = (parent.labels, parent.record.decision) if parent else ([], {})
    labels, details = data.combine([corpus, *replayed], known, decision)
    taught = {name for each in (corpus, *replayed) for name in each.labels}
    for line in describe_labels(labels, taught, parent):
        log.info("%s", line)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        task=params.task.name,
        labels=labels,
        details=details,
        tokenizer_digest=tokenizer_digest(tokenizer),
        parameters=params.tokenize.model_dump(),
        counts={},
        digests={},
    )

    encoded = params_file.parent / ENCODED
    with atomic_write(encoded) as folder:
        whole = (corpus, {split: split for split in SPLITS})
        manifest = encode(folder, manifest, whole, *((each, dict.fromkeys(TAUGHT, REPLAY)) for each in replayed))
    with atomic_write(params_file.parent / ALSO) as folder:
        encode_also(folder, manifest, data, {place: older[place] for place in params.evaluate.also})

    for split, numbers in manifest.counts.items():
        log.info("%-5s %s", split, show_counts(numbers))
    event_log = EventLog(folder_digest(encoded), "tokenize")
    event_log.log_encoding(params.logged, manifest.counts, current_execution())
    sync.try_sync(event_log)


def check_older(data: TaskData, params: Params, tokenizer: "PreTrainedTokenizerFast", place: str) -> CheckedCorpus:
    """Check a corpus beside the new one, which is read with the same section `data`."""
    own = params.data.model_copy(update={"dir": place})
    return data.check_corpus(params.model_copy(update={"data": own}), tokenizer, is_older=True)


def encode_also(folder: Path, manifest: Manifest, data: TaskData, corpora: Mapping[str, CheckedCorpus]) -> None:
    """Write what is scored of older corpora, by their places, into a new folder; CorpusError if there is nothing."""
    folder.mkdir()
    for place, corpus in corpora.items():
        name, (labels, _) = Path(place).name, data.combine([corpus], manifest.labels, {})
        found = encode(folder / name, replace(manifest, labels=labels), (corpus, dict.fromkeys(SCORED, TEST)))
        if TEST not in found.counts:
            raise CorpusError(
                f"{place} has splits, but none is test, which evaluate.also scores. Name a file of it instead: "
                "tuneline run --set evaluate.also=[FILE]"
            )
        log.info("%s: %s", name, show_counts(found.counts[TEST]))
    write_index(folder, [Path(place).name for place in corpora])


def encode(folder: Path, manifest: Manifest, *parts: tuple[CheckedCorpus, Mapping[str, str]]) -> Manifest:
    """Write corpora into a new folder, and the manifest with their counts and digests; return that.

    With each corpus come the names of the files by split; other splits are left out.
    """
    folder.mkdir()
    counts: dict[str, dict[str, int]] = {}
    dropped: dict[str, list[str]] = {}
    for corpus, names in parts:
        total, unit = corpus.progress
        with progress_bar(total=total, unit=unit, description="encode") as progress:
            found = corpus.encode(folder, labels=manifest.labels, names=names, on_block=progress.update)
        counts |= {name: dict(numbers) for name, numbers in found.items()}
        dropped |= {names[split]: lines for split, lines in corpus.dropped.items() if split in names}
    write_dropped(folder, dropped)
    digests = {name: file_digest(folder / f"{name}.arrow") for name in counts}
    written = replace(manifest, counts=counts, digests=digests)
    write_manifest(folder, written)
    return written


def show_counts(numbers: Mapping[str, int]) -> str:
    """The counts of a split in a line."""
    return ", ".join(f"{number:,} {name}" for name, number in numbers.items())


def check_length(window_length: int, pretrained: Path) -> None:
    """Raise ParamsError if the encoder has fewer positions than a window has tokens."""
    limit = position_limit(pretrained)
    if limit is not None and window_length > limit:
        raise ParamsError(
            f"tokenize.window_length is {window_length}, but this encoder reads at most {limit} tokens. "
            f"What is longer becomes several windows: tuneline run --set tokenize.window_length={limit}"
        )


if __name__ == "__main__":
    run_recipe(main)
