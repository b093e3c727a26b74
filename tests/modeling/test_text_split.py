"""Texts through the engine: pooled rows, second texts, windows of long texts, whatever the batches."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from stages.encoding.texts import EncodedTexts
from stages.modeling.batches import collate, sorted_rows, split_rows
from stages.modeling.dropout import Masks
from stages.modeling.encoder import label_logits, pack
from stages.modeling.text_split import Pooling, TextSplit, predict_examples
from tests.modeling.conftest import COMPUTE, random_model

KINDS: dict[str, dict[str, Any]] = {
    "bert": {"kind": "bert"},
    "roberta": {"kind": "roberta", "pad_token_id": 1, "type_vocab_size": 1},
    "distilbert": {"kind": "distilbert", "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
}
every_kind = pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
every_pooling = pytest.mark.parametrize("pooling", ["mean", "first"])


def text_split(lengths: list[int], pooling: Pooling, *, pairs: bool = False) -> TextSplit:
    """Rows of random tokens: every third row belongs to the example of the row before."""
    generator = np.random.default_rng(0)
    example = np.cumsum([number % 3 != 2 for number in range(len(lengths))]).astype(np.int32) - 1
    window = np.array([number % 3 == 2 for number in range(len(lengths))], np.int32)
    weight = np.array([1 / (example == own).sum() for own in example], np.float32)
    texts = pa.chunked_array([[f"text {number}" for number in range(example[-1] + 1)]])
    return TextSplit(
        EncodedTexts(
            offsets=np.append(0, np.cumsum(lengths)).astype(np.int32),
            input_ids=generator.integers(5, 30, sum(lengths)).astype(np.int32),
            second=np.array([length // 2 if pairs else -1 for length in lengths], np.int32),
            example=example,
            window=window,
            weight=weight,
            texts=texts,
            pairs=texts if pairs else None,
            slices={},
            answers=None,
        ),
        pooling,
        np.arange(len(lengths)) % 3,
    )


def reference(model: Any, split: TextSplit, row: int) -> torch.Tensor:
    """The logits of a row by Hugging Face's own forward: the mean over its tokens, or those of the first."""
    start, stop = split.offsets[row : row + 2]
    arguments = {"input_ids": torch.from_numpy(split.input_ids[start:stop].astype(np.int64))[None]}
    if split.second is not None and getattr(model.config, "type_vocab_size", 0) > 1:
        arguments["token_type_ids"] = (torch.arange(stop - start) >= int(split.second[row]))[None].long()
    logits_TC = model.eval()(**arguments).logits[0]
    return logits_TC[0] if split.pooling == "first" else logits_TC.mean(0)


@every_kind
@every_pooling
@pytest.mark.parametrize("pairs", [False, True])
def test_logits_of_rows_are_those_of_the_models_own_forward(
    config: dict[str, Any], pooling: Pooling, *, pairs: bool
) -> None:
    model = random_model(**config)
    split = text_split([5, 9, 3, 12, 7, 4], pooling, pairs=pairs)
    (rows,) = sorted_rows(split.lengths, budget=1000)
    with torch.no_grad():
        logits_OC = label_logits(model, pack(model, split, rows, slice(None), COMPUTE["fp32"]))
        expected_OC = torch.stack([reference(model, split, int(row)) for row in rows])
    torch.testing.assert_close(logits_OC, expected_OC, atol=1e-5, rtol=1e-5)


def test_the_second_text_has_a_token_type_of_its_own() -> None:
    model = random_model()
    alone, paired = (text_split([6, 8], "mean", pairs=pairs) for pairs in (False, True))
    with torch.no_grad():
        without, with_types = (
            label_logits(model, pack(model, split, np.array([1, 0]), slice(None), COMPUTE["fp32"]))
            for split in (alone, paired)
        )
    assert not torch.allclose(without, with_types, atol=1e-4)


@every_pooling
@pytest.mark.parametrize("precision", COMPUTE)
def test_dropout_masks_do_not_depend_on_the_parts_of_a_batch(pooling: Pooling, precision: str) -> None:
    compute = COMPUTE[precision]
    model = random_model().to(compute.dtype)
    split = text_split([5, 9, 3, 12, 7, 4], pooling)
    (rows,) = sorted_rows(split.lengths, budget=1000)
    parts = split_rows(rows, split.lengths, count=3)
    with torch.no_grad():
        whole_OC = label_logits(model, pack(model, split, rows, slice(None), compute), Masks(1, 2)).float()
        parts_OC = torch.cat(
            [label_logits(model, pack(model, split, rows, part, compute), Masks(1, 2)).float() for part in parts]
        )
    torch.testing.assert_close(whole_OC, parts_OC, atol=1e-5 if precision == "fp32" else 0.05, rtol=0)


@every_pooling
def test_the_gradient_reaches_every_token_that_is_pooled(pooling: Pooling) -> None:
    model = random_model()
    split = text_split([5, 9], pooling)
    batch = pack(model, split, np.array([1, 0]), slice(None), COMPUTE["fp32"])
    label_logits(model, batch).square().sum().backward()
    touched = model.get_input_embeddings().weight.grad.abs().sum(1) > 0
    assert touched[torch.from_numpy(split.input_ids.astype(np.int64))].all()


def test_an_example_is_the_mean_of_its_rows_by_their_weights_whatever_the_batches() -> None:
    model = random_model()
    split = text_split([5, 9, 3, 12, 7, 4], "mean")
    large, small = (predict_examples(model, split, COMPUTE["fp32"], batch_tokens=size) for size in (1000, 8))
    assert len(large) == len(split.texts.texts)
    np.testing.assert_allclose(large, small, atol=1e-5)
    with torch.no_grad():
        rows = torch.stack([reference(model, split, row) for row in range(6)]).numpy()
    for example in range(len(large)):
        own = split.texts.example == example
        np.testing.assert_allclose(large[example], rows[own].mean(0), atol=1e-5)


def test_a_batch_counts_answers_by_the_weights_of_its_rows() -> None:
    split = text_split([5, 9, 3, 12, 7, 4], "mean")
    rows = np.array([3, 1, 4, 0, 5, 2])
    assert split.weight(rows, rows) == pytest.approx(4)
    batch = collate(split, rows, slice(2, 5))
    assert batch.outputs == 3
    assert batch.answers[0].tolist() == [1, 0, 2]
    assert batch.answers[1].tolist() == split.texts.weight[[4, 0, 5]].tolist()
    assert (batch.outputs_before, batch.places_before, batch.tokens_before) == (2, 21, 21)
    assert split.describe(np.array([2, 0])) == {0: "text 0", 1: "text 1"}
