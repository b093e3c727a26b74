"""Starts a run from the command line: writes settings to params.yaml, finds stale stages, sets Prefect up."""

import logging
import os
import signal
from concurrent.futures import Future, wait
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, get_args

import typer

from pipeline.checkout.layout import DAG, PARAMS, locate, pipeline_folder
from pipeline.checkout.status import Outcome, StageState, check_inputs, stage_states
from pipeline.runs.prefect_server import find_server, translate_errors
from pipeline.signals import Stopped, end_groups, stop_command
from pipeline.terminal import draw_progress, err
from stages.artifacts import atomic_write
from stages.errors import TryAgainError, UserError
from stages.runtime.project import REGISTRY
from stages.runtime.proxies import drop_proxies_unknown_to_httpx

if TYPE_CHECKING:
    import subprocess

    from prefect.client.schemas.objects import State

POLL_SECONDS = 0.5
REPORT_SECONDS = 2  # that a flow that is stopped has to tell its server


def prepare_run(settings: list[str]) -> list[StageState]:
    """Write these settings to params.yaml, and those that pin its parent; return the states of the stages.

    UserError if a run with them cannot start; params.yaml is then unchanged.
    """
    settings = [*settings, *pin_pretrained(settings)]
    if not settings:
        renew_dag()
        states = stage_states()
        if not all(state.fresh for state in states):
            from pipeline.checkout.params_file import check_params

            check_params()
            check_inputs(states)
        return states
    from pipeline.checkout.params_file import apply_settings, check_params
    from stages.params import read_text

    text = apply_settings(locate(PARAMS), settings)
    check_params(text)
    before = read_text(locate(PARAMS))
    write_params(text)
    renew_dag()
    try:
        states = stage_states()
        check_inputs(states)
    except UserError:
        write_params(before)
        renew_dag()
        raise
    return states


def pin_pretrained(settings: list[str]) -> list[str]:
    """The settings that pin the registered model which the current pipeline, with `settings`, is trained from.

    None if that is no such model, or one that is pinned.
    """
    from stages.params import parse_document, read_text

    if not any(REGISTRY in text for text in (read_text(locate(PARAMS)), *settings)):
        return []
    from pipeline.checkout.params_file import apply_settings
    from pipeline.registry.pinning import pin_parent

    document = parse_document(apply_settings(locate(PARAMS), settings), locate(PARAMS))
    pins = pin_parent(document, settings)
    if pins:
        err.print(f"model.pretrained: {document['model']['pretrained']} is pinned, {' '.join(pins)}")
    return pins


def renew_dag() -> None:
    """Let the current pipeline's dvc.yaml name the older corpora that its params.yaml does; say so if it changes."""
    from pipeline.checkout.new_pipeline import declare_older_corpora

    declared = declare_older_corpora(pipeline_folder())
    if declared is not None:
        names = ", ".join(declared) or "no older corpus any more"
        err.print(f"{locate(DAG)}: tokenize depends on {names}, as {locate(PARAMS)} says", highlight=False)


def write_params(text: str) -> None:
    """Replace the content of the current pipeline's params.yaml atomically."""
    with atomic_write(locate(PARAMS)) as path:
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

    server = find_server()
    flow_run: Future[State[Any]] = Future()

    def run_flow() -> None:
        try:
            flow_run.set_result(run_pipeline(stages, return_state=True))
        except BaseException as error:
            flow_run.set_exception(error)

    # Not in the main thread: a signal would reach Prefect there, which reports to a server before it lets go.
    Thread(target=run_flow, daemon=True).start()
    with translate_errors():
        _wait_for_flow(flow_run, server)
        state = flow_run.result()
    if state.is_completed():
        return parse_outcomes(state)
    if state.name in (USER_FAULT_STATE, TRY_AGAIN_STATE):
        raise UserError(f"{state.message}. The lines above say what and where; fix it and run again.")
    err.print(f"{state.message}; the lines above say where.", style="red")
    raise typer.Exit(1)


def _wait_for_flow(flow_run: "Future[State[Any]]", server: "subprocess.Popen[bytes] | None") -> None:
    """Wait until the flow run has ended; Stopped if a signal or the loss of the temporary server ends it before."""
    try:
        while not wait([flow_run], POLL_SECONDS).done:
            if server and server.poll() is not None and not flow_run.done():
                cause = signal.Signals(-server.returncode).name if server.returncode < 0 else server.returncode
                stop_command(TryAgainError.exit_code, f"the temporary Prefect server has ended ({cause}): ")
    except Stopped:
        logging.disable()  # Prefect would report what the user has asked for, and each failure to reach a server
        end_groups()
        wait([flow_run], REPORT_SECONDS)
        draw_progress("")
        raise


def prepare_prefect() -> None:
    """Set the variables that Prefect reads when it is imported; what the user has set is kept."""
    drop_proxies_unknown_to_httpx()
    if not (Path.home() / ".prefect/profiles.toml").exists():
        # Prefect was never configured here: its home is in the project, and a run leaves nothing in the home folder.
        home = Path(".tuneline/prefect").absolute()
        home.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("PREFECT_HOME", str(home))
        if not os.environ.get("PREFECT_API_URL"):
            os.environ.pop("PREFECT_API_URL", None)  # Prefect sends events to an empty URL, and reports the failures
    for name, value in {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # The first start creates the database: on two busy cores that takes more than the default of 20 s.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS": "pipeline.runs.log_handler.PlainConsoleHandler",
        "PREFECT_LOGGING_FORMATTERS_STANDARD_DATEFMT": "%H:%M:%S",
        "PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT": "%(asctime)s | %(flow_run_name)-8s | %(message)s",
    }.items():
        os.environ.setdefault(name, value)
