"""What a run does before, in and after the flow: values into params.yaml, what is stale, how Prefect is set up."""

import os
from pathlib import Path
from typing import get_args

import typer

from pipeline.checkout.dvc import How
from pipeline.checkout.layout import PARAMS
from pipeline.checkout.params_file import check_params, with_values
from pipeline.checkout.status import StageState, check_inputs, stage_states
from pipeline.terminal import err, interruptible, program
from stages.artifacts import atomic_write
from stages.errors import UserError


def states_with(settings: list[str]) -> list[StageState]:
    """The stages' states with these values in params.yaml; it stays as it was if a run with them cannot start."""
    if not settings:
        states = stage_states()
        if not all(state.fresh for state in states):
            check_params()
            check_inputs(states)
        return states
    text = with_values(PARAMS, settings)
    check_params(text)
    before = PARAMS.read_text(encoding="utf-8")
    write_params(text)
    try:
        states = stage_states()
        check_inputs(states)
    except UserError:
        write_params(before)
        raise
    return states


def write_params(text: str) -> None:
    """Put this text in place of params.yaml."""
    with atomic_write(PARAMS) as path:
        path.write_text(text, encoding="utf-8")


def up_to(states: list[StageState], stage: str | None) -> list[StageState]:
    """The states up to this stage's, all if it is None; UserError if there is no such stage."""
    names = [state.name for state in states]
    if stage is None:
        return states
    if stage not in names:
        raise UserError(f"--stage {stage}: no such stage; there are {', '.join(names)}")
    return states[: names.index(stage) + 1]


def run_stale(states: list[StageState]) -> dict[str, list[str]]:
    """Run the stale ones of these stages; their names by how each came to be what it is."""
    outcomes: dict[str, How] = {state.name: "fresh" for state in states}
    stale = [state.name for state in states if not state.fresh]
    if stale:
        outcomes |= _run_flow(stale)
    return {how: [name for name in outcomes if outcomes[name] == how] for how in get_args(How)}


def _run_flow(stages: list[str]) -> dict[str, How]:
    prepare_prefect()
    from pipeline.runs.flows import TRY_AGAIN_STATE, USER_FAULT_STATE, outcomes_in, run_pipeline

    with interruptible(f"stopped; finished stages are kept, `{program('tuneline')} run` goes on from there"):
        try:
            state = run_pipeline(stages, return_state=True)
        except RuntimeError as error:
            raise UserError(f"Prefect: {error} Is PREFECT_API_URL right, and its server up?") from error
    if state.is_completed():
        return outcomes_in(state)
    if state.name in (USER_FAULT_STATE, TRY_AGAIN_STATE):
        raise UserError(f"{state.message}. The lines above say what and where; mend that and run again.")
    err.print(f"{state.message}; the lines above say where.", style="red")
    raise typer.Exit(1)


def prepare_prefect() -> None:
    """Set what Prefect reads when it is imported; whatever the user has set stays."""
    if not (Path.home() / ".prefect/profiles.toml").exists():
        # Nobody has set Prefect up here: then its home is the project's, and a run leaves nothing in a home folder.
        home = Path(".tuneline/prefect").absolute()
        home.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("PREFECT_HOME", str(home))
    for name, value in {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # The first start makes the database: on two busy cores more than the default of 20 s.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS": "pipeline.runs.log_handler.PlainConsoleHandler",
        "PREFECT_LOGGING_FORMATTERS_STANDARD_DATEFMT": "%H:%M:%S",
        "PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT": "%(asctime)s | %(flow_run_name)-8s | %(message)s",
    }.items():
        os.environ.setdefault(name, value)
