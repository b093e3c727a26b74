"""Going on from a model: what it forgets without old examples, with them, and near its parent's answers.

    make bench-continual            two hours on two cores
    python -m tests.benchmarks.bench_continual --parts types --seeds 13 --ways "" retain=2

`types`: a model learns half of WNUT-17's types of entities from the first half of train, in which the others are O, and
then the others in the second half, in which the first are O; the test split is scored on both halves of the types.
`tenth`: a model learns nine tenths of the train split of the demo, then the last tenth, beside one that is trained anew
on all. Each way runs the stages with their defaults, all in one process; a line has the seconds and the processor time
of train alone.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path
from unittest import mock

from pipeline.checkout.params_file import apply_settings
from stages import evaluate, tokenize, train
from stages.artifacts import file_digest, read_json
from tests.checkouts import DEMO, ROOT
from tests.conftest import CORPORA

SEEDS = (13, 14, 15)
PARTS = ("types", "tenth")
SPLITS = ("train", "dev", "test")
WAYS = ("", "replay", "retain=1", "retain=2", "retain=5", "replay retain=2")
REPLAY = ("train.replay.corpus=old", "train.replay.share=0.2")


def main() -> None:
    """Print a line for each part, way and seed, and the means over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--ways", nargs="+", default=WAYS, help="words: replay, retain=WEIGHT, or none")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--set", nargs="+", default=[], help="as that of `tuneline run`")
    arguments = parser.parse_args()
    for part in arguments.parts:
        found: dict[str, list[list[float]]] = {}
        for seed in arguments.seeds:
            with quiet(), tempfile.TemporaryDirectory() as folder, chdir(folder):
                PREPARE[part](Path())
                for way, figures in measure(part, arguments.ways, [f"train.seed={seed}", *arguments.set]):
                    found.setdefault(way, []).append(figures)
                    show(f"{part}, seed {seed}, {way}", figures)
        for way, runs in found.items():
            show(f"{part}, mean, {way}", [statistics.mean(column) for column in zip(*runs, strict=True)])


def measure(part: str, ways: Iterable[str], settings: Sequence[str]) -> Iterator[tuple[str, list[float]]]:
    """Yield each way with F1 on the old test set, F1 on the new one, seconds, and processor time."""
    values = ["data.dir=old", "evaluate.also=[new]", *settings]
    yield "the parent", run(Path("parent"), values, old="test", new="new")
    if part == "tenth":
        values = ["data.dir=all", "evaluate.also=[old]", *settings]
        yield "anew on all", run(Path("anew"), values, old="old", new="test")
    parent = Path("parent/data/model").absolute()
    digest = file_digest(parent / "model.safetensors")
    pinned = (f"model.pretrained={parent}", "model.revision=null", f'model.sha256="{digest}"')
    for number, way in enumerate(ways):
        own = [f"train.{word}" for word in way.split() if word != "replay"] + list(REPLAY if "replay" in way else ())
        values = [*pinned, "data.dir=new", "evaluate.also=[old]", *settings, *own]
        yield f"going on, {way or 'alone'}", run(Path(f"way-{number}"), values, old="old", new="test")


def run(folder: Path, settings: Sequence[str], *, old: str, new: str) -> list[float]:
    """Run the stages; F1 on the corpora of these names (`test`: the run's own), seconds and processor time of train."""
    folder.mkdir()
    params = folder / "params.yaml"
    params.write_text(apply_settings(ROOT / "params.yaml", settings), encoding="utf-8")
    tokenize.main(params)
    started, processor = time.perf_counter(), time.process_time()
    train.main(params)
    spent = time.perf_counter() - started, time.process_time() - processor
    evaluate.main(params)
    metrics = read_json(folder / "data/report/metrics.json")
    corpora = {"test": metrics["test"], **metrics["also"]}
    return [corpora[old]["primary"]["value"], corpora[new]["primary"]["value"], *spent]


def write_types(folder: Path) -> None:
    """Write WNUT-17 as `old` and `new`: half of train each, with half of the types."""
    sentences = {split: read_sentences(CORPORA / "wnut17", split) for split in SPLITS}
    types = sorted({line.split()[-1][2:] for text in sentences["train"] for line in text.splitlines()} - {""})
    half = len(sentences["train"]) // 2
    for name, own, taught in (
        ("old", types[::2], sentences["train"][:half]),
        ("new", types[1::2], sentences["train"][half:]),
    ):
        for split in SPLITS:
            texts = taught if split == "train" else sentences[split]
            write_sentences(folder / name, split, [keep_types(text, own) for text in texts])


def write_tenth(folder: Path) -> None:
    """Write the demo as `old` with nine tenths of train, `new` with the last, and `all`; dev and test are the same."""
    for name, first, last in (("old", 0.0, 0.9), ("new", 0.9, 1.0), ("all", 0.0, 1.0)):
        for split in SPLITS:
            texts = read_sentences(DEMO, split)
            chosen = texts[round(first * len(texts)) : round(last * len(texts))] if split == "train" else texts
            write_sentences(folder / name, split, chosen)


PREPARE = {"types": write_types, "tenth": write_tenth}


def read_sentences(folder: Path, split: str) -> list[str]:
    """The sentences of a CoNLL file, lines of a word and its tag."""
    (file,) = folder.glob(f"{split}.*")
    lines = file.read_text(encoding="utf-8").splitlines()
    return "\n".join(line.rstrip() for line in lines).strip("\n").split("\n\n")


def write_sentences(folder: Path, split: str, texts: Iterable[str]) -> None:
    """Write a split of a corpus."""
    folder.mkdir(exist_ok=True)
    (folder / f"{split}.conll").write_text("\n\n".join(texts) + "\n", encoding="utf-8")


def keep_types(text: str, types: Sequence[str]) -> str:
    """A sentence in which the tags of other types are O."""
    words = [line.split() for line in text.splitlines()]
    return "\n".join(f"{word[0]}\t{word[-1] if word[-1][2:] in types else 'O'}" for word in words if word)


@contextmanager
def quiet() -> Iterator[None]:
    """While active, nothing is sent to MLflow, and event logs and checkpoints lie in the working directory."""
    with (
        mock.patch.dict(os.environ),
        mock.patch("stages.tracking.sync.try_sync"),
        mock.patch("stages.tracking.sync.sync_live", return_value=nullcontext()),
    ):
        yield


def show(name: str, figures: Sequence[float]) -> None:
    """Print a line."""
    old, new, seconds, processor = figures
    print(f"{name}: F1 old {old:.4f}, new {new:.4f}; {seconds:.0f} s, processor {processor:.0f} s", flush=True)


if __name__ == "__main__":
    main()
