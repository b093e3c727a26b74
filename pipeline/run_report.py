"""What `tuneline run` and `tuneline deploy` say at their end: to a person, or as JSON."""

import os
import shlex
from typing import TYPE_CHECKING, Any

from pipeline import workspace
from pipeline.seeds import SPLITS, over_seeds
from pipeline.terminal import err, out, print_json, program
from stages.artifacts import read_json
from stages.registration import read_marker
from stages.tracking import SQLITE, shown_uri, tracking_uri

if TYPE_CHECKING:
    from pipeline.deployments import Wanted


def report_run(
    by_how: dict[str, list[str]], *, up_to: str, as_json: bool, seeds: list[dict[str, Any]] | None = None
) -> None:
    """Say what ran; of scores and the model only if this call went as far as the stage that makes them."""
    marker = read_marker() if up_to == workspace.REGISTER else None
    if as_json:
        model = marker and {"name": marker.name, "version": marker.version, "digest": marker.model_digest}
        of_seeds = {"seeds": seeds, **over_seeds(seeds)} if seeds else {}
        print_json({**by_how, "model": model, "mlflow_run": marker and marker.mlflow_run, **of_seeds})
        return
    if not by_how["executed"] and not by_how["restored"]:
        out.print("Nothing to do: every stage is fresh." if marker else f"Nothing to do up to {up_to}.")
    for how, names in by_how.items():
        if names:
            out.print(f"{how:<9} {', '.join(names)}")
    if up_to not in (workspace.EVALUATE, workspace.REGISTER):
        return
    metrics = read_json(workspace.METRICS)
    for split in SPLITS:
        micro = metrics[split]["entity_strict"]["micro"]
        interval = f"95 % interval {micro['f1_low']:.4f} to {micro['f1_high']:.4f}"
        out.print(f"{split:<9} entity F1 {micro['f1']:.4f} (strict, {interval}, {micro['support']} entities)")
    if seeds:
        _report_seeds(seeds)
    if not marker:
        return
    out.print(f"model     {marker.name} version {marker.version}, digest {marker.model_digest[:12]}")
    _report_next(marker.name, marker.version)


def report_deployment(wanted: list["Wanted"], said: list[str], *, missing: str | None, as_json: bool) -> None:
    """Say what was changed on the Prefect server, how workers are started, and how a run is."""
    run = wanted[0]
    pools = list(dict.fromkeys(each.pool for each in wanted))
    server = os.environ["PREFECT_API_URL"]
    prefect = program("prefect")
    # A pool that trains takes one run at a time; the others must not, for the run itself waits in one of them.
    limits = {pool: " --limit 1" if pool != run.pool else "" for pool in pools}
    commands = {
        **{
            f"worker of {p}": f"{prefect} worker start --pool {shlex.quote(p)} --type process{limits[p]}" for p in pools
        },
        "start a run": f"{prefect} deployment run {shlex.quote(f'{run.flow}/{run.name}')}",
    }
    if as_json:
        print_json({"said": said, "commands": commands, "missing": missing})
        return
    for line in said:
        out.print(line)
    if missing:
        err.print(f"warning: {missing}; workers see only what is pushed", style="yellow")
    if "MLFLOW_TRACKING_URI" not in run.variables:
        err.print(
            "warning: MLFLOW_TRACKING_URI holds a password, so it stays here; set it on each worker", style="yellow"
        )
    elif run.variables["MLFLOW_TRACKING_URI"].startswith(SQLITE):
        err.print(
            "note: models go to a file of this machine; for several, set MLFLOW_TRACKING_URI to a server's address"
        )
    out.print(
        f"\nOn each worker's machine, in a clone of its own after `make install`:\n  export PREFECT_API_URL={server}"
    )
    for what, command in commands.items():
        out.print(f"  {what:<18} {command}")


def _report_seeds(seeds: list[dict[str, Any]]) -> None:
    for entry in seeds:
        out.print(f"seed {entry['seed']:<4} dev {entry['dev']:.4f}  test {entry['test']:.4f}")
    over = over_seeds(seeds)
    figures = "  ".join(f"{split} {over['mean'][split]:.4f} ± {over['deviation'][split]:.4f}" for split in SPLITS)
    out.print(f"mean      {figures}  (standard deviation over {len(seeds)} seeds)")


def _report_next(name: str, version: int) -> None:
    """What a person can do now, as commands to copy."""
    tuneline, model = program("tuneline"), shlex.quote(name)
    on_server = tracking_uri().startswith("http")
    out.print("\nNext:", style="bold")
    for what, command in (
        ("use it", f'echo "Angela Merkel visited Siemens in Munich." | {tuneline} predict {model}/{version}'),
        ("make it champion", f"{tuneline} promote {model} {version}"),
        ("see what made it", f"{tuneline} lineage {model}/{version}"),
        ("look at its mistakes", f"{tuneline} mistakes, or open {workspace.PAGE} in a browser"),
        (
            "see runs and models",
            shown_uri() if on_server else f"{program('mlflow')} ui --backend-store-uri {tracking_uri()}",
        ),
        ("try other values", f"{tuneline} run --set train.learning_rate=2e-4"),
        ("your own text", f"{tuneline} run --set data.dir=FOLDER --set register.name=NAME"),
    ):
        out.print(f"  {what:<20} {command}")
