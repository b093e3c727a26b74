import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from stages.errors import ArtifactError
from stages.training import checkpoints as module
from stages.training.checkpoints import BEST, PROGRESS, STATE, Checkpoints, Progress
from stages.training.loop import Step
from stages.training.optimizer import MasterWeights
from tests.modeling.conftest import COMPUTE, random_model

FOLDER = Path(".checkpoints/key")
EPOCH = 2  # steps in an epoch


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fresh(*, precision: str = "fp32", labels: int = 3) -> MasterWeights:
    return MasterWeights(
        random_model(labels=labels, intermediate_size=16),
        COMPUTE[precision],
        vocabulary=torch.tensor([2, 3, 5, 8]),
        weight_decay=0.01,
        layerwise_lr_decay=1.0,
        head_lr_multiplier=1.0,
    )


class Training:
    """Weights that take random steps, the same for the same number of the step."""

    def __init__(self, f1: list[float], *, precision: str = "fp32", labels: int = 3) -> None:
        self.progress, self.weights, self.f1 = Progress(), fresh(precision=precision, labels=labels), f1

    def step(self) -> None:
        step = len(self.progress.history) + 1
        generator = torch.Generator().manual_seed(step)
        for value in self.weights.state().values():
            value.copy_(torch.rand(value.shape, generator=generator))
        self.weights.sync_model()
        steps, epoch = EPOCH * len(self.f1), -(-step // EPOCH)
        self.progress.history.append(Step(step, steps, epoch, step % EPOCH == 0, 1 / step, 1e-4, 0.25, 70, 40))
        if step % EPOCH == 0:
            self.progress.score(self.f1[epoch - 1], self.weights)

    def save(self, checkpoints: Checkpoints, *, steps: int) -> None:
        """Take `steps` more, each of which writes a checkpoint."""
        for _ in range(steps):
            self.step()
            checkpoints.save(self.progress, self.weights)


def saved(steps: int, f1: list[float], *, precision: str = "fp32") -> Training:
    training = Training(f1, precision=precision)
    training.save(Checkpoints(FOLDER), steps=steps)
    return training


def same_state(left: MasterWeights, right: MasterWeights) -> bool:
    return all(torch.equal(value, right.state()[name]) for name, value in left.state().items())


def same_progress(left: Progress, right: Progress) -> bool:
    plain = [(p.history, p.dev_f1, p.best_epoch, len(p.best_masters)) for p in (left, right)]
    return plain[0] == plain[1] and all(
        torch.equal(one, other) for one, other in zip(left.best_masters, right.best_masters, strict=True)
    )


def names() -> list[str]:
    return sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("steps", [1, 2, 3, 5], ids=["before a score", "best", "after the best", "two epochs after"])
@pytest.mark.parametrize("precision", COMPUTE)
def test_restore_gives_what_was_saved(precision: str, steps: int) -> None:
    training = saved(steps, [0.5, 0.25, 0.75], precision=precision)
    weights = fresh(precision=precision)
    assert not same_state(weights, training.weights)
    restored = Checkpoints(FOLDER).restore(weights)
    assert same_progress(restored, training.progress)
    assert bool(restored.best_masters) == (steps >= EPOCH)
    assert same_state(weights, training.weights)
    for slot, other in zip(weights.slots, training.weights.slots, strict=True):
        assert torch.equal(slot.parameter, other.parameter)


def test_restore_of_nothing_changes_nothing() -> None:
    weights = fresh()
    saved(1, [0.5])
    assert same_progress(Checkpoints(FOLDER.with_name("another key")).restore(weights), Progress())
    assert same_state(weights, fresh())


def test_save_keeps_the_last_two() -> None:
    saved(4, [0.5, 0.25])
    assert names() == ["step-00000003", "step-00000004"]


def test_save_after_the_same_step_writes_nothing_anew() -> None:
    training = saved(2, [0.5])
    before = (FOLDER / "step-00000002" / STATE).stat()
    Checkpoints(FOLDER).save(training.progress, training.weights)
    assert (FOLDER / "step-00000002" / STATE).stat() == before


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


def other_model(folder: Path) -> None:
    """A whole checkpoint, but of a model with more labels."""
    shutil.rmtree(folder)
    training = Training([0.5, 0.75], labels=4)
    for _ in range(2 * EPOCH):
        training.step()
    Checkpoints(FOLDER).save(training.progress, training.weights)


DAMAGES = {
    **{f"{name} cut short": truncate(name) for name in (STATE, BEST, PROGRESS)},
    **{f"{name} gone": delete(name) for name in (STATE, BEST, PROGRESS)},
    **{f"{name} with a bit flipped": flip(name, -1) for name in (STATE, BEST)},
    f"{STATE} with its header damaged": flip(STATE, 7),
    f"{PROGRESS} with its syntax damaged": flip(PROGRESS, 0),
    f"{PROGRESS} with a field renamed": edit(PROGRESS, '"loss"', '"lost"'),
    f"{PROGRESS} without digests": edit(PROGRESS, '"digests"', '"digest"'),
    f"{PROGRESS} of another version": edit(PROGRESS, '"format_version": 1', '"format_version": 9'),
    "of another model": other_model,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_restore_falls_back_on_the_checkpoint_before(
    damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    before = saved(EPOCH, [0.5, 0.75])
    training = saved(EPOCH, [0.5, 0.75])
    training.save(checkpoints := Checkpoints(FOLDER), steps=EPOCH)
    assert names() == ["step-00000003", "step-00000004"]
    before.step()
    damage(FOLDER / "step-00000004")
    weights = fresh()
    assert same_progress(Checkpoints(FOLDER).restore(weights), before.progress)
    assert same_state(weights, before.weights)
    (warning,) = [record.message for record in caplog.records]
    assert warning.startswith("warning: the checkpoint .checkpoints/key/step-00000004 is not usable: ")
    checkpoints.save(training.progress, training.weights)  # in its place
    assert same_progress(Checkpoints(FOLDER).restore(weights), training.progress)


@pytest.mark.parametrize(
    ("old", "new"), [('"best_epoch": 2', '"best_epoch": 1'), ("    0.75", "    0.25"), ('"words": 40', '"words": 48')]
)
def test_restore_notes_a_damaged_number_of_the_progress(old: str, new: str) -> None:
    saved(2 * EPOCH, [0.5, 0.75])
    edit(PROGRESS, old, new)(FOLDER / "step-00000004")
    assert len(Checkpoints(FOLDER).restore(fresh()).history) == 3


def test_restore_of_damaged_checkpoints_alone_starts_anew(caplog: pytest.LogCaptureFixture) -> None:
    saved(2, [0.5])
    for folder in FOLDER.iterdir():
        truncate(STATE)(folder)
    weights = fresh()
    assert same_progress(Checkpoints(FOLDER).restore(weights), Progress())
    assert same_state(weights, fresh())
    assert len(caplog.records) == 2
    assert names() == []


def best_inode(step: int) -> int:
    return (FOLDER / f"step-{step:08}" / BEST).stat().st_ino


@pytest.mark.parametrize("interrupted", [False, True])
def test_save_links_the_best_weights_until_another_epoch_is_best(interrupted: bool) -> None:
    training = Training([0.5, 0.25, 0.75])
    checkpoints = Checkpoints(FOLDER)
    training.save(checkpoints, steps=EPOCH)
    inode = best_inode(EPOCH)
    if interrupted:
        checkpoints = Checkpoints(FOLDER)
        training.progress = checkpoints.restore(training.weights)
    for step in (3, 4, 5):
        training.save(checkpoints, steps=1)
        assert best_inode(step) == inode
        assert Checkpoints(FOLDER).restore(fresh()).best_epoch == 1
    first = [master.clone() for master in training.progress.best_masters]
    training.save(checkpoints, steps=1)
    assert best_inode(6) != inode
    assert same_progress(Checkpoints(FOLDER).restore(fresh()), training.progress)
    assert training.progress.best_epoch == 3
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
    training = Training([0.5, 0.75])
    training.save(checkpoints, steps=3)
    before = Training([0.5, 0.75])
    for _ in range(3):
        before.step()
    training.step()

    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        if path.name == file:
            path.write_bytes(b"half")
            raise error
        save_file(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_file", full)
        with pytest.raises(ArtifactError, match=r"^cannot write .*step-00000004: No space left.*free space"):
            checkpoints.save(training.progress, training.weights)
    assert names() == ["step-00000002", "step-00000003"]
    weights = fresh()
    assert same_progress(Checkpoints(FOLDER).restore(weights), before.progress)
    assert same_state(weights, before.weights)
    checkpoints.save(training.progress, training.weights)  # once there is space again
    assert same_progress(Checkpoints(FOLDER).restore(weights), training.progress)


def test_restore_removes_what_a_killed_write_left() -> None:
    training = saved(1, [0.5])
    leftover = FOLDER / ".step-00000002.new-123-0a1b2c3d.part"
    leftover.mkdir()
    (leftover / STATE).write_bytes(b"half")
    assert same_progress(Checkpoints(FOLDER).restore(fresh()), training.progress)
    assert names() == ["step-00000001"]


def test_remove_deletes_the_checkpoints_of_its_key_alone() -> None:
    saved(2, [0.5])
    other = Checkpoints(FOLDER.with_name("other"))
    training = Training([0.5])
    training.save(other, steps=1)
    Checkpoints(FOLDER).remove()
    Checkpoints(FOLDER).remove()  # of none is no error
    assert not FOLDER.exists()
    assert same_progress(other.restore(fresh()), training.progress)


def test_progress_keeps_the_weights_of_the_first_best_epoch() -> None:
    progress, weights = Progress(), fresh()
    values = []
    for number, f1 in enumerate([0.0, 0.5, 0.5, 0.4, 0.6]):
        weights.masters[0].fill_(number)
        progress.score(f1, weights)
        values.append((progress.best_epoch, progress.best_masters[0].unique().tolist()))
    assert values == [(1, [0]), (2, [1]), (2, [1]), (2, [1]), (5, [4])]
    assert progress.dev_f1 == [0.0, 0.5, 0.5, 0.4, 0.6]


@pytest.mark.parametrize(("f1", "patience", "stalled"), [
    ([], 1, False), ([0.5], 1, False), ([0.5, 0.5], 1, True), ([0.5, 0.4], 2, False), ([0.5, 0.4, 0.3], 2, True),
    ([0.5, 0.4, 0.6], 1, False), ([0.5, 0.4, 0.3, 0.2], 0, False),
])  # fmt: skip
def test_progress_has_stalled_after_its_patience(f1: list[float], patience: int, stalled: bool) -> None:
    progress, weights = Progress(), fresh()
    for value in f1:
        progress.score(value, weights)
    assert progress.has_stalled(patience) == stalled
