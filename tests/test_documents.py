"""What the documents say to type, set, open and read exists: commands, parameters, targets, links and paths."""

import json
import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command

from pipeline.checkout.params_file import apply_settings
from pipeline.cli.main import app
from stages.params import SECTIONS, read_document
from tests.checkouts import ROOT
from tests.house import PACKAGES

DOCUMENTS = [
    "README.md", "CONTRIBUTING.md", "pipeline/README.md", "data/corpora/README.md", "data/corpora/demo/README.md",
    "tests/benchmarks/RECORDS.md",
]  # fmt: skip
# A fresh clone does not have them.
OUTPUTS = ("data/encoded", "data/also", "data/model", "data/report", "data/registration.json")
# What a reader of CONTRIBUTING.md is to make, and what only looks like a parameter.
EXAMPLES = re.compile(r"NAME|NOUN|STAGE|pubtator(\.py)?$")
NO_PARAMETERS = {"model.safetensors", "register.py"}
CODE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
QUOTED = re.compile(r"`([^`\n]+)`")


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def documented_commands() -> Iterator[tuple[str, list[str]]]:
    """Each call of `tuneline` in a block of shell commands, with its document."""
    for document in DOCUMENTS:
        for language, block in CODE.findall(text_of(document)):
            for line in block.splitlines():
                found = re.match(r"(?:\$ |.*\| )?tuneline (.*)", line)
                if found and not language:
                    yield document, shlex.split(found[1], comments=True)


COMMANDS = [pytest.param(words, id=f"{document}: {' '.join(words)}") for document, words in documented_commands()]


def command_group() -> TyperGroup:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return group


@pytest.mark.parametrize("words", COMMANDS)
def test_documented_command_is_understood(words: list[str]) -> None:
    """Parsed as `tuneline` would, but not run; each --set names a key of params.yaml."""
    group = command_group()
    name, command, rest = group.resolve_command(typer.Context(group), list(words))
    assert command is not None
    given = command.make_context(name, list(rest)).params
    apply_settings(ROOT / "params.yaml", given.get("settings") or [])


def test_each_command_is_in_the_readme() -> None:
    shown = {words[0] for document, words in documented_commands() if document == "README.md"}
    assert shown == set(command_group().commands)


def parameters(node: Any, prefix: str) -> Iterator[str]:
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from parameters(value, f"{prefix}{key}.")


@pytest.mark.parametrize("document", DOCUMENTS[:4])
def test_documented_parameter_exists(document: str) -> None:
    files = [ROOT / "params.yaml", *ROOT.glob("stages/tasks/*/params.template.yaml")]
    known = {*(name for file in files for name in parameters(read_document(file), "")), *NO_PARAMETERS}
    named = set(re.findall(rf"`((?:{'|'.join(SECTIONS)})(?:\.[a-z_0-9]+)+)(?:[=:][^`]*)?`", text_of(document)))
    assert named - known == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documented_link_leads_somewhere(document: str) -> None:
    text = text_of(document)
    for target in re.findall(r"\]\(([^)]+)\)", CODE.sub("", text)):
        path, _, anchor = target.partition("#")
        page = (ROOT / document).parent / path if path else ROOT / document
        assert page.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


@pytest.mark.parametrize("document", DOCUMENTS[:5])
def test_documented_path_exists(document: str) -> None:
    named = set(re.findall(r"(?<![\w/.])(?:stages|pipeline|tests|data)/[\w/.-]*\w", CODE.sub("", text_of(document))))
    expected = {path for path in named if not path.startswith(OUTPUTS) and not EXAMPLES.search(path)}
    assert {path for path in expected if not (ROOT / path).exists()} == set()


def test_documented_files_of_a_run_are_those_that_the_code_writes() -> None:
    named = {name for document in DOCUMENTS for name in re.findall(r"\.tuneline/[\w.]+", text_of(document))}
    code = "".join(path.read_text(encoding="utf-8") for room in PACKAGES for path in (ROOT / room).rglob("*.py"))
    assert named
    assert {name for name in named if f'"{name}"' not in code} == set()


def test_names_in_contributing_are_those_of_the_code() -> None:
    """Each `name_like_this`, `NameLikeThis` or `NAME` that is quoted alone."""
    quoted = QUOTED.findall(CODE.sub("", text_of("CONTRIBUTING.md")))
    named = {name for name in quoted if re.fullmatch(r"\w+[^\W_]", name) and re.search(r"[A-Z_]", name[1:])}
    files = [path for room in (*PACKAGES, "tests") for path in (ROOT / room).rglob("*.py")]
    words = set(re.findall(r"\w+", "".join(path.read_text(encoding="utf-8") for path in files)))
    assert {name for name in named - words if not EXAMPLES.search(name)} == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documented_target_of_make_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    calls = re.findall(r"(?:^|`|&& )make\s([a-z -]+)", text_of(document), re.MULTILINE)
    assert {target for call in calls for target in call.split()} - targets == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documented_module_exists(document: str) -> None:
    named = set(re.findall(r"-m ((?:stages|pipeline|tests)\.[\w.]+)", text_of(document))) - {"stages.NAME"}
    assert {name for name in named if find_spec(name) is None} == set()


def test_pytest_examples_name_tests_that_exist() -> None:
    for path, test in re.findall(r"^pytest (\S+?)(?:::(\w+))?\s", text_of("CONTRIBUTING.md"), re.MULTILINE):
        assert (ROOT / path).exists(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), test


def test_automation_on_failures_is_json_and_expects_the_states_of_our_flows() -> None:
    (given,) = re.findall(r"--from-json '(.*?)'\n```", text_of("pipeline/README.md"), re.DOTALL)
    expected = {name.rpartition(".")[2] for name in json.loads(given)["trigger"]["expect"]}
    ours = expected - {"Failed", "Crashed"}
    flows = text_of("pipeline/runs/flows.py")  # importing it would import Prefect
    assert len(ours) == 2
    assert {name for name in ours if f'"{name}"' not in flows} == set()


def test_kinds_of_mistakes_are_those_that_the_documents_list() -> None:
    from stages.tasks.token_classification.scores.mistakes import MISSED, RELATIONS, SPURIOUS

    rows = (
        text_of("pipeline/README.md").partition("| mistake | |\n| --- | --- |\n")[2].partition("\n\n")[0].splitlines()
    )
    listed = [name for row in rows for name in row.split("|")[1].strip().split(", ")]
    assert listed == [*RELATIONS[1:], MISSED, SPURIOUS]


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != "tests/benchmarks/RECORDS.md"])
def test_documents_are_no_wider_than_an_editor(document: str) -> None:
    """Tables and commands may be: Markdown has no way to break them."""
    prose = [line for line in CODE.sub("", text_of(document)).splitlines() if not line.startswith("|")]
    assert [line for line in prose if len(line) > 160] == []


def test_figures_of_the_readme_stand_in_the_records() -> None:
    section = text_of("README.md").partition("## Measured")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    records = text_of("tests/benchmarks/RECORDS.md").partition("## Current figures")[2]
    figures = {figure for row in rows for figure in re.findall(r"\d[\d,.]*\d", row)}
    assert {figure for figure in figures if figure not in records} == set()
