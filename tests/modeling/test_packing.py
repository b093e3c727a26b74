"""What `pack` prepares for a GPU, with a pretended one: the same numbers, few shapes, and nothing that waits for it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import masking_utils

from stages.encoding.files import IGNORED, EncodedSplit
from stages.modeling import encoder
from stages.modeling.attention import GroupedRows, UnpaddedRows
from stages.modeling.batches import Batch, PaddedRows, sorted_rows, split_rows
from stages.modeling.device import Compute
from stages.modeling.dropout import Masks
from stages.modeling.encoder import label_logits, pack
from tests.modeling.conftest import LABELS, flash_attention, random_model, random_split

CUDA = torch.device("cuda")
CPU = torch.device("cpu")
META = torch.device("meta")
KINDS: dict[str, dict[str, Any]] = {
    "bert": {"kind": "bert"},
    "roberta": {"kind": "roberta", "pad_token_id": 1},
    "distilbert": {"kind": "distilbert", "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
}
every_kind = pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
every_dtype = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "fp32"])


@pytest.fixture(autouse=True)
def _pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU with flash attention, which needs no pinned memory."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values: values)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)


@pytest.fixture(scope="module")
def split() -> EncodedSplit:
    return random_split([4, 9, 3, 9, 38, 4, 6, 4, 22, 20])


def all_rows(split: EncodedSplit) -> np.ndarray:
    (rows,) = sorted_rows(split.lengths, budget=10_000)
    return rows


@every_dtype
@every_kind
def test_a_batch_packed_for_a_gpu_gives_the_logits_and_gradients_of_a_cpu(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], dtype: torch.dtype, split: EncodedSplit
) -> None:
    monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", flash_attention)
    model = random_model(**config).double()
    rows, part = all_rows(split), slice(2, 9)
    found = []
    for compute in (Compute(CPU, torch.float64), Compute(CUDA, dtype)):
        batch = pack(model, split, rows, part, compute)
        if isinstance(batch.form, GroupedRows):  # the bias has the number format of the scores
            batch = pack(model, split, rows, part, Compute(compute.device, torch.float64))
        model.zero_grad()
        logits_LC = label_logits(model, batch)
        assert len(logits_LC) == len(batch.answers[0])
        functional.cross_entropy(logits_LC, batch.answers[0], reduction="sum", label_smoothing=0.1).backward()
        labels = int((batch.answers[0] != IGNORED).sum())
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        found.append((logits_LC.detach()[:labels], gradients))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "dtype", "form"),
    [
        (KINDS["bert"], torch.bfloat16, UnpaddedRows),
        (KINDS["bert"], torch.float32, GroupedRows),
        (KINDS["distilbert"], torch.bfloat16, PaddedRows),
    ],
)
def test_each_model_and_precision_has_its_form(
    config: dict[str, Any], dtype: torch.dtype, form: type, split: EncodedSplit
) -> None:
    batch = pack(random_model(**config), split, all_rows(split), slice(None), Compute(CUDA, dtype))
    assert isinstance(batch.form, form)


def test_batches_of_similar_size_have_the_same_shapes() -> None:
    lengths = np.random.default_rng(0).integers(5, 40, 400)
    split = random_split(lengths.tolist())
    halves = sorted_rows(split.lengths, budget=int(lengths.sum() / 2))
    # Two batches with almost as many tokens and labels, though not with the same rows.
    mixed = [np.sort(np.concatenate([half[start::2] for half in halves])) for start in (0, 1)]
    mixed = [rows[np.argsort(-split.lengths[rows], kind="stable")] for rows in mixed]
    found = [pack(random_model(), split, rows, slice(None), Compute(CUDA, torch.bfloat16)) for rows in mixed]
    assert found[0].tokens != found[1].tokens
    assert shapes(found[0]) == shapes(found[1])


def shapes(batch: Batch) -> list[Any]:
    assert isinstance(batch.form, UnpaddedRows)
    tensors = (batch.input_ids_N, batch.positions_N, batch.places_L, batch.answers[0], batch.form.cu_seqlens)
    return [*(x.shape for x in tensors), batch.form.longest]


def test_the_tokens_behind_the_rows_of_a_batch_have_an_id_that_occurs_in_it(split: EncodedSplit) -> None:
    for device in (CPU, CUDA):
        batch = pack(random_model(), split, all_rows(split), slice(None), Compute(device, torch.bfloat16))
        behind = batch.input_ids_N[batch.tokens :]
        assert len(behind) > 0
        assert (behind == batch.input_ids_N[0]).all()
        assert (batch.places_L[int((batch.answers[0] != IGNORED).sum()) :] == batch.tokens).all()


class Traced(TorchDispatchMode):
    """Counts operators by name, and fails on one whose output has a shape that depends on data."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        assert torch.Tag.data_dependent_output not in function.tags, function
        if function.overloadpacket is torch.ops.aten.index:  # tagged for the sake of boolean masks
            assert not any(index is not None and index.dtype is torch.bool for index in arguments[1]), function
        else:
            assert torch.Tag.dynamic_output_shape not in function.tags, function
        name = function.overloadpacket.__name__
        self.counts[name] = self.counts.get(name, 0) + 1
        return function(*arguments, **(options or {}))


def packed_for_gpu(config: dict[str, Any], dtype: torch.dtype, split: EncodedSplit) -> Batch:
    return pack(random_model(**config), split, all_rows(split), slice(2, 9), Compute(CUDA, dtype))


@every_dtype
@every_kind
def test_a_whole_training_step_has_no_shape_that_depends_on_data(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], dtype: torch.dtype, split: EncodedSplit
) -> None:
    # A look of transformers' own at whether the mask of padding hides anything: the one wait of such a model.
    monkeypatch.setattr(masking_utils, "_ignore_bidirectional_mask_sdpa", lambda *_: False)
    # Autograd refuses fake CUDA tensors where torch has no CUDA; the meta device has as little data as they have.
    batch = packed_for_gpu(config, dtype, split)
    model = random_model(**config).to(META, dtype)
    with Traced() as traced:
        batch = batch.to(META)
        logits_LC = label_logits(model, batch, Masks(1, 2)).float()
        functional.cross_entropy(logits_LC, batch.answers[0], reduction="sum", label_smoothing=0.1).backward()
    assert logits_LC.shape == (128, len(LABELS))
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert (name, parameter.grad.shape) == (name, parameter.shape)
    assert sum(parameter.grad is not None for parameter in model.parameters()) > 20
    if isinstance(batch.form, UnpaddedRows):
        assert traced.counts["_flash_attention_forward"] == traced.counts["_flash_attention_backward"] == 2
    if not isinstance(batch.form, PaddedRows):  # embeddings, both parts of two layers, head; and the probabilities
        assert traced.counts["bernoulli_"] == 6 + 2 * isinstance(batch.form, GroupedRows)


def test_a_gpus_generators_are_seeded_once_for_each_forward_pass_and_part(
    monkeypatch: pytest.MonkeyPatch, split: EncodedSplit
) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(encoder.Masks, "seed_generators", lambda _, before: seeds.append(before))
    rows = all_rows(split)
    parts = split_rows(rows, split.lengths, count=2)
    model = random_model().to(META, torch.bfloat16)
    for part in parts:
        batch = pack(model, split, rows, part, Compute(CUDA, torch.bfloat16)).to(META)
        label_logits(model, batch, Masks(1, 2))
        label_logits(model, batch)
    assert seeds == [0, int(split.lengths[rows[parts[0]]].sum())]


def test_pack_leaves_the_model_unchanged(split: EncodedSplit) -> None:
    model = random_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    compute = Compute(CPU, torch.float32)
    packed = pack(model, split, all_rows(split), slice(None), compute)
    assert model.training is False
    assert packed.tokens == split.lengths.sum()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
