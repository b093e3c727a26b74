"""The models in the MLflow registry."""

from dataclasses import dataclass
from typing import Any

from stages import tracking
from stages.errors import RegistryError

SCORES = {"dev": "dev/entity_strict/micro/f1", "test": "test/entity_strict/micro/f1"}


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model; `scores` holds entity F1 (strict, micro) by split."""

    name: str
    version: int
    aliases: list[str]
    digest: str
    scores: dict[str, float]


def list_versions() -> list[ModelVersion]:
    """All versions of all registered models, newest first within a name."""
    client = tracking.connect()
    versions: list[ModelVersion] = []
    for model in client.search_registered_models():
        found = client.search_model_versions(f"name = '{model.name}'")
        for entry in sorted(found, key=lambda entry: -int(entry.version)):
            metrics = client.get_run(entry.run_id).data.metrics if entry.run_id else {}
            versions.append(
                ModelVersion(
                    name=model.name,
                    version=int(entry.version),
                    aliases=sorted(
                        alias for alias, number in model.aliases.items() if int(number) == int(entry.version)
                    ),
                    digest=entry.tags.get(tracking.DIGEST_TAG, ""),
                    scores={split: metrics[key] for split, key in SCORES.items() if key in metrics},
                )
            )
    return versions


def load_model(reference: str) -> Any:
    """The pyfunc model that `NAME@ALIAS`, `NAME/VERSION` or `NAME` (its challenger) stands for."""
    if "@" not in reference and "/" not in reference:
        reference = f"{reference}@{tracking.CHALLENGER}"
    tracking.connect()
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.pyfunc.load_model(f"models:/{reference}")
    except MlflowException as error:
        known = [f"{v.name}/{v.version}" + "".join(f" @{alias}" for alias in v.aliases) for v in list_versions()]
        raise RegistryError(
            f"{reference} cannot be loaded from {tracking.tracking_uri()}: {error.message} "
            f"There is: {', '.join(known) or 'no model yet; make one with `tuneline run`'}"
        ) from None
