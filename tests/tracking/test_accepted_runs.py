"""What MLflow would refuse of a run reaches it in a form that it takes, or is refused with the way out."""

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import mlflow.experiments
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from stages.errors import RegistryError, TryAgainError
from stages.tracking.client import tracking_uri
from stages.tracking.event_log import EventLog
from stages.tracking.sync import sync_event_log


@pytest.fixture
def folder(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(empty_store, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")  # MLflow keeps a database for each URI
    return tmp_path


def new_event_log() -> EventLog:
    event_log = EventLog("ab" * 32)
    event_log.begin({}, {})
    return event_log


def test_mlflow_accepts_scores_of_types_with_any_name_up_to_200_characters(folder: Path) -> None:
    longest = "é" * 200
    types = [longest, ".", "..", "100%", "L'État", "(x)", "व्यक्ति", "人名", "🙂", "a\tb", "c:\\d", "LOC|B-ORG", " PER"]
    metrics = {"test": {"entity_conlleval": {"per_type": {name: {"precision": 0.5} for name in types}}}}
    event_log = new_event_log()
    event_log.log_metrics(metrics)
    names = MlflowClient(tracking_uri()).get_run(sync_event_log(event_log)).data.metrics.keys()
    assert len({name for name in names if name.startswith("test/")}) == len(types)
    assert f"test/entity_conlleval/per_type/{longest}/precision" in names


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_report_that_dvc_has_linked_to_its_cache_is_uploaded_as_files_of_its_own(
    folder: Path, link: Callable[[Path, Path], None]
) -> None:
    cached = folder / "cache"
    cached.write_text("the report", encoding="utf-8")
    cached.chmod(0o444)
    report = folder / "data/report"
    (report / "plots").mkdir(parents=True)
    for name in ("report.html", "plots/loss.csv"):
        link(report / name, cached)
    run_id = sync_event_log(new_event_log(), report=report)
    uploaded = folder / "mlruns/1" / run_id / "artifacts/report"
    for name in ("report.html", "plots/loss.csv"):
        assert (uploaded / name).read_text(encoding="utf-8") == "the report"
        assert not (uploaded / name).is_symlink()
        assert (uploaded / name).stat().st_mode & stat.S_IWUSR  # so that the next upload can replace it


def test_a_deleted_experiment_is_named_with_the_way_to_restore_it(folder: Path) -> None:
    event_log = new_event_log()
    sync_event_log(event_log)
    experiment = MlflowClient(tracking_uri()).get_experiment_by_name("tuneline")
    assert experiment is not None
    MlflowClient(tracking_uri()).delete_experiment(experiment.experiment_id)
    command = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
    with pytest.raises(RegistryError, match=f"tuneline was deleted.*`{command}`") as refusal:
        sync_event_log(event_log)
    assert not isinstance(refusal.value, TryAgainError)
    finished = CliRunner().invoke(mlflow.experiments.commands, command.split()[2:])
    assert finished.exit_code == 0, finished.output
    sync_event_log(event_log)
