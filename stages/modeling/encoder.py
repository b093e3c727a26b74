"""The forward pass of an encoder with its head over packed rows (see batches.py): logits of the outputs alone.

The weights are those of a Hugging Face model, unchanged but for adapters; only its `forward` is not used for BERT-like
encoders. For every other architecture the rows are padded and the model's own forward is called.

Frozen layers, with no trained weights in or below them, are computed without dropout, so that their states can be kept.

Shape legend: N tokens, D width, I inner width, L places that the head reads, O outputs, C labels; when padded, B rows
of up to T tokens.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.adaptation.lora import LoraLinear
from stages.adaptation.states import find_states
from stages.adaptation.weights import count_frozen_layers, count_layers, frozen_parts
from stages.modeling.attention import (
    TILE,
    GroupedRows,
    UnpaddedRows,
    attention,
    grouped_rows,
    has_flash_attention,
    unpadded_rows,
)
from stages.modeling.batches import Batch, PaddedRows, Pool, Rows, collate
from stages.modeling.device import Compute
from stages.modeling.dropout import Masks, drop
from stages.modeling.head import Split
from stages.modeling.layers import AddAndNorm

# Post-norm encoders whose layers have the same modules under the same names.
BERT_LIKE = {"bert", "roberta", "xlm-roberta", "camembert", "electra"}
POSITIONS_AFTER_PADDING = BERT_LIKE - {"bert", "electra"}  # count positions from the padding id + 1

CLASSIFIER = "classifier"
HEADS = (CLASSIFIER, "cls", "lm_head")  # of tokens; of masked language models: BERT's, RoBERTa's, without dropout

# N and L are rounded up to multiples of these: few shapes, for each of which a CPU generates kernels and a GPU keeps
# memory. On a GPU they are the tile of a matrix product, whose last tile is computed whether it is full or not.
CPU_MULTIPLE, GPU_MULTIPLE = 16, TILE


def pack(model: PreTrainedModel, split: Split, rows: Rows, part: slice, compute: Compute) -> Batch:
    """`collate(split, rows, part)` with all that the forward pass of `model` needs on such a device.

    It is computed on the host alone, in any thread. For a GPU it lies in pinned memory, and outputs are rounded up too.
    """
    batch = collate(split, rows, part)
    on_cpu = compute.device.type == "cpu"
    multiple = CPU_MULTIPLE if on_cpu else GPU_MULTIPLE
    if not on_cpu:
        batch = _round_up_outputs(batch, multiple)
    if not _is_bert_like(model):
        batch = replace(batch, form=_padded_rows(model, batch))
    else:
        batch = _round_up(model, batch, multiple)
        states = find_states(model, split)
        if states is not None:
            index_N = _append(states.index(rows[part]), multiple, 0)
            batch = replace(batch, states_ND=states.states_ND.index_select(0, index_N))
        batch = replace(batch, form=_attention_rows(model, batch, compute))
    return batch.pin_memory() if compute.device.type == "cuda" else batch


def label_logits(model: PreTrainedModel, batch: Batch, masks: Masks | None = None) -> torch.Tensor:
    """Logits [O, C] for the outputs of a packed `batch`, in order; with `masks`, as in training.

    What draws from torch's default generators (an architecture that is not BERT-like, every GPU) finds them seeded for
    this pass. Nothing here waits for the device; transformers may, to look at the mask of the padding.
    """
    form = batch.form
    if masks is not None and (isinstance(form, PaddedRows) or batch.input_ids_N.device.type != "cpu"):
        masks.seed_generators(batch.tokens_before)
    if isinstance(form, PaddedRows):
        types = {} if form.token_types_BT is None else {"token_type_ids": form.token_types_BT}
        model.train(masks is not None)
        for part in frozen_parts(model):
            part.eval()
        logits_BTC = model(input_ids=form.input_ids_BT, attention_mask=form.mask_BT, **types).logits
        return _pool_places(logits_BTC.flatten(0, 1).index_select(0, form.places_L), batch.pool)
    if form is None:
        raise ValueError("the batch is not packed: it comes from `collate` instead of `pack`")
    return _packed_logits(model, batch, masks)


def _is_bert_like(model: PreTrainedModel) -> bool:
    config = model.config
    is_known = config.model_type in BERT_LIKE and config.hidden_act == "gelu" and not config.is_decoder
    return is_known and _find_head(model) != ""


def _append(values: torch.Tensor, multiple: int, value: float) -> torch.Tensor:
    """The values and at least one `value`, up to a multiple of them along the first dimension."""
    missing = multiple - len(values) % multiple
    return functional.pad(values, (0, 0) * (values.ndim - 1) + (0, missing), value=value)


def _round_up_outputs(batch: Batch, multiple: int) -> Batch:
    """The batch with outputs that count for nothing behind its own."""
    answers = tuple(
        values if value is None else _append(values, multiple, value)
        for values, value in zip(batch.answers, batch.padding, strict=True)
    )
    if batch.pool is None:
        return replace(batch, answers=answers)
    return replace(batch, answers=answers, pool=replace(batch.pool, size_O=_append(batch.pool.size_O, multiple, 1)))


def _round_up(model: PreTrainedModel, batch: Batch, multiple: int) -> Batch:
    """The batch with tokens that belong to no row behind its own; the first of them fills up the places."""
    after_padding = model.config.model_type in POSITIONS_AFTER_PADDING
    types_N = _token_types(model, batch)
    return replace(
        batch,
        input_ids_N=_append(batch.input_ids_N, multiple, int(batch.input_ids_N[0])),  # an id that occurs in train
        positions_N=_append(batch.positions_N, multiple, 0) + (model.config.pad_token_id + 1 if after_padding else 0),
        token_types_N=None if types_N is None else _append(types_N, multiple, 0),
        places_L=_append(batch.places_L, multiple, batch.tokens),
        pool=_fill_pool(batch.pool, len(batch.places_L) + multiple - len(batch.places_L) % multiple),
    )


def _token_types(model: PreTrainedModel, batch: Batch) -> torch.Tensor | None:
    """[N] the token types, if the encoder has an embedding for those of second texts."""
    return batch.token_types_N if getattr(model.config, "type_vocab_size", 0) > 1 else None


def _fill_pool(pool: Pool | None, places: int) -> Pool | None:
    """The pool of so many places, the last of which go to an output behind the others."""
    if pool is None:
        return None
    missing = places - len(pool.output_L)
    return replace(pool, output_L=functional.pad(pool.output_L, (0, missing), value=len(pool.size_O)))


def _attention_rows(model: PreTrainedModel, batch: Batch, compute: Compute) -> GroupedRows | UnpaddedRows:
    heads = model.config.num_attention_heads
    if has_flash_attention(compute, model.config.hidden_size // heads):
        return unpadded_rows(batch.lengths_B, tokens=len(batch.input_ids_N))
    return grouped_rows(
        batch.lengths_B, batch.groups, heads=heads, dtype=compute.dtype, pairs_before=batch.pairs_before
    )


def _padded_rows(model: PreTrainedModel, batch: Batch) -> PaddedRows:
    real_BT = np.arange(batch.lengths_B[0]) < batch.lengths_B[:, None]
    input_ids_BT = np.full(real_BT.shape, model.config.pad_token_id or 0)
    input_ids_BT[real_BT] = batch.input_ids_N.numpy()
    types_N, types_BT = _token_types(model, batch), None
    if types_N is not None:
        types_BT = torch.zeros(real_BT.shape, dtype=torch.int64)
        types_BT[torch.from_numpy(real_BT)] = types_N
    places_L = torch.from_numpy(np.flatnonzero(real_BT)[batch.places_L.numpy()])
    # Any token fills up outputs that are places, since these count for nothing.
    missing = 0 if batch.pool else len(batch.answers[0]) - len(places_L)
    return PaddedRows(
        torch.from_numpy(input_ids_BT),
        torch.from_numpy(real_BT.astype(np.int64)),
        types_BT,
        functional.pad(places_L, (0, missing)),
    )


def frozen_states(model: Any, batch: Batch) -> torch.Tensor:
    """States of a packed `batch` after the frozen layers, [N, D]; if all are frozen, as the head reads them, [O, D]."""
    encoder, count = model.base_model, count_frozen_layers(model)
    hidden_ND = _embeddings(encoder, batch, None)
    for layer in encoder.encoder.layer[:count]:
        hidden_ND = _layer(model, layer, hidden_ND, batch, None)
    return _pool_places(hidden_ND, batch.pool) if count == count_layers(model) else hidden_ND


def can_keep_states(model: PreTrainedModel) -> bool:
    """Whether `frozen_states` has states for this model that `label_logits` can start from."""
    return _is_bert_like(model) and count_frozen_layers(model) > 0


def _packed_logits(model: Any, batch: Batch, masks: Masks | None) -> torch.Tensor:
    encoder, count = model.base_model, count_frozen_layers(model)
    if batch.states_ND is not None:
        hidden_ND = batch.states_ND
    elif count:
        hidden_ND = frozen_states(model, batch)
    else:
        hidden_ND = _embeddings(encoder, batch, masks)
    trained = encoder.encoder.layer[count:]
    for layer in trained:
        hidden_ND = _layer(model, layer, hidden_ND, batch, masks)
    hidden_OD = _pool_places(hidden_ND, batch.pool) if trained else hidden_ND
    name = _find_head(model)
    if name == CLASSIFIER:
        hidden_OD = _drop(hidden_OD, model.dropout.p, batch.outputs_before, masks)
    logits_OC: torch.Tensor = getattr(model, name)(hidden_OD)
    return logits_OC[: len(batch.answers[0])]


def _find_head(model: PreTrainedModel) -> str:
    """The name of the module that turns hidden states into logits; empty if it has another one, or none."""
    return next((name for name in HEADS if hasattr(model, name)), "")


def _layer(model: Any, layer: Any, hidden_ND: torch.Tensor, batch: Batch, masks: Masks | None) -> torch.Tensor:
    """[N, D]; of the last layer [L, D]."""
    own, before = layer.attention.self, batch.tokens_before
    assert isinstance(batch.form, GroupedRows | UnpaddedRows)
    context_ND = attention(
        _linear(own.query, hidden_ND, before, masks),
        _linear(own.key, hidden_ND, before, masks),
        _linear(own.value, hidden_ND, before, masks),
        batch.form,
        heads=model.config.num_attention_heads,
        dropout=own.dropout.p,
        masks=masks,
    )
    if layer is model.base_model.encoder.layer[-1]:
        # The head reads these places alone, so the rest of the last layer is computed for them alone.
        context_ND, hidden_ND = (x_ND.index_select(0, batch.places_L) for x_ND in (context_ND, hidden_ND))
        before = batch.places_before
    hidden_ND = _add_and_norm(layer.attention.output, context_ND, hidden_ND, before, masks)
    inner_NI = functional.gelu(_linear(layer.intermediate.dense, hidden_ND, before, masks))
    return _add_and_norm(layer.output, inner_NI, hidden_ND, before, masks)


def _pool_places(values_LD: torch.Tensor, pool: Pool | None) -> torch.Tensor:
    """[O, D] the mean over the places of each output, summed in fp32; unchanged if the places are the outputs."""
    if pool is None:
        return values_LD
    sums_OD = values_LD.new_zeros((len(pool.size_O) + 1, values_LD.shape[1]), dtype=torch.float32)
    sums_OD = sums_OD.index_add(0, pool.output_L, values_LD.float())[:-1]
    return (sums_OD / pool.size_O[:, None]).to(values_LD.dtype)


def _embeddings(encoder: Any, batch: Batch, masks: Masks | None) -> torch.Tensor:
    """[N, D]"""
    embeddings, types = encoder.embeddings, encoder.embeddings.token_type_embeddings
    sum_ND = (
        embeddings.word_embeddings(batch.input_ids_N)
        + (types.weight[0] if batch.token_types_N is None else types(batch.token_types_N))
        + embeddings.position_embeddings(batch.positions_N)
    )
    hidden_ND = _drop(embeddings.LayerNorm(sum_ND), embeddings.dropout.p, batch.tokens_before, masks)
    if hasattr(encoder, "embeddings_project"):  # a small ELECTRA's embeddings are narrower than its layers
        hidden_ND = _linear(encoder.embeddings_project, hidden_ND, batch.tokens_before, masks)
    return hidden_ND


def _linear(module: torch.nn.Linear, input_NI: torch.Tensor, before: int, masks: Masks | None) -> torch.Tensor:
    """[N, O] what the module computes; the dropout of an adapter draws from `masks`."""
    update_NO = _update(module, input_NI, before, masks)
    if update_NO is None:
        output_NO: torch.Tensor = module(input_NI)
        return output_NO
    return functional.linear(input_NI, module.weight, module.bias) + update_NO


def _update(module: torch.nn.Linear, input_NI: torch.Tensor, before: int, masks: Masks | None) -> torch.Tensor | None:
    """[N, O] what an adapter adds to the output of the module; None if it has none."""
    if not isinstance(module, LoraLinear):
        return None
    return module.update(_drop(input_NI, module.dropout_rate, before, masks))


def _add_and_norm(
    module: Any, input_NI: torch.Tensor, residual_ND: torch.Tensor, before: int, masks: Masks | None
) -> torch.Tensor:
    """Apply a module with `dense`, `dropout` and `LayerNorm`; `before` counts the tokens before the part `input_NI`."""
    width = residual_ND.shape[1]
    update_ND = _update(module.dense, input_NI, before, masks)
    mask = masks and masks.draw(
        tuple(residual_ND.shape), rate=module.dropout.p, before=before * width, like=residual_ND
    )
    norm = module.LayerNorm
    output_ND: torch.Tensor = AddAndNorm.apply(
        input_NI, residual_ND, module.dense.weight, module.dense.bias, norm.weight, norm.bias, norm.eps, mask, update_ND
    )
    return output_ND


def _drop(x_ND: torch.Tensor, rate: float, before: int, masks: Masks | None) -> torch.Tensor:
    if masks is None:
        return x_ND
    return drop(x_ND, masks.draw(tuple(x_ND.shape), rate=rate, before=before * x_ND.shape[1], like=x_ND))
