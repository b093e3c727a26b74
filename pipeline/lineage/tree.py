"""The lineage of a model version as a tree for the terminal, and the texts that the page shares with it."""

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from pipeline.checkout.layout import STAGES, TOKENIZE
from pipeline.formatting import NO_REASON, format_commit, format_count, format_time, format_value
from pipeline.lineage.query import Ancestor, Lineage
from stages.statistics.names import shorten_score
from stages.tracking.lineage_record import FOLDER, FileEntry, StageRecord, TrainingEnvironment

SHORT = 12  # characters of a digest or commit that identify it; `lineage --data` finds a file by them
CODE = (".py", ".jinja")  # the suffixes of a stage's code
MAIN_PACKAGES = ("torch", "transformers")  # those that influence a result most

UNKNOWN = "unknown: its execution is not recorded in this registry"
OTHER_RUN = "another run: the result came from the cache"
NOT_POSSIBLE = "not possible"
GONE = "no longer in the registry"
WARNINGS = (UNKNOWN, OTHER_RUN, NOT_POSSIBLE, GONE)  # values that start with one of these are highlighted


def render_tree(lineage: Lineage, *, files: bool = False) -> Tree:
    """The version with each stage's executions, parameters and files; with `files`, each file of the code as well.

    Long lines are wrapped, never truncated, however narrow the terminal is.
    """
    root = Tree(_root(lineage))
    for label, value in version_facts(lineage):
        root.add(_fact(label, value))
    for name, stage in ordered_stages(lineage).items():
        _add_stage(root, name, stage, execution=execution_facts(lineage, name), files=files)
    return root


def ordered_stages(lineage: Lineage) -> dict[str, StageRecord]:
    """The stages in the order of the pipeline."""
    return {name: lineage.record.stages[name] for name in STAGES if name in lineage.record.stages}


def version_facts(lineage: Lineage) -> list[tuple[str, str]]:
    """Label and value of each known fact about the version as a whole."""
    record = lineage.record
    facts = [
        ("registered", format_time(record.registered)),
        *(
            ("ancestor" if number else "parent", describe_ancestor(ancestor))
            for number, ancestor in enumerate(lineage.ancestors)
        ),
        ("git commit", format_commit(record.git.commit, dirty=record.git.dirty, reason=record.git.reason)),
        ("git remote", record.git.remote),
        ("flow run", record.flow_run or "none: registered without Prefect"),
        ("MLflow run", lineage.mlflow_run),
        ("train key", record.train_key),
        ("machine", describe_machine(record.environment)),
        ("packages", describe_packages(record.environment)),
        ("rebuilding", describe_rebuilding(lineage)),
    ]
    if lineage.altered:
        facts.append(("altered", f"{', '.join(lineage.altered)}: changed after the registration"))
    return [(label, value) for label, value in facts if value]


def describe_ancestor(ancestor: Ancestor) -> str:
    """Name, scores and data of a version that the model, or an ancestor nearer to it, went on from."""
    label = f"{ancestor.name}/{ancestor.version}"
    if ancestor.is_gone:
        return f"{GONE}: {label}"
    score = shorten_score(ancestor.primary["name"])
    scores = ", ".join(f"{score} {value:.4f} on {split}" for split, value in ancestor.scores.items())
    data = ", ".join(f"{path} ({shorten_digest(digest)})" for path, digest in ancestor.data.items())
    return "; ".join(part for part in (label, scores, data) if part)


def execution_facts(lineage: Lineage, name: str) -> list[tuple[str, str]]:
    """Label and value of each known fact about the execution of a stage; `UNKNOWN` if it is not recorded."""
    execution = lineage.record.stages[name].made_by
    if execution is None:
        return [("computed", UNKNOWN)]
    facts = [
        ("computed", format_time(execution.time)),
        ("by", OTHER_RUN if is_from_other_run(lineage, name) else None),
        ("git commit", format_commit(execution.commit, dirty=execution.dirty, reason=execution.reason)),
        ("flow run", execution.flow_run),
        ("MLflow run", execution.mlflow_run),
    ]
    return [(label, value) for label, value in facts if value]


def is_from_other_run(lineage: Lineage, name: str) -> bool:
    """Whether a stage is known to have been computed by another run than the one that registered the version.

    Each stage has its own flow run, so only whether there is one can be compared; tokenize has its own MLflow run.
    """
    record, execution = lineage.record, lineage.record.stages[name].made_by
    if execution is None:
        return False
    return (
        execution.commit != record.git.commit
        or (execution.flow_run is None) != (record.flow_run is None)
        or (execution.mlflow_run not in (None, lineage.mlflow_run) and name != TOKENIZE)
    )


def describe_machine(environment: TrainingEnvironment) -> str:
    """Python, processor and device, and how the device computed."""
    device = environment.device + (f" ({environment.gpu})" if environment.gpu else "")
    machine = [f"Python {environment.python}", environment.processor, format_count(environment.cores, "core")]
    computation = [device, environment.precision, format_count(environment.threads, "thread")]
    return f"{', '.join(machine)}; {', '.join(computation)}"


def describe_packages(environment: TrainingEnvironment) -> str:
    """The number of installed packages, and the versions of the main ones."""
    installed = environment.packages
    main = [f"{name} {installed[name]}" for name in MAIN_PACKAGES if name in installed]
    return str(len(installed)) + (f", including {' and '.join(main)}" if main else "")


def describe_rebuilding(lineage: Lineage) -> str:
    """Whether the version can be rebuilt in another checkout, or what prevents it."""
    record = lineage.record
    if record.rebuildable:
        return "possible"
    reasons = [] if record.git.commit else [f"it has no commit ({record.git.reason or NO_REASON})"]
    reasons += [f"neither git nor DVC tracks {', '.join(record.outside)}"] if record.outside else []
    return f"{NOT_POSSIBLE}: {'; '.join(reasons)}"


def format_scores(lineage: Lineage) -> str:
    """The primary score of each split."""
    return ", ".join(f"{score:.4f} on {split}" for split, score in lineage.scores.items()) or "not recorded"


def shorten_digest(digest: str) -> str:
    """The first characters of a file's or folder's digest; `lineage --data` accepts them."""
    return digest.removesuffix(FOLDER)[:SHORT] + (" (folder)" if digest.endswith(FOLDER) else "")


def is_code(file: FileEntry) -> bool:
    """Whether this input of a stage is code, rather than data."""
    return file.path.endswith(CODE)


def _root(lineage: Lineage) -> Text:
    aliases = "".join(f" @{alias}" for alias in lineage.aliases)
    name = Text(f"{lineage.name}/{lineage.version}{aliases}", style="bold")
    return _wrap(
        Text("\n").join(
            [name, Text(f"digest {lineage.digest}"), Text(f"{lineage.score_name} {format_scores(lineage)}")]
        )
    )


def _add_stage(root: Tree, name: str, stage: StageRecord, *, execution: list[tuple[str, str]], files: bool) -> None:
    branch = root.add(_wrap(Text.assemble((name, "bold"), f"  {stage.command}")))
    for label, value in execution:
        branch.add(_fact(label, value))
    _add_rows(branch, "parameters", [(key, format_value(value)) for key, value in stage.params.items()])
    code = [] if files else [file for file in stage.inputs if is_code(file)]
    data = [_row(file) for file in stage.inputs if file not in code]
    _add_rows(branch, "inputs", data + ([(f"{format_count(len(code), 'file')} of code", "")] if code else []))
    _add_rows(branch, "outputs", [_row(file) for file in stage.outputs])


def _add_rows(branch: Tree, title: str, rows: list[tuple[str, str]]) -> None:
    """Add a branch with a leaf for each row, with the second column aligned."""
    below = branch.add(title if rows else f"no {title}")
    width = max((len(first) for first, second in rows if second), default=0)
    for first, second in rows:
        below.add(_wrap(Text.assemble(f"{first:<{width}}  ", (second, "cyan")) if second else Text(first)))


def _row(file: FileEntry) -> tuple[str, str]:
    return file.path, shorten_digest(file.digest)


def _fact(label: str, value: str) -> Table:
    """A label and its value, whose further lines are aligned below its first."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=10, style="dim")
    grid.add_column(overflow="fold")
    is_warning = value.startswith(WARNINGS) or label == "altered"
    grid.add_row(label, Text(value, style="yellow" if is_warning else ""))
    return grid


def _wrap(text: Text) -> Text:
    """Let a text wrap even if the console does not wrap lines: a tree would truncate it."""
    text.no_wrap, text.overflow = False, "fold"
    return text
