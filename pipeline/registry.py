"""The models in the MLflow registry."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages import tracking
from stages.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

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
    with tracking.reachable():
        return _versions_of(tracking.connect())


def _versions_of(client: "MlflowClient") -> list[ModelVersion]:
    versions: list[ModelVersion] = []
    for model in client.search_registered_models():
        found = client.search_model_versions(f"name = '{model.name}'")
        for entry in sorted(found, key=lambda entry: -int(entry.version)):
            metrics = _metrics_of(client, entry.run_id)
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


def _metrics_of(client: "MlflowClient", run_id: str | None) -> dict[str, float]:
    """The figures of a run; none if it was deleted for good, for its model may live on."""
    from mlflow.exceptions import MlflowException

    try:
        metrics: dict[str, float] = client.get_run(run_id).data.metrics if run_id else {}
    except MlflowException:
        return {}
    return metrics


def load_model(reference: str) -> Any:
    """The pyfunc model that `NAME@ALIAS`, `NAME/VERSION` or `NAME` (its challenger) stands for."""
    if "@" not in reference and "/" not in reference:
        reference = f"{reference}@{tracking.CHALLENGER}"
    import mlflow
    from mlflow.exceptions import MlflowException

    with tracking.reachable():
        tracking.connect()
    try:
        return mlflow.pyfunc.load_model(f"models:/{reference}")
    except MlflowException as error:
        known = [f"{v.name}/{v.version}" + "".join(f" @{alias}" for alias in v.aliases) for v in list_versions()]
        raise RegistryError(
            f"{reference} cannot be loaded from {tracking.shown_uri()}: {error.message} "
            f"There is: {', '.join(known) or 'no model yet; make one with `tuneline run`'}"
        ) from None
