"""A model with the outputs of other labels: those that it knows by name keep their weights, others are never predicted.

Shape legend: C labels of the model, K others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from stages.modeling.classifier import add_crf, crf_of, labels_of

NEVER = -1e4  # the logit of a label that a model does not know: its probability is 0 in any number format
NO_THRESHOLD = 1.0  # of a probability, which no label that is not known reaches


@torch.no_grad()
def name_outputs(model: PreTrainedModel, labels: Sequence[str]) -> None:
    """Give a loaded model an output for each of these labels, in their order."""
    before = labels_of(model)
    if before == list(labels):
        return
    kept_K = [(place, before.index(label)) for place, label in enumerate(labels) if label in before]
    to, source = torch.tensor(kept_K, dtype=torch.long).reshape(-1, 2).T
    name, layer = _find_output_layer(model)
    wider = nn.Linear(layer.in_features, len(labels), dtype=layer.weight.dtype, device=layer.weight.device)
    wider.weight.zero_()
    wider.bias.fill_(NEVER)
    wider.weight[to] = layer.weight[source]
    wider.bias[to] = 0 if layer.bias is None else layer.bias[source]
    model.set_submodule(name, wider)
    crf = crf_of(model)
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: index for index, label in enumerate(labels)}
    if crf is not None:
        wider_crf = add_crf(model)
        wider_crf.start[to], wider_crf.end[to] = crf.start[source], crf.end[source]
        wider_crf.transitions[to[:, None], to] = crf.transitions[source[:, None], source]


def name_decision(decision: Mapping[str, Any], before: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """What was fitted for a model, for other labels: a list in it has a value for each label, in their order."""
    return {
        key: [dict(zip(before, value, strict=True)).get(label, NO_THRESHOLD) for label in labels]
        if isinstance(value, list)
        else value
        for key, value in decision.items()
    }


def _find_output_layer(model: PreTrainedModel) -> tuple[str, nn.Linear]:
    """The last linear layer outside the encoder, with its name."""
    inside = f"{model.base_model_prefix}."
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not name.startswith(inside)
    ][-1]
