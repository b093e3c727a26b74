"""A token classifier: an encoder with a linear head on each sub-word, in the Hugging Face layout on disk."""

from pathlib import Path
from typing import cast

import torch
from transformers import AutoModelForTokenClassification, PreTrainedModel
from transformers.utils import logging as transformers_logging

from stages.errors import PretrainedError


def load_classifier(folder: Path, *, labels: list[str] | None = None, dropout: float | None = None) -> PreTrainedModel:
    """Load weights in fp32; `labels` puts a new head with one output for each on a pretrained encoder.

    The head is drawn from torch's global generator. Without `labels` the folder must be a token classifier already.
    """
    settings: dict[str, object] = {}
    if labels is not None:
        settings["id2label"] = dict(enumerate(labels))
        settings["label2id"] = {label: index for index, label in enumerate(labels)}
    if dropout is not None:
        settings |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    # The library reports the new head as missing weights and the unused pooler as surplus, which is what we want.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        # eager: the backward of PyTorch's CPU flash attention in bf16 takes 40 % of a step at 20 sub-words a sentence.
        model: PreTrainedModel = AutoModelForTokenClassification.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **settings,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise PretrainedError(f"{folder} cannot be loaded as a token classifier: {error}") from None
    return model


def labels_of(model: PreTrainedModel) -> list[str]:
    """The labels in the order of the model's outputs."""
    names = cast(dict[int, str], model.config.id2label)
    return [names[index] for index in range(len(names))]
