"""The models in the MLflow registry."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.errors import UserError
from stages.tracking.client import connect, reachable
from stages.tracking.registry import CHALLENGER, CHAMPION, DIGEST_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as Version
    from mlflow.entities.model_registry import RegisteredModel

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
    with reachable():
        return _versions_of(connect())


def _versions_of(client: "MlflowClient") -> list[ModelVersion]:
    versions: list[ModelVersion] = []
    for model in all_of(client.search_registered_models):
        found = client.search_model_versions(f"name = '{model.name}'")
        for entry in sorted(found, key=lambda entry: -int(entry.version)):
            metrics = metrics_of(client, entry.run_id)
            versions.append(
                ModelVersion(
                    name=model.name,
                    version=int(entry.version),
                    aliases=sorted(
                        alias for alias, number in model.aliases.items() if int(number) == int(entry.version)
                    ),
                    digest=entry.tags.get(DIGEST_TAG, ""),
                    scores={split: metrics[key] for split, key in SCORES.items() if key in metrics},
                )
            )
    return versions


def metrics_of(client: "MlflowClient", run_id: str | None) -> dict[str, float]:
    """The figures of a run; none if it was deleted for good, for its model may live on."""
    from mlflow.exceptions import MlflowException

    try:
        metrics: dict[str, float] = client.get_run(run_id).data.metrics if run_id else {}
    except MlflowException:
        return {}
    return metrics


def find(client: "MlflowClient", reference: str) -> "Version":
    """The version that `NAME@ALIAS`, `NAME/VERSION` or `NAME` stands for: its challenger, or else its champion.

    UserError, with what there is, if there is none. Call it within `reachable`.
    """
    name, separator, which = [*re.split(r"([@/])", reference, maxsplit=1), "", ""][:3]
    aliases = {alias: str(number) for alias, number in require_model(client, name).aliases.items()}
    found = {str(each.version): each for each in client.search_model_versions(f"name = '{name}'")}
    wanted = [aliases.get(which)] if separator == "@" else [which] if separator else [
        aliases.get(CHALLENGER), aliases.get(CHAMPION)
    ]  # fmt: skip
    for number in wanted:
        if number in found:
            return client.get_model_version(name, number)  # a search leaves the aliases out
    known = [
        f"{name}/{number}" + "".join(f" @{alias}" for alias in sorted(aliases) if aliases[alias] == number)
        for number in sorted(found, key=int)
    ]
    raise UserError(f"there is no {reference}; there is {', '.join(known) or 'no version'}")


def require_model(client: "MlflowClient", name: str) -> "RegisteredModel":
    """The registered model of this name; UserError, with those there are, if there is none."""
    models: dict[str, RegisteredModel] = {model.name: model for model in all_of(client.search_registered_models)}
    if name not in models:
        there = ", ".join(models) or "none yet: `tuneline run` makes one"
        raise UserError(f"no model is registered as {name}; there is {there}")
    return models[name]


def all_of(search: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Everything that a search of an MLflow client finds, from all of its pages."""
    page = search(*arguments)
    found = list(page)
    while page.token:
        page = search(*arguments, page_token=page.token)
        found += page
    return found


def load_model(reference: str) -> Any:
    """The pyfunc model that a reference stands for: see `find`."""
    with reachable():
        version = find(connect(), reference)
        import mlflow

        return mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")
