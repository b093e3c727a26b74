"""A token classifier: an encoder with a linear head on each token, in the Hugging Face layout on disk.

It may have a CRF over its logits: then config.json says `"crf": true`, and model.safetensors holds its potentials,
which transformers itself leaves out.
"""

from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForTokenClassification, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_NAME
from transformers.utils import logging as transformers_logging

from stages.errors import PretrainedError
from stages.modeling.heads.crf import Crf

CRF = "crf"  # its name in a model, in config.json and before the names of its weights
# The parameters for the dropout of layers and of attention in different families of encoders.
DROPOUTS = {
    "hidden_dropout_prob", "attention_probs_dropout_prob",  # BERT, RoBERTa, DeBERTa, ELECTRA
    "dropout", "attention_dropout",  # DistilBERT
    "embedding_dropout", "mlp_dropout",  # ModernBERT
}  # fmt: skip


def load_classifier(folder: Path, *, labels: list[str] | None = None, dropout: float | None = None) -> PreTrainedModel:
    """Load weights in fp32; `labels` adds a new head with an output for each to a pretrained encoder.

    The head is drawn from torch's global generator. Without `labels` the folder must hold a token classifier already;
    if it has a CRF, so has the model. PretrainedError if it cannot be loaded.
    """
    # The library reports the new head as missing weights and the unused pooler as unexpected ones; both are intended.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        has_crf = labels is None and getattr(config, CRF, False)
        if labels is not None:
            vars(config).pop(CRF, None)  # of a model that is trained again, with another head
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
        if has_crf:
            add_crf(model).load_state_dict(_read_crf(folder / SAFE_WEIGHTS_NAME))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise PretrainedError(f"{folder} cannot be loaded as a token classifier: {error}") from None
    return model


def add_crf(model: PreTrainedModel) -> Crf:
    """Give a model a CRF over its labels, without any effect yet, which is saved and loaded with it."""
    model.crf = Crf(len(labels_of(model)))
    model.config.update({CRF: True})
    return model.crf


def crf_of(model: PreTrainedModel) -> Crf | None:
    """The CRF of a model that has one."""
    crf: Crf | None = getattr(model, CRF, None)
    return crf


def _read_crf(weights: Path) -> dict[str, torch.Tensor]:
    """The potentials by their names in `Crf`."""
    with safe_open(weights, "pt") as stored:
        names = [name for name in stored.keys() if name.startswith(f"{CRF}.")]  # noqa: SIM118 - it is no mapping
        return {name.removeprefix(f"{CRF}."): stored.get_tensor(name) for name in names}


def labels_of(model: PreTrainedModel) -> list[str]:
    """The labels, in the order of the model's outputs."""
    names = cast(dict[int, str], model.config.id2label)
    return [names[index] for index in range(len(names))]
