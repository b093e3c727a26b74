"""A token classifier: an encoder with a linear head on each token, in the Hugging Face layout on disk.

It may have a CRF over its logits: then config.json says `"crf": true`, and model.safetensors holds its potentials,
which transformers itself leaves out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForTokenClassification, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_NAME
from transformers.utils import logging as transformers_logging

from stages.errors import PretrainedError
from stages.modeling.heads.crf import Crf

HEAD = "classifier.weight"  # in model.safetensors
NEVER = -1e4  # the logit of a label that a model does not know: its probability is 0 in any number format
CRF = "crf"  # its name in a model, in config.json and before the names of its weights
# The parameters for the dropout of layers and of attention in different families of encoders.
DROPOUTS = {
    "hidden_dropout_prob", "attention_probs_dropout_prob",  # BERT, RoBERTa, DeBERTa, ELECTRA
    "dropout", "attention_dropout",  # DistilBERT
    "embedding_dropout", "mlp_dropout",  # ModernBERT
}  # fmt: skip


def load_classifier(folder: Path, *, labels: list[str] | None = None, dropout: float | None = None) -> PreTrainedModel:
    """Load weights in fp32; `labels` adds a new head with an output for each to a pretrained encoder.

    The head is drawn from torch's global generator. If the folder has a head already, what that learnt of labels of the
    same name is kept, in its CRF as well. Without `labels` the folder must hold a token classifier. PretrainedError if
    it cannot be loaded.
    """
    # The library reports the new head as missing weights and the unused pooler as unexpected ones; both are intended.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        has_head = _has_head(folder / SAFE_WEIGHTS_NAME)
        if labels is not None and not has_head:
            config.id2label = dict(enumerate(labels))
            config.label2id = {label: index for index, label in enumerate(labels)}
        if dropout is not None:
            for name in DROPOUTS & set(config.to_dict()):
                setattr(config, name, dropout)
        # eager: the backward of PyTorch's CPU flash attention in bf16 takes 40 % of a step at 20 tokens a sentence.
        model: PreTrainedModel = AutoModelForTokenClassification.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            attn_implementation="eager",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
        if getattr(config, CRF, False):
            add_crf(model).load_state_dict(_read_crf(folder / SAFE_WEIGHTS_NAME))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise PretrainedError(f"{folder} cannot be loaded as a token classifier: {error}") from None
    if labels is not None and has_head:
        name_outputs(model, labels, deviation=config.initializer_range)
    return model


def head_of(model: PreTrainedModel) -> nn.Linear:
    """The linear head, which has a row for each label."""
    return cast(nn.Linear, model.classifier)


def add_crf(model: PreTrainedModel) -> Crf:
    """Give a model a CRF over its labels, without any effect yet, which is saved and loaded with it."""
    model.crf = Crf(len(labels_of(model)))
    model.config.update({CRF: True})
    return model.crf


def drop_crf(model: PreTrainedModel) -> None:
    """Take its CRF from a model that has one."""
    if crf_of(model) is not None:
        del model.crf
        delattr(model.config, CRF)


def crf_of(model: PreTrainedModel) -> Crf | None:
    """The CRF of a model that has one."""
    crf: Crf | None = getattr(model, CRF, None)
    return crf


def _has_head(weights: Path) -> bool:
    with safe_open(weights, "pt") as stored:
        return HEAD in stored.keys()  # noqa: SIM118 - it is no mapping


def _read_crf(weights: Path) -> dict[str, torch.Tensor]:
    """The potentials by their names in `Crf`."""
    with safe_open(weights, "pt") as stored:
        names = [name for name in stored.keys() if name.startswith(f"{CRF}.")]  # noqa: SIM118 - it is no mapping
        return {name.removeprefix(f"{CRF}."): stored.get_tensor(name) for name in names}


@torch.no_grad()
def name_outputs(model: PreTrainedModel, labels: Sequence[str], *, deviation: float | None = None) -> None:
    """Give a model an output for each of these labels, in their order.

    Those that it had keep their weights, those of a CRF as well. Others are drawn from torch's global generator with
    this deviation; without one they are never predicted.
    """
    before = labels_of(model)
    if before == list(labels):
        return
    head, crf = head_of(model), crf_of(model)
    kept = [(place, before.index(label)) for place, label in enumerate(labels) if label in before]
    to, source = torch.tensor(kept, dtype=torch.long).reshape(-1, 2).T
    model.classifier = nn.Linear(head.in_features, len(labels), dtype=head.weight.dtype, device=head.weight.device)
    model.classifier.weight.normal_(std=deviation or 0.0)
    model.classifier.bias.fill_(NEVER if deviation is None else 0.0)
    model.classifier.weight[to], model.classifier.bias[to] = head.weight[source], head.bias[source]
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: index for index, label in enumerate(labels)}
    if crf is not None:
        wider = add_crf(model)
        wider.start[to], wider.end[to] = crf.start[source], crf.end[source]
        wider.transitions[to[:, None], to] = crf.transitions[source[:, None], source]


def labels_of(model: PreTrainedModel) -> list[str]:
    """The labels, in the order of the model's outputs."""
    names = cast(dict[int, str], model.config.id2label)
    return [names[index] for index in range(len(names))]
