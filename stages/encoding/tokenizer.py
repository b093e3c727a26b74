"""Loads a fast tokenizer the same way in every stage."""

import hashlib
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from stages.errors import PretrainedError


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a model folder, neither padding nor truncating.

    Sentence-transformers models store both in tokenizer.json: left on, one word would become 128 ids.
    """
    try:
        # add_prefix_space: byte-level BPE encodes pre-split words only so; others ignore it.
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, add_prefix_space=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise PretrainedError(f"{folder} has no usable tokenizer: {error}") from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise PretrainedError(f"{folder} has no fast tokenizer (tokenizer.json); Tuneline needs one.")
    if tokenizer.vocab_size <= len(tokenizer.all_special_ids):  # what the library makes of a folder without its files
        raise PretrainedError(f"{folder} has a tokenizer without a vocabulary; is tokenizer.json missing?")
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    return tokenizer


def tokenizer_digest(tokenizer: PreTrainedTokenizerFast) -> str:
    """SHA-256 of everything that decides which ids a text becomes."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
