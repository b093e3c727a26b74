"""The gate between challenger and champion: judged on the same test sentences, one by one, and kept as evidence."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline import ledger
from stages import tracking
from stages.artifacts import folder_digest
from stages.errors import ArtifactError, UserError
from stages.scoring.entities import Numbers
from stages.scoring.predictions import Predictions, read_predictions
from stages.scoring.scores import counts_by_sentence, scores
from stages.scoring.significance import CONFIDENCE, gain, gain_interval, p_value
from stages.sections.register import GateParams
from stages.tracking import CHALLENGER, CHAMPION, DIGEST_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SPLIT = "test"
PREDICTIONS = "report/predictions.parquet"  # among the artifacts of a version's run
VERDICTS = "promotion"  # the folder of them there
SENTENCE = "Angela Merkel visited Siemens in Munich."

Decision = Literal["PROMOTE", "HOLD", "REJECT"]


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a challenger and why.

    `per_type` holds, for each type of entity, F1 of the champion (None if it has none) and of the challenger. The last
    three are None where there is nothing to compare with.
    """

    verdict: Decision
    reasons: list[str]
    f1: float
    per_type: dict[str, tuple[float | None, float]]
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None


def judge(challenger: Predictions, champion: Predictions | None, gate: GateParams) -> Verdict:
    """Whether the model of the one set of predictions should take the place of that of the other."""
    f1, by_type = _f1(challenger)
    before = _f1(champion)[1] if champion else {}
    per_type = {name: (before.get(name), now) for name, now in by_type.items()}
    faults = [] if f1 >= gate.min_f1 else [f"F1 is {f1:.4f}; register.gate.min_f1 is {gate.min_f1}"]
    if champion is None:
        return Verdict("REJECT" if faults else "PROMOTE", faults or [f"the first champion: F1 {f1:.4f}"], f1, per_type)
    if not (challenger.words.equals(champion.words) and _tags(challenger) == _tags(champion)):
        faults.append("the champion was scored on other test sentences, so that the two cannot be compared")
        return Verdict("HOLD", faults, f1, per_type)

    old, new = _counts(champion), _counts(challenger)
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
    if p_value(new, old) < gate.level:
        faults.append(f"it is worse: {measured}")
    decision: Decision = "REJECT" if faults else "PROMOTE" if chance < gate.level else "HOLD"
    words = {
        "REJECT": faults,
        "PROMOTE": [f"it is better: {measured}"],
        "HOLD": [f"it may have been luck: {measured}; to be promoted, p must be below {gate.level}"],
    }
    return Verdict(decision, words[decision], f1, per_type, difference, interval, chance)


def promote(
    name: str, version: int | None, gate: GateParams, *, force: bool = False, reason: str = ""
) -> tuple[dict[str, Any], ledger.Entry | None]:
    """Judge a version (the challenger if None), and make it champion if the verdict, or `force`, says so.

    Return the verdict with the numbers of both versions, as it is kept with the version's run, and the move if there
    was one. UserError if there is no such version, if it is champion already, or if it fails its health check.
    """
    with tracking.reachable():
        client = tracking.connect()
        ledger.require_model(client, name)
        challenger = _version(client, name, version if version is not None else CHALLENGER)
        champion = _champion(client, name)
        if champion and champion.version == challenger.version:
            raise UserError(f"{name}/{challenger.version} is champion already")
        verdict = judge(_predictions(client, challenger), _predictions(client, champion) if champion else None, gate)
        evidence = {
            "challenger": int(challenger.version),
            "champion": int(champion.version) if champion else None,
            **asdict(verdict),
            "gate": gate.model_dump(),
            "forced": force and verdict.verdict != "PROMOTE",
        }
        file = f"{VERDICTS}/{challenger.version}-over-{evidence['champion'] or 'none'}.json"
        client.log_dict(challenger.run_id or "", evidence, file)
        if verdict.verdict != "PROMOTE" and not force:
            return evidence, None
        check_health(challenger)
        entry = ledger.move(
            client,
            name,
            action="promote" if verdict.verdict == "PROMOTE" else "force",
            target=int(challenger.version),
            model_digest=challenger.tags[DIGEST_TAG],
            reason=reason or verdict.reasons[0],
            evidence={key: evidence[key] for key in ("verdict", "f1", "difference", "interval", "p_value")},
        )
        if CHALLENGER in challenger.aliases:
            client.delete_registered_model_alias(name, CHALLENGER)
    return evidence, entry


def roll_back(name: str, *, reason: str) -> ledger.Entry:
    """Make the champion before the present one champion again; UserError if there was none."""
    with tracking.reachable():
        client = tracking.connect()
        ledger.require_model(client, name)
        source = ledger.read(client, name).before_present()
        if source is None:
            raise UserError(f"{name} had no champion before the present one; `tuneline history {name}` shows all moves")
        version = _version(client, name, source)
        check_health(version)
        return ledger.move(
            client,
            name,
            action=ledger.ROLLBACK,
            target=source,
            model_digest=version.tags[DIGEST_TAG],
            reason=reason,
            evidence={},
        )


def check_health(version: "ModelVersion") -> None:
    """UserError unless the version's files are those that were registered, and it finds entities in a sentence."""
    import mlflow

    reference = f"{version.name}/{version.version}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(mlflow.artifacts.download_artifacts(f"models:/{reference}", dst_path=folder))
        digest = folder_digest(path / "artifacts/model")
        if digest != version.tags.get(DIGEST_TAG):
            raise UserError(f"{reference} is not what was registered: its files have the digest {digest[:12]}")
        try:
            mlflow.pyfunc.load_model(str(path)).predict([SENTENCE])
        except Exception as error:  # whatever it is, nobody could be served by this version
            raise UserError(f"{reference} fails its health check: {error}") from error


def _version(client: "MlflowClient", name: str, wanted: int | str) -> "ModelVersion":
    """The version of this number or alias; UserError with those there are."""
    from mlflow.exceptions import MlflowException

    try:
        if isinstance(wanted, str):
            return client.get_model_version_by_alias(name, wanted)
        return client.get_model_version(name, str(wanted))
    except MlflowException:
        known = sorted(int(each.version) for each in client.search_model_versions(f"name = '{name}'"))
        label = f"{name}@{wanted}" if isinstance(wanted, str) else f"{name}/{wanted}"
        raise UserError(f"there is no {label}; there is {', '.join(f'{name}/{n}' for n in known)}") from None


def _champion(client: "MlflowClient", name: str) -> "ModelVersion | None":
    number = client.get_registered_model(name).aliases.get(CHAMPION)
    return None if number is None else client.get_model_version(name, number)


def _predictions(client: "MlflowClient", version: "ModelVersion") -> Predictions:
    """What a version said of the test sentences when it was evaluated."""
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            path = client.download_artifacts(version.run_id or "", PREDICTIONS, folder)
            return read_predictions(Path(path))[SPLIT]
        except (MlflowException, OSError, KeyError, ArtifactError) as error:
            raise UserError(
                f"{version.name}/{version.version} has no predictions for {SPLIT} that this Tuneline reads: {error}"
            ) from None


def _f1(predictions: Predictions) -> tuple[float, dict[str, float]]:
    """Strict entity F1 over all types, and of each."""
    table: Mapping[str, Any] = scores(predictions.gold, predictions.predicted)["entity_strict"]
    return table["micro"]["f1"], {name: row["f1"] for name, row in table["per_type"].items()}


def _counts(predictions: Predictions) -> Numbers:
    """Correct, predicted and gold entities of each sentence, of shape (3, sentences)."""
    gold, predicted = predictions.gold.entities(strict=True), predictions.predicted.entities(strict=True)
    return np.stack(counts_by_sentence(gold, predicted, predictions.gold.sentences))


def _tags(predictions: Predictions) -> list[str]:
    tagging = predictions.gold
    return [tagging.tags[number] for number in tagging.ids_W]
