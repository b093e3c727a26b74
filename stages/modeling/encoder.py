"""The forward pass of a token classifier over packed rows (see batches.py): logits of the labelled tokens alone.

The weights are those of an unchanged Hugging Face model; only its `forward` is not used for BERT-like encoders. For
every other architecture the rows are padded and the model's own forward is called.

Shape legend: N tokens, D width, I inner width, L labelled tokens, C labels; when padded, B rows of up to T tokens.
"""

from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.modeling.batches import Batch
from stages.modeling.dropout import Masks, drop
from stages.modeling.layers import AddAndNorm, Attention, layouts

# Post-norm encoders whose layers have the same modules under the same names.
BERT_LIKE = {"bert", "roberta", "xlm-roberta", "camembert", "electra"}
POSITIONS_AFTER_PADDING = BERT_LIKE - {"bert", "electra"}  # count positions from the padding id + 1

ROW_MULTIPLE = 16  # tokens are computed in multiples of it


def label_logits(model: PreTrainedModel, batch: Batch, masks: Masks | None = None) -> torch.Tensor:
    """Logits [L, C] of the labelled tokens of `batch`, in order; with `masks`, as in training.

    An architecture that is not BERT-like draws its own masks from torch's global generator, which is seeded for this
    pass.
    """
    if model.config.model_type in BERT_LIKE and model.config.hidden_act == "gelu" and not model.config.is_decoder:
        return _packed_logits(model, batch, masks)
    if masks is not None:
        masks.seed_modules(batch.tokens_before)
    return _padded_logits(model.train(masks is not None), batch)


def _packed_logits(model: Any, batch: Batch, masks: Masks | None) -> torch.Tensor:
    encoder = model.base_model
    heads = model.config.num_attention_heads
    hidden_ND = _embeddings(encoder, batch, masks)
    group_layouts = layouts(batch, heads, hidden_ND.dtype)
    labelled_L = functional.pad(batch.labelled_L, (0, _missing(batch.labelled_L)), value=batch.tokens)
    for layer in encoder.encoder.layer:
        attention = layer.attention.self
        context_ND = Attention.apply(
            attention.query(hidden_ND),
            attention.key(hidden_ND),
            attention.value(hidden_ND),
            group_layouts,
            heads,
            _pair_mask(batch, attention.dropout.p, heads, hidden_ND, masks),
        )
        before = batch.tokens_before
        if layer is encoder.encoder.layer[-1]:
            # Only labelled tokens have logits, so the rest of the last layer is computed for them alone.
            context_ND, hidden_ND = (x_ND.index_select(0, labelled_L) for x_ND in (context_ND, hidden_ND))
            before = batch.labels_before
        hidden_ND = _add_and_norm(layer.attention.output, context_ND, hidden_ND, before, masks)
        inner_NI = functional.gelu(layer.intermediate.dense(hidden_ND))
        hidden_ND = _add_and_norm(layer.output, inner_NI, hidden_ND, before, masks)
    hidden_LD = _drop(hidden_ND, model.dropout.p, batch.labels_before, masks)
    logits_LC: torch.Tensor = model.classifier(hidden_LD)
    return logits_LC[: len(batch.labelled_L)]


def _missing(values_N: torch.Tensor) -> int:
    """The number of values to append, at least one: kernels are generated for each shape, so there should be few."""
    return ROW_MULTIPLE - len(values_N) % ROW_MULTIPLE


def _embeddings(encoder: Any, batch: Batch, masks: Masks | None) -> torch.Tensor:
    """[N, D]; behind the tokens of the batch come some that belong to no row."""
    embeddings = encoder.embeddings
    missing = _missing(batch.input_ids_N)
    input_ids_N = torch.cat([batch.input_ids_N, batch.input_ids_N[:1].expand(missing)])  # an id that occurs in train
    positions_N = functional.pad(batch.positions_N, (0, missing))
    if encoder.config.model_type in POSITIONS_AFTER_PADDING:
        positions_N = positions_N + encoder.config.pad_token_id + 1
    sum_ND = (
        embeddings.word_embeddings(input_ids_N)
        + embeddings.token_type_embeddings.weight[0]
        + embeddings.position_embeddings(positions_N)
    )
    hidden_ND = _drop(embeddings.LayerNorm(sum_ND), embeddings.dropout.p, batch.tokens_before, masks)
    if hasattr(encoder, "embeddings_project"):  # a small ELECTRA's embeddings are narrower than its layers
        hidden_ND = encoder.embeddings_project(hidden_ND)
    return hidden_ND


def _add_and_norm(
    module: Any, input_NI: torch.Tensor, residual_ND: torch.Tensor, before: int, masks: Masks | None
) -> torch.Tensor:
    """Apply a module with `dense`, `dropout` and `LayerNorm`; `before` counts the tokens before the part `input_NI`."""
    width = residual_ND.shape[1]
    mask = masks and masks.draw(
        tuple(residual_ND.shape), rate=module.dropout.p, before=before * width, like=residual_ND
    )
    norm = module.LayerNorm
    output_ND: torch.Tensor = AddAndNorm.apply(
        input_NI, residual_ND, module.dense.weight, module.dense.bias, norm.weight, norm.bias, norm.eps, mask
    )
    return output_ND


def _pair_mask(batch: Batch, rate: float, heads: int, like: torch.Tensor, masks: Masks | None) -> Any:
    """A mask for the attention of every position to every position of its row, in each head."""
    pairs = sum(group.rows * group.length**2 for group in batch.groups)
    return masks and masks.draw((heads * pairs,), rate=rate, before=heads * batch.pairs_before, like=like)


def _drop(x_ND: torch.Tensor, rate: float, before: int, masks: Masks | None) -> torch.Tensor:
    if masks is None:
        return x_ND
    return drop(x_ND, masks.draw(tuple(x_ND.shape), rate=rate, before=before * x_ND.shape[1], like=x_ND))


def _padded_logits(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    lengths_B = torch.from_numpy(batch.lengths_B)
    real_BT = (torch.arange(int(lengths_B[0])) < lengths_B[:, None]).to(batch.input_ids_N.device)
    input_ids_BT = torch.full(real_BT.shape, model.config.pad_token_id or 0, device=real_BT.device)
    input_ids_BT[real_BT] = batch.input_ids_N
    logits_BTC = model(input_ids=input_ids_BT, attention_mask=real_BT.long()).logits
    logits_LC: torch.Tensor = logits_BTC[real_BT][batch.labelled_L]
    return logits_LC
