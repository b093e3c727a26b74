"""The packed and the padded forward, compared with that of the Hugging Face models."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.encoding.files import EncodedSplit
from stages.modeling.batches import Batch, collate, sorted_rows, split_rows
from stages.modeling.dropout import Masks
from stages.modeling.encoder import label_logits, pack
from tests.modeling.conftest import COMPUTE, random_model, random_split

PACKED: dict[str, dict[str, Any]] = {
    "bert": {"kind": "bert"},
    "roberta": {"kind": "roberta", "pad_token_id": 1},
    "xlm-roberta": {"kind": "xlm-roberta", "pad_token_id": 1},
    "camembert": {"kind": "camembert", "pad_token_id": 1},
    "electra": {"kind": "electra", "embedding_size": 16},
    "electra with narrow embeddings": {"kind": "electra", "embedding_size": 8},
}
PADDED: dict[str, dict[str, Any]] = {
    "bert with relu": {"kind": "bert", "hidden_act": "relu"},
    "bert with gelu_new": {"kind": "bert", "hidden_act": "gelu_new"},
    "bert as a decoder": {"kind": "bert", "is_decoder": True},
    "distilbert": {"kind": "distilbert", "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "deberta-v2": {
        "kind": "deberta-v2", "relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm",
        "pos_att_type": ["p2c", "c2p"], "share_att_key": True, "position_biased_input": False,
    },
    "modernbert": {
        "kind": "modernbert", "local_attention": 4, "global_attn_every_n_layers": 2,
        "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3,
    },
}  # fmt: skip
KINDS = PACKED | PADDED
DROPOUT = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3, "classifier_dropout": 0.1}

every_kind = pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
packed_kind = pytest.mark.parametrize("config", PACKED.values(), ids=PACKED)


@pytest.fixture(scope="module")
def split() -> EncodedSplit:
    return random_split([4, 9, 3, 9, 30, 4, 6, 4, 22, 20])


def batch_of(model: PreTrainedModel, split: EncodedSplit) -> Batch:
    (rows,) = sorted_rows(split.lengths, budget=10_000)
    return pack(model, split, rows, slice(None), COMPUTE["fp32"])


def parts_of(model: PreTrainedModel, split: EncodedSplit, *, count: int) -> list[Batch]:
    (rows,) = sorted_rows(split.lengths, budget=10_000)
    parts = split_rows(rows, split.lengths, count=count)
    return [pack(model, split, rows, part, COMPUTE["fp32"]) for part in parts]


def own_logits(model: PreTrainedModel, split: EncodedSplit, *, pad: bool) -> torch.Tensor:
    """The logits of the model's own forward, over padded rows or row by row without padding."""
    (order,) = sorted_rows(split.lengths, budget=10_000)
    batch = collate(split, order)
    lengths = batch.lengths_B.tolist()
    rows = batch.input_ids_N.split(lengths)
    if not pad:
        logits_NC = torch.cat([model(input_ids=row_T[None]).logits[0] for row_T in rows])
        return logits_NC[batch.places_L]
    input_ids_BT = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=model.config.pad_token_id)
    mask_BT = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row_T) for row_T in rows], batch_first=True)
    logits_BTC = model(input_ids=input_ids_BT, attention_mask=mask_BT).logits
    kept = [logits_BTC[number, :length] for number, length in enumerate(lengths)]
    return torch.cat(kept)[batch.places_L]


@pytest.mark.parametrize("pad", [True, False], ids=["padded", "row by row"])
@every_kind
def test_label_logits_equal_the_models_own(config: dict[str, Any], pad: bool, split: EncodedSplit) -> None:
    model = random_model(**config)
    batch = batch_of(model, split)
    with torch.no_grad():
        logits_LC = label_logits(model, batch)
        assert logits_LC.shape == (len(batch.answers[0]), model.config.num_labels)
        assert logits_LC.std() > 0.1
        torch.testing.assert_close(logits_LC, own_logits(model, split, pad=pad), rtol=0, atol=1e-5)


@pytest.mark.parametrize("masks", [None, Masks(1, 2)], ids=["evaluation", "training"])
@every_kind
def test_gradients_through_label_logits_equal_the_models_own(
    config: dict[str, Any], masks: Masks | None, split: EncodedSplit
) -> None:
    model = without_dropout(random_model(**config))
    batch = batch_of(model, split)

    def gradients(logits_LC: torch.Tensor) -> dict[str, torch.Tensor]:
        model.zero_grad()
        functional.cross_entropy(logits_LC, batch.answers[0]).backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    found, expected = gradients(label_logits(model, batch, masks)), gradients(own_logits(model, split, pad=True))
    assert found.keys() == expected.keys()
    assert all(gradient.abs().max() > 0 for gradient in found.values() if gradient.ndim > 1)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def without_dropout(model: PreTrainedModel) -> PreTrainedModel:
    for module in model.modules():
        for name in ("p", "attention_dropout", "dropout"):  # ModernBERT's attention keeps a number
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


@pytest.mark.parametrize("count", [2, 3, 8])
@packed_kind
def test_logits_of_parts_under_dropout_are_those_of_the_whole(
    config: dict[str, Any], count: int, split: EncodedSplit
) -> None:
    model = random_model(**config, **DROPOUT)
    pieces = parts_of(model, split, count=count)
    assert len(pieces) > 1
    with torch.no_grad():
        whole_LC = label_logits(model, batch_of(model, split), Masks(1, 2))
        parts_LC = torch.cat([label_logits(model, piece, Masks(1, 2)) for piece in pieces])
    torch.testing.assert_close(parts_LC, whole_LC, rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", [PACKED["bert"], PADDED["distilbert"]], ids=["packed", "padded"])
def test_logits_under_dropout_repeat_by_seed_and_step_and_differ_otherwise(
    config: dict[str, Any], split: EncodedSplit
) -> None:
    model = random_model(**config)
    batch = batch_of(model, split)
    with torch.no_grad():
        first, again, other_seed, other_step, without = (
            label_logits(model, batch, masks) for masks in (Masks(1, 2), Masks(1, 2), Masks(2, 2), Masks(1, 3), None)
        )
    assert torch.equal(first, again)
    for other in (other_seed, other_step, without):
        assert (first - other).abs().max() > 0.01


DROPOUTS = [
    "bert.embeddings.dropout",
    *(
        f"bert.encoder.layer.{number}.{place}.dropout"
        for number in range(2)
        for place in ("attention.self", "attention.output", "output")
    ),
    "dropout",
]


@pytest.mark.parametrize("site", DROPOUTS)
def test_each_dropout_of_the_model_has_its_own_masks(site: str, split: EncodedSplit) -> None:
    model = without_dropout(random_model("bert"))
    places = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)}
    assert sorted(places) == sorted(DROPOUTS)
    places[site].p = 0.1
    batch = batch_of(model, split)
    with torch.no_grad():
        logits = torch.stack([label_logits(model, batch, Masks(1, step)) for step in range(40)])
        parts_LC = torch.cat([label_logits(model, piece, Masks(1, 0)) for piece in parts_of(model, split, count=3)])
        plain_LC = label_logits(model, batch)
    assert (logits[0] - plain_LC).abs().max() > 0.01
    torch.testing.assert_close(parts_LC, logits[0], rtol=0, atol=1e-5)
    # Kept values are scaled up, so that the mean of the logits is about right.
    assert (logits.mean(0) - plain_LC).square().mean() < 0.1 * (logits - plain_LC).square().mean()


@every_kind
def test_label_logits_of_rows_without_labels_are_empty_with_zero_gradients(config: dict[str, Any]) -> None:
    model = random_model(**config)
    batch = pack(model, random_split([2, 2]), np.array([0, 1]), slice(None), COMPUTE["fp32"])
    logits_LC = label_logits(model, batch, Masks(1, 2))
    assert logits_LC.shape == (0, model.config.num_labels)
    logits_LC.sum().backward()
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


def test_label_logits_refuse_a_batch_that_is_not_packed(split: EncodedSplit) -> None:
    with pytest.raises(ValueError, match="not packed"):
        label_logits(random_model(), collate(split, np.array([0])))
