"""A masked language model: an encoder with the head that it was pretrained with, or with a new one."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from stages.errors import PretrainedError
from stages.modeling.classifier import DROPOUTS


def load_model(folder: Path, *, labels: list[str] | None = None, dropout: float | None = None) -> PreTrainedModel:
    """Load weights in fp32; an encoder without a head for masked words gets one, in the layout of its family.

    A new head is drawn from torch's global generator: of BERT a dense layer with GELU and a norm, then the token
    embeddings and a bias. `labels` are what config.json names. PretrainedError if it cannot be loaded.
    """
    # The library reports a new head as missing weights and an unused pooler as unexpected ones; both are intended.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if labels is not None:
            config.id2label = dict(enumerate(labels))
            config.label2id = {label: index for index, label in enumerate(labels)}
        if dropout is not None:
            for name in DROPOUTS & set(config.to_dict()):
                setattr(config, name, dropout)
        model: PreTrainedModel = AutoModelForMaskedLM.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            attn_implementation="eager",  # as in `load_classifier`
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise PretrainedError(f"{folder} cannot be loaded as a masked language model: {error}") from None
    return model
