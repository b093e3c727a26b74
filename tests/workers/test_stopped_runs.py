"""Runs on workers that end before they are complete: of a user's error, of a time limit, or cancelled.

The tests of this file go on with one worker machine, in this order.
"""

import json
import time

import pytest

from tests.processes import wait_until
from tests.workers.team import MakeTeam, Team, wait_for_checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ours(team: MakeTeam) -> Team:
    """A team whose only machine trains in an interpreter of its own."""
    ours = team(train__epochs=60, runtime__checkpoint_seconds=1)  # longer than it takes to cancel it
    ours.deploy()
    ours.start_worker("box", "cpu")
    ours.start_worker("box", "gpu", real=True)
    return ours


def test_a_user_error_is_not_retried_but_a_timeout_is(ours: Team) -> None:
    state = ours.wait_for_end(ours.start_run(f"model.sha256={'0' * 64}"))
    assert state.name == "UserFault"
    assert state.message == "tokenize stopped on an error in its input"
    assert ours.computed_stages() == ["tokenize"]
    settings = ("orchestration.tokenize.timeout_seconds=1", "orchestration.tokenize.retries=1")
    state = ours.wait_for_end(ours.start_run(*settings))
    assert state.is_failed()
    assert "exceeded timeout of 1.0 second" in (state.message or "")
    # On a busy machine the second may be over before DVC starts.
    assert ours.logs().count("for flow 'tuneline-stage'") == 3
    assert not ours.stage_processes("box")


def test_a_cancelled_run_leaves_no_process_and_no_lock_and_the_next_one_resumes(ours: Team) -> None:
    before = len(ours.computed_stages())
    run = ours.start_run()
    workspaces = ours.folder / "box/workspaces"
    wait_for_checkpoint(ours, workspaces)
    ours.cancel(run)
    cancelled = time.monotonic()
    wait_until(lambda: not ours.stage_processes("box"), ours.logs)
    print(f"no process left {time.monotonic() - cancelled:.1f} s after the run was cancelled")
    assert ours.wait_for_end(run).is_cancelled()
    for lock in workspaces.glob("*/*/.dvc/tmp/rwlock"):
        assert not any(json.loads(lock.read_text()).values())
    assert ours.wait_for_completion(ours.start_run()).startswith("Ran ")
    assert "resuming from the checkpoint after step" in ours.log("box")
    assert ours.computed_stages()[before:].count("tokenize") == 1
