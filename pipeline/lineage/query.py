"""What made a model version, and which versions a file made: read from what the registry keeps of each."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.registry import alias_history
from pipeline.registry.versions import SCORES, all_of, find, metrics_of
from stages.errors import UserError
from stages.tracking.client import connect, reachable
from stages.tracking.registry import CHAMPION, DIGEST_TAG, altered_files, read_lineage, read_lineage_record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

Lineage = dict[str, Any]
DIGEST = re.compile(r"[0-9a-f]{8,32}")  # an MD5, or its first characters


def lineage_of(reference: str) -> Lineage:
    """The way back from a version (see `registry.find`) to each file, commit, parameter, run and the environment.

    The keys are those of DESIGN.md's `lineage`. UserError if there is no such version, or it does not tell.
    """
    with reachable():
        client = connect()
        return _lineage(client, find(client, reference))


def versions_made_by(target: str) -> Lineage:
    """Every version of every model that was made by a file or folder, named by its path or by the start of its MD5.

    Each version says which files it used in which stage, whether they were `same` as what lies there now, and whether
    it is or was champion; `untold` are versions whose record cannot be read. UserError if the target is neither there
    nor known.
    """
    path = Path(target)
    digest = target.removesuffix(".dir")
    digests = {_md5(file) for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()}
    if not path.exists() and DIGEST.fullmatch(digest):
        digests = {digest}
    with reachable():
        client = connect()
        untold: list[str] = []
        versions = [
            found
            for model in all_of(client.search_registered_models)
            for found in _made_versions(client, model, path.as_posix(), tuple(digests), untold)
        ]
    if not versions and not digests:
        raise UserError(f"{target}: no such file, no MD5 (8 to 32 hexadecimal digits), and nothing that made a model")
    return {"target": target, "versions": versions, "untold": untold}


def _lineage(client: "MlflowClient", version: "ModelVersion") -> Lineage:
    origin = read_lineage(client, version)
    figures = metrics_of(client, version.run_id)
    told = {key: value for key, value in origin.record.items() if key != "format_version"}
    return {
        "name": version.name,
        "version": int(version.version),
        "aliases": sorted(version.aliases),
        **told,
        "digest": version.tags.get(DIGEST_TAG, ""),
        "mlflow_run": version.run_id,
        "scores": {split: figures[key] for split, key in SCORES.items() if key in figures},
        "altered": altered_files(version, origin),
    }


def _made_versions(
    client: "MlflowClient", model: "RegisteredModel", path: str, digests: tuple[str, ...], untold: list[str]
) -> Iterator[dict[str, Any]]:
    """The versions of a model that used a file at or below this path, or one of these digests, the newest first.

    Those whose record cannot be read are added to `untold`.
    """
    champions = {
        number for entry in alias_history.read(client, model.name).entries for number in (entry.source, entry.target)
    }
    versions = client.search_model_versions(f"name = '{model.name}'")
    for version in sorted(versions, key=lambda version: -int(version.version)):
        try:
            stages = read_lineage_record(client, version)["stages"]
        except UserError:  # it was registered by other means, or its run was changed
            untold.append(f"{model.name}/{version.version}")
            continue
        used = [
            {"stage": stage, **entry, "same": entry["digest"].startswith(digests)}
            for stage, told in stages.items()
            for entry in told["inputs"]
            if entry["digest"].startswith(digests) or f"{entry['path']}/".startswith(f"{path}/")
        ]
        if used:
            number = int(version.version)
            aliases = sorted(alias for alias, held in model.aliases.items() if int(held) == number)
            yield {
                "name": model.name,
                "version": number,
                "aliases": aliases,
                "digest": version.tags.get(DIGEST_TAG, ""),
                "used": used,
                "is_champion": CHAMPION in aliases,
                "was_champion": number in champions,
            }


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
