from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from stages.corpus.columns import Columns
from stages.corpus.conll import read_conll
from stages.corpus.findings import Findings
from stages.corpus.schemes import TagReader, label_ids
from stages.corpus.sentences import Block
from stages.encoding.files import EncodedSplit, read_split, split_writer
from stages.encoding.rows import Encoder
from stages.encoding.tokenizer import load_tokenizer
from stages.encoding.vocabulary import Vocabulary
from stages.modeling.classifier import labels_of, load_classifier
from stages.modeling.device import Compute, make_repeatable
from stages.modeling.prediction import predict
from stages.modeling.training import MasterWeights, Settings, Step, rate_factor, train
from tests.conftest import DEMO

LABELS = ["O", *(f"{prefix}-{kind}" for kind in ("LOC", "MISC", "ORG", "PER") for prefix in "BI")]
SETTINGS = Settings(
    epochs=6, learning_rate=0.005, weight_decay=0.01, warmup_ratio=0.1, max_gradient_norm=1.0, batch_subwords=256
)
COMPUTE = {
    "fp32": Compute(torch.device("cpu"), torch.float32),
    "bf16": Compute(torch.device("cpu"), torch.bfloat16),
}


@pytest.fixture(scope="module")
def split(tiny_pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> EncodedSplit:
    block = demo_block()
    reader = TagReader()
    labels = label_ids(reader.read(block), reader)
    assert reader.labels == LABELS
    encoder = Encoder(Vocabulary(load_tokenizer(tiny_pretrained)), length=32, overlap=8)
    folder = tmp_path_factory.mktemp("encoded")
    with split_writer(folder / "train.arrow") as writer:
        writer.write_batch(encoder.encode(block.words, labels).rows())
    return read_split(folder, "train")


def demo_block() -> Block:
    """The first 120 sentences of the demo's train split."""
    with (DEMO / "train.conll").open("rb") as stream:
        return next(read_conll(DEMO / "train.conll", stream, Columns(), Findings())).slice(0, 120)


@pytest.fixture
def trained(
    tiny_pretrained: Path, split: EncodedSplit
) -> Callable[..., tuple[PreTrainedModel, MasterWeights, list[Step]]]:
    def run(precision: str, seed: int = 1) -> tuple[PreTrainedModel, MasterWeights, list[Step]]:
        make_repeatable(seed=seed, threads=2)
        model = load_classifier(tiny_pretrained, labels=LABELS, dropout=0.1)
        weights = MasterWeights(model, SETTINGS, COMPUTE[precision])
        steps = list(train(model, weights, split, SETTINGS, COMPUTE[precision], seed=seed))
        return model, weights, steps

    return run


@pytest.mark.parametrize("precision", COMPUTE)
def test_train_lowers_the_loss_and_reports_each_step(
    trained: Callable[..., tuple[object, object, list[Step]]], precision: str
) -> None:
    _, _, steps = trained(precision)
    assert [step.step for step in steps] == list(range(1, steps[0].steps + 1))
    assert [step.epoch for step in steps if step.ends_epoch] == [1, 2, 3, 4, 5, 6]
    third = len(steps) // 3
    assert np.mean([s.loss for s in steps[-third:]]) < 0.7 * np.mean([s.loss for s in steps[:third]])


@pytest.mark.parametrize("precision", COMPUTE)
def test_train_gives_the_same_weights_to_the_bit_for_the_same_seed(
    trained: Callable[..., tuple[object, MasterWeights, list[Step]]], precision: str
) -> None:
    _, first, steps = trained(precision)
    _, second, again = trained(precision)
    assert steps == again
    assert all(torch.equal(a, b) for a, b in zip(first.masters, second.masters, strict=True))
    _, other, _ = trained(precision, seed=2)
    assert not all(torch.equal(a, b) for a, b in zip(first.masters, other.masters, strict=True))


def test_working_weights_are_the_masters_rounded(
    trained: Callable[..., tuple[PreTrainedModel, MasterWeights, list[Step]]],
) -> None:
    model, weights, _ = trained("bf16")
    snapshot = weights.snapshot()
    for name, parameter in model.named_parameters():
        assert parameter.dtype is torch.bfloat16
        assert snapshot[name].dtype is torch.float32
        assert torch.equal(parameter, snapshot[name].to(torch.bfloat16))


def test_predict_gives_each_word_its_own_label_whatever_the_batches(
    trained: Callable[..., tuple[PreTrainedModel, object, object]], split: EncodedSplit
) -> None:
    model, _, _ = trained("fp32")
    assert labels_of(model) == LABELS
    large = predict(model, split, COMPUTE["fp32"], batch_subwords=4096)
    small = predict(model, split, COMPUTE["fp32"], batch_subwords=64)
    gold = [[LABELS.index(tag) for tag in s.tags] for s in demo_block().sentences()]
    assert [ids.tolist() for ids in large.gold] == gold
    assert [ids.tolist() for ids in large.predicted] == [ids.tolist() for ids in small.predicted]
    assert len(split.lengths) > len(gold)  # some sentences are longer than a window here


def test_predict_refuses_a_word_that_no_window_owns(
    trained: Callable[..., tuple[PreTrainedModel, object, object]], split: EncodedSplit
) -> None:
    model, _, _ = trained("fp32")
    labels, word_index = split.labels.copy(), split.word_index.copy()
    lost = int(np.flatnonzero(word_index >= 0)[5])
    labels[lost], word_index[lost] = -100, -1
    broken = EncodedSplit(split.offsets, split.input_ids, labels, word_index, split.sentence, split.words)
    with pytest.raises(AssertionError, match="1 words have no prediction or more than one"):
        predict(model, broken, COMPUTE["fp32"], batch_subwords=4096)


def test_rate_factor_rises_then_falls_to_the_end() -> None:
    factors = [rate_factor(index, 100, 0.1) for index in range(100)]
    assert factors[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert factors[10] == 1
    assert factors[-1] == pytest.approx(1 / 90)
    assert all(a > b for a, b in pairwise(factors[10:]))
