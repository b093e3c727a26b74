"""dvc.yaml says by hand what the code says by its imports; here the two are compared."""

import ast
from typing import Any

import grimp
import pytest
from ruamel.yaml import YAML

from stages import evaluate, register, tokenize, train
from stages.params import section_names
from tests.conftest import ROOT

RECIPES = {"tokenize": tokenize, "train": train, "evaluate": evaluate, "register": register}
# What cannot change a result: words for people, what goes to MLflow, and how a stage is started and stopped.
WITHOUT_EFFECT = {
    "stages.errors",
    *(f"stages.tracking.{name}" for name in ("client", "sync", "registry", "event_log", "environment",
                                             "lineage_record", "model_card", "git", "predecessor",
                                             "version_artifacts", "failures", "moved_store")),
    *(f"stages.runtime.{name}" for name in ("entry_point", "launch", "signals", "progress", "project", "proxies")),
}  # fmt: skip
PACKAGES = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "stages").rglob("__init__.py")}


@pytest.fixture(scope="module")
def declared() -> dict[str, Any]:
    stages: dict[str, Any] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return stages


@pytest.mark.parametrize("stage", RECIPES)
def test_deps_are_exactly_the_code_that_the_stage_imports(declared: dict[str, Any], stage: str) -> None:
    imported = grimp.build_graph("stages").find_upstream_modules(f"stages.{stage}") | {f"stages.{stage}"}
    expected = {f"{name.replace('.', '/')}.py" for name in imported - WITHOUT_EFFECT - PACKAGES}
    assert {path for path in declared[stage]["deps"] if path.endswith(".py")} == expected


@pytest.mark.parametrize("stage", RECIPES)
def test_params_are_exactly_the_sections_that_the_stage_reads(declared: dict[str, Any], stage: str) -> None:
    assert declared[stage]["params"] == [n for n in section_names(RECIPES[stage].Params) if n != "runtime"]


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
            if not path.startswith("data/")
        }
    assert changed == set()


def test_what_the_code_reads_beside_itself_is_a_dep_too(declared: dict[str, Any]) -> None:
    beside = {str(path.relative_to(ROOT)) for path in (ROOT / "stages").rglob("*") if path.is_file()}
    beside = {path for path in beside if not path.endswith((".py", ".pyc"))}
    assert beside == {path for path in declared["evaluate"]["deps"] if path.startswith("stages/")} & beside
