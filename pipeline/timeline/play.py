"""Plays the parts of a corpus as if they arrived one after another, with one way or several to keep up with them.

Each step is an ordinary run with other parameters: it is registered, judged by the gate against the champion of its own
way, scored on the test examples of all parts, and restored from DVC's cache if it was ever computed before.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.checkout.layout import METRICS, PARAMS, locate, pipeline_folder
from pipeline.checkout.params_file import load_own_task, read_value, write_setting
from pipeline.checkout.status import stage_states
from pipeline.registry.opponent import prepare_opponent
from pipeline.registry.verdict import Verdict, judge
from pipeline.runs.launch import prepare_run, renew_dag, run_stale, write_params
from pipeline.timeline.parts import Part
from stages.artifacts import read_json
from stages.config.register import GateParams, Params
from stages.params import load_params, read_text
from stages.statistics.older import ALSO, find_forgetting
from stages.tracking.client import connect, translate_errors
from stages.tracking.registry import read_marker
from stages.tracking.version_artifacts import SPLIT, load_version_task, read_version_metrics, read_version_predictions

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SHARE, WEIGHT = 0.3, 2.0  # of old examples, and of staying near the parent
SECONDS = "training/seconds"  # a metric of a training run
Settings = Callable[[Part, Part | None], list[str]]  # of a step, by its part and the one before


def _start_anew(part: Part, _: Part | None) -> list[str]:
    return [write_setting("data.dir", str(part.so_far))]


def _go_on(part: Part, _: Part | None) -> list[str]:
    return [write_setting("data.dir", str(part.folder))]


def _replay(part: Part, before: Part | None) -> list[str]:
    replayed = [write_setting("train.replay", {"corpus": str(before.so_far), "share": SHARE})] if before else []
    return [*_go_on(part, before), *replayed]


def _retain(part: Part, before: Part | None) -> list[str]:
    return [*_go_on(part, before), *([f"train.retain={WEIGHT}"] if before else [])]


RESTART = "restart"
WAYS: dict[str, Settings] = {RESTART: _start_anew, "go-on": _go_on, "replay": _replay, "retain": _retain}
MEANINGS = {
    RESTART: "each time from the encoder, on all parts so far",
    "go-on": "from the champion, on the new part alone",
    "replay": f"likewise, with {SHARE:.0%} old examples in each epoch",
    "retain": "likewise, without old examples, near what the champion predicts",
}


@dataclass(frozen=True)
class Step:
    """A run of a way: what it was trained up to, its primary score on each part, its training time, its verdict."""

    way: str
    part: str
    model: str  # NAME/VERSION
    parent: str | None  # likewise
    scores: dict[str, float]
    primary: str  # the name of that score
    seconds: float | None  # None if the registry does not have them
    verdict: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


def play(parts: Sequence[Part], ways: Sequence[str], *, on_step: Callable[[Step], None]) -> list[Step]:
    """Run every step of every way; params.yaml is as before at the end, and so is what was fresh by it.

    UserError if a run cannot start or fails. What was computed is kept: the same call resumes from there.
    """
    steps: list[Step] = []
    with _keep_params() as restore:
        for way in ways:
            champion: ModelVersion | None = None
            for before, part in zip([None, *parts], parts, strict=False):
                restore()
                settings = [*WAYS[way](part, before), *_share_settings(parts, way)]
                if champion is not None and way != RESTART:
                    settings.append(f"model.pretrained=models:/{champion.name}/{champion.version}")
                step, champion = _run_step(way, part, champion, settings)
                steps.append(step)
                on_step(step)
    return steps


def _share_settings(parts: Sequence[Part], way: str) -> list[str]:
    """The settings that all steps of a way have."""
    name = read_value(locate(PARAMS), "register.name")
    also = write_setting("evaluate.also", [str(part.folder) for part in parts])
    return [also, f"register.name={name}-{way}", "register.auto_promote=false"]


@contextmanager
def _keep_params() -> Iterator[Callable[[], None]]:
    """Yield what restores params.yaml; at the end restore it, with the outputs of the pipeline if they were fresh.

    A signal or an error leaves the outputs to the next run: nothing is started after it.
    """
    before, was_fresh = read_text(locate(PARAMS)), all(state.fresh for state in stage_states())
    try:
        yield lambda: write_params(before)
    finally:
        write_params(before)
        renew_dag()
    if was_fresh:
        run_stale(stage_states())


def _run_step(
    way: str, part: Part, champion: "ModelVersion | None", settings: list[str]
) -> tuple[Step, "ModelVersion"]:
    """Run a step; return it, and the champion of its way after it."""
    run_stale(prepare_run(settings))
    marker = read_marker(pipeline_folder())
    assert marker is not None  # the run has registered its model
    gate = load_params(locate(PARAMS), Params).register_.gate
    metrics, scores = read_json(locate(METRICS)), load_own_task().scores
    with translate_errors():
        client = connect()
        version = client.get_model_version(marker.name, str(marker.version))
        verdict = _judge(client, version, champion, gate)
        seconds = client.get_run(version.run_id or "").data.metrics.get(SECONDS)
    step = Step(
        way=way,
        part=part.name,
        model=f"{version.name}/{version.version}",
        parent=f"{champion.name}/{champion.version}" if champion is not None and way != RESTART else None,
        scores={name: found["primary"]["value"] for name, found in metrics[ALSO].items()},
        primary=scores.find_primary(metrics[SPLIT])["name"],
        seconds=seconds,
        verdict=verdict.verdict,
        reason=verdict.reasons[0],
    )
    return step, version if champion is None or verdict.verdict == "PROMOTE" else champion


def _judge(
    client: "MlflowClient", version: "ModelVersion", champion: "ModelVersion | None", gate: GateParams
) -> Verdict:
    """What the gate says of a version, without moving an alias; its budget of time is left out."""
    predictions = read_version_predictions(client, version)[SPLIT]
    opponent = prepare_opponent(client, champion, version, predictions) if champion else None
    forgetting = {} if gate.max_forgetting is None else find_forgetting(read_version_metrics(client, version))
    unlimited = gate.model_copy(update={"max_latency_ms": None})
    return judge(predictions, opponent, unlimited, task=load_version_task(version), forgetting=forgetting)
