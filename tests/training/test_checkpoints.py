import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from stages.errors import ArtifactError
from stages.training import checkpoints as module
from stages.training.checkpoints import BEST, PROGRESS, STATE, Checkpoints
from stages.training.history import FILE, Step
from tests.modeling.conftest import COMPUTE
from tests.training.random_run import (
    EPOCH,
    FOLDER,
    REFERENCE,
    TrainingRun,
    fresh,
    no_progress,
    same_progress,
    same_state,
)


@pytest.fixture(autouse=True)
def _temporary_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run_with_checkpoints(steps: int, f1: list[float], *, precision: str = "fp32") -> TrainingRun:
    run = TrainingRun(f1, precision=precision)
    run.save(Checkpoints(FOLDER), steps=steps)
    return run


def names() -> list[str]:
    return sorted(path.name for path in FOLDER.iterdir() if path.name != FILE)


@pytest.mark.parametrize("steps", [1, 2, 3, 5], ids=["before a score", "best", "after the best", "two epochs after"])
@pytest.mark.parametrize("precision", COMPUTE)
def test_restore_gives_what_was_saved(precision: str, steps: int) -> None:
    run = run_with_checkpoints(steps, [0.5, 0.25, 0.75], precision=precision)
    weights = fresh(precision=precision)
    assert not same_state(weights, run.weights)
    restored = Checkpoints(FOLDER).restore(weights)
    assert restored.history.entries == run.progress.history.entries
    assert same_progress(restored, run.progress)
    assert bool(restored.best_masters) == (steps >= EPOCH)
    assert same_state(weights, run.weights)
    for slot, other in zip(weights.slots, run.weights.slots, strict=True):
        assert torch.equal(slot.parameter, other.parameter)


def test_restore_of_nothing_changes_nothing() -> None:
    weights = fresh()
    run_with_checkpoints(1, [0.5])
    assert same_progress(Checkpoints(FOLDER.with_name("another key")).restore(weights), no_progress())
    assert same_state(weights, fresh())


def test_save_keeps_the_last_two() -> None:
    run_with_checkpoints(4, [0.5, 0.25])
    assert names() == ["step-00000003", "step-00000004"]


def test_save_after_the_same_step_writes_nothing() -> None:
    run = run_with_checkpoints(2, [0.5])
    before = (FOLDER / "step-00000002" / STATE).stat()
    Checkpoints(FOLDER).save(run.progress, run.weights)
    assert (FOLDER / "step-00000002" / STATE).stat() == before


def test_a_checkpoint_holds_no_step() -> None:
    """Each step is written once, into the history."""
    run_with_checkpoints(4, [0.5, 0.25])
    fields = json.loads((FOLDER / "step-00000004" / PROGRESS).read_text(encoding="utf-8"))
    assert fields["steps"] == 4
    assert not {"loss", "dev_score"} & set(str(fields))
    assert len((FOLDER / FILE).read_text(encoding="utf-8").splitlines()) == 4


def truncate(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-10])


def flip(name: str, place: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[place] ^= 4
        (folder / name).write_bytes(content)

    return damage


def delete(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return damage


def edit_history(step: int, change: Callable[[str], str]) -> Callable[[Path], None]:
    """Change the line of a step in the history, which lies beside the checkpoints."""

    def damage(folder: Path) -> None:
        path = folder.parent / FILE
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        changed = change(lines[step - 1])
        assert changed != lines[step - 1]
        path.write_text("".join([*lines[: step - 1], changed, *lines[step:]]), encoding="utf-8")

    return damage


def other_model(folder: Path) -> None:
    """A complete checkpoint, but of a model with more labels."""
    shutil.rmtree(folder)
    run = TrainingRun([0.5, 0.75], folder=REFERENCE, labels=4, steps=2 * EPOCH)
    Checkpoints(FOLDER).save(run.progress, run.weights)


DAMAGES = {
    **{f"{name} cut short": truncate(name) for name in (STATE, BEST, PROGRESS)},
    **{f"{name} gone": delete(name) for name in (STATE, BEST, PROGRESS)},
    **{f"{name} with a bit flipped": flip(name, -1) for name in (STATE, BEST)},
    f"{STATE} with its header damaged": flip(STATE, 7),
    f"{PROGRESS} with its syntax damaged": flip(PROGRESS, 0),
    f"{PROGRESS} with a field renamed": edit(PROGRESS, '"history"', '"story"'),
    f"{PROGRESS} without digests": edit(PROGRESS, '"digests"', '"digest"'),
    f"{PROGRESS} with another number of steps": edit(PROGRESS, '"steps": 4', '"steps": 3'),
    f"{PROGRESS} of another version": edit(PROGRESS, '"format_version": 3', '"format_version": 1'),
    f"{FILE} without its last step": edit_history(4, lambda _: ""),
    f"{FILE} with its last line cut short": edit_history(4, lambda line: line[:-10]),
    f"{FILE} with another loss": edit_history(4, lambda line: line.replace('"loss": 0.25', '"loss": 0.75')),
    f"{FILE} with another dev F1": edit_history(4, lambda line: line.replace('"dev_score": 0.75', '"dev_score": 0.5')),
    "of another model": other_model,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_restore_falls_back_on_the_checkpoint_before(
    damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    before = TrainingRun([0.5, 0.75], folder=REFERENCE, steps=3)
    after = TrainingRun([0.5, 0.75], folder=REFERENCE / "after", steps=4)
    run_with_checkpoints(4, [0.5, 0.75])
    assert names() == ["step-00000003", "step-00000004"]
    damage(FOLDER / "step-00000004")
    run, checkpoints = TrainingRun([0.5, 0.75]), Checkpoints(FOLDER)
    run.progress = checkpoints.restore(run.weights)
    assert same_progress(run.progress, before.progress)
    assert same_state(run.weights, before.weights)
    (warning,) = [record.message for record in caplog.records]
    assert warning.startswith("warning: the checkpoint .checkpoints/key/step-00000004 is not usable: ")
    run.save(checkpoints, steps=1)  # in its place
    assert same_progress(Checkpoints(FOLDER).restore(fresh()), after.progress)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_restore_uses_no_checkpoint_whose_history_is_damaged(step: int, caplog: pytest.LogCaptureFixture) -> None:
    run_with_checkpoints(4, [0.5, 0.75])
    edit_history(step, lambda line: line.replace('"weight": 40', '"weight": 48'))(FOLDER / "step-00000004")
    assert Checkpoints(FOLDER).restore(fresh()).steps == 0
    assert len(caplog.records) == 2


@pytest.mark.parametrize(("old", "new"), [('"steps": 4', '"steps": 2'), ('"history": "', '"history": "0')])
def test_restore_notices_a_damaged_value_of_the_progress(old: str, new: str) -> None:
    run_with_checkpoints(2 * EPOCH, [0.5, 0.75])
    edit(PROGRESS, old, new)(FOLDER / "step-00000004")
    assert Checkpoints(FOLDER).restore(fresh()).steps == 3


def test_restore_of_damaged_checkpoints_alone_starts_over(caplog: pytest.LogCaptureFixture) -> None:
    run_with_checkpoints(2, [0.5])
    for folder in FOLDER.glob("step-*"):
        truncate(STATE)(folder)
    weights = fresh()
    assert same_progress(Checkpoints(FOLDER).restore(weights), no_progress())
    assert same_state(weights, fresh())
    assert len(caplog.records) == 2
    assert names() == []


def best_inode(step: int) -> int:
    return (FOLDER / f"step-{step:08}" / BEST).stat().st_ino


@pytest.mark.parametrize("interrupted", [False, True])
def test_save_links_the_best_weights_until_another_epoch_is_best(interrupted: bool) -> None:
    run = TrainingRun([0.5, 0.25, 0.75])
    checkpoints = Checkpoints(FOLDER)
    run.save(checkpoints, steps=EPOCH)
    inode = best_inode(EPOCH)
    if interrupted:
        checkpoints = Checkpoints(FOLDER)
        run.progress = checkpoints.restore(run.weights)
    for step in (3, 4, 5):
        run.save(checkpoints, steps=1)
        assert best_inode(step) == inode
        assert Checkpoints(FOLDER).restore(fresh()).best_epoch == 1
    first = [master.clone() for master in run.progress.best_masters]
    run.save(checkpoints, steps=1)
    assert best_inode(6) != inode
    assert same_progress(Checkpoints(FOLDER).restore(fresh()), run.progress)
    assert run.progress.best_epoch == 3
    delete(STATE)(FOLDER / "step-00000006")
    before = Checkpoints(FOLDER).restore(fresh())
    assert before.best_epoch == 1
    assert all(torch.equal(one, other) for one, other in zip(before.best_masters, first, strict=True))


@pytest.mark.parametrize("file", [STATE, BEST])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("No space left")])
def test_save_that_fails_leaves_the_checkpoints_before(
    file: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(FOLDER)
    run = TrainingRun([0.5, 0.75])
    run.save(checkpoints, steps=3)
    before = TrainingRun([0.5, 0.75], folder=REFERENCE, steps=3)
    run.step()

    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        if path.name == file:
            path.write_bytes(b"half")
            raise error
        save_file(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_file", full)
        with pytest.raises(
            ArtifactError, match=r"^no checkpoint of step 4: cannot write .*step-00000004: No space left.*free space"
        ):
            checkpoints.save(run.progress, run.weights)
    assert names() == ["step-00000002", "step-00000003"]
    weights = fresh()
    assert same_progress(Checkpoints(FOLDER).restore(weights), before.progress)
    assert same_state(weights, before.weights)
    checkpoints.save(run.progress, run.weights)  # once there is space again
    assert same_progress(Checkpoints(FOLDER).restore(weights), run.progress)


def test_restore_removes_what_a_killed_write_left() -> None:
    run = run_with_checkpoints(1, [0.5])
    leftover = FOLDER / ".step-00000002.new-123-0a1b2c3d.part"
    leftover.mkdir()
    (leftover / STATE).write_bytes(b"half")
    assert same_progress(Checkpoints(FOLDER).restore(fresh()), run.progress)
    assert names() == ["step-00000001"]


def test_remove_deletes_the_checkpoints_of_its_key_alone() -> None:
    run_with_checkpoints(2, [0.5])
    folder = FOLDER.with_name("other")
    other = Checkpoints(folder)
    run = TrainingRun([0.5], folder=folder)
    run.save(other, steps=1)
    Checkpoints(FOLDER).remove()
    Checkpoints(FOLDER).remove()  # of none is no error
    assert not FOLDER.exists()
    assert same_progress(other.restore(fresh()), run.progress)


def scored(number: int) -> Step:
    """The one step of an epoch."""
    return Step(number, 9, number, True, 1 / number, 1e-4, 0.25, 70, 40)


def test_progress_keeps_the_weights_of_the_first_best_epoch() -> None:
    progress, weights = no_progress(), fresh()
    values = []
    for number, f1 in enumerate([0.0, 0.5, 0.5, 0.4, 0.6]):
        weights.masters[0].fill_(number)
        progress.add(scored(number + 1), f1, weights)
        values.append((progress.best_epoch, progress.best_masters[0].unique().tolist()))
    assert values == [(1, [0]), (2, [1]), (2, [1]), (2, [1]), (5, [4])]
    assert progress.history.dev_score == [0.0, 0.5, 0.5, 0.4, 0.6]


@pytest.mark.parametrize(("f1", "patience", "stalled"), [
    ([], 1, False), ([0.5], 1, False), ([0.5, 0.5], 1, True), ([0.5, 0.4], 2, False), ([0.5, 0.4, 0.3], 2, True),
    ([0.5, 0.4, 0.6], 1, False), ([0.5, 0.4, 0.3, 0.2], 0, False),
])  # fmt: skip
def test_progress_has_stalled_after_its_patience(f1: list[float], patience: int, stalled: bool) -> None:
    progress, weights = no_progress(), fresh()
    for number, value in enumerate(f1, start=1):
        progress.add(scored(number), value, weights)
    assert progress.has_stalled(patience) == stalled
