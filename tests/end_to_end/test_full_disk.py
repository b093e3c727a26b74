"""A training run on a disk that fills up, which is a small tmpfs."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.checkouts import Trainable
from tests.processes import wait_until

MakeTrainable = Callable[..., Trainable]

pytestmark = pytest.mark.slow


@contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no space in `folder`."""
    filler = folder / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(folder).free))
    return filler


def test_a_full_disk_stops_no_training_and_leaves_the_last_checkpoint_whole(trainable: MakeTrainable) -> None:
    undisturbed = trainable("undisturbed", **{"train.epochs": 8})
    undisturbed.run()
    training = trainable("full", **{"train.epochs": 8})
    with small_disk(training.folder / ".checkpoints", 8192):
        process = training.start(real=False)
        wait_until(training.checkpoints, training.log, process)
        filler = fill(training.folder / ".checkpoints")
        training.wait_for("warning: no checkpoint of step", process)
        assert "No space left on device" in training.log()
        assert process.poll() is None
        process.kill()
        process.wait()
        filler.unlink()
        output = training.run()
        assert "resuming from the checkpoint after step" in output
        assert "is not usable" not in output
    assert training.model() == undisturbed.model()


def test_a_model_that_finds_no_space_is_a_message_and_is_written_by_the_next_run(trainable: MakeTrainable) -> None:
    undisturbed = trainable("undisturbed", **{"train.epochs": 2})
    undisturbed.run()
    training = trainable("full", **{"train.epochs": 2, "runtime.checkpoint_seconds": 1})
    data = training.folder / "data"
    kept = training.folder / "kept"
    shutil.move(data, kept)
    with small_disk(data, 2048):
        shutil.copytree(kept / "encoded", data / "encoded")
        filler = fill(data)
        output = training.run(code=2)
        assert "error: cannot write data/model: No space left on device" in output.replace(
            str(training.folder) + "/", ""
        )
        assert "Traceback" not in output
        assert sorted(path.name for path in data.iterdir()) == ["encoded", "filler"]
        filler.unlink()
        training.run()
        assert training.model() == undisturbed.model()
