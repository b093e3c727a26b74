"""The lineage of a model version as OpenLineage events (https://openlineage.io/spec), for any collector of them.

All facets are the standard's own. Facts for which it has no facet, such as the environment, are in its tags.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    DatasetFacet,
    JobFacet,
    RunFacet,
    dataset_type_dataset,
    dataset_version_dataset,
    datasource_dataset,
    execution_parameters_run,
    job_type_job,
    parent_run,
    processing_engine_run,
    source_code_location_job,
    tags_dataset,
    tags_job,
    tags_run,
)
from openlineage.client.serde import Serde
from openlineage.client.uuid import generate_static_uuid

from pipeline.checkout.layout import REGISTER, TRAIN
from pipeline.formatting import format_value
from pipeline.lineage.query import Lineage
from pipeline.lineage.tree import is_code, ordered_stages
from stages.tracking.environment import Execution
from stages.tracking.lineage_record import StageRecord

PRODUCER = "urn:tuneline:lineage"
SOURCE = "TUNELINE"  # the source of tags, and the integration of a job
UNPUBLISHED = "tuneline"  # the namespace of a project whose repository has no web address
FLOW = ("prefect", "stage")  # namespace and name of the flow that runs a stage
REGISTRY, PRETRAINED, FILES = "mlflow", "pretrained", "file"  # namespaces of datasets outside the project
SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")  # git@host:path
ADDRESS = re.compile(r"(?:https?|ssh|git)://(?:[^@/]*@)?([^/:]+)(:\d+)?/(.+)")


def render_events(lineage: Lineage) -> str:
    """A START and a COMPLETE event of each stage, one JSON line each, in the order of the pipeline.

    The standard requires both. Both have the time at which the stage was computed or, if its execution is not recorded,
    at which the version was registered. The same lineage gives the same text, and one execution of a stage has the same
    run id in the events of all versions.
    """
    return "".join(
        f"{Serde.to_json(event)}\n"
        for name, stage in ordered_stages(lineage).items()
        for event in _stage_events(lineage, name, stage)
    )


def web_address(remote: str | None) -> str | None:
    """The web address of a git repository, from its address in git; None if that is a folder."""
    if remote is None:
        return None
    found = ADDRESS.fullmatch(remote)
    if found:
        port = found[2] if found[2] and remote.startswith("http") else ""
        scheme = "http" if remote.startswith("http:") else "https"
        return f"{scheme}://{found[1]}{port}/{found[3].removesuffix('.git')}"
    found = SCP.fullmatch(remote)
    return f"https://{found[1]}/{found[2].removesuffix('.git')}" if found else None


def _stage_events(lineage: Lineage, name: str, stage: StageRecord) -> Iterator[RunEvent]:
    execution = stage.made_by
    web = web_address(lineage.record.git.remote)
    time = execution.time if execution else lineage.record.registered
    job = Job(web or UNPUBLISHED, name, _job_facets(web, name, stage))
    inputs = [
        InputDataset(*_dataset(file.path, web), facets=_dataset_facets(file.digest, web))
        for file in stage.inputs
        if not is_code(file)
    ]
    inputs += _pretrained(stage.params)
    outputs = [
        OutputDataset(*_dataset(file.path, web), facets=_dataset_facets(file.digest, web)) for file in stage.outputs
    ]
    if name == REGISTER:
        outputs.append(_version(lineage))
    parent, more = _parent(execution), _run_facets(lineage, name, stage)
    run_id = _run_id(lineage, name, execution)
    yield RunEvent(
        eventType=RunState.START, eventTime=time, run=Run(run_id, parent), job=job, inputs=inputs, producer=PRODUCER
    )
    yield RunEvent(
        eventType=RunState.COMPLETE, eventTime=time, run=Run(run_id, parent | more), job=job, inputs=inputs,
        outputs=outputs, producer=PRODUCER,
    )  # fmt: skip


def _run_id(lineage: Lineage, name: str, execution: Execution | None) -> str:
    """An id for an execution of a stage, the same in the events of every version."""
    time = execution.time if execution else lineage.record.registered
    known = (execution.mlflow_run or lineage.mlflow_run) if execution else lineage.digest
    return str(generate_static_uuid(datetime.fromisoformat(time), f"{known}/{name}".encode()))


def _job_facets(web: str | None, name: str, stage: StageRecord) -> dict[str, JobFacet]:
    facets: dict[str, JobFacet] = {
        "jobType": job_type_job.JobTypeJobFacet("BATCH", SOURCE, "TASK", producer=PRODUCER),
    }
    code = [tags_job.TagsJobFacetFields(file.path, file.digest, SOURCE) for file in stage.inputs if is_code(file)]
    if code:
        facets["tags"] = tags_job.TagsJobFacet(code, producer=PRODUCER)
    commit = stage.made_by and stage.made_by.commit
    if web and commit:
        path = f"stages/{name}.py"
        facets["sourceCodeLocation"] = source_code_location_job.SourceCodeLocationJobFacet(
            "git", f"{web}/blob/{commit}/{path}", web, path, commit, producer=PRODUCER
        )
    return facets


def _parent(execution: Execution | None) -> dict[str, RunFacet]:
    if not execution or not execution.flow_run:
        return {}
    run, job = parent_run.Run(execution.flow_run), parent_run.Job(*FLOW)
    return {"parent": parent_run.ParentRunFacet(run, job, producer=PRODUCER)}


def _run_facets(lineage: Lineage, name: str, stage: StageRecord) -> dict[str, RunFacet]:
    """The parameters and, as tags, the execution; with the stage whose environment the record holds, that too."""
    facets: dict[str, RunFacet] = {}
    if stage.params:
        parameters = [
            execution_parameters_run.ExecutionParameter(key, value=format_value(value))
            for key, value in stage.params.items()
        ]
        facets["executionParameters"] = execution_parameters_run.ExecutionParametersRunFacet(
            parameters, producer=PRODUCER
        )
    tags = _execution_tags(stage.made_by)
    training = lineage.record.stages.get(TRAIN)
    if name == (TRAIN if training and training.made_by else REGISTER):
        environment, packages = vars(lineage.record.environment), lineage.record.environment.packages
        tags |= {
            key: format_value(value) for key, value in environment.items() if key != "packages" and value is not None
        }
        tags |= {f"package.{package}": version for package, version in packages.items()}
        if "torch" in packages:
            facets["processing_engine"] = processing_engine_run.ProcessingEngineRunFacet(
                packages["torch"], "PyTorch", producer=PRODUCER
            )
    fields = [tags_run.TagsRunFacetFields(key, value, SOURCE) for key, value in tags.items()]
    return facets | {"tags": tags_run.TagsRunFacet(fields, producer=PRODUCER)}


def _execution_tags(execution: Execution | None) -> dict[str, str]:
    """MLflow run and commit of an execution; a tag that says so if it is not recorded."""
    if execution is None:
        return {"computed_by": "unknown"}
    tags = {
        "mlflow_run": execution.mlflow_run,
        "git_commit": execution.commit,
        "git_dirty": format_value(execution.dirty) if execution.commit else None,
    }
    return {key: value for key, value in tags.items() if value}


def _dataset(path: str, web: str | None) -> tuple[str, str]:
    """The namespace and name of a file: the project's, unless it lies elsewhere on the machine."""
    return (FILES, path) if PurePosixPath(path).is_absolute() else (web or UNPUBLISHED, path)


def _dataset_facets(version: str, web: str | None, kind: str = "FILE") -> dict[str, DatasetFacet]:
    """The version of a dataset (of a file its MD5), its type, and its project, if that has a web address."""
    facets: dict[str, DatasetFacet] = {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(version, producer=PRODUCER),
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(kind, producer=PRODUCER),
    }
    if web:
        facets["dataSource"] = datasource_dataset.DatasourceDatasetFacet(web, web, producer=PRODUCER)
    return facets


def _pretrained(params: dict[str, Any]) -> list[InputDataset]:
    """The pretrained encoder that a stage's parameters name; the record does not list its files."""
    name, version = params.get("model.pretrained"), params.get("model.sha256")
    if name is None:
        return []
    namespace = FILES if PurePosixPath(name).is_absolute() else PRETRAINED
    return [InputDataset(namespace, name, facets=_dataset_facets(version, None, "MODEL") if version else {})]


def _version(lineage: Lineage) -> OutputDataset:
    tags = [
        *((f"alias.{alias}", "true") for alias in lineage.aliases),
        ("digest", lineage.digest),
        ("train_key", lineage.record.train_key),
        *(
            (f"{lineage.primary['name'].rpartition('/')[2]}.{split}", format_value(score))
            for split, score in lineage.scores.items()
        ),
    ]
    fields = [tags_dataset.TagsDatasetFacetFields(key, value, SOURCE) for key, value in tags]
    facets = _dataset_facets(str(lineage.version), None, "MODEL")
    return OutputDataset(
        REGISTRY, lineage.name, facets=facets | {"tags": tags_dataset.TagsDatasetFacet(fields, producer=PRODUCER)}
    )
