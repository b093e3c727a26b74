"""The models and versions in the MLflow registry."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.errors import UserError
from stages.task import load_part
from stages.tracking.client import connect, translate_errors
from stages.tracking.registry import CHALLENGER, CHAMPION, DIGEST_TAG
from stages.tracking.version_artifacts import PRIMARY_TAG, TASK_TAG
from stages.training.record import FIRST_TASK

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as Version
    from mlflow.entities.model_registry import RegisteredModel

SPLITS = ("dev", "test")


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model; `scores` holds its primary score by split, `primary` the name of that."""

    name: str
    version: int
    aliases: list[str]
    digest: str
    task: str
    primary: dict[str, str]
    scores: dict[str, float]


def list_versions() -> list[ModelVersion]:
    """All versions of all registered models, newest first within a name."""
    with translate_errors():
        client = connect()
        return [
            _describe(client, model, version)
            for model in search_all(client.search_registered_models)
            for version in newest_first(client, model.name)
        ]


def _describe(client: "MlflowClient", model: "RegisteredModel", version: "Version") -> ModelVersion:
    return ModelVersion(
        name=model.name,
        version=int(version.version),
        aliases=aliases_of(model, version),
        digest=version.tags.get(DIGEST_TAG, ""),
        task=version.tags.get(TASK_TAG, FIRST_TASK),
        primary={"name": name_primary(version)},
        scores=read_scores(client, version),
    )


def newest_first(client: "MlflowClient", name: str) -> list["Version"]:
    """The versions of a model in descending order; a search leaves their aliases out."""
    found = search_all(client.search_model_versions, f"name = '{name}'")
    return sorted(found, key=lambda version: -int(version.version))


def aliases_of(model: "RegisteredModel", version: "Version") -> list[str]:
    """The aliases of a version of this model, in alphabetical order."""
    return sorted(alias for alias, number in model.aliases.items() if int(number) == int(version.version))


def name_primary(version: "Version") -> str:
    """The name of a version's primary score, as metrics.json has it."""
    first: str = load_part(FIRST_TASK, "scores.scoring").PRIMARY  # of versions from before they named it
    return version.tags.get(PRIMARY_TAG, first)


def read_scores(client: "MlflowClient", version: "Version") -> dict[str, float]:
    """The primary score of a version by split; empty if its run was permanently deleted, which it may survive."""
    from mlflow.exceptions import MlflowException

    try:
        metrics = client.get_run(version.run_id).data.metrics if version.run_id else {}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}
    # A run from before `primary` has the score where its name says; the name of another score is no place of metrics.
    places = {split: (f"{split}/primary/value", f"{split}/{name_primary(version)}") for split in SPLITS}
    found = {split: [metrics[place] for place in own if place in metrics] for split, own in places.items()}
    return {split: values[0] for split, values in found.items() if values}


def resolve(client: "MlflowClient", reference: str) -> "Version":
    """The version that `NAME@ALIAS`, `NAME/VERSION` or `NAME` (its challenger, or else its champion) refers to.

    UserError, which lists the existing versions, if there is none. Call it within `translate_errors`.
    """
    name, separator, which = [*re.split(r"([@/])", reference, maxsplit=1), "", ""][:3]
    aliases = {alias: str(number) for alias, number in require_model(client, name).aliases.items()}
    numbers = {str(version.version) for version in newest_first(client, name)}
    wanted = [aliases.get(which)] if separator == "@" else [which] if separator else [
        aliases.get(CHALLENGER), aliases.get(CHAMPION)
    ]  # fmt: skip
    for number in wanted:
        if number in numbers:
            return client.get_model_version(name, number)  # with its aliases
    known = [
        f"{name}/{number}" + "".join(f" @{alias}" for alias in sorted(aliases) if aliases[alias] == number)
        for number in sorted(numbers, key=int)
    ]
    raise UserError(f"there is no {reference}; there is {', '.join(known) or 'no version'}")


def require_model(client: "MlflowClient", name: str) -> "RegisteredModel":
    """The registered model of this name; UserError, which lists the existing ones, if there is none."""
    models: dict[str, RegisteredModel] = {model.name: model for model in search_all(client.search_registered_models)}
    if name not in models:
        there = ", ".join(models) or "none yet: `tuneline run` makes one"
        raise UserError(f"no model is registered as {name}; there is {there}")
    return models[name]


def search_all(search: Callable[..., Any], *arguments: Any) -> list[Any]:
    """All results of a search method of an MLflow client, from all of its pages."""
    page = search(*arguments)
    found = list(page)
    while page.token:
        page = search(*arguments, page_token=page.token)
        found += page
    return found
