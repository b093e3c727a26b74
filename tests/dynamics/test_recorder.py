"""What training records of each answer: right, for nothing, and the same however the training run went."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.dynamics.files import Dynamics, read_dynamics, write_dynamics
from stages.dynamics.recorder import Recorder
from stages.encoding.files import IGNORED, EncodedSplit
from stages.errors import ArtifactError
from stages.modeling.encoder import label_logits, pack
from stages.modeling.inference import each_batch
from stages.tasks.token_classification.model.head import TagHead
from stages.training import loop
from stages.training.checkpoints import Checkpoints, Progress
from stages.training.history import History
from stages.training.loop import PendingStep, Settings, plan_batches, train
from stages.training.optimizer import MasterWeights
from tests.modeling.conftest import COMPUTE, random_model, random_split
from tests.training.test_memory import DROPOUT, OUT_OF_MEMORY, SETTINGS, short_of_memory
from tests.training.waiting import NoWaiting
from tests.training.weights import make_weights

CPU = torch.device("cpu")
HEAD = TagHead(0.0)
COLUMNS = ("confidence_O", "predicted_OV")


@pytest.fixture(scope="module")
def split() -> EncodedSplit:
    return random_split(np.random.default_rng(0).integers(4, 15, 60).tolist())


def recorder_of(split: EncodedSplit, settings: Settings = SETTINGS) -> Recorder:
    return Recorder(HEAD, split, plan_batches(split, settings), device=CPU)


def run(
    split: EncodedSplit, settings: Settings = SETTINGS, *, recorder: Recorder | None, **dropout: float
) -> tuple[MasterWeights, Iterator[PendingStep]]:
    model = random_model(**(dropout or DROPOUT))
    weights = make_weights(model, split, COMPUTE["fp32"])
    return weights, train(model, weights, split, settings, COMPUTE["fp32"], head=HEAD, recorder=recorder)


def finish(recorder: Recorder, steps: Iterator[PendingStep]) -> Dynamics:
    for step in steps:
        if step.ends_epoch:
            recorder.end_epoch(step.epoch)
    return recorder.result()


def recorded(split: EncodedSplit, settings: Settings = SETTINGS) -> Dynamics:
    recorder = recorder_of(split, settings)
    return finish(recorder, run(split, settings, recorder=recorder)[1])


def same(left: Dynamics, right: Dynamics) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in COLUMNS)


def test_values_are_those_of_the_model_in_the_order_of_the_split(split: EncodedSplit) -> None:
    settings = replace(SETTINGS, learning_rate=1e-30)  # so that the model stays as it is
    recorder, still = recorder_of(split, settings), dict.fromkeys(DROPOUT, 0.0)
    found = finish(recorder, run(split, settings, recorder=recorder, **still)[1])
    logits = {
        int(row): values
        for rows, logits_OC in each_batch(random_model(), split, COMPUTE["fp32"], batch_tokens=1)
        for row, values in zip(rows, [logits_OC], strict=True)
    }
    logits_OC = torch.from_numpy(np.concatenate([logits[row] for row in range(len(split.lengths))]))
    given_O = torch.from_numpy(split.labels[split.labels != IGNORED].astype(np.int64))
    probability_OC = logits_OC.softmax(1)
    np.testing.assert_allclose(
        found.confidence_O, probability_OC.gather(1, given_O[:, None])[:, 0], rtol=1e-4, atol=1e-6
    )
    probability_OC.scatter_(1, given_O[:, None], -1)
    assert found.predicted_OV[:, 0].tolist() == probability_OC.argmax(1).tolist()


def test_recording_changes_no_bit_of_the_weights(split: EncodedSplit) -> None:
    weights = []
    for recorder in (None, recorder_of(split)):
        own, steps = run(split, recorder=recorder)
        assert len(list(steps)) > 2
        weights.append(own.snapshot())
    assert all(map(torch.equal, *weights))


def test_recording_waits_for_no_device(split: EncodedSplit) -> None:
    recorder, model = recorder_of(split), random_model()
    _, rows = plan_batches(split, SETTINGS)[0]
    batch = pack(model, split, rows, slice(None), COMPUTE["fp32"])
    logits_OC = label_logits(model, batch)
    with NoWaiting():
        recorder.begin_step(0)
        recorder.record(0, batch, logits_OC)
        recorder.of_step(0).add_(1)
    assert recorder.current_OK[: batch.outputs].min() >= 1
    assert recorder.current_OK[batch.outputs :].max() == 0


def test_the_mean_is_over_all_epochs(split: EncodedSplit) -> None:
    recorder = recorder_of(split)
    confidences = []
    for step in run(split, recorder=recorder)[1]:
        if step.ends_epoch:
            before = recorder.confidence_O.clone()
            recorder.end_epoch(step.epoch)
            confidences.append(recorder.confidence_O - before)
    assert len(confidences) == 2
    assert not torch.equal(*confidences)
    assert recorder.result().confidence_O == pytest.approx(sum(confidences).numpy() / 2, abs=1e-6)  # type: ignore[union-attr]


@pytest.mark.parametrize("stopped_after", [3, None, -1], ids=["within-an-epoch", "after-an-epoch", "at-the-end"])
def test_a_resumed_run_records_the_same_to_the_bit(
    split: EncodedSplit, tmp_path: Path, stopped_after: int | None
) -> None:
    undisturbed, progress = recorder_of(split), Progress(History(tmp_path / "history.jsonl"))
    weights, steps = run(split, recorder=undisturbed)
    progress.recorder = undisturbed
    for pending in steps:
        progress.add(pending.read(), 0.5 if pending.ends_epoch else None, weights)
        due = {None: pending.ends_epoch and pending.epoch == 1, -1: pending.step == pending.steps}
        if due.get(stopped_after, pending.step == stopped_after):
            Checkpoints(tmp_path).save(progress, weights)
            done = pending.step
    again, model = recorder_of(split), random_model(**DROPOUT)
    weights = make_weights(model, split, COMPUTE["fp32"])
    assert Checkpoints(tmp_path).restore(weights, again).steps == done
    rest = train(model, weights, split, SETTINGS, COMPUTE["fp32"], head=HEAD, done=done, recorder=again)
    assert same(finish(again, rest), undisturbed.result())


def test_a_step_that_is_repeated_for_want_of_memory_is_recorded_once(
    split: EncodedSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = recorded(split), recorded(split, replace(SETTINGS, micro_batch_tokens=30))
    monkeypatch.setattr(loop, "label_logits", short_of_memory(50, OUT_OF_MEMORY["Python"], []))
    repeated = recorded(split)
    for other in (parts, repeated):
        np.testing.assert_allclose(other.confidence_O, whole.confidence_O, atol=1e-4)
        assert (other.predicted_OV == whole.predicted_OV).mean() > 0.99  # but for ties that rounding decides


def test_dynamics_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = Dynamics(np.array([0.5, 0.25], np.float32), np.array([[1, 2, 3], [4, 5, 6]], np.float32))
    write_dynamics(tmp_path, written)
    assert same(read_dynamics(tmp_path), written)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("spoil", "message"), [(Path.unlink, "was trained before this was recorded.*dvc repro"), (cut, "is damaged")]
)
def test_dynamics_that_cannot_be_read_are_one_error(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    write_dynamics(tmp_path, Dynamics(np.zeros(2, np.float32), np.zeros((2, 1), np.float32)))
    spoil(tmp_path / "dynamics.arrow")
    with pytest.raises(ArtifactError, match=message):
        read_dynamics(tmp_path)
