"""Wrong labels found in train, beside cleanlab, on CLINC150 (150 intents) and on the entities of the demo corpus.

    make bench-suspects         ten minutes on two cores
    python -m tests.benchmarks.texts.bench_suspects --only demo

5 % of the labels of train are flipped, drawn from a seed: a text gets another intent, an entity another type or none.
One training run with the defaults of the task has, of each answer, what `tuneline suspects` ranks by; from the same run
come other ways to rank. cleanlab ranks by probabilities that are out of sample, as its guides have it: those of
logistic regression on the frozen encoder, by cross-validation over five folds, for texts on the mean of the tokens, for
words on their first token.

A line is the share of flipped labels among the first so many per cent of the list, and of the list that is flipped. The
list is of texts, or of entities and the words between them, since an entity may have become none; an entity is as
doubtful as its most doubtful word. The percentages are those of texts, or of entities.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from cleanlab.token_classification.rank import get_label_quality_scores as score_tokens
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_predict
from torch.nn import functional
from transformers import AutoModel, PreTrainedModel

from stages.config.train import TrainParams
from stages.dynamics.recorder import Recorder
from stages.encoding.files import IGNORED, EncodedSplit
from stages.encoding.windows import join_ranges
from stages.modeling.classifier import load_classifier
from stages.modeling.device import Compute, choose_compute, set_deterministic
from stages.modeling.head import JudgingHead, judge_labels
from stages.modeling.inference import count_outputs, each_batch
from stages.tasks.text_classification.model.head import SingleLabelHead
from stages.tasks.token_classification.model.head import TagHead
from stages.tasks.token_classification.scores.entities import OUTSIDE, Tagging
from stages.training.loop import plan_batches
from tests.benchmarks.contenders import defaults, settings_of, start
from tests.benchmarks.corpora import Corpus, encode_corpus
from tests.benchmarks.texts.bench_intents import INVERSE_PENALTY, embed, encode_intents

SEED = 13
FLIPPED = 0.05
LISTED = (1, 2, 3, 5, 7, 10, 20)  # per cent
FOLDS = 5
BATCH_TOKENS = 4096

Floats = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ranking:
    """Whether each of the units that are listed is wrong; an output of the model is a part of one.

    `total` is what the percentages are of. Shapes: O outputs, U units.
    """

    unit_O: Numbers
    is_wrong_U: Truths
    total: int

    def show(self, name: str, doubt_O: Floats, seconds: float | None = None) -> None:
        """Print how much of what is wrong is found by the doubt about each output, and the precision."""
        doubt_U = np.full(len(self.is_wrong_U), -np.inf)
        np.maximum.at(doubt_U, self.unit_O, doubt_O)
        found = np.cumsum(self.is_wrong_U[np.argsort(-doubt_U, kind="stable")])
        places = [round(self.total * percent / 100) for percent in LISTED]
        shares = [f"{found[place - 1] / found[-1]:6.1%} {found[place - 1] / place:6.1%}" for place in places]
        spent = "" if seconds is None else f"  {seconds:.0f} s"
        print(f"{name:<34} {' | '.join(shares)}{spent}", flush=True)


@dataclass(frozen=True)
class WithMargin:
    """A head that also judges the margin: the logit of the given label less the largest other (Pleiss et al., 2020)."""

    head: JudgingHead
    judged: int = 3

    def loss(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """That of the head."""
        return self.head.loss(logits_OC, answers)

    def judge(self, logits_OC: torch.Tensor, answers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """[O, 3] as `judge_labels`, and the margin."""
        given_O1 = answers[0][:, None]
        other_O = logits_OC.scatter(1, given_O1, -torch.inf).amax(1)
        margin_O = logits_OC.gather(1, given_O1)[:, 0] - other_O
        return torch.cat([judge_labels(logits_OC, answers[0]), margin_O[:, None]], 1)


def main() -> None:
    """Print what each way to rank finds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=BENCHMARKS)
    arguments = parser.parse_args()
    set_deterministic(seed=SEED, threads=0)
    compute = choose_compute("auto", "auto")
    for name, bench in BENCHMARKS.items():
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                bench(Path(folder), compute)


def bench_intents(folder: Path, compute: Compute) -> None:
    """CLINC150, whose units are texts."""
    intents, generator = encode_intents(folder), np.random.default_rng(SEED)
    split = intents.splits["train"]
    right_O, labels = split.answers_R, len(intents.labels)
    wrong = generator.choice(len(right_O), round(FLIPPED * len(right_O)), replace=False)
    given_O = right_O.copy()
    given_O[wrong] = (given_O[wrong] + generator.integers(1, labels, len(wrong))) % labels
    ranking = Ranking(np.arange(len(right_O)), given_O != right_O, len(right_O))
    introduce(f"CLINC150: {len(wrong)} of {len(right_O):,} texts flipped")

    torch.manual_seed(SEED)
    model = load_classifier(intents.pretrained, labels=intents.labels, dropout=intents.params.dropout)
    flipped = replace(split, answers_R=given_O)
    show_training(ranking, model, flipped, given_O, SingleLabelHead(0.0, None), intents.params, compute)

    started = time.perf_counter()
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    probability_OC = predict_out_of_sample(embed(intents, "train"), given_O, cv=folds)
    doubt_O = 1 - get_label_quality_scores(given_O, probability_OC)
    ranking.show("cleanlab: self-confidence", doubt_O, time.perf_counter() - started)
    doubt_O[find_label_issues(given_O, probability_OC)] += 1
    ranking.show("  what it calls an issue first", doubt_O)


def bench_entities(folder: Path, compute: Compute) -> None:
    """The demo corpus, whose units are entities and the words between them."""
    corpus, generator = encode_corpus("demo", folder), np.random.default_rng(SEED)
    split, params = corpus.train, defaults()
    places_O = np.flatnonzero(split.labels != IGNORED)
    right_O = split.labels[places_O].astype(np.int64)
    entities = Tagging(right_O, split.word_bounds, tuple(corpus.labels)).entities(strict=True)
    given_O = right_O.copy()
    for number in generator.choice(len(entities), round(FLIPPED * len(entities)), replace=False):
        own = slice(entities.first_E[number], entities.after_E[number])
        given_O[own] = flip_type(corpus.labels, right_O[own], generator)
    entity, words = entities.words
    unit_O = np.arange(len(right_O)) + len(entities)
    unit_O[words] = entity
    is_wrong_U = np.zeros(unit_O.max() + 1, dtype=bool)
    is_wrong_U[unit_O[given_O != right_O]] = True
    ranking = Ranking(unit_O, is_wrong_U, len(entities))
    introduce(f"demo: {is_wrong_U.sum()} of {len(entities):,} entities flipped")

    labels_N = split.labels.copy()
    labels_N[places_O] = given_O
    torch.manual_seed(SEED)
    model = load_classifier(corpus.pretrained, labels=corpus.labels, dropout=params.dropout)
    show_training(ranking, model, replace(split, labels=labels_N), given_O, TagHead(0.0), params, compute)

    started = time.perf_counter()
    sentence_O = split.sentences_of(np.arange(len(right_O)))
    probability_OC = predict_out_of_sample(
        embed_words(corpus), given_O, cv=GroupKFold(FOLDS, shuffle=True, random_state=SEED), groups=sentence_O
    )
    bounds = list(pairwise(split.word_bounds.tolist()))
    nested = ([given_O[first:after].tolist() for first, after in bounds], [probability_OC[f:a] for f, a in bounds])
    _, scores = score_tokens(*nested)
    ranking.show(
        "cleanlab: self-confidence",
        1 - np.concatenate([own.to_numpy() for own in scores]),
        time.perf_counter() - started,
    )


BENCHMARKS: dict[str, Callable[[Path, Compute], None]] = {"demo": bench_entities, "clinc150": bench_intents}


def introduce(title: str) -> None:
    """Print the head of a table: the per cent of the list that is read; below, each with recall and precision."""
    columns = " | ".join(f"{f'first {percent} %':^13}" for percent in LISTED)
    print(f"\n{title}\n{'':<34} {columns}\n{'':<34} {' | '.join(['recall  prec.'] * len(LISTED))}")


def flip_type(labels: list[str], ids: Numbers, generator: np.random.Generator) -> Numbers:
    """The tags of an entity with another type, or none."""
    types = sorted({label[2:] for label in labels if label != OUTSIDE})
    types.remove(labels[ids[0]][2:])
    chosen = generator.choice([*types, OUTSIDE])
    tags = [OUTSIDE if chosen == OUTSIDE else f"{labels[number][:2]}{chosen}" for number in ids]
    return np.array([labels.index(tag) for tag in tags])


def show_training(
    ranking: Ranking,
    model: PreTrainedModel,
    split: Any,
    given_O: Numbers,
    head: JudgingHead,
    params: TrainParams,
    compute: Compute,
) -> None:
    """Train on the flipped labels, and print what the recorded values find."""
    started = time.perf_counter()
    recorder = Recorder(WithMargin(head), split, plan_batches(split, settings_of(params)), device=compute.device)
    training = start(model, split, head, params, compute, recorder=recorder)
    probabilities, margins = [], []
    for step in training.steps:
        if step.ends_epoch:
            before_O = recorder.confidence_O.numpy().copy()
            recorder.end_epoch(step.epoch)
            probabilities.append(recorder.confidence_O.numpy() - before_O)
            margins.append(recorder.predicted_OK[:, 1].numpy().copy())
    seconds = time.perf_counter() - started
    loss_O = -np.log(np.clip(probabilities, 1e-30, None)).mean(0)
    ranking.show("Tuneline: mean probability", 1 - recorder.result().confidence_O, seconds)
    ranking.show("  mean loss", loss_O)
    ranking.show("  mean loss less its label's median", loss_O - label_medians(loss_O, given_O))
    ranking.show("  area under the margin", -np.mean(margins, 0))
    ranking.show("  probability in the last epoch", 1 - probabilities[-1])
    with training.weights.averaged():
        ranking.show("  probability by the final model", 1 - predict_given(model, split, given_O, compute))


def label_medians(values_O: Floats, given_O: Numbers) -> Floats:
    """[O] the median of the values that share the label of each output."""
    medians = {label: np.median(values_O[given_O == label]) for label in np.unique(given_O)}
    return np.array([medians[label] for label in given_O])


def predict_given(model: PreTrainedModel, split: Any, given_O: Numbers, compute: Compute) -> Floats:
    """[O] the probability that a trained model gives each given label."""
    counts_R = count_outputs(split)
    first_R = np.cumsum(counts_R) - counts_R
    found_O = np.zeros(len(given_O))
    for rows, logits_OC in each_batch(model, split, compute, batch_tokens=BATCH_TOKENS):
        outputs, _ = join_ranges(first_R[rows], counts_R[rows])
        probability_OC = torch.from_numpy(logits_OC).softmax(1).numpy()
        found_O[outputs] = probability_OC[np.arange(len(outputs)), given_O[outputs]]
    return found_O


def predict_out_of_sample(vectors_OD: Floats, given_O: Numbers, **folds: Any) -> Floats:
    """[O, C] the probabilities of logistic regression that was fitted on the other folds."""
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000)
    found_OC: Floats = cross_val_predict(model, vectors_OD, given_O, method="predict_proba", **folds)
    return found_OC


@torch.inference_mode()
def embed_words(corpus: Corpus) -> Floats:
    """[O, D] the first token that the frozen encoder has for each word, as a vector of length 1."""
    encoder = AutoModel.from_pretrained(corpus.pretrained, dtype=torch.float32, local_files_only=True).eval()
    split: EncodedSplit = corpus.train
    vectors = []
    for first, after in pairwise(split.offsets.tolist()):
        states_TD = encoder(torch.from_numpy(split.input_ids[first:after].astype(np.int64))[None]).last_hidden_state[0]
        vectors.append(functional.normalize(states_TD[torch.from_numpy(split.labels[first:after] != IGNORED)]))
    return torch.cat(vectors).numpy()


if __name__ == "__main__":
    main()
