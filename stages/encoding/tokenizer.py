"""Load a fast tokenizer the same way in every stage."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.artifacts import read_json
from stages.errors import ArtifactError, PretrainedError

if TYPE_CHECKING:  # transformers takes a second to import
    from transformers import PreTrainedTokenizerFast


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerFast":
    """Load the tokenizer of a model folder, without padding or truncation; PretrainedError if it is unusable.

    Sentence-transformers models store both in tokenizer.json: left on, one word would become 128 ids.
    """
    from transformers import PreTrainedTokenizerFast

    try:
        tokenizer = _load(folder)
    except (OSError, ValueError, KeyError) as error:
        raise PretrainedError(f"{folder} has no usable tokenizer: {error}") from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise PretrainedError(f"{folder} has no fast tokenizer (tokenizer.json); Tuneline needs one.")
    if tokenizer.vocab_size <= len(tokenizer.all_special_ids):  # what the library creates without the model's files
        raise PretrainedError(f"{folder} has a tokenizer without a vocabulary; is tokenizer.json missing?")
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    return tokenizer


def _load(folder: Path) -> Any:
    """Load what AutoTokenizer would, without its import of torch (2 s, 190 MB) where the class is known beforehand.

    AutoTokenizer takes the class that tokenizer_config.json names, if it is that of the model type in config.json.
    """
    import transformers

    # add_prefix_space: without it, byte-level BPE refuses text that is split into words; others ignore it.
    options = {"local_files_only": True, "add_prefix_space": True}
    try:
        name = str(read_json(folder / "tokenizer_config.json").get("tokenizer_class"))
        model_type = str(read_json(folder / "config.json").get("model_type"))
    except ArtifactError:
        name = model_type = ""
    named_class: Any = getattr(transformers, name, None)
    if getattr(named_class, "__module__", "").startswith(f"transformers.models.{model_type.replace('-', '_')}."):
        return named_class.from_pretrained(folder, **options)
    return transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)


def tokenizer_digest(tokenizer: "PreTrainedTokenizerFast") -> str:
    """SHA-256 of everything that decides which ids a text becomes."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
