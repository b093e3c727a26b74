"""A run on workers that the user cancels."""

import json
import time

import pytest

from tests.processes import wait_until
from tests.workers.team import LONG, MakeTeam, find_checkpoints

pytestmark = pytest.mark.slow


def test_a_cancelled_run_leaves_no_process_and_no_lock_and_the_next_one_resumes(team: MakeTeam) -> None:
    ours = team(**LONG)
    ours.deploy()
    ours.start_worker("box", "cpu", "gpu", real=True)
    run = ours.start_run()
    workspaces = ours.folder / "box/workspaces"
    wait_until(lambda: find_checkpoints(workspaces), ours.logs)
    ours.cancel(run)
    cancelled = time.monotonic()
    wait_until(lambda: not ours.stage_processes("box"), ours.logs)
    print(f"no process left {time.monotonic() - cancelled:.1f} s after the run was cancelled")
    assert ours.wait_for_end(run).is_cancelled()
    for lock in workspaces.glob("*/*/.dvc/tmp/rwlock"):
        assert not any(json.loads(lock.read_text()).values())
    assert ours.wait_for_completion(ours.start_run()).startswith("Ran ")
    assert "resuming from the checkpoint after step" in ours.log("box")
    assert ours.computed_stages().count("tokenize") == 1
