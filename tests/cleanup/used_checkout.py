"""A checkout after weeks of work: used and unused models in the registry, in commits and in DVC's cache."""

import hashlib
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dvc.repo import Repo
from mlflow import MlflowClient

from pipeline.registry import alias_history
from stages.tracking.environment import Execution
from stages.tracking.git import GitState
from stages.tracking.lineage_record import RECORD, LineageFiles, read_lock, record_stage
from stages.tracking.registry import CHAMPION, DIGEST_TAG
from stages.tracking.sync import EXECUTIONS
from stages.tracking.version_artifacts import FILE_TAG, lineage_folder
from stages.training.record import TrainingRecord, write_training
from tests.registry.versions import RECORDED

NAME = "demo-ner"
NOW = datetime.now(UTC)
OLD = int((NOW - timedelta(days=3)).timestamp() * 1000)
ELSEWHERE = "f" * 40  # a commit that this repository does not have
CORPUS = Path("data/corpora/mine")
STAGES = """stages:
  tokenize: {cmd: "true", deps: [data/corpora/mine], outs: [data/encoded]}
  train: {cmd: "true", deps: [data/encoded], outs: [data/model]}
"""


@dataclass
class Checkout:
    """The working directory, with the content of its registry and of its DVC cache."""

    client: MlflowClient
    experiment: str
    locks: dict[str, bytes] = field(default_factory=dict)  # the dvc.lock of each model
    versions: dict[str, int] = field(default_factory=dict)  # by the same names
    runs: dict[str, str] = field(default_factory=dict)

    def make(self, model: str, *, corpus: str = "one") -> None:
        """Write what tokenize and train would: their outputs, DVC's cache and dvc.lock."""
        (CORPUS / "train.conll").write_text(f"corpus {corpus}\n", encoding="utf-8")
        put(Path("data/encoded"), manifest=f"encoded {corpus}")
        put(Path("data/model"), weights=f"weights of {model}", config="the same for all")
        with Repo() as repo:
            repo.add(str(CORPUS))
            repo.commit(force=True)
        self.locks[model] = Path("dvc.lock").read_bytes()

    def run(self, name: str, *, old: bool = True, running: bool = False, commit: str = "", **tags: str) -> str:
        """Create a run that began three days ago, or now; `commit` is that of its stage."""
        started = OLD if old else None
        tags = {"tuneline." + key: value for key, value in tags.items()}
        run = self.client.create_run(self.experiment, start_time=started, tags=tags, run_name=name).info.run_id
        if not running:
            execution = execution_at(commit or head())
            self.client.log_dict(run, execution.to_json(), f"{EXECUTIONS}/train-1.json")
            self.client.set_terminated(run, end_time=started)
        self.runs[name] = run
        return run

    def upload(self, run: str, *, tags: dict[str, str]) -> str:
        model = self.client.create_logged_model(self.experiment, name="model", source_run_id=run, tags=tags)
        self.client.log_model_artifacts(model.model_id, "data/model")
        self.client.finalize_logged_model(model.model_id, "READY")
        return str(model.model_id)

    def register(self, model: str, *, commit: str = "", encoding: str | None = None) -> int:
        """Register a model that was made, with its lineage; `encoding` is the run of its tokenize."""
        run = self.run(f"train-{model}", old=False, train_key=key(model))
        locked = read_lock(self.locks[model])
        made_by = {"tokenize": encoding and replace(execution_at(head()), mlflow_run=encoding)}
        record = replace(
            RECORDED,
            registered=NOW.isoformat(),
            git=GitState(commit or head(), dirty=False, remote=None),
            stages={name: record_stage(locked[name], made_by.get(name) or None) for name in locked},
        )
        folder = Path(".tuneline") / f"lineage-{model}"
        lineage = LineageFiles(self.locks[model], Path("params.yaml").read_bytes(), b"", record)
        lineage.write(folder)
        self.client.log_artifacts(run, str(folder), lineage_folder(NAME, lineage.digests()[RECORD]))
        upload = self.upload(run, tags={DIGEST_TAG: key(model)})
        tags = {f"{FILE_TAG}{name}": digest for name, digest in lineage.digests().items()}
        version = self.client.create_model_version(NAME, f"models:/{upload}", run, tags=tags, model_id=upload)
        self.versions[model] = int(version.version)
        return self.versions[model]

    def champion(self, model: str) -> None:
        alias_history.move(
            self.client, NAME, action="promote", target=self.versions[model], model_digest=key(model), reason="better",
            evidence={},
        )  # fmt: skip

    def left(self) -> set[str]:
        """The models that the registry has versions of."""
        numbers = {int(each.version) for each in self.client.search_model_versions(f"name = '{NAME}'")}
        return {model for model, number in self.versions.items() if number in numbers}

    def active_runs(self) -> set[str]:
        ids = {run.info.run_id for run in self.client.search_runs([self.experiment])}
        return {name for name, run in self.runs.items() if run in ids}


def fill_checkout(client: MlflowClient) -> Checkout:
    """Fill the checkout in the working directory."""
    client.create_registered_model(NAME)
    here = Checkout(client, client.create_experiment("tuneline"))

    here.make("forgotten", corpus="zero")  # in a commit and in the remote, but the list of its folder is missing here
    commit("start")
    with Repo() as repo:
        repo.push()
    lost = read_lock(here.locks["forgotten"])["train"]["outs"][0]["md5"]
    Path(".dvc/cache/files/md5", lost[:2], lost[2:]).unlink()

    git("checkout", "--quiet", "-b", "side")
    here.make("committed", corpus="side")
    commit("side")
    git("checkout", "--quiet", "-")
    git("merge", "--quiet", "--strategy", "ours", "--no-edit", "side")
    git("branch", "--delete", "side")

    encoding = here.run("encoding", encoded="e" * 64)
    for model in ("was-champion", "by-hand", "champion", "shadow", "unreached", "elsewhere", "plain"):
        here.make(model, corpus=model)
    here.make("present")
    training = TrainingRecord(
        train_key=key("present"), parameters={}, datasets={}, device="cpu", precision="fp32", threads=1,
        best_epoch=1, dev_score=[0.5], decision={},
    )  # fmt: skip
    write_training(Path("data/model"), training)
    for model in ("committed", "was-champion", "by-hand", "shadow", "unreached", "present"):
        here.register(model)
    here.register("elsewhere", commit=ELSEWHERE)
    here.register("champion", encoding=encoding)
    here.champion("was-champion")
    client.set_registered_model_alias(NAME, CHAMPION, str(here.versions["by-hand"]))  # no entry has it as target
    here.champion("champion")
    client.set_registered_model_alias(NAME, "shadow", str(here.versions["shadow"]))
    run = here.run("plain")
    plain = client.create_model_version(NAME, f"runs:/{run}/model", run)  # not registered by Tuneline
    here.versions["plain"] = int(plain.version)

    here.run("abandoned", train_key=key("abandoned"))
    here.run("fresh", old=False, train_key=key("fresh"))
    here.run("running", running=True, train_key=key("running"))
    here.run("again", train_key=key("present"))
    here.run("old-encoding", encoded="d" * 64)
    here.run("of-others", commit=ELSEWHERE, train_key=key("of-others"))
    return here


def put(folder: Path, **files: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def key(model: str) -> str:
    return hashlib.sha256(model.encode()).hexdigest()


def execution_at(commit: str) -> Execution:
    return Execution(time=NOW.isoformat(), flow_run=None, commit=commit, dirty=False, remote=None)


def git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()


def head() -> str:
    return git("rev-parse", "HEAD")


def commit(message: str) -> None:
    git("add", "--all")
    git("commit", "--quiet", "--message", message)
