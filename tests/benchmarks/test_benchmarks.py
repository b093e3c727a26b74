"""Benchmarks are run by hand, and slow to import: that what they import still exists is read from the code."""

import ast
from pathlib import Path

import pytest

from tests.checkouts import ROOT

FILES = sorted((ROOT / "tests/benchmarks").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_benchmarks_import_exists(path: Path) -> None:
    imported = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and (ROOT / node.module.split(".")[0]).is_dir()
        for alias in node.names
    ]
    assert [f"{module}.{name}" for module, name in imported if name not in names_in(module)] == []


def names_in(module: str) -> set[str]:
    """What can be imported from a module or a package of this project; nothing if there is none."""
    place = ROOT / module.replace(".", "/")
    source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    names = {path.stem for path in place.glob("*")}
    for node in ast.parse(source.read_text(encoding="utf-8")).body if source.is_file() else []:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names |= {alias.asname or alias.name for alias in node.names}
            case ast.Assign() | ast.AnnAssign():
                names |= {target.id for target in ast.walk(node) if isinstance(target, ast.Name)}
    return names
