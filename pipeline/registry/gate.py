"""The gate between challenger and champion: judged on the same test sentences, one by one, and kept as evidence."""

import statistics
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.registry import alias_history
from pipeline.registry.predictions import (
    MODEL_FILES,
    SPLIT,
    counts_of,
    f1_of,
    predictions_of,
    same_sentences,
    scored_again,
)
from pipeline.registry.versions import find, require_model
from stages.artifacts import folder_digest, read_json
from stages.config.register import GateParams
from stages.errors import RegistryError, UserError
from stages.statistics.significance import CONFIDENCE, gain, gain_interval, p_value
from stages.tasks.token_classification.predictions import Predictions
from stages.tracking.client import connect, reachable
from stages.tracking.registry import CHALLENGER, CHAMPION, DIGEST_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.pyfunc import PyFuncModel

VERDICTS = "promotion"  # the folder of them among the artifacts of a version's run
TIMED = 50  # sentences
SENTENCE = "Angela Merkel visited Siemens in Munich."

Decision = Literal["PROMOTE", "HOLD", "REJECT"]


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a challenger and why.

    `per_type` holds, for each type of entity, F1 of the champion (None if it has none) and of the challenger.
    `difference`, `interval` and `p_value` are None where there is nothing to compare with, `latency_ms` where no budget
    is set.
    """

    verdict: Decision
    reasons: list[str]
    f1: float
    per_type: dict[str, tuple[float | None, float]]
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    latency_ms: float | None = None


def judge(
    challenger: Predictions, champion: Predictions | None, gate: GateParams, *, latency_ms: float | None = None
) -> Verdict:
    """Whether the model of the one set of predictions should take the place of that of the other.

    Both are of the same sentences. `latency_ms` is what the challenger takes for one, if it was measured.
    """
    f1, by_type = f1_of(challenger)
    before = f1_of(champion)[1] if champion else {}
    per_type = {name: (before.get(name), now) for name, now in by_type.items()}
    faults = [] if f1 >= gate.min_f1 else [f"F1 is {f1:.4f}; register.gate.min_f1 is {gate.min_f1}"]
    if gate.max_latency_ms is not None and latency_ms is not None and latency_ms > gate.max_latency_ms:
        faults.append(f"a sentence takes {latency_ms:.1f} ms; register.gate.max_latency_ms is {gate.max_latency_ms:g}")
    if champion is None:
        reasons = faults or [f"the first champion: F1 {f1:.4f}"]
        return Verdict("REJECT" if faults else "PROMOTE", reasons, f1, per_type, latency_ms=latency_ms)

    old, new = counts_of(champion), counts_of(challenger)
    difference, interval, chance = gain(old, new), gain_interval(old, new), p_value(old, new)
    measured = (
        f"F1 {f1:.4f}, {difference:+.4f} against the champion ({CONFIDENCE:.0%} interval {interval[0]:+.4f} to "
        f"{interval[1]:+.4f}, p = {chance:.4f})"
    )
    faults += [
        f"{name} falls from {was:.4f} to {now:.4f}; register.gate.max_drop_per_type is {gate.max_drop_per_type}"
        for name, (was, now) in per_type.items()
        if was is not None and was - now > gate.max_drop_per_type
    ]
    if p_value(new, old) < gate.significance_level:
        faults.append(f"it is worse: {measured}")
    elif faults:
        faults.append(f"all types together: {measured}")
    decision: Decision = "REJECT" if faults else "PROMOTE" if chance < gate.significance_level else "HOLD"
    words = {
        "REJECT": faults,
        "PROMOTE": [f"it is better: {measured}"],
        "HOLD": [f"it may have been luck: {measured}; to be promoted, p must be below {gate.significance_level}"],
    }
    return Verdict(decision, words[decision], f1, per_type, difference, interval, chance, latency_ms)


def promote(
    name: str, version: int | None, gate: GateParams, *, force: bool = False, reason: str = ""
) -> tuple[dict[str, Any], alias_history.Entry | None]:
    """Judge a version (the challenger if None), and make it champion if the verdict, or `force`, says so.

    Return the verdict with the numbers of both versions, as it is kept with the version's run, and the move if there
    was one. UserError if there is no such version, if it is champion already, or if it fails its health check;
    RegistryError if another one becomes champion meanwhile.
    """
    with reachable():
        client = connect()
        challenger = find(client, f"{name}@{CHALLENGER}" if version is None else f"{name}/{version}")
        champion = _champion(client, name)
        if champion and champion.version == challenger.version:
            raise UserError(f"{name}/{challenger.version} is champion already")
        scored = predictions_of(client, challenger)[SPLIT]
        before, rescored = _of_the_same(client, champion, challenger, scored) if champion else (None, False)
        model = None if gate.max_latency_ms is None else _loaded(challenger)
        latency_ms = _latency(model, scored) if model else None
        verdict = judge(scored, before, gate, latency_ms=latency_ms)
        evidence = {
            "challenger": int(challenger.version),
            "champion": int(champion.version) if champion else None,
            **asdict(verdict),
            "gate": gate.model_dump(),
            "champion_scored_again": rescored,
            "forced": force and verdict.verdict != "PROMOTE",
        }
        client.log_dict(challenger.run_id or "", evidence, _verdict_file(challenger, champion))
        if verdict.verdict != "PROMOTE" and not force:
            return evidence, None
        if model is None:
            _loaded(challenger)
        _require_unmoved(client, champion, name)
        entry = alias_history.move(
            client,
            name,
            action="promote" if verdict.verdict == "PROMOTE" else "force",
            target=int(challenger.version),
            model_digest=challenger.tags[DIGEST_TAG],
            reason=reason or verdict.reasons[0],
            evidence={key: evidence[key] for key in ("verdict", "f1", "difference", "interval", "p_value")},
        )
        if str(client.get_registered_model(name).aliases.get(CHALLENGER)) == str(challenger.version):
            client.delete_registered_model_alias(name, CHALLENGER)
    return evidence, entry


def roll_back(name: str, *, reason: str) -> alias_history.Entry:
    """Make the champion before the present one champion again; UserError if there was none."""
    with reachable():
        client = connect()
        require_model(client, name)
        source = alias_history.read(client, name).before_present()
        if source is None:
            raise UserError(f"{name} had no champion before the present one; `tuneline history {name}` shows all moves")
        version = find(client, f"{name}/{source}")
        _loaded(version)
        return alias_history.move(
            client,
            name,
            action=alias_history.ROLLBACK,
            target=source,
            model_digest=version.tags[DIGEST_TAG],
            reason=reason,
            evidence={},
        )


def promote_new(name: str, gate: GateParams) -> str | None:
    """Promote the challenger if the gate did not leave the present champion for it yet; the verdict in one line.

    None if there is nothing to judge.
    """
    with reachable():
        client = connect()
        aliases = require_model(client, name).aliases
        if aliases.get(CHALLENGER) in (None, aliases.get(CHAMPION)):
            return None
        challenger, champion = find(client, f"{name}@{CHALLENGER}"), _champion(client, name)
        if _was_refused(client, challenger, champion):
            return None
    verdict, _ = promote(name, int(challenger.version), gate)
    return f"{verdict['verdict']} {name}/{challenger.version}: {'; '.join(verdict['reasons'])}"


def _loaded(version: "ModelVersion") -> "PyFuncModel":
    """The version as it would be served.

    UserError unless its files are those that were registered, and it finds its way through a sentence.
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
            model.predict([SENTENCE])
        except Exception as error:  # whatever it is, nobody could be served by this version
            raise UserError(f"{reference} fails its health check: {error}") from error
        return model


def _latency(model: "PyFuncModel", predictions: Predictions) -> float:
    """Milliseconds for one sentence at a time: the median over the first of the test sentences."""
    taken = []
    for words in predictions.words[:TIMED].to_pylist():
        started = time.perf_counter()
        model.predict([" ".join(words)])
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)


def _of_the_same(
    client: "MlflowClient", champion: "ModelVersion", challenger: "ModelVersion", scored: Predictions
) -> tuple[Predictions, bool]:
    """What the champion says of the challenger's sentences, and whether it had to be scored again for that."""
    with suppress(UserError):  # its report is gone, or of another format; its model may still be there
        before = predictions_of(client, champion)[SPLIT]
        if same_sentences(scored, before):
            return before, False
    return scored_again(client, champion, challenger), True


def _require_unmoved(client: "MlflowClient", champion: "ModelVersion | None", name: str) -> None:
    """RegistryError if the champion is not the one that was compared with: loading and scoring take their time."""
    present = _champion(client, name)
    if (present and present.version) != (champion and champion.version):
        raise RegistryError(f"another version of {name} became champion meanwhile; compare with that one: try again")


def _was_refused(client: "MlflowClient", challenger: "ModelVersion", champion: "ModelVersion | None") -> bool:
    """Whether the gate has left the champion for this version; a promotion that was cut off is to be tried again."""
    run_id, file = challenger.run_id or "", _verdict_file(challenger, champion)
    if file not in {found.path for found in client.list_artifacts(run_id, f"{VERDICTS}/{challenger.name}")}:
        return False
    with tempfile.TemporaryDirectory() as folder:
        verdict: str = read_json(Path(client.download_artifacts(run_id, file, folder)))["verdict"]
        return verdict != "PROMOTE"


def _verdict_file(challenger: "ModelVersion", champion: "ModelVersion | None") -> str:
    return f"{VERDICTS}/{challenger.name}/{challenger.version}-over-{champion.version if champion else 'none'}.json"


def _champion(client: "MlflowClient", name: str) -> "ModelVersion | None":
    number = client.get_registered_model(name).aliases.get(CHAMPION)
    return None if number is None else client.get_model_version(name, number)
