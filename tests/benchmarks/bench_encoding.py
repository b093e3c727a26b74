"""Encoding speed against `datasets.map` with the usual alignment loop, and peak memory on 10 and 50 million words.

    make bench-encoding        about eight minutes on two cores, 8 GB of temporary disk

The corpus is the real ones at hand (WNUT-17 and Wikigold beside the project, else the demo), repeated, with two words
in a hundred perturbed, so that the vocabulary grows as it does in a real one. Both start from the same Parquet shards
and end with a file of windows and labels. Each measurement is a separate process. Tuneline's time includes reading
the shards, the peer's does not. The pass in which Tuneline checks the corpus before that is reported separately.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.config.sections import load_task_params
from stages.config.tokenize import Params
from stages.corpus.reading import DataParams, open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import SPLITS, concatenate
from stages.encoding.rows import Encoder
from stages.encoding.tokenizer import load_tokenizer
from stages.encoding.vocabulary import Vocabulary
from stages.modeling.pretrained import find_pretrained
from stages.tasks.token_classification.data.corpus import check_corpus
from tests.checkouts import DEMO, ROOT
from tests.conftest import CORPORA

ROUNDS = 3  # in which the contenders take turns
MILLION = 1_000_000
PERTURBED = 0.02  # of the words


def main() -> None:
    """Print words per second and peak memory of each contender, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--role", choices=ROLES)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--millions", type=int, nargs=2, default=(10, 50), help="of words; the peer runs on the first")
    arguments = parser.parse_args()
    if arguments.role:
        print(json.dumps(ROLES[arguments.role](arguments.folder)))
        return
    few, many = arguments.millions
    with tempfile.TemporaryDirectory() as temporary:
        small, large, million = (Path(temporary) / name for name in ("small", "large", "million"))
        write_corpus(small, few)
        write_corpus(million, 1)
        rounds = [{name: measure(role, small) for name, role in CONTENDERS.items()} for _ in range(ROUNDS)]
        medians = {
            name: {figure: statistics.median(found[name][figure] for found in rounds) for figure in rounds[0][name]}
            for name in CONTENDERS
        }
        ours = medians["Tuneline"]
        print(f"\n{few} million words, medians of {ROUNDS} rounds")
        for name, found in medians.items():
            ratio = ours["words_per_second"] / found["words_per_second"]
            print(
                f"{name:<36} {found['words_per_second']:>11,.0f} words/s   Tuneline / this = {ratio:5.1f}   "
                f"peak {found['peak_mib']:,.0f} MiB"
            )
        print(f"Tuneline's check before it           {ours['check_words_per_second']:>11,.0f} words/s")
        write_corpus(large, many)
        more = measure("tuneline", large)
        growth = more["peak_mib"] / ours["peak_mib"]
        print(
            f"{many} million words: Tuneline {more['words_per_second']:,.0f} words/s, "
            f"peak {more['peak_mib']:,.0f} MiB, {growth:.2f} times that of {few} million"
        )
        started = time.perf_counter()
        subprocess.run([Path(sys.executable).with_name("tuneline"), "check", million], check=True, cwd=ROOT)
        print(
            f"tuneline check of 1 million words: {time.perf_counter() - started:.1f} s, start of the command included"
        )


def write_corpus(folder: Path, millions: int) -> None:
    """Shards of a million words for train, one sentence for dev and test."""
    folder.mkdir()
    source = real_sentences()
    generator = np.random.default_rng(13)
    for shard in range(millions):
        words, tags = source
        offsets = words.offsets.to_numpy()
        lengths = np.diff(offsets)
        order = generator.integers(0, len(lengths), MILLION // int(lengths.mean()) + 1)
        order = order[np.cumsum(lengths[order]) <= MILLION]
        words, tags = words.take(pa.array(order)), tags.take(pa.array(order))
        flat = words.flatten()
        suffixes = np.full(len(flat), "", dtype=object)
        at = generator.random(len(flat)) < PERTURBED
        suffixes[at] = [f"x{number}" for number in generator.integers(0, MILLION, at.sum())]
        perturbed = pc.binary_join_element_wise(flat, pa.array(suffixes, pa.string()), "")
        table = pa.table({"tokens": pa.ListArray.from_arrays(words.offsets, perturbed), "ner_tags": tags})
        pq.write_table(table, folder / f"train-{shard:05d}-of-{millions:05d}.parquet")
        if shard == 0:
            for split in ("dev", "test"):
                pq.write_table(table.slice(0, 1), folder / f"{split}.parquet")


def real_sentences() -> tuple[pa.ListArray, pa.ListArray]:
    """Words and tags of all sentences of the corpora at hand."""
    folders = [CORPORA / "wnut17", CORPORA / "wikigold"] if CORPORA.is_dir() else [DEMO]
    blocks = [
        block
        for folder in folders
        for block, _ in open_corpus(params_for(folder).data, allow_unsplit=True).blocks(Diagnostics())
    ]
    block = blocks[0]
    for following in blocks[1:]:
        block = concatenate(block, following)
    return block.words, pa.ListArray.from_arrays(block.words.offsets, block.tags.cast(pa.string()))


def params_for(folder: Path) -> Any:
    """The parameters of tokenize in params.yaml, with another corpus."""
    params = load_task_params(ROOT / "params.yaml", Params)
    data = DataParams.model_validate(params.data.model_dump() | {"dir": str(folder)})
    return params.model_copy(update={"data": data})


def measure(role: str, folder: Path) -> dict[str, float]:
    """Measure one contender in a separate process."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_encoding", "--role", role, "--folder", str(folder)]
    finished = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return found


def peak_mib() -> float:
    """Peak memory of this process and of the largest of its children."""
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + children) / 1024


def tuneline(folder: Path) -> dict[str, float]:
    """The two passes of the tokenize stage."""
    params = params_for(folder)
    tokenizer = load_tokenizer(find_pretrained(**params.model.encoder))
    started = time.perf_counter()
    checked = check_corpus(params, tokenizer)
    checked_at = time.perf_counter()
    # An empty vocabulary cache, as `datasets.map` has: drop what the check has looked up.
    window = params.tokenize
    encoder = Encoder(
        Vocabulary(tokenizer), length=window.window_length, overlap=window.window_overlap, context="sentence"
    )
    with tempfile.TemporaryDirectory(dir=folder) as target:
        replace(checked, encoder=encoder).encode(
            Path(target), labels=checked.labels, names={split: split for split in SPLITS}, on_block=lambda _: None
        )

    words, _ = checked.progress
    return {
        "words_per_second": words / (time.perf_counter() - checked_at),
        "check_words_per_second": words / (checked_at - started),
        "peak_mib": peak_mib(),
    }


def datasets_map(workers: int | None) -> Callable[[Path], dict[str, float]]:
    """`datasets.map` with the alignment loop of the library's own token classification examples."""

    def run(folder: Path) -> dict[str, float]:
        import datasets

        datasets.disable_progress_bars()
        params = params_for(folder)
        tokenizer = load_tokenizer(find_pretrained(**params.model.encoder))
        files = sorted(str(path) for path in folder.glob("train-*.parquet"))
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            data = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
            names = sorted(
                {tag for tags in data.with_format("arrow")[:100_000]["ner_tags"].to_pylist() for tag in tags}
            )
            ids = {name: number for number, name in enumerate(names)}

            def tokenize_and_align_labels(examples: dict[str, Any]) -> Any:
                inputs = tokenizer(examples["tokens"], truncation=True, max_length=256, is_split_into_words=True)
                labels = []
                for number, tags in enumerate(examples["ner_tags"]):
                    previous, label_ids = None, []
                    for word in inputs.word_ids(batch_index=number):
                        label_ids.append(-100 if word is None or word == previous else ids[tags[word]])
                        previous = word
                    labels.append(label_ids)
                inputs["labels"] = labels
                return inputs

            words = sum(pq.read_metadata(path).row_group(0).column(0).num_values for path in files)
            started = time.perf_counter()
            data.map(
                tokenize_and_align_labels,
                batched=True,
                num_proc=workers,
                remove_columns=data.column_names,
                load_from_cache_file=False,
            )
            seconds = time.perf_counter() - started
        return {"words_per_second": words / seconds, "peak_mib": peak_mib()}

    return run


ROLES: dict[str, Callable[[Path], dict[str, float]]] = {
    "tuneline": tuneline,
    "map": datasets_map(None),
    "map-2": datasets_map(2),
}

CONTENDERS = {
    "Tuneline": "tuneline",
    "datasets.map, batched": "map",
    "datasets.map, batched, num_proc=2": "map-2",
}

if __name__ == "__main__":
    main()
