"""Starts a run from the command line: writes settings to params.yaml, finds stale stages, sets Prefect up."""

import os
from pathlib import Path
from typing import get_args

import typer

from pipeline.checkout.layout import PARAMS
from pipeline.checkout.status import Outcome, StageState, check_inputs, stage_states
from pipeline.terminal import err, exit_on_interrupt, program
from stages.artifacts import atomic_write
from stages.errors import UserError


def prepare_run(settings: list[str]) -> list[StageState]:
    """Write these settings to params.yaml and return the states of the stages.

    UserError if a run with them cannot start; params.yaml is then unchanged.
    """
    if not settings:
        states = stage_states()
        if not all(state.fresh for state in states):
            from pipeline.checkout.params_file import check_params

            check_params()
            check_inputs(states)
        return states
    from pipeline.checkout.params_file import apply_settings, check_params

    text = apply_settings(PARAMS, settings)
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
    """Replace the content of params.yaml atomically."""
    with atomic_write(PARAMS) as path:
        path.write_text(text, encoding="utf-8")


def select_stages(states: list[StageState], last: str | None) -> list[StageState]:
    """Return the states of the stages up to `last`, of all if it is None; UserError if there is no such stage."""
    names = [state.name for state in states]
    if last is None:
        return states
    if last not in names:
        raise UserError(f"--stage {last}: no such stage; there are {', '.join(names)}")
    return states[: names.index(last) + 1]


def run_stale(states: list[StageState]) -> dict[str, list[str]]:
    """Run those of these stages that are stale; return the names of all by outcome."""
    outcomes: dict[str, Outcome] = {state.name: "fresh" for state in states}
    stale = [state.name for state in states if not state.fresh]
    if stale:
        outcomes |= _run_flow(stale)
    return {outcome: [name for name in outcomes if outcomes[name] == outcome] for outcome in get_args(Outcome)}


def _run_flow(stages: list[str]) -> dict[str, Outcome]:
    prepare_prefect()
    from pipeline.runs.flows import TRY_AGAIN_STATE, USER_FAULT_STATE, parse_outcomes, run_pipeline

    message = f"stopped; finished stages are kept, and `{program('tuneline')} run` resumes from there"
    with exit_on_interrupt(message):
        try:
            state = run_pipeline(stages, return_state=True)
        except RuntimeError as error:
            raise UserError(f"Prefect: {error} Is PREFECT_API_URL right, and its server up?") from error
    if state.is_completed():
        return parse_outcomes(state)
    if state.name in (USER_FAULT_STATE, TRY_AGAIN_STATE):
        raise UserError(f"{state.message}. The lines above say what and where; fix it and run again.")
    err.print(f"{state.message}; the lines above say where.", style="red")
    raise typer.Exit(1)


def prepare_prefect() -> None:
    """Set the variables that Prefect reads when it is imported; what the user has set is kept."""
    if not (Path.home() / ".prefect/profiles.toml").exists():
        # Prefect was never configured here: its home is in the project, and a run leaves nothing in the home folder.
        home = Path(".tuneline/prefect").absolute()
        home.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("PREFECT_HOME", str(home))
    for name, value in {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # The first start creates the database: on two busy cores that takes more than the default of 20 s.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS": "pipeline.runs.log_handler.PlainConsoleHandler",
        "PREFECT_LOGGING_FORMATTERS_STANDARD_DATEFMT": "%H:%M:%S",
        "PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT": "%(asctime)s | %(flow_run_name)-8s | %(message)s",
    }.items():
        os.environ.setdefault(name, value)
