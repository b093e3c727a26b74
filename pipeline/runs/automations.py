"""The automations on a Prefect server that end the runs of dead workers. It imports Prefect, so import it late."""

import hashlib
from datetime import timedelta
from pathlib import Path

from prefect.client.schemas.objects import StateType
from prefect.events import AutomationCore, ResourceSpecification
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture

from pipeline.checkout.layout import PARAMS, find_pipelines, locate, pipeline_folder
from pipeline.checkout.params_file import read_value
from pipeline.runs.flows import TRY_AGAIN_STATE, USER_FAULT_STATE
from stages.config.orchestration import Params
from stages.params import load_params

TAG = "tuneline"
ENDS = ("Completed", "Failed", "Cancelled", "Crashed", "TimedOut", USER_FAULT_STATE, TRY_AGAIN_STATE)
START_SECONDS = 900  # from Pending to Running; after that the worker counts as dead


def plan_automations() -> list[AutomationCore]:
    """The automations that mark the runs of dead workers as crashed, so that they are retried or others can start.

    https://docs.prefect.io/v3/advanced/detect-zombie-flows
    """
    heartbeat_timeout_seconds = load_params(locate(PARAMS), Params).orchestration.heartbeat_timeout_seconds
    expected = ["Running", "Scheduled", "Cancelling"]
    return [
        _plan_automation("fell silent", after="heartbeat", expect=["heartbeat"], seconds=heartbeat_timeout_seconds),
        _plan_automation("never began", after="Pending", expect=expected, seconds=START_SECONDS),
    ]


def _plan_automation(what: str, *, after: str, expect: list[str], seconds: int) -> AutomationCore:
    """Mark a run of this project as crashed if `seconds` after an event neither an expected one nor its end follows."""
    name = project_name()
    return AutomationCore(
        name=f"{name}: a run that {what} has crashed",
        description="Created by `tuneline deploy`: the worker must be dead.",
        trigger=EventTrigger(
            after={f"prefect.flow-run.{after}"},
            expect={f"prefect.flow-run.{event}" for event in (*expect, *ENDS)},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{project_tag(name)}"}
            ),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[
            ChangeFlowRunState(state=StateType.CRASHED, message=f"it {what} for {seconds} s: its worker must be dead")
        ],
    )


def project_name() -> str:
    """What Prefect calls the current pipeline: as its folder, or at the root as its registered model.

    Where another one would be called alike, as a/b and a-b, the name of a folder ends with a digest of its path.
    """
    own = pipeline_folder()
    name = _join_folders(own)
    alike = [folder for folder in find_pipelines() if _join_folders(folder) == name]
    if own == Path() or alike in ([], [own]):
        return name
    return f"{name}-{hashlib.sha256(own.as_posix().encode()).hexdigest()[:8]}"


def _join_folders(pipeline: Path) -> str:
    return "-".join(pipeline.parts) or str(read_value(pipeline / PARAMS, "register.name"))


def project_tag(name: str) -> str:
    """The tag of all runs of a pipeline; `name` is its `project_name`."""
    return f"{TAG}:{name}"
