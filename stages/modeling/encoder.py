"""The forward pass of a token classifier over packed rows (see batches.py): logits of the labelled sub-words alone.

The weights are those of a Hugging Face model, which stays as it is; only its `forward` is not used for encoders of
BERT's kind. For every other architecture the rows are padded and the model's own forward is called.

Shape legend: N sub-words, D width, L labelled sub-words, C labels; when padded, B rows of up to T sub-words.
"""

from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.modeling.batches import Batch
from stages.modeling.dropout import Masks, drop
from stages.modeling.layers import AddAndNorm, Attention, layouts

# Post-norm encoders whose layers hold the same modules under the same names.
BERT_KIND = {"bert", "roberta", "xlm-roberta", "camembert", "electra"}
COUNTING_FROM_PADDING = BERT_KIND - {"bert", "electra"}  # number positions from the padding id on

ROUNDED_TO = 16  # sub-words computed at once are a multiple of it


def label_logits(model: PreTrainedModel, batch: Batch, masks: Masks | None = None) -> torch.Tensor:
    """Logits [L, C] of the labelled sub-words of `batch`, in order; `masks` make it a pass of training.

    An architecture that is not of BERT's kind draws its masks itself, from torch's global generator, which is seeded
    for this pass.
    """
    if model.config.model_type in BERT_KIND and model.config.hidden_act == "gelu" and not model.config.is_decoder:
        return _packed_logits(model, batch, masks)
    if masks is not None:
        masks.seed_modules(batch.tokens_before)
    return _padded_logits(model.train(masks is not None), batch)


def _packed_logits(model: Any, batch: Batch, masks: Masks | None) -> torch.Tensor:
    encoder = model.base_model
    heads = model.config.num_attention_heads
    hidden_ND = _embeddings(encoder, batch, masks)
    places = layouts(batch, heads, hidden_ND.dtype)
    labelled_L = _rounded_up(batch.labelled_L, fill=batch.tokens)
    for layer in encoder.encoder.layer:
        attention = layer.attention.self
        context_ND = Attention.apply(
            attention.query(hidden_ND),
            attention.key(hidden_ND),
            attention.value(hidden_ND),
            places,
            heads,
            _pair_mask(batch, attention.dropout.p, heads, hidden_ND, masks),
        )
        before = batch.tokens_before
        if layer is encoder.encoder.layer[-1]:
            # Nobody asks for the other sub-words: what follows is done for the labelled ones alone.
            context_ND, hidden_ND = (x_ND.index_select(0, labelled_L) for x_ND in (context_ND, hidden_ND))
            before = batch.labels_before
        hidden_ND = _add_and_norm(layer.attention.output, context_ND, hidden_ND, before, masks)
        inner_NI = functional.gelu(layer.intermediate.dense(hidden_ND))
        hidden_ND = _add_and_norm(layer.output, inner_NI, hidden_ND, before, masks)
    hidden_LD = _dropped(hidden_ND, model.dropout.p, batch.labels_before, masks)
    logits_LC: torch.Tensor = model.classifier(hidden_LD)
    return logits_LC[: len(batch.labelled_L)]


def _rounded_up(values_N: torch.Tensor, *, fill: int) -> torch.Tensor:
    """`values_N` and some times `fill`, once at least: kernels are made for a shape, so there had better be few."""
    return functional.pad(values_N, (0, ROUNDED_TO - len(values_N) % ROUNDED_TO), value=fill)


def _embeddings(encoder: Any, batch: Batch, masks: Masks | None) -> torch.Tensor:
    """[N, D], and after the sub-words of the batch some that are no row's."""
    embeddings = encoder.embeddings
    input_ids_N = _rounded_up(batch.input_ids_N, fill=int(batch.input_ids_N[0]))
    positions_N = _rounded_up(batch.positions_N, fill=0)
    if encoder.config.model_type in COUNTING_FROM_PADDING:
        positions_N = positions_N + encoder.config.pad_token_id + 1
    sum_ND = (
        embeddings.word_embeddings(input_ids_N)
        + embeddings.token_type_embeddings.weight[0]
        + embeddings.position_embeddings(positions_N)
    )
    hidden_ND = _dropped(embeddings.LayerNorm(sum_ND), embeddings.dropout.p, batch.tokens_before, masks)
    if hasattr(encoder, "embeddings_project"):  # a small ELECTRA's embeddings are narrower than its layers
        hidden_ND = encoder.embeddings_project(hidden_ND)
    return hidden_ND


def _add_and_norm(
    module: Any, input_NI: torch.Tensor, residual_ND: torch.Tensor, before: int, masks: Masks | None
) -> torch.Tensor:
    """A module with `dense`, `dropout` and `LayerNorm`; `before` sub-words of the optimizer batch come before these."""
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
    """A mask for the attention of every place to every one of its row, in each head."""
    pairs = sum(group.rows * group.length**2 for group in batch.groups)
    return masks and masks.draw((heads * pairs,), rate=rate, before=heads * batch.pairs_before, like=like)


def _dropped(x_ND: torch.Tensor, rate: float, before: int, masks: Masks | None) -> torch.Tensor:
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
