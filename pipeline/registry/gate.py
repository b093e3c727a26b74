"""The promotion gate: compares challenger and champion on the same test examples, and moves the alias `champion`."""

import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.registry import alias_history
from pipeline.registry.opponent import describe_differences, prepare_opponent
from pipeline.registry.verdict import judge
from pipeline.registry.versions import require_model, resolve
from stages.artifacts import folder_digest, read_json
from stages.config.register import GateParams
from stages.errors import RegistryUnavailableError, UserError
from stages.scoring import TaskParts
from stages.statistics.older import find_forgetting
from stages.tracking.client import connect, translate_errors
from stages.tracking.parent import MODEL_FILES
from stages.tracking.registry import CHALLENGER, CHAMPION, DIGEST_TAG
from stages.tracking.version_artifacts import (
    CONFIG,
    SPLIT,
    load_common_task,
    load_version_task,
    read_version_metrics,
    read_version_predictions,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.pyfunc import PyFuncModel

VERDICTS = "promotion"  # the artifact folder of a version's run that holds the verdicts
TIMED_EXAMPLES = 50
EVIDENCE = (
    "verdict",
    "primary",
    "score",
    "difference",
    "interval",
    "p_value",
    "labels",
)  # what the alias history keeps


def promote(
    name: str, version: int | None, gate: GateParams, *, force: bool = False, reason: str = ""
) -> tuple[dict[str, Any], alias_history.Entry | None]:
    """Judge a version (None: the challenger), and make it champion if the verdict, or `force`, allows it.

    Return the verdict with the numbers of both versions, as it is stored with the version's run, and the entry in the
    alias history if the alias moved. UserError if there is no such version, if it is champion already, or if it fails
    its health check; RegistryUnavailableError if another version becomes champion meanwhile.
    """
    with translate_errors():
        client = connect()
        challenger = resolve(client, f"{name}@{CHALLENGER}" if version is None else f"{name}/{version}")
        champion = _get_champion(client, name)
        if champion and champion.version == challenger.version:
            raise UserError(f"{name}/{challenger.version} is champion already")
        task = load_common_task(champion, challenger) if champion else load_version_task(challenger)
        predictions = read_version_predictions(client, challenger)[SPLIT]
        opponent = prepare_opponent(client, champion, challenger, predictions) if champion else None
        model = None if gate.max_latency_ms is None else _load_checked(challenger)
        latency_ms = _measure_latency(model, predictions, task) if model else None
        limit = gate.max_forgetting
        forgetting = {} if limit is None else find_forgetting(read_version_metrics(client, challenger))
        verdict = judge(predictions, opponent, gate, task=task, latency_ms=latency_ms, forgetting=forgetting)
        evidence = {
            "challenger": int(challenger.version),
            "champion": int(champion.version) if champion else None,
            **task.add_old_keys(asdict(verdict)),
            "notes": list(describe_differences(predictions, opponent, task)) if opponent else [],
            "gate": gate.model_dump(),
            "champion_scored_again": opponent is not None and opponent.is_rescored,
            "forced": force and verdict.verdict != "PROMOTE",
        }
        client.log_dict(challenger.run_id or "", evidence, _verdict_file(challenger, champion))
        if verdict.verdict != "PROMOTE" and not force:
            return evidence, None
        if model is None:
            _load_checked(challenger)
        _require_champion(client, champion, name)
        entry = alias_history.move(
            client,
            name,
            action="promote" if verdict.verdict == "PROMOTE" else "force",
            target=int(challenger.version),
            model_digest=challenger.tags[DIGEST_TAG],
            reason=reason or verdict.reasons[0],
            evidence=task.add_old_keys({key: evidence[key] for key in EVIDENCE}),
        )
        if str(client.get_registered_model(name).aliases.get(CHALLENGER)) == str(challenger.version):
            client.delete_registered_model_alias(name, CHALLENGER)
    return evidence, entry


def roll_back(name: str, *, reason: str) -> alias_history.Entry:
    """Make the previous champion champion again; UserError if there was none."""
    with translate_errors():
        client = connect()
        require_model(client, name)
        target = alias_history.read_history(client, name).previous_champion()
        if target is None:
            raise UserError(f"{name} had no champion before the current one; `tuneline history {name}` shows all moves")
        version = resolve(client, f"{name}/{target}")
        _load_checked(version)
        return alias_history.move(
            client,
            name,
            action=alias_history.ROLLBACK,
            target=target,
            model_digest=version.tags[DIGEST_TAG],
            reason=reason,
            evidence={},
        )


def promote_new(name: str, gate: GateParams) -> str | None:
    """Promote the challenger unless the gate has already refused it in favour of the current champion.

    Return the verdict in one line, or None if there is nothing to judge.
    """
    with translate_errors():
        client = connect()
        aliases = require_model(client, name).aliases
        if aliases.get(CHALLENGER) in (None, aliases.get(CHAMPION)):
            return None
        challenger, champion = resolve(client, f"{name}@{CHALLENGER}"), _get_champion(client, name)
        if _was_refused(client, challenger, champion):
            return None
    verdict, _ = promote(name, int(challenger.version), gate)
    lines = [*verdict["reasons"], *verdict["notes"]]
    return f"{verdict['verdict']} {name}/{challenger.version}: {'; '.join(lines)}"


def _load_checked(version: "ModelVersion") -> "PyFuncModel":
    """Load a version as it would be served.

    UserError unless its files have the registered digest and it can answer.
    """
    import mlflow

    reference = f"{version.name}/{version.version}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(mlflow.artifacts.download_artifacts(f"models:/{reference}", dst_path=folder))
        digest = folder_digest(path / MODEL_FILES)
        if digest != version.tags.get(DIGEST_TAG):
            raise UserError(f"{reference} is not what was registered: its files have the digest {digest[:12]}")
        try:
            model: PyFuncModel = mlflow.pyfunc.load_model(str(path))
            config = read_json(path / MODEL_FILES / CONFIG)
            model.predict([load_version_task(version).presentation.make_sample(config)])
        except Exception as error:  # any failure here would be one in production
            raise UserError(f"{reference} fails its health check: {error}") from error
        return model


def _measure_latency(model: "PyFuncModel", predictions: Any, task: TaskParts) -> float:
    """Milliseconds for a single example: the median over the first test examples."""
    seconds = []
    for example in task.presentation.make_inputs(predictions, limit=TIMED_EXAMPLES):
        start = time.perf_counter()
        model.predict([example])
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def _require_champion(client: "MlflowClient", champion: "ModelVersion | None", name: str) -> None:
    """RegistryUnavailableError if the champion has changed since the comparison, which takes its time."""
    current = _get_champion(client, name)
    if (current and current.version) != (champion and champion.version):
        raise RegistryUnavailableError(
            f"another version of {name} became champion meanwhile; try again to compare with it"
        )


def _was_refused(client: "MlflowClient", challenger: "ModelVersion", champion: "ModelVersion | None") -> bool:
    """Whether the gate has refused this challenger against this champion; an interrupted promotion is no refusal."""
    run_id, file = challenger.run_id or "", _verdict_file(challenger, champion)
    if file not in {found.path for found in client.list_artifacts(run_id, f"{VERDICTS}/{challenger.name}")}:
        return False
    with tempfile.TemporaryDirectory() as folder:
        verdict: str = read_json(Path(client.download_artifacts(run_id, file, folder)))["verdict"]
        return verdict != "PROMOTE"


def _verdict_file(challenger: "ModelVersion", champion: "ModelVersion | None") -> str:
    return f"{VERDICTS}/{challenger.name}/{challenger.version}-over-{champion.version if champion else 'none'}.json"


def _get_champion(client: "MlflowClient", name: str) -> "ModelVersion | None":
    number = client.get_registered_model(name).aliases.get(CHAMPION)
    return None if number is None else client.get_model_version(name, number)
