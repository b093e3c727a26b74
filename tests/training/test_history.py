import errno
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from stages.artifacts import read_json_lines
from stages.errors import ArtifactError
from stages.training.history import FILE, Entry, History, Step, read_history, write_history

DEV_F1 = [0.5, 0.75]


def step(number: int, *, loss: float | None = None) -> Step:
    """One of four steps of two epochs."""
    value = 1 / number if loss is None else loss
    return Step(number, 4, (number + 1) // 2, number % 2 == 0, value, 1e-4, 0.25, 70, 40)


def dev_f1(number: int) -> float | None:
    return None if number % 2 else DEV_F1[number // 2 - 1]


def history(path: Path, steps: int, *, resume: int = 0) -> History:
    """A run that loads the file, resumes after step `resume`, and takes steps up to the number `steps`."""
    run = History(path)
    run.load()
    run.resume(resume)
    for number in range(resume + 1, steps + 1):
        run.append(step(number), dev_f1(number))
    return run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "key" / FILE


def test_each_step_is_a_line_as_soon_as_it_is_appended(path: Path) -> None:
    before = time.time_ns() // 1_000_000
    run = history(path, 1)
    (line,) = read_json_lines(path)
    assert line == run.entries[0].to_json()
    assert line["time"] >= before
    assert "dev_score" not in line
    run.append(step(2), dev_f1(2))
    assert [line.get("dev_score") for line in read_json_lines(path)] == [None, 0.5]
    assert run.dev_score == [0.5]


def test_steps_after_the_checkpoint_keep_their_lines_when_they_are_repeated(path: Path) -> None:
    """So that a resumed run, even on another machine, sends points that equal those in MLflow."""
    history(path, 3)
    before = path.read_bytes()
    time.sleep(0.01)
    resumed = history(path, 3, resume=1)
    assert path.read_bytes() == before
    assert [entry.to_json() for entry in resumed.entries] == read_json_lines(path)
    resumed.append(step(4), dev_f1(4))
    assert path.read_bytes().startswith(before)
    assert len(read_json_lines(path)) == 4
    assert resumed.digest == history(path.with_name("undisturbed"), 4).digest


def test_a_step_that_gets_another_value_replaces_the_lines_from_there_on(path: Path) -> None:
    history(path, 4)
    resumed = history(path, 1, resume=1)
    resumed.append(step(2, loss=9.0), 0.25)
    assert [(line["step"], line["loss"]) for line in read_json_lines(path)] == [(1, 1.0), (2, 9.0)]
    resumed.append(step(3))
    assert [line["step"] for line in read_json_lines(path)] == [1, 2, 3]


@pytest.mark.parametrize("end", [b'{"step": 3, "los', b"\0\0\0\0", b'{"step": 3}\n', b"]\n", b"3\n"])
def test_an_incomplete_or_damaged_end_is_cut_off(path: Path, end: bytes) -> None:
    history(path, 2)
    before = path.read_bytes()
    path.write_bytes(before + end)
    run = History(path)
    run.load()
    assert path.read_bytes() == before
    run.resume(2)
    run.append(step(3))
    assert [line["step"] for line in read_json_lines(path)] == [1, 2, 3]


def test_the_digest_is_of_all_but_the_times(path: Path) -> None:
    run = history(path, 4)
    time.sleep(0.01)
    again = history(path.with_name("again"), 4)
    assert run.entries[0].time != again.entries[0].time
    assert run.digest == again.digest
    loaded = History(path)
    loaded.load()
    assert loaded.stored_digest(4) == run.digest
    assert loaded.stored_digest(3) == history(path.with_name("shorter"), 3).digest
    with pytest.raises(ArtifactError, match=r"history\.jsonl is damaged: it has no step 5"):
        loaded.stored_digest(5)
    other = History(path.with_name("other"))
    for number in range(1, 5):
        other.append(step(number), dev_f1(number) and 0.1)
    assert other.digest != run.digest


def test_a_full_disk_keeps_lines_back_until_there_is_space(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = history(path, 2)
    before = path.read_bytes()

    def full(self: History) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(History, "_store", full)
        run.append(step(3))
        with pytest.raises(ArtifactError, match=r"cannot write .*history\.jsonl: No space left on device"):
            run.store()
    assert path.read_bytes() == before
    assert len(run.entries) == 3
    run.append(step(4), dev_f1(4))
    assert [line["step"] for line in read_json_lines(path)] == [1, 2, 3, 4]
    run.store()


def test_a_history_of_nothing_makes_no_file(path: Path) -> None:
    run = history(path, 0)
    assert run.entries == run.dev_score == []
    assert not path.exists()


def entries(path: Path) -> list[Entry]:
    return history(path, 4).entries


def test_a_model_holds_the_steps_without_times_and_reads_them_with_the_dev_scores(path: Path, tmp_path: Path) -> None:
    written = entries(path)
    write_history(tmp_path, written)
    lines = (tmp_path / FILE).read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1]) == {
        "ends_epoch": True, "epoch": 1, "gradient_norm": 0.25, "learning_rate": 0.0001, "loss": 0.5, "step": 2,
        "steps": 4, "tokens": 70, "weight": 40,
    }  # fmt: skip
    found = read_history(tmp_path, DEV_F1)
    assert [replace(entry, time=0) for entry in found] == [replace(entry, time=0) for entry in written]
    write_history(tmp_path, [replace(entry, time=entry.time + 5) for entry in written])
    assert (tmp_path / FILE).read_text(encoding="utf-8").splitlines() == lines


@pytest.mark.parametrize("scores", [DEV_F1[:1], [*DEV_F1, 0.9]])
def test_a_model_with_another_number_of_epochs_is_refused(path: Path, tmp_path: Path, scores: list[float]) -> None:
    write_history(tmp_path, entries(path))
    with pytest.raises(ArtifactError, match=r"history\.jsonl is damaged\. Delete it and run `dvc repro train`"):
        read_history(tmp_path, scores)


def test_a_missing_or_damaged_history_of_a_model_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"history\.jsonl: no such file\. `dvc repro train` makes it"):
        read_history(tmp_path, DEV_F1)
    write_history(tmp_path, entries(path))
    content = (tmp_path / FILE).read_bytes()
    for damaged in (content[:-30], content.replace(b'"weight"', b'"height"', 1), content.replace(b"{", b"[", 1)):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"history\.jsonl is damaged"):
            read_history(tmp_path, DEV_F1)
