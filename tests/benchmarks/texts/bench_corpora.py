"""What the real corpora beside the project reach with the defaults of their task, on dev and test, and in what time.

    make bench-corpora          two hours on two cores
    python -m tests.benchmarks.texts.bench_corpora CLINC150 --seeds 13 14 15

Each is a pipeline as `tuneline new` writes it, with its columns and splits named where they must be, in a temporary
folder; its stages are run one after another. Seconds are those of train, as a clock counts them and as the processors
do: on a machine with other work the second is nearer to what train needs. THUCNews takes a Chinese encoder, a folder
named by --encoder; `shared/tools/multilingual_encoder.py` makes one. Test decides nothing.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.checkout.new_pipeline import write_params_text
from pipeline.checkout.params_file import apply_settings
from stages.artifacts import WEIGHTS, file_digest, read_json
from tests.checkouts import ROOT
from tests.conftest import CORPORA

SEEDS = (13, 14, 15)
TENTHS = "data.split={dev: 0.1, test: 0.1}"


@dataclass(frozen=True)
class Source:
    """A corpus: its folder beside the project, and what its pipeline has beside the defaults of its task."""

    folder: str
    task: str = "text_classification"
    settings: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()  # of the folder, with their names in the corpus; none: the folder itself
    scores: tuple[str, ...] = ("accuracy",)  # shown beside the primary one


SOURCES = {
    "CLINC150": Source("clinc150"),
    "HWU64": Source("hwu64"),
    "MRPC": Source("mrpc", settings=('data.text="#1 String"', 'data.text_pair="#2 String"', "data.label=Quality")),
    "EmoBank": Source(
        "emobank", "regression", ("data.target=[V, A, D]", "data.split_column=split"), scores=("rmse", "r2")
    ),
    "NLU++ banking": Source("nlupp/banking", settings=("task.multi_label=true", TENTHS), scores=("exact_match",)),
    "NLU++ hotels": Source("nlupp/hotels", settings=("task.multi_label=true", TENTHS), scores=("exact_match",)),
    "THUCNews": Source(
        "thucnews",
        settings=("data.label_names=class.txt", "data.split={dev: 0.1}"),
        files=(("dev.txt", "train.txt"), ("test.txt", "test.txt"), ("class.txt", "class.txt")),
    ),
}


def main() -> None:
    """Print a line for each corpus and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="*", metavar="CORPUS", help=f"of {', '.join(SOURCES)}; all, if none")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--encoder", type=Path, help="a pretrained encoder in the Hugging Face layout")
    arguments = parser.parse_args()
    for name in arguments.corpora or SOURCES:
        if name == "THUCNews" and not arguments.encoder:
            print("THUCNews: skipped, it needs --encoder with a Chinese vocabulary", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            measure(name, SOURCES[name], Path(folder), arguments.seeds, arguments.encoder)


def measure(name: str, source: Source, place: Path, seeds: list[int], encoder: Path | None) -> None:
    """Print the scores of a corpus for each seed; `place` is an empty folder."""
    settings = [f'data.dir="{corpus_of(source, place)}"', *source.settings]
    if encoder:
        settings += [f'model.pretrained="{encoder.resolve()}"', "model.revision=null"]
        settings += [f"model.sha256={file_digest(encoder / WEIGHTS)}"]
    draft = place / "params.yaml"
    for seed in seeds:
        draft.write_text(write_params_text(source.task), encoding="utf-8")
        draft.write_text(apply_settings(draft, [*settings, f"train.seed={seed}"]), encoding="utf-8")
        if seed == seeds[0]:
            run("tokenize", place)
        seconds, processor_seconds = run("train", place)
        run("evaluate", place)
        metrics = read_json(place / "data/report/metrics.json")
        epoch = read_json(place / "data/model/training.json")["best_epoch"]
        dev, test = (describe(metrics[split], source.scores) for split in ("dev", "test"))
        print(f"{name}, seed {seed}, epoch {epoch}: dev {dev}; test {test}", flush=True)
        print(f"  trained for {seconds:.0f} s, {processor_seconds:.0f} s of processors", flush=True)


def corpus_of(source: Source, place: Path) -> Path:
    """The folder of a corpus; where files have other names there than its splits, one with copies of them."""
    if not source.files:
        return CORPORA / source.folder
    (place / "corpus").mkdir()
    for own, copied in source.files:
        shutil.copyfile(CORPORA / source.folder / own, place / "corpus" / copied)
    return place / "corpus"


def run(stage: str, place: Path) -> tuple[float, float]:
    """Run a stage of the pipeline in `place`; its seconds, by the clock and of processors."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db"}
    command = [sys.executable, "-m", f"stages.{stage}"]
    started, before = time.perf_counter(), processor_time()
    finished = subprocess.run(command, cwd=place, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if finished.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{finished.stderr}")
    return time.perf_counter() - started, processor_time() - before


def processor_time() -> float:
    """Seconds of processors that all finished children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def describe(tables: dict[str, Any], names: Sequence[str]) -> str:
    """The primary score of a split with its interval, and the others of these names."""
    primary = tables["primary"]
    shown = f"{primary['name']} {primary['value']:.4f} ({primary['low']:.4f} to {primary['high']:.4f})"
    return ", ".join([shown, *(f"{name} {tables['overall'][name]:.4f}" for name in names)])


if __name__ == "__main__":
    main()
