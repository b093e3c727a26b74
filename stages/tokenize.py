"""tokenize: labelled text -> data/encoded, windows of tokens with the answers that train learns."""

import logging
from pathlib import Path
from typing import cast

from stages.artifacts import atomic_write, file_digest, folder_digest
from stages.config.sections import load_task_params
from stages.config.tokenize import Params
from stages.encoding.files import FORMAT_VERSION, Manifest, write_manifest
from stages.encoding.task_data import TaskData
from stages.encoding.tokenizer import load_tokenizer, tokenizer_digest
from stages.errors import ParamsError
from stages.modeling.pretrained import find_pretrained, position_limit
from stages.runtime.entry_point import run_recipe
from stages.runtime.progress import progress_bar
from stages.task import load_part
from stages.tracking import sync
from stages.tracking.environment import current_execution
from stages.tracking.event_log import EventLog
from stages.tracking.parent import describe_labels, fetch_parent

ENCODED = Path("data/encoded")

log = logging.getLogger("tokenize")


def main(params_file: Path) -> None:
    """Check the corpus, encode its three splits, write data/encoded."""
    params = load_task_params(params_file, Params)
    fetch_parent(params.model.encoder, task=params.task.name)
    pretrained = find_pretrained(**params.model.encoder)
    check_length(params.tokenize.window_length, pretrained)
    tokenizer = load_tokenizer(pretrained)
    data = cast(TaskData, load_part(params.task.name, "data.corpus"))

    # Two passes over the files: labels are known only at the end, and the corpus may not fit into memory.
    corpus = data.check_corpus(params, tokenizer)
    for line in describe_labels(params.model.encoder, corpus.labels):
        log.info("%s", line)
    encoded = params_file.parent / ENCODED
    with atomic_write(encoded) as folder:
        folder.mkdir()
        total, unit = corpus.progress
        with progress_bar(total=total, unit=unit, description="encode") as progress:
            counts = corpus.encode(folder, on_block=progress.update)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            task=params.task.name,
            labels=corpus.labels,
            details=corpus.details,
            tokenizer_digest=tokenizer_digest(tokenizer),
            parameters=params.tokenize.model_dump(),
            counts={split: dict(numbers) for split, numbers in counts.items()},
            digests={split: file_digest(folder / f"{split}.arrow") for split in counts},
        )
        write_manifest(folder, manifest)

    for split, numbers in manifest.counts.items():
        log.info("%-5s %s", split, ", ".join(f"{number:,} {name}" for name, number in numbers.items()))
    event_log = EventLog(folder_digest(encoded), "tokenize")
    event_log.log_encoding(params.model_dump(), manifest.counts, current_execution())
    sync.try_sync(event_log)


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
