"""Few labels after pre-training on raw text of the domain, beside the encoder as it comes: entity F1 on dev.

    make bench-pretraining      an hour on two cores
    python -m tests.benchmarks.texts.bench_pretraining --corpora WNUT-17 --sentences 100 --seeds 13 --set train.epochs=2

The raw text is that of the training halves of Wikigold and WNUT-17 together, without labels: the stages tokenize and
train of the task language_modeling read it, with the parameters that `tuneline new` writes and those of --set. Then
entities are learnt from some labelled sentences, drawn by the seed, with the parameters of params.yaml and at least 300
steps: from the default encoder and from the pre-trained one, with the same sentences and seeds. A line has both scores,
each the best of all epochs. Test decides nothing.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

from pipeline.checkout.new_pipeline import write_params_text
from pipeline.checkout.params_file import apply_settings
from stages import tokenize, train
from stages.config.sections import load_task_params
from stages.config.tokenize import Params
from stages.corpus.reading import DataParams, open_corpus
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.documents import document_starts
from stages.corpus.text.sentences import SPLITS
from stages.encoding.files import read_split
from stages.encoding.tokenizer import load_tokenizer
from stages.modeling.device import Compute, choose_compute, set_deterministic
from stages.modeling.pretrained import find_pretrained
from stages.tasks.token_classification.data.corpus import check_corpus
from stages.training.record import read_training
from tests.benchmarks.contenders import defaults, dev_f1, tuneline
from tests.benchmarks.corpora import SOURCES, Corpus
from tests.checkouts import ROOT

CORPORA = {"Wikigold": "Wikigold, by document", "WNUT-17": "WNUT-17"}  # names of SOURCES
SEEDS = (13, 14, 15)
SENTENCES = 200
MIN_STEPS = 300  # of so few sentences five epochs have some fifty
TRAIN, DEV = 0, 1

Sentence = tuple[list[str], list[str]]  # words and tags


def main() -> None:
    """Print what pre-training came to, a line for each corpus and seed, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=CORPORA)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--sentences", type=int, default=SENTENCES)
    parser.add_argument("--set", nargs="+", default=[], help="of pre-training, as that of `tuneline run`")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder, compute = Path(work), choose_compute("auto", "auto")
        pretrained = pretrain(folder / "language", arguments.set)
        for name in arguments.corpora:
            gains, plain_scores = [], []
            for seed in arguments.seeds:
                corpus = encode_few(name, folder / f"{name}-{seed}", arguments.sentences, seed)
                plain = best_f1(corpus, seed, compute)
                own = best_f1(replace(corpus, pretrained=pretrained), seed, compute)
                gains.append(own - plain)
                plain_scores.append(plain)
                print(
                    f"{name}, {arguments.sentences} sentences, seed {seed}: {plain:.4f} as it comes, {own:.4f} after "
                    f"pre-training, {100 * gains[-1]:+.1f} points",
                    flush=True,
                )
            mean, gain = statistics.mean(plain_scores), statistics.mean(gains)
            print(
                f"{name}: mean {mean:.4f}, {mean + gain:.4f} after pre-training, {100 * gain:+.1f} points", flush=True
            )


def pretrain(folder: Path, settings: list[str]) -> Path:
    """Pre-train on the raw text of all training halves; the folder of the model."""
    write_raw(folder / "raw")
    with chdir(ROOT):
        params = write_params_text("language_modeling")
    with chdir(folder), mock.patch.dict("os.environ", MLFLOW_TRACKING_URI=f"sqlite:///{folder}/mlflow.db"):
        path = Path("params.yaml")
        path.write_text(params, encoding="utf-8")
        own = ["data.dir=raw", "data.split={dev: 0.05, test: 0.05}", *settings]
        path.write_text(apply_settings(path, own), encoding="utf-8")
        tokenize.main(path)
        started, processor = time.perf_counter(), time.process_time()
        train.main(path)
    record = read_training(folder / "data/model")
    print(
        f"pre-training: {record.datasets['train']['tokens']:,} tokens, {len(record.dev_score)} epochs in "
        f"{time.perf_counter() - started:.0f} s, processor {time.process_time() - processor:.0f} s; nats per token on "
        f"dev {-record.dev_score[0]:.3f} after the first epoch, {-max(record.dev_score):.3f} at best",
        flush=True,
    )
    return folder / "data/model"


def write_raw(folder: Path) -> None:
    """Write the words of all training halves, a line for each sentence and an empty one between two documents."""
    folder.mkdir(parents=True)
    for name in CORPORA:
        with (folder / f"{name}.txt").open("w", encoding="utf-8") as stream:
            for block, splits_S in open_corpus(read_data(name)).blocks(Diagnostics()):
                firsts = set(document_starts(block.documents).tolist())
                for sentence in np.flatnonzero(splits_S == TRAIN).tolist():
                    stream.write("\n" * (sentence in firsts) + " ".join(block.words[sentence].as_py()) + "\n")


def read_data(name: str) -> DataParams:
    """The section `data` of a corpus."""
    data = load_task_params(ROOT / "params.yaml", Params).data.model_dump()
    return DataParams.model_validate(data | SOURCES[CORPORA[name]])


def encode_few(name: str, folder: Path, count: int, seed: int) -> Corpus:
    """Encode some sentences of train, and all of dev; the pre-trained encoder has the tokenizer of the default one."""
    splits: dict[int, list[Sentence]] = {TRAIN: [], DEV: []}
    for block, splits_S in open_corpus(read_data(name)).blocks(Diagnostics()):
        tags = block.tags.to_pylist()
        for sentence, split in enumerate(splits_S.tolist()):
            if split in splits:
                start, end = block.offsets[sentence : sentence + 2]
                splits[split].append((block.words[sentence].as_py(), tags[start:end]))
    chosen = np.random.default_rng(seed).permutation(len(splits[TRAIN]))[:count]
    few = {"train": [splits[TRAIN][n] for n in chosen], "dev": splits[DEV], "test": splits[DEV][:50]}
    (folder / "corpus").mkdir(parents=True)
    for split, sentences in few.items():
        lines = ("".join(f"{word}\t{tag}\n" for word, tag in zip(*each, strict=True)) for each in sentences)
        (folder / f"corpus/{split}.conll").write_text("\n".join(lines), encoding="utf-8")
    params = load_task_params(ROOT / "params.yaml", Params)
    pretrained = find_pretrained(**params.model.encoder)
    tokenizer = load_tokenizer(pretrained)
    data = DataParams.model_validate(params.data.model_dump() | {"dir": str(folder / "corpus")})
    checked = check_corpus(params.model_copy(update={"data": data}), tokenizer)
    (folder / "encoded").mkdir()
    splits = {split: split for split in SPLITS}
    checked.encode(folder / "encoded", labels=checked.labels, names=splits, on_block=lambda _: None)
    parts = [read_split(folder / "encoded", split) for split in ("train", "dev")]
    return Corpus(checked.labels, *parts, pretrained, tokenizer)


def best_f1(corpus: Corpus, seed: int, compute: Compute) -> float:
    """The best dev F1 of all epochs of a training run."""
    set_deterministic(seed=seed, threads=0)
    training = tuneline(corpus, defaults(seed=seed, min_steps=MIN_STEPS), compute)
    ends = (step.ends_epoch for step in training.steps)
    return max(training.best(lambda model: (dev_f1(model, corpus, compute),))[0] for is_end in ends if is_end)


if __name__ == "__main__":
    main()
