"""What made a model version, as a tree for the terminal; and the words in which its facts are told."""

from typing import Any

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from pipeline.checkout.layout import STAGES, TOKENIZE
from pipeline.formatting import commit, counted, moment, shown
from pipeline.lineage.query import Lineage

Stage = dict[str, Any]
File = dict[str, str]

SHORT = 12  # characters of a digest or commit that tell it from others; `lineage --data` finds a file by them
FOLDER = ".dir"  # the end of a folder's digest
CODE = (".py", ".jinja")  # the files of a stage that are code
TOLD_OF = ("torch", "transformers")  # the packages that decide most about a result

UNTOLD = "this registry was not told who computed it"
ANOTHER_RUN = "another run: the result came from the cache"
WARNINGS = (UNTOLD, ANOTHER_RUN, "not possible")  # what a value starts with that is to stand out


def tree(lineage: Lineage, *, files: bool = False) -> Tree:
    """The way back from the version to each stage's run, parameters and files; of the code each file only if `files`.

    Long lines are folded, never cut, however narrow the terminal is.
    """
    root = Tree(_root(lineage))
    for label, value in facts(lineage):
        root.add(_fact(label, value))
    for name, stage in stages_of(lineage).items():
        _add_stage(root, name, stage, made=made(lineage, name), files=files)
    return root


def stages_of(lineage: Lineage) -> dict[str, Stage]:
    """The stages in the order of the pipeline; the record has them by name."""
    return {name: lineage["stages"][name] for name in STAGES if name in lineage["stages"]}


def facts(lineage: Lineage) -> list[tuple[str, str]]:
    """What is known of the version as a whole, in pairs of label and value."""
    git, environment = lineage["git"], lineage["environment"]
    told = [
        ("registered", moment(lineage["registered"])),
        ("git commit", commit(git)),
        ("git remote", git["remote"]),
        ("flow run", lineage["flow_run"] or "none: registered without Prefect"),
        ("MLflow run", lineage["mlflow_run"]),
        ("train key", lineage["train_key"]),
        ("machine", machine(environment)),
        ("packages", packages(environment)),
        ("rebuilding", rebuilding(lineage)),
    ]
    altered = lineage.get("altered")
    if altered:
        told.append(("altered", f"{', '.join(altered)}: not as it was registered"))
    return [(label, value) for label, value in told if value]


def made(lineage: Lineage, name: str) -> list[tuple[str, str]]:
    """When, where and by which runs a stage was computed, in pairs of label and value; `UNTOLD` if nobody knows."""
    told = lineage["stages"][name]["made_by"]
    if told is None:
        return [("computed", UNTOLD)]
    found = [
        ("computed", moment(told["time"])),
        ("by", ANOTHER_RUN if is_of_another_run(lineage, name) else None),
        ("git commit", commit(told)),
        ("flow run", told["flow_run"]),
        ("MLflow run", told.get("mlflow_run")),  # register has none of its own
    ]
    return [(label, value) for label, value in found if value]


def is_of_another_run(lineage: Lineage, name: str) -> bool:
    """Whether a stage is known to have been computed by another run than the one that registered the version.

    A stage's flow run is its own, so it tells only whether Prefect was there; so is the MLflow run of tokenize.
    """
    told = lineage["stages"][name]["made_by"]
    if told is None:
        return False
    run = told.get("mlflow_run")
    return (
        told["commit"] != lineage["git"]["commit"]
        or (told["flow_run"] is None) != (lineage["flow_run"] is None)
        or (run not in (None, lineage["mlflow_run"]) and name != TOKENIZE)
    )


def machine(environment: dict[str, Any]) -> str:
    """Python, processor and device, and how the device computed."""
    device = environment["device"] + (f" ({environment['gpu']})" if environment.get("gpu") else "")
    where = [f"Python {environment['python']}", environment["processor"], counted(environment["cores"], "core")]
    how = [device, environment["precision"], counted(environment["threads"], "thread")]
    return f"{', '.join(where)}; {', '.join(how)}"


def packages(environment: dict[str, Any]) -> str:
    """How many packages there were, and the versions of those that matter most."""
    installed = environment["packages"]
    known = [f"{name} {installed[name]}" for name in TOLD_OF if name in installed]
    return str(len(installed)) + (f", {' and '.join(known)} among them" if known else "")


def rebuilding(lineage: Lineage) -> str:
    """Whether the version can be made again elsewhere, or what is in the way."""
    if lineage["rebuildable"]:
        return "possible"
    missing = (
        f"neither git nor DVC keeps {', '.join(lineage['outside'])}" if lineage["outside"] else "git had no commit"
    )
    return f"not possible: {missing}"


def scores(lineage: Lineage) -> str:
    """The F1 of each split."""
    return ", ".join(f"{score:.4f} on {split}" for split, score in lineage["scores"].items()) or "not recorded"


def short(digest: str) -> str:
    """The first characters of a file's or folder's digest, by which it is found again."""
    return digest.removesuffix(FOLDER)[:SHORT] + (" (folder)" if digest.endswith(FOLDER) else "")


def is_code(file: File) -> bool:
    """Whether a stage runs this file, rather than reads it as data."""
    return file["path"].endswith(CODE)


def _root(lineage: Lineage) -> Text:
    aliases = "".join(f" @{alias}" for alias in lineage["aliases"])
    name = Text(f"{lineage['name']}/{lineage['version']}{aliases}", style="bold")
    return _folded(Text("\n").join([name, Text(f"digest {lineage['digest']}"), Text(f"F1 {scores(lineage)}")]))


def _add_stage(root: Tree, name: str, stage: Stage, *, made: list[tuple[str, str]], files: bool) -> None:
    branch = root.add(_folded(Text.assemble((name, "bold"), f"  {stage['command']}")))
    for label, value in made:
        branch.add(_fact(label, value))
    _add_rows(branch, "parameters", [(key, shown(value)) for key, value in stage["params"].items()])
    code = [] if files else [file for file in stage["inputs"] if is_code(file)]
    data = [_row(file) for file in stage["inputs"] if file not in code]
    _add_rows(branch, "inputs", data + ([(f"{counted(len(code), 'file')} of code", "")] if code else []))
    _add_rows(branch, "outputs", [_row(file) for file in stage["outputs"]])


def _add_rows(branch: Tree, title: str, rows: list[tuple[str, str]]) -> None:
    """A branch with a leaf for each row, the second column aligned."""
    below = branch.add(title if rows else f"no {title}")
    width = max((len(first) for first, second in rows if second), default=0)
    for first, second in rows:
        below.add(_folded(Text.assemble(f"{first:<{width}}  ", (second, "cyan")) if second else Text(first)))


def _row(file: File) -> tuple[str, str]:
    return file["path"], short(file["digest"])


def _fact(label: str, value: str) -> Table:
    """A label and its value, whose further lines stand below its first."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=10, style="dim")
    grid.add_column(overflow="fold")
    warns = value.startswith(WARNINGS) or label == "altered"
    grid.add_row(label, Text(value, style="yellow" if warns else ""))
    return grid


def _folded(text: Text) -> Text:
    """The text as one that is folded even where the console folds nothing: a tree would cut it off."""
    text.no_wrap, text.overflow = False, "fold"
    return text
