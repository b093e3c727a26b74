"""Training with a CRF: its chains are the words of a sentence in one window, whatever the batches."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.encoding.files import IGNORED, EncodedSplit, Manifest
from stages.modeling.batches import Batch, sorted_rows
from stages.modeling.classifier import crf_of, load_classifier
from stages.modeling.device import set_deterministic
from stages.modeling.encoder import _round_up_outputs, label_logits, pack
from stages.modeling.heads.crf import NONE
from stages.tasks.token_classification.model.chains import ChainedSplit, find_chains
from stages.tasks.token_classification.model.head import CrfHead, make_head
from stages.tasks.token_classification.params import TaggingParams
from stages.training.loop import Settings, train
from stages.training.optimizer import MasterWeights
from tests.modeling.conftest import COMPUTE, LABELS, encoded
from tests.training.waiting import NoWaiting
from tests.training.weights import make_weights

MANIFEST = Manifest(4, "token_classification", LABELS, {}, "", {}, {}, {})
CRF = TaggingParams(name="token_classification", head="crf")
SETTINGS = Settings(
    seed=1, epochs=1, min_steps=0, learning_rate=0.005, schedule="linear", warmup_ratio=0.1, max_gradient_norm=1.0,
    batch_tokens=256, micro_batch_tokens=0,
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    weights: MasterWeights
    head: CrfHead
    losses: Iterator[float]

    def by_name(self) -> dict[str, torch.Tensor]:
        return self.weights.by_name(self.weights.snapshot())


@pytest.fixture(scope="module")
def split(demo_split: EncodedSplit) -> ChainedSplit:
    return ChainedSplit.of(demo_split)


def start(
    pretrained: Path,
    split: ChainedSplit,
    settings: Settings = SETTINGS,
    *,
    precision: str = "fp32",
    dropout: float = 0.0,
    head_lr_multiplier: float = 1.0,
    state: dict[str, torch.Tensor] | None = None,
    done: int = 0,
) -> Run:
    set_deterministic(seed=1, threads=1)
    model, compute = load_classifier(pretrained, labels=LABELS, dropout=dropout), COMPUTE[precision]
    head = make_head(model, CRF, MANIFEST, compute, label_smoothing=0.0)
    weights = make_weights(model, split, compute, head_lr_multiplier=head_lr_multiplier)
    if state:
        weights.load(state)
    steps = train(model, weights, split, settings, compute, head=head, done=done)
    return Run(weights, head, (step.read().loss for step in steps))


def test_chains_are_the_words_of_a_sentence_in_one_window(demo_split: EncodedSplit, split: ChainedSplit) -> None:
    rows = np.random.default_rng(0).permutation(len(split.lengths))
    index_N = np.concatenate([np.arange(split.offsets[row], split.offsets[row + 1]) for row in rows])
    label_O, place_TS, starts_S, ends_S = split.outputs(rows, index_N).answers
    expected = []
    for row in rows.tolist():
        columns = slice(split.offsets[row], split.offsets[row + 1])
        owned = split.labels[columns] != IGNORED
        numbers = split.word_index[columns][owned].tolist()
        count = split.word_counts[split.sentence[row]]
        if numbers:
            expected.append((split.labels[columns][owned].tolist(), numbers[0] == 0, numbers[-1] == count - 1))
    found = [
        (label_O[place_T[place_T != NONE]].tolist(), starts, ends)
        for place_T, starts, ends in zip(place_TS.T, starts_S.tolist(), ends_S.tolist(), strict=True)
    ]
    assert found == expected
    assert len(found) > len(split.words)  # some sentences are cut into windows
    assert not all(starts_S)


def test_a_chain_ends_with_its_row_with_its_sentence_and_where_a_word_is_missing() -> None:
    row_O = np.array([0, 0, 0, 0, 1, 1, 1])
    word_O = np.array([0, 1, 2, 3, 4, 6, 7])
    is_first_W = np.isin(np.arange(9), [0, 2, 8])
    first_S, length_S = find_chains(row_O, word_O, is_first_W)
    assert first_S.tolist() == [0, 2, 4, 5]
    assert length_S.tolist() == [2, 2, 1, 2]


def test_rows_without_words_have_no_chain() -> None:
    words = [IGNORED, 0, 0, IGNORED]
    split = ChainedSplit.of(encoded([([2, 7, 8, 3], words), ([2, 3], [IGNORED] * 2), ([2, 7, 8, 3], words)]))
    _, place_TS, starts_S, ends_S = split.outputs(np.arange(3), np.arange(10)).answers
    assert place_TS.T.tolist() == [[0, 1], [2, 3]]
    assert starts_S.all()
    assert ends_S.all()
    assert split.outputs(np.array([1]), np.array([4, 5])).answers[1].shape == (1, 0)


@pytest.mark.parametrize("precision", COMPUTE)
def test_training_lowers_the_loss_and_repeats_to_the_bit(
    tiny_pretrained: Path, split: ChainedSplit, precision: str
) -> None:
    settings = replace(SETTINGS, epochs=2, batch_tokens=512)
    first, again = (start(tiny_pretrained, split, settings, precision=precision, dropout=0.1) for _ in range(2))
    losses = list(first.losses)
    assert np.mean(losses[-3:]) < 0.7 * losses[0]
    assert list(again.losses) == losses
    weights, others = first.by_name(), again.by_name()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    transitions_CC = first.head.crf.transitions
    assert transitions_CC.dtype == torch.float32  # whatever the precision, so no step is lost to rounding
    assert torch.equal(transitions_CC, weights["crf.transitions"])
    forbidden_CC = torch.tensor([[a[2:] != b[2:] and b[0] == "I" for b in LABELS] for a in LABELS])
    assert not transitions_CC[forbidden_CC].any()
    assert transitions_CC[~forbidden_CC].all()


def test_training_resumes_with_the_same_bits(tiny_pretrained: Path, split: ChainedSplit) -> None:
    undisturbed = start(tiny_pretrained, split, dropout=0.1)
    losses = [next(undisturbed.losses) for _ in range(3)]
    state = {name: values.clone() for name, values in undisturbed.weights.state().items()}
    losses += undisturbed.losses
    resumed = start(tiny_pretrained, split, dropout=0.1, state=state, done=3)
    assert list(resumed.losses) == losses[3:]
    found, expected = resumed.by_name(), undisturbed.by_name()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_parts_of_a_batch_take_the_steps_of_the_whole(tiny_pretrained: Path, split: ChainedSplit) -> None:
    whole, parts = (
        start(tiny_pretrained, split, replace(SETTINGS, micro_batch_tokens=tokens, learning_rate=0.001))
        for tokens in (0, 40)
    )
    assert list(parts.losses) == pytest.approx(list(whole.losses), rel=1e-4)
    torch.testing.assert_close(
        parts.by_name()["crf.transitions"], whole.by_name()["crf.transitions"], atol=1e-5, rtol=0
    )


def test_learning_rate_multiplier_of_the_head_reaches_the_crf(tiny_pretrained: Path, split: ChainedSplit) -> None:
    one, ten = (start(tiny_pretrained, split, head_lr_multiplier=multiplier) for multiplier in (1.0, 10.0))
    for run in (one, ten):
        next(run.losses)
    for name in ("crf.start", "crf.transitions", "crf.end"):
        torch.testing.assert_close(ten.by_name()[name], 10 * one.by_name()[name])


def test_loss_waits_for_no_device_and_counts_no_padding(tiny_pretrained: Path, split: ChainedSplit) -> None:
    model = load_classifier(tiny_pretrained, labels=LABELS)
    head = make_head(model, CRF, MANIFEST, COMPUTE["fp32"], label_smoothing=0.0)
    rows = sorted_rows(split.lengths, budget=600)[1]
    batch = pack(model, split, rows, slice(None), COMPUTE["fp32"])
    rounded: Batch = _round_up_outputs(batch, 64)
    assert len(rounded.answers[0]) > batch.outputs
    logits_OC = label_logits(model, batch)
    padding_OC = torch.full((len(rounded.answers[0]) - batch.outputs, len(LABELS)), 7.0)
    with NoWaiting():
        plain = head.loss(logits_OC, batch.answers)
        plain.backward(retain_graph=True)
        padded = head.loss(torch.cat([logits_OC, padding_OC]), rounded.answers)
    assert padded.item() == plain.item()
    assert crf_of(model).transitions.grad.any()
