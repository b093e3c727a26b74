"""dvc.yaml says by hand what the code says by its imports; here the two are compared."""

import ast
from pathlib import Path
from typing import Any

import grimp
import pytest
from ruamel.yaml import YAML

from stages import evaluate, register, tokenize, train
from stages.params import PretrainedParams, section_names
from stages.task import task_names
from tests.checkouts import ROOT

RECIPES = {"tokenize": tokenize, "train": train, "evaluate": evaluate, "register": register}
# What cannot change a result: words for people, what goes to MLflow, and how a stage is started and stopped.
WITHOUT_EFFECT = {
    "stages.errors",
    *(f"stages.tracking.{name}" for name in ("client", "sync", "registry", "event_log", "environment",
                                             "lineage_record", "model_card", "git", "predecessor",
                                             "version_artifacts", "store.failures", "store.moved", "parent")),
    *(f"stages.runtime.{name}" for name in ("entry_point", "launch", "signals", "progress", "project", "proxies")),
}  # fmt: skip
# The parts of a task that a stage loads by name.
PARTS = {
    "tokenize": ("params", "data.params", "data.corpus"),
    "train": ("params", "model.head"),
    "evaluate": ("params", "report.evaluation"),
    "register": (),
}
PACKAGES = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "stages").rglob("__init__.py")}


@pytest.fixture(scope="module")
def declared() -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return stages


@pytest.mark.parametrize("stage", RECIPES)
def test_deps_are_exactly_the_code_that_the_stage_imports(declared: dict[str, Any], stage: str) -> None:
    """The rooms that any task needs, and of the pipeline's own task the parts that the stage loads."""
    loaded = {f"stages.tasks.{task}.{part}" for task in task_names() for part in PARTS[stage]} | {f"stages.{stage}"}
    graph = grimp.build_graph("stages")
    imported = loaded.union(*(graph.find_upstream_modules(name) for name in loaded))
    expected = {in_dvc_yaml(name) for name in imported - WITHOUT_EFFECT - PACKAGES}
    deps = [path for path in declared[stage]["deps"] if path.startswith("stages/")]
    assert {path for path in deps if not path.endswith(".jinja")} == expected


def in_dvc_yaml(module: str) -> str:
    """The dep that a module is part of: a file, or a folder of a task."""
    parts = module.split(".")
    if parts[1] != "tasks":
        return f"{'/'.join(parts)}.py"
    return "/".join(["stages/tasks/${task.name}", parts[3] if len(parts) > 4 else f"{parts[3]}.py"])


@pytest.mark.parametrize("stage", RECIPES)
def test_params_are_exactly_the_sections_that_the_stage_reads(declared: dict[str, Any], stage: str) -> None:
    """Of some sections tokenize reads a part, so that another way to train or to score encodes nothing again."""
    parts = {
        ("tokenize", "model"): [f"model.{field}" for field in PretrainedParams.model_fields],
        ("tokenize", "train"): ["train.replay"],
        ("tokenize", "evaluate"): ["evaluate.also"],
    }
    sections = [name for name in section_names(RECIPES[stage].Params) if name != "runtime"]
    read = [key for section in sections for key in parts.get((stage, section), [section])]
    assert declared[stage]["params"] == read


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_packages_hold_a_docstring_alone_so_that_they_need_not_be_deps(package: str) -> None:
    body = ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


def test_no_parameter_has_a_name_that_dvcs_run_cache_ignores() -> None:
    document = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert not {"size", "nfiles"} & {key for section in document.values() for key in section}


def test_committed_lock_file_describes_the_committed_code() -> None:
    """dvc.lock is only worth committing while it says what `make run` makes of this very code."""
    from dvc.repo import Repo

    with Repo(str(ROOT)) as repo:
        changed = {
            path
            for changes in repo.status().values()
            for change in changes
            if isinstance(change, dict)
            for path in change.get("changed deps", {})
            if Path(path).resolve().is_relative_to(ROOT / "stages")  # a clone has no data yet
        }
    assert changed == set()


def test_what_the_code_reads_beside_itself_is_a_dep_too(declared: dict[str, Any]) -> None:
    beside = {path for path in (ROOT / "stages").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    of_tasks = {path for path in beside if "tasks" in path.relative_to(ROOT).parts}
    templates = {path for path in of_tasks if path.name == "params.template.yaml"}  # only `tuneline new` reads it
    assert {path.parent.name for path in of_tasks - templates} == {"report"}
    others = {str(path.relative_to(ROOT)) for path in beside - of_tasks}
    assert others == {path for path in declared["evaluate"]["deps"] if path.endswith(".jinja")}
