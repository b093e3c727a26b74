"""The overhead of Prefect: `tuneline run` on a running server compared with plain `dvc repro`, all four stages.

make bench-flow      five minutes on two cores
"""

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from pipeline.checkout.layout import STAGES
from pipeline.checkout.params_file import apply_settings
from stages.config.train import Params
from stages.modeling.pretrained import find_pretrained
from stages.params import load_params
from tests.checkouts import ROOT, Project, checkout
from tests.processes import BIN, free_port, prefect_server

ROUNDS = 5


def main() -> None:
    """Print the medians, and the difference for each stage."""
    pretrained = find_pretrained(**load_params(ROOT / "params.yaml", Params).model.encoder)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HOME": folder, "DO_NOT_TRACK": "true", "GIT_AUTHOR_NAME": "x", "GIT_COMMITTER_NAME": "x"}
        os.environ |= {"GIT_AUTHOR_EMAIL": "x@localhost", "GIT_COMMITTER_EMAIL": "x@localhost"}
        home = Path(folder, "server")
        home.mkdir()
        with prefect_server(home, free_port(), PREFECT_SERVER_ANALYTICS_ENABLED="false") as api:
            measure(checkout(Path(folder, "bare"), pretrained), checkout(Path(folder, "flow"), pretrained), api)


def measure(bare: Project, flow: Project, api: str) -> None:
    """Rounds of both in turns, each with parameters of its own, so that no stage comes from a cache."""
    contenders = {"dvc repro": (bare, ["dvc", "repro"]), "tuneline run": (flow, ["tuneline", "run"])}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(ROUNDS + 1):  # the first warms the page cache up
        for name, (project, command) in contenders.items():
            params = project.folder / "params.yaml"
            changes = [f"tokenize.window_overlap={10 + number}", f"train.seed={number}", "train.epochs=1"]
            params.write_text(apply_settings(params, changes), encoding="utf-8")
            seconds[name].append(time_command(project, command, api))
    nothing = {name: time_command(project, command, api) for name, (project, command) in contenders.items()}
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    for name, times in seconds.items():
        print(
            f"{name:<14} {medians[name]:5.1f} s ({min(times[1:]):.1f} to {max(times[1:]):.1f}), "
            f"with nothing to do {nothing[name]:.1f} s"
        )
    more = (medians["tuneline run"] - medians["dvc repro"]) / len(STAGES)
    print(f"overhead       {more:5.2f} s a stage")


def time_command(project: Project, command: list[str], api: str) -> float:
    """Seconds of a command in a checkout."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PREFECT_API_URL": api}
    started = time.perf_counter()
    subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=project.folder, env=environment, check=True, capture_output=True
    )
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
