"""Writes a pipeline: a folder's dvc.yaml from that of the root, its params.yaml from the template of its task."""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.checkout.layout import DAG, PARAMS, use_pipeline
from stages.artifacts import atomic_write
from stages.errors import UserError, list_faults
from stages.params import compose, parse_document, read_text, suggest
from stages.task import TASKS, task_names
from stages.tracking.lineage_record import recipe_command

TEMPLATE = "params.template.yaml"  # of a task: the sections that differ from task to task
PLOTS = "report/plots.yaml"  # of a task: its plots, in the form of dvc.yaml
# What tokenize depends on between its corpus and its code: older corpora, which DVC cannot take from a list of values.
OLDER = re.compile(r"^(      - \$\{data\.dir\}\n)((?:      - (?!stages/).*\n)*)", re.MULTILINE)
NAME = re.compile(r"[\w-][\w.-]*")  # of each folder on the way: it stands in dvc.yaml and in commands
# Folders where nobody looks for pipelines (`find_pipelines`), or that hold code.
TAKEN = ("data", "mlruns", "pipeline", "stages", "tests")
IGNORED = "# outputs, which DVC keeps, and what a run leaves beside them\n/data\n/.tuneline\n"
HEADER = """\
# The DAG of this pipeline, written by `tuneline new`: the stages are those of the dvc.yaml at the root, with the files
# of this folder. Commands run at the root, and paths of deps are from there. After a change of the root's dvc.yaml
# renew it: `tuneline new --update FOLDER`.
"""


def write_pipeline(folder: Path, task: str, settings: list[str]) -> list[Path]:
    """Write a pipeline for a task into `folder`, a path from the root; return its files.

    `settings` are `KEY=VALUE` strings for params.yaml. UserError, and nothing is written, if there is no such task, if
    the folder cannot hold a pipeline or does so already, or if the parameters are not valid.
    """
    from pipeline.checkout.params_file import apply_settings, check_params

    if task not in task_names():
        raise UserError(f"--task {task}: no such task{suggest(task, task_names())}")
    _check_folder(folder)
    ignore = folder / ".gitignore"
    existing = [f"{path}: it exists" for path in (folder / PARAMS, folder / DAG, ignore) if path.exists()]
    if existing:
        remedy = "`tuneline new --update` renews only dvc.yaml; else take another folder"
        raise UserError(list_faults(f"{folder} holds a pipeline already ({remedy}):", existing))
    with tempfile.TemporaryDirectory() as work:
        draft = Path(work) / PARAMS
        draft.write_text(write_params_text(task), encoding="utf-8")
        params = apply_settings(draft, settings)
    with use_pipeline(folder):
        check_params(params)
    dag = write_dag(folder, task, parse_document(params, folder / PARAMS))
    texts = {folder / PARAMS: params, folder / DAG: dag, ignore: IGNORED}
    for path, text in texts.items():
        _write(path, text)
    return list(texts)


def _check_folder(folder: Path) -> None:
    """UserError if no pipeline may lie in a folder, a path from the root."""
    if not all(NAME.fullmatch(part) and part not in TAKEN for part in folder.parts):
        raise UserError(
            f"{folder} cannot be the folder of a pipeline: each name on the way has letters, digits, '-', '_' and '.', "
            f"does not begin with '.', and is none of {', '.join(TAKEN)}"
        )
    in_the_way = next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None)
    if in_the_way:
        raise UserError(f"{in_the_way} is a file; name another folder")


def update_dag(folder: Path) -> bool:
    """Renew the dvc.yaml of the pipeline in `folder`, a path from the root; return whether it has changed.

    UserError if there is no pipeline.
    """
    from stages.config.sections import read_task
    from stages.params import read_document

    path = folder / DAG
    if not path.is_file() or not (folder / PARAMS).is_file():
        raise UserError(f"{folder} holds no pipeline: `tuneline new {folder} --task NAME` writes one")
    params = read_document(folder / PARAMS)
    text = write_dag(folder, read_task(params, folder / PARAMS), params)
    if path.read_text(encoding="utf-8") == text:
        return False
    _write(path, text)
    return True


def declare_older_corpora(folder: Path) -> list[str] | None:
    """Let the dvc.yaml of the pipeline in `folder` name the older corpora that params.yaml there does, and no others.

    Returns their folders; None if the file names them already, or does not exist.
    """
    from stages.params import read_document

    path = folder / DAG
    if not path.exists():
        return None
    before, corpora = read_text(path), list_older_corpora(read_document(folder / PARAMS))
    text = _declare(before, corpora)
    if text == before:
        return None
    _write(path, text)
    return corpora


def list_older_corpora(params: Mapping[str, Any]) -> list[str]:
    """The corpora that tokenize reads beside `data.dir`, by the values of a params file, valid or not."""

    def read(*keys: str) -> Any:
        value: Any = params
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    also = read("evaluate", "also")
    named = [read("train", "replay", "corpus"), *(also if isinstance(also, list) else [])]
    unique = dict.fromkeys(name for name in named if isinstance(name, str) and name)
    return [name for name in unique if name != read("data", "dir")]


def _declare(text: str, corpora: Sequence[str]) -> str:
    """The text of a dvc.yaml in which tokenize depends on these older corpora, and on no others."""
    lines = "".join(f"      - {json.dumps(name, ensure_ascii=False)}\n" for name in corpora)
    return OLDER.sub(lambda match: match[1] + lines, text, count=1)


def write_dag(folder: Path, task: str, params: Mapping[str, Any]) -> str:
    """The text of the dvc.yaml of the pipeline in `folder`, a path from the root; `params` are those of the pipeline.

    Stages and metrics are those of the dvc.yaml at the root, which is the source, and the plots are the task's. Of the
    root only the plots are replaced.
    """
    source = _declare(read_text(DAG), [])
    plots = read_text(TASKS / task / PLOTS)
    indented = "".join(f"  {line}" if line.strip() else line for line in plots.splitlines(keepends=True)
                       if not line.startswith("#"))  # fmt: skip
    head = source[: source.index("\nplots:\n") + 1]
    if folder != Path():
        head = HEADER + _move_stages(head[head.index("stages:\n") :], folder)
    return f"{_declare(head, list_older_corpora(params))}plots:\n{indented}"


def _move_stages(text: str, folder: Path) -> str:
    """The stages at the root as those of `folder`: they run at the root, and their files lie in the folder."""
    dag: dict[str, Any] = YAML(typ="safe").load(text)
    outputs = {path for stage in dag["stages"].values() for path in stage["outs"]}
    upward = "/".join([".."] * len(folder.parts))
    lines = ["stages:"]
    for name, stage in dag["stages"].items():
        deps = [f"{folder.as_posix()}/{path}" if path in outputs else path for path in stage["deps"]]
        sections = ", ".join(stage["params"])
        outs = ", ".join(f"{folder.as_posix()}/{path}" for path in stage["outs"])
        lines += [f"  {name}:", f"    wdir: {upward}", f"    cmd: {recipe_command(name, folder)}", "    deps:"]
        lines += [f"      - {path}" for path in deps]
        lines += ["    params:", f"      - {(folder / PARAMS).as_posix()}: [{sections}]", f"    outs: [{outs}]"]
    return "\n".join([*lines, text[text.index("metrics:\n") :]])


def write_params_text(task: str) -> str:
    """The text of a params.yaml for a task: that of the root, in which the sections of the task's template stand."""
    head, sections = divide_sections(read_text(PARAMS))
    sections |= divide_sections(read_text(TASKS / task / TEMPLATE))[1]
    return head + "\n".join(sections.values())


def divide_sections(text: str) -> tuple[str, dict[str, str]]:
    """The text above the first section of a params file, and the text of each section by name."""
    keys = [key for key, _ in compose(text).value]
    starts = [key.start_mark.index for key in keys]
    parts = zip(keys, starts, [*starts[1:], len(text)], strict=True)
    return text[: starts[0]], {key.value: text[start:end].rstrip() + "\n" for key, start, end in parts}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
