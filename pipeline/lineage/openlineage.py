"""What made a model version, as OpenLineage events (https://openlineage.io/spec) that any collector of them can take.

All facets are the standard's own. What it has no facet for, such as the environment, goes into its tags.
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
from pipeline.formatting import shown
from pipeline.lineage.query import Lineage
from pipeline.lineage.tree import Stage, is_code, stages_of

PRODUCER = "urn:tuneline:lineage"
SOURCE = "TUNELINE"  # of tags; the integration of a job
UNPUBLISHED = "tuneline"  # the namespace of a project whose repository has no address on the web
FLOW = ("prefect", "stage")  # the namespace and name of the flow that runs a stage
REGISTRY, PRETRAINED, FILES = "mlflow", "pretrained", "file"  # namespaces of what is not in the project
SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")  # git@host:path
ADDRESS = re.compile(r"(?:https?|ssh|git)://(?:[^@/]*@)?([^/:]+)(:\d+)?/(.+)")


def events(lineage: Lineage) -> str:
    """A START and a COMPLETE event of each stage, a JSON line each, in the order of the pipeline.

    The standard wants both. They have one time, for the record has one: when the stage was computed or, if nobody told
    this registry of it, when the version was registered. The same lineage gives the same text, and a stage that was
    computed once has one run id in the events of all versions.
    """
    return "".join(
        f"{Serde.to_json(event)}\n"
        for name, stage in stages_of(lineage).items()
        for event in _events_of(lineage, name, stage)
    )


def web_address(remote: str | None) -> str | None:
    """Where a browser finds a git repository, by the address that git has for it; None if that is a folder."""
    if remote is None:
        return None
    found = ADDRESS.fullmatch(remote)
    if found:
        port = found[2] if found[2] and remote.startswith("http") else ""
        scheme = "http" if remote.startswith("http:") else "https"
        return f"{scheme}://{found[1]}{port}/{found[3].removesuffix('.git')}"
    found = SCP.fullmatch(remote)
    return f"https://{found[1]}/{found[2].removesuffix('.git')}" if found else None


def _events_of(lineage: Lineage, name: str, stage: Stage) -> Iterator[RunEvent]:
    told = stage["made_by"]
    web = web_address(lineage["git"]["remote"])
    time = told["time"] if told else lineage["registered"]
    job = Job(web or UNPUBLISHED, name, _job_facets(web, name, stage))
    inputs = [
        InputDataset(*_place(file["path"], web), facets=_facets(file["digest"], web))
        for file in stage["inputs"]
        if not is_code(file)
    ]
    inputs += _pretrained(stage["params"])
    outputs = [
        OutputDataset(*_place(file["path"], web), facets=_facets(file["digest"], web)) for file in stage["outputs"]
    ]
    if name == REGISTER:
        outputs.append(_version(lineage))
    parent, more = _parent(told), _run_facets(lineage, name, stage)
    run_id = _run_id(lineage, name, told)
    yield RunEvent(
        eventType=RunState.START, eventTime=time, run=Run(run_id, parent), job=job, inputs=inputs, producer=PRODUCER
    )
    yield RunEvent(
        eventType=RunState.COMPLETE, eventTime=time, run=Run(run_id, parent | more), job=job, inputs=inputs,
        outputs=outputs, producer=PRODUCER,
    )  # fmt: skip


def _run_id(lineage: Lineage, name: str, told: dict[str, Any] | None) -> str:
    """The same for the same execution of a stage, whichever version's events it is in."""
    if told is None:
        time, known = lineage["registered"], lineage["digest"]
    else:
        time, known = told["time"], told.get("mlflow_run") or lineage["mlflow_run"]
    return str(generate_static_uuid(datetime.fromisoformat(time), f"{known}/{name}".encode()))


def _job_facets(web: str | None, name: str, stage: Stage) -> dict[str, JobFacet]:
    facets: dict[str, JobFacet] = {
        "jobType": job_type_job.JobTypeJobFacet("BATCH", SOURCE, "TASK", producer=PRODUCER),
    }
    code = [
        tags_job.TagsJobFacetFields(file["path"], file["digest"], SOURCE) for file in stage["inputs"] if is_code(file)
    ]
    if code:
        facets["tags"] = tags_job.TagsJobFacet(code, producer=PRODUCER)
    told = stage["made_by"]
    if web and told and told["commit"]:
        path = f"stages/{name}.py"
        facets["sourceCodeLocation"] = source_code_location_job.SourceCodeLocationJobFacet(
            "git", f"{web}/blob/{told['commit']}/{path}", web, path, told["commit"], producer=PRODUCER
        )
    return facets


def _parent(told: dict[str, Any] | None) -> dict[str, RunFacet]:
    if not told or not told["flow_run"]:
        return {}
    run, job = parent_run.Run(told["flow_run"]), parent_run.Job(*FLOW)
    return {"parent": parent_run.ParentRunFacet(run, job, producer=PRODUCER)}


def _run_facets(lineage: Lineage, name: str, stage: Stage) -> dict[str, RunFacet]:
    """The parameters, and as tags who computed the stage and, with the stage that it is known of, the environment."""
    told = stage["made_by"]
    facets: dict[str, RunFacet] = {}
    if stage["params"]:
        parameters = [
            execution_parameters_run.ExecutionParameter(key, value=shown(value))
            for key, value in stage["params"].items()
        ]
        facets["executionParameters"] = execution_parameters_run.ExecutionParametersRunFacet(
            parameters, producer=PRODUCER
        )
    tags = _told_tags(told)
    training = lineage["stages"].get(TRAIN, {}).get("made_by")
    if name == (TRAIN if training else REGISTER):
        environment = lineage["environment"]
        tags |= {key: shown(value) for key, value in environment.items() if key != "packages" and value is not None}
        tags |= {f"package.{package}": version for package, version in environment["packages"].items()}
        torch = environment["packages"].get("torch")
        if torch:
            facets["processing_engine"] = processing_engine_run.ProcessingEngineRunFacet(
                torch, "PyTorch", producer=PRODUCER
            )
    fields = [tags_run.TagsRunFacetFields(key, value, SOURCE) for key, value in tags.items()]
    return facets | {"tags": tags_run.TagsRunFacet(fields, producer=PRODUCER)}


def _told_tags(told: dict[str, Any] | None) -> dict[str, str]:
    """Who computed a stage; with nothing known of that, this very fact."""
    if told is None:
        return {"computed_by": "unknown"}
    known = {
        "mlflow_run": told.get("mlflow_run"),
        "git_commit": told["commit"],
        "git_dirty": shown(told["dirty"]) if told["commit"] else None,
    }
    return {key: value for key, value in known.items() if value}


def _place(path: str, web: str | None) -> tuple[str, str]:
    """The namespace and name of a file: its place in the project, unless it lies elsewhere on the machine."""
    return (FILES, path) if PurePosixPath(path).is_absolute() else (web or UNPUBLISHED, path)


def _facets(version: str, web: str | None, kind: str = "FILE") -> dict[str, DatasetFacet]:
    """The version of a dataset, which of a file is its MD5; what it is; and the project, if that has an address."""
    facets: dict[str, DatasetFacet] = {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(version, producer=PRODUCER),
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(kind, producer=PRODUCER),
    }
    if web:
        facets["dataSource"] = datasource_dataset.DatasourceDatasetFacet(web, web, producer=PRODUCER)
    return facets


def _pretrained(params: dict[str, Any]) -> list[InputDataset]:
    """The pretrained encoder of a stage that uses one, as the stage's parameters name it; no file of the record."""
    name, version = params.get("model.pretrained"), params.get("model.sha256")
    if name is None:
        return []
    namespace = FILES if PurePosixPath(name).is_absolute() else PRETRAINED
    return [InputDataset(namespace, name, facets=_facets(version, None, "MODEL") if version else {})]


def _version(lineage: Lineage) -> OutputDataset:
    tags = [
        *((f"alias.{alias}", "true") for alias in lineage["aliases"]),
        ("digest", lineage["digest"]),
        ("train_key", lineage["train_key"]),
        *((f"f1.{split}", shown(score)) for split, score in lineage["scores"].items()),
    ]
    fields = [tags_dataset.TagsDatasetFacetFields(key, value, SOURCE) for key, value in tags]
    facets = _facets(str(lineage["version"]), None, "MODEL")
    return OutputDataset(
        REGISTRY, lineage["name"], facets=facets | {"tags": tags_dataset.TagsDatasetFacet(fields, producer=PRODUCER)}
    )
