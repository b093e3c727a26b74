"""Which stages are stale, and why."""

from dataclasses import dataclass
from typing import Any

from pipeline.checkout.layout import ENCODED, REGISTER, REGISTRATION, TOKENIZE
from pipeline.checkout.params_file import check_params
from stages.artifacts import read_json
from stages.errors import ArtifactError, UserError, first_line
from stages.tracking.registry import find_registration, read_marker, write_marker

MISSING = " is missing"


@dataclass(frozen=True)
class StageState:
    """Whether a stage must run, and every reason why."""

    name: str
    because: list[str]

    @property
    def fresh(self) -> bool:
        """Nothing it depends on has changed, and what it made is there."""
        return not self.because


def stage_states() -> list[StageState]:
    """All stages, upstream first. A stage below a stale one is stale too: its input is about to be made anew."""
    import networkx
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            changes = repo.status()
            graph = repo.index.graph
            states: dict[str, StageState] = {}
            for stage in networkx.dfs_postorder_nodes(graph):
                if stage.is_data_source:  # data/corpora/mine.dvc: data that `dvc add` tracks, no stage
                    continue
                because = _reasons(stage, changes.get(stage.addressing, []))
                upstream = [states[a.addressing] for a in graph.successors(stage) if a.addressing in states]
                because += [f"{state.name} runs first" for state in upstream if not state.fresh]
                states[stage.addressing] = StageState(stage.addressing, because)
    except LockError as error:
        raise UserError(f"Another run holds this checkout: {error}") from None
    except (DvcException, AssertionError) as error:
        check_params()  # it may be a value that dvc.yaml needs; this says it better
        raise UserError(f"DVC: {first_line(error)}") from error
    if states[REGISTER].fresh and not is_registered():
        states[REGISTER] = StageState(REGISTER, ["the registry does not have this model as challenger or champion"])
    return list(states.values())


def is_registered() -> bool:
    """Whether data/registration.json names the challenger or champion of the present registry, asked if need be."""
    try:
        registration = read_json(REGISTRATION)
    except ArtifactError:
        return False
    name, model_digest = registration["name"], registration["model_digest"]
    marker = read_marker()
    if marker is not None and (marker.name, marker.model_digest) == (name, model_digest):
        return True
    found = find_registration(name, model_digest)
    if found:
        write_marker(found)
    return found is not None


def check_inputs(states: list[StageState]) -> None:
    """Refuse to start a run whose corpus lies nowhere, of which DVC would say only that a stage failed."""
    because = next(state.because for state in states if state.name == TOKENIZE)
    missing = [reason.removesuffix(MISSING) for reason in because if reason.endswith(MISSING)]
    inputs = [path for path in missing if path != ENCODED]
    if inputs:
        raise UserError(
            f"{', '.join(inputs)}: no such file or folder, and {TOKENIZE} needs it. "
            "Check data.dir in params.yaml; `dvc pull` fetches what DVC keeps."
        )


def _reasons(stage: Any, changes: list[Any]) -> list[str]:
    if changes and not any(dependency.hash_info for dependency in stage.deps):
        missing = [f"{dep.def_path}{MISSING}" for dep in stage.deps if not dep.exists]
        return ["it never ran here", *missing]
    reasons: list[str] = []
    for change in changes:
        if isinstance(change, str):
            reasons.append("its command changed" if change == "changed command" else change)
            continue
        for path, what in change.get("changed deps", {}).items():
            reasons += _parameter_reasons(stage, path, what) if isinstance(what, dict) else [_file_reason(path, what)]
        reasons += [_file_reason(path, what) for path, what in change.get("changed outs", {}).items()]
    return reasons or [str(change) for change in changes]


def _file_reason(path: str, what: str) -> str:
    words = {"deleted": MISSING.strip(), "new": "is new", "modified": "changed", "not in cache": "is not in the cache"}
    return f"{path} {words.get(what, what)}"


def _parameter_reasons(stage: Any, path: str, sections: dict[str, str]) -> list[str]:
    """`train.learning_rate: 0.0003 -> 5e-05` for each value that differs from the one that ran last."""
    dependency = next(dep for dep in stage.deps if dep.def_path == path and hasattr(dep, "read_params"))
    before = dependency.hash_info.value or {}
    now = dependency.read_params()
    reasons: list[str] = []
    for section in sections:
        reasons += _differences(section, before.get(section), now.get(section))
    return reasons


def _differences(name: str, before: Any, now: Any) -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in dict.fromkeys([*before, *now])
            for line in _differences(f"{name}.{key}", before.get(key), now.get(key))
        ]
    if before == now:
        return []
    return [f"{name}: new" if before is None else f"{name}: {before} -> {now}"]
