"""Lineages of versions, for the tests of what is shown of them."""

import hashlib
from dataclasses import replace

from pipeline.lineage.query import Lineage
from stages.tracking.environment import Execution
from stages.tracking.git import GitState
from stages.tracking.lineage_record import FileEntry, LineageRecord, StageRecord, TrainingEnvironment

COMMIT, OTHER_COMMIT = "c0" * 20, "0d" * 20
ENCODING_RUN, TRAINING_RUN = "e" * 32, "a" * 32
FLOW_RUNS = {
    stage: f"00000000-0000-4000-8000-00000000000{number}"
    for number, stage in enumerate(("tokenize", "train", "evaluate", "register"))
}
CORPUS, ENCODED = "data/corpora/demo", "data/encoded"
MODEL, REPORT = "data/model", "data/report"


def files_of(folder: str, *names: str) -> list[FileEntry]:
    """Files, each with its own digest."""
    return [FileEntry(f"{folder}/{name}", hashlib.md5(f"{folder}/{name}".encode()).hexdigest()) for name in names]


def execution(stage: str, hour: int, run: str | None = TRAINING_RUN) -> Execution:
    return Execution(
        time=f"2026-05-01T{hour:02}:00:00+00:00",
        flow_run=FLOW_RUNS[stage],
        commit=COMMIT,
        dirty=False,
        remote=None,
        mlflow_run=run,
    )


def sample() -> Lineage:
    """A version that one run made, its stages sorted by name as in a record."""
    corpus = files_of(CORPUS, "dev.conll", "test.conll", "train.conll")
    encoded = files_of(ENCODED, "dev.arrow", "manifest.json", "train.arrow")
    model = files_of(MODEL, "config.json", "model.safetensors")
    report = files_of(REPORT, "metrics.json", *(f"plots/{number}.csv" for number in range(9)), "report.html")
    weights = {"model.pretrained": "encoders/tiny", "model.sha256": "5" * 64}
    stages = {
        "evaluate": StageRecord(
            command="python -m stages.evaluate",
            inputs=encoded + model + files_of("stages", "evaluate.py", "report.html.jinja"),
            params={"evaluate.precision": "auto"},
            outputs=report,
            made_by=execution("evaluate", 10),
        ),
        "register": StageRecord(
            command="python -m stages.register",
            inputs=model + report,
            params={"register.name": "demo-ner"},
            outputs=[],
            made_by=execution("register", 11, None),
        ),
        "tokenize": StageRecord(
            command="python -m stages.tokenize",
            inputs=corpus + files_of("stages", "tokenize.py"),
            params={"data.dir": CORPUS, "data.split": None, "tokenize.window_length": 256, **weights},
            outputs=encoded,
            made_by=execution("tokenize", 8, ENCODING_RUN),
        ),
        "train": StageRecord(
            command="python -m stages.train",
            inputs=encoded + files_of("stages", "artifacts.py", "train.py"),
            params={"train.learning_rate": 5e-05, "train.words": ["a", "b"], **weights},
            outputs=model,
            made_by=execution("train", 9),
        ),
    }
    environment = TrainingEnvironment(
        python="3.11.9",
        platform="Linux-6-x86_64",
        processor="EPYC",
        cores=2,
        gpu=None,
        packages={"numpy": "2.4.6", "torch": "2.13.0+cpu", "transformers": "5.23.0"},
        device="cpu",
        precision="bf16",
        threads=1,
    )
    record = LineageRecord(
        registered="2026-05-01T11:00:00+00:00",
        git=GitState(COMMIT, dirty=True, remote="git@example.org:team/ner.git"),
        flow_run=FLOW_RUNS["register"],
        rebuildable=True,
        outside=[],
        params={"train": {"learning_rate": 5e-05}},
        environment=environment,
        stages=stages,
        train_key="4" * 64,
        digest="d" * 64,
    )
    return Lineage(
        name="demo-ner",
        version=3,
        aliases=["challenger", "champion"],
        digest="d" * 64,
        mlflow_run=TRAINING_RUN,
        primary={"name": "entity_strict/micro/f1"},
        scores={"dev": 0.82, "test": 0.7412},
        altered=[],
        ancestors=[],
        record=record,
    )


def change_record(lineage: Lineage, **changes: object) -> Lineage:
    return replace(lineage, record=replace(lineage.record, **changes))


def change_stage(lineage: Lineage, name: str, **changes: object) -> Lineage:
    stages = lineage.record.stages
    return change_record(lineage, stages=stages | {name: replace(stages[name], **changes)})


def scarce() -> Lineage:
    """A version of which as little as possible is recorded: no git, no Prefect, no executions, no scores."""
    lineage = sample()
    for name in FLOW_RUNS:
        lineage = change_stage(lineage, name, made_by=None)
    lineage = change_stage(lineage, "tokenize", inputs=[], params={})
    git = GitState(commit=None, dirty=None, remote=None, reason="git is not installed")
    lineage = change_record(lineage, flow_run=None, rebuildable=False, outside=["/elsewhere/corpus"], git=git)
    return replace(lineage, scores={}, aliases=[])


def full_of(text: str) -> Lineage:
    """A version in which all that a user can name is the same string."""

    def rename(files: list[FileEntry]) -> list[FileEntry]:
        return [replace(file, path=f"{text}/{file.path}/{text}") for file in files]

    lineage = sample()
    for name, stage in lineage.record.stages.items():
        params = {f"model.{text}": text, "model.pretrained": text}
        lineage = change_stage(lineage, name, params=params, inputs=rename(stage.inputs), outputs=rename(stage.outputs))
    lineage = change_record(
        lineage,
        environment=replace(lineage.record.environment, processor=text, packages={text: text}),
        git=replace(lineage.record.git, remote=text),
        outside=[text],
        rebuildable=False,
    )
    return replace(lineage, name=text, aliases=[text], scores={text: 0.5})


def files_in(lineage: Lineage) -> list[FileEntry]:
    return [file for stage in lineage.record.stages.values() for file in stage.inputs + stage.outputs]
