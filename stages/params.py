"""Read params.yaml and check the sections that a recipe declares.

A recipe's `Params` is a pydantic model with one field per section that it reads. dvc.yaml lists the same names under
`params` (a test compares them), except `runtime`, which says where to compute.
"""

import json
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from stages.errors import ParamsError, first_line, list_faults

DEFAULT_FILE = Path("params.yaml")
CONFLICT = re.compile(r"^(<{7}|\|{7}|={7}|>{7})( .*)?\r?$", re.MULTILINE)  # the marks that a merge of git leaves
MERGE_TAG = "tag:yaml.org,2002:merge"  # of the key `<<`
STAGES = ("tokenize", "train", "evaluate", "register")
SECTIONS = ("task", "data", "model", "tokenize", "train", "evaluate", "register", "runtime", "orchestration")
RENAMED = {  # the name that a key had in older params files -> its name
    "train.early_stopping": "early_stopping_patience",
    "train.head_rate": "head_lr_multiplier",
    "train.layer_decay": "layerwise_lr_decay",
    "train.batch_subwords": "batch_tokens",
    "train.micro_batch_subwords": "micro_batch_tokens",
    "evaluate.batch_subwords": "batch_tokens",
    "register.gate.level": "significance_level",
    "register.gate.min_f1": "min_score",
    "register.gate.max_drop_per_type": "max_drop_per_label",
    "orchestration.keep_days": "retention_days",
    "orchestration.silence": "heartbeat_timeout_seconds",
    "orchestration.at_once": "concurrency_limit",
    **{f"orchestration.{stage}.at_once": "concurrency_limit" for stage in STAGES},
    **{f"orchestration.{stage}.time_limit": "timeout_seconds" for stage in STAGES},
}


class Section(BaseModel):
    """Base of every section: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TaskParams(Section):
    """What the model is to do with a text; the parameters beside the name are those of the task."""

    name: str


class WindowParams(Section):
    """The windows that texts are cut into, in tokens, special tokens included."""

    window_length: int = Field(ge=8, le=8192)
    window_overlap: int = Field(ge=0)

    @model_validator(mode="after")
    def _overlap_leaves_room(self) -> "WindowParams":
        if self.window_overlap > self.window_length // 2:
            raise ValueError("window_overlap may be at most half of window_length")
        return self


class PretrainedParams(Section):
    """Which encoder is fine-tuned: a hub id, a registered model or a local folder.

    It is pinned by its revision, which is the number of the version of a registered model, and by the digest of its
    weights.
    """

    pretrained: str = Field(min_length=1)
    revision: str | None
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")


class RuntimeParams(Section):
    """Where and how to compute. No stage depends on it, or a checkout would be stale on every other machine."""

    device: Literal["auto", "cpu", "cuda"]
    checkpoint_dir: str = Field(min_length=1)
    checkpoint_seconds: int = Field(ge=1)

    @field_validator("device", mode="before")
    @classmethod
    def _refuse_mps(cls, device: Any) -> Any:
        # The backward of an embedding adds up in any order, deterministic algorithms or not (PyTorch's issue 195404).
        if device == "mps":
            raise ValueError(
                "should be auto or cpu on a Mac: on Apple's GPU PyTorch rounds differently from run to run, "
                "and no model could be rebuilt"
            )
        return device


P = TypeVar("P", bound=BaseModel)


def load_params(path: Path, model: type[P]) -> P:
    """Read the sections of `path` that `model` names; one ParamsError reports all faults of the file."""
    document = read_document(path)
    own = section_names(model)  # a file written for one call has a section that params.yaml lacks
    faults = section_faults(document, model, path) + unknown_sections(document, path, known=(*SECTIONS, *own))
    if faults:
        raise ParamsError(list_faults(f"{path} is not usable:", faults))
    return model.model_validate({name: document[name] for name in own})


def section_names(model: type[BaseModel]) -> list[str]:
    """List the sections that a recipe's `Params` declares, by their names in the file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def read_document(path: Path) -> dict[str, Any]:
    """Read the values of a params file as DVC does; ParamsError if it is missing or malformed."""
    return parse_document(read_text(path), path)


def read_text(path: Path) -> str:
    """Return the text of a params file with its own line ends; ParamsError if it is missing or not UTF-8."""
    try:
        content = path.read_bytes()
        return content.decode("utf-8")
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file. Run from the root of the project, or give --params FILE.") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ParamsError(f"{path}:{line} cannot be read: it is not UTF-8. Save the file in that encoding.") from None
    except OSError as error:
        raise ParamsError(f"{path} cannot be read: {error.strerror}") from None


def parse_document(text: str, path: Path) -> dict[str, Any]:
    """Return the values of the text of a params file; ParamsError with the place in `path` if it is malformed.

    This is the parser of DVC, so that a stage never runs with other values than dvc.lock records. ruamel.yaml's other
    ones differ in tabs, in `{a:1}`, and in what `%YAML 1.1` means.
    """
    try:
        document = YAML(typ="safe").load(text)
        json.dumps(document, default=str, skipkeys=True)  # ValueError if a section contains itself by an alias
    except YAMLError as error:
        raise ParamsError(_describe_syntax(error, text, path)) from None
    except ValueError as error:  # a date such as 2024-13-01
        raise ParamsError(f"{path} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise ParamsError(f"{path} holds no sections; it should look like the params.yaml that came with the project.")
    return document


def compose(text: str) -> MappingNode:
    """Return the nodes of a text that `parse_document` accepts, with their places in it.

    A byte order mark is not counted in these places. An alias is the node that it stands for, which begins further up.
    """
    root: MappingNode = YAML(typ="safe").compose(text)
    return root


def find_pair(mapping: MappingNode, key: str) -> tuple[Node, Node] | None:
    """Return the nodes of a key and its value; None if the mapping lacks the key or takes it from another by `<<`."""
    return next((pair for pair in mapping.value if pair[0].value == key), None)


def find_conflict(text: str) -> int | None:
    """Return the line of the first mark of a merge conflict in a text; None if it has none."""
    mark = CONFLICT.search(text)
    return mark and text.count("\n", 0, mark.start()) + 1


def section_faults(document: dict[str, Any], model: type[BaseModel], path: Path) -> list[str]:
    """Validate `document`, read from `path`, against `model`: one line for each fault, none if it is valid."""
    present = {name: document[name] for name in section_names(model) if name in document}
    try:
        model.model_validate(present)
    except ValidationError as error:
        faults = [(tuple(str(part) for part in fault["loc"]), dict(fault)) for fault in error.errors()]
        # A key under its old name is one fault, not an unknown key and a missing one.
        renamed = {(*location[:-1], RENAMED.get(".".join(location))) for location, _ in faults}
        return [
            _describe(location, fault, model, path)
            for location, fault in faults
            if fault["type"] != "missing" or location not in renamed
        ]
    return []


def unknown_sections(document: dict[str, Any], path: Path, *, known: Sequence[str] = SECTIONS) -> list[str]:
    """List the top-level keys that no recipe reads, a line for each."""
    return [
        f"{_where((str(key),), path)}: no such section{suggest(str(key), known)}"
        for key in document
        if key not in known
    ]


def suggest(name: str, known: Iterable[str], *, section: str = "") -> str:
    """Continue a message on an unknown key: its new name, else the most similar one, else all that are known.

    `section` is the dotted prefix that `name` and the names in `known` leave out.
    """
    if f"{section}{name}" in RENAMED:
        return f"; it is now called {RENAMED[f'{section}{name}']}"
    known = list(dict.fromkeys(known))
    near = get_close_matches(name, known, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; known here: {', '.join(known)}"


def _describe(location: tuple[str, ...], fault: dict[str, Any], model: type[BaseModel], path: Path) -> str:
    if fault["type"] == "extra_forbidden":
        section = "".join(f"{part}." for part in location[:-1])
        hint = suggest(location[-1], _field_names(model, location[:-1]), section=section)
        return f"{_where(location, path)}: unknown key{hint}"
    if fault["type"] == "missing":
        return f"{_where(location, path)}: missing"
    while location[:-1] and location[-1] not in _field_names(model, location[:-1]):
        location = location[:-1]  # the last part names one of several types
    given = "" if isinstance(fault["input"], dict) else f", but it is {fault['input']!r}"
    return f"{_where(location, path)}: {fault['msg']}{given}"


def _describe_syntax(error: YAMLError, text: str, path: Path) -> str:
    """Say where a text is no YAML and why."""
    if conflict := find_conflict(text):
        return (
            f"{path}:{conflict} cannot be read: a merge has left the marks of a conflict there. "
            "Keep the lines that you want; delete the others and the marks."
        )
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return f"{path} cannot be read: {first_line(error)}"
    line = error.problem_mark.line + 1
    lines = enumerate(re.split(r"\r\n|\r|\n", text), 1)
    tabs = [number for number, content in lines if re.match(r" *\t", content)]
    if line in tabs:
        where = "" if len(tabs) == 1 else f"; {len(tabs)} lines have one"
        return f"{path}:{line} cannot be read: YAML allows no tab in an indentation; use spaces{where}"
    context = error.context or ""
    if context.startswith("while ") and error.context_mark:
        context += f" that starts in line {error.context_mark.line + 1}"
    problem = error.problem.partition(" with value ")[0]  # of a duplicate key
    return f"{path}:{line} cannot be read: {', '.join(part for part in (context, problem) if part)}"


def _field_names(model: type[BaseModel], location: tuple[str, ...]) -> list[str]:
    """List the keys of the section at `location`, which may be nested; none if there is no section."""
    for part in location:
        field = next((field for name, field in model.model_fields.items() if part == (field.alias or name)), None)
        types = [] if field is None else [field.annotation, *get_args(field.annotation)]
        sections = [kind for kind in types if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not sections:
            return []
        model = sections[0]
    return section_names(model)


def _where(location: tuple[str, ...], path: Path) -> str:
    """Format the place of a key as `params.yaml:12 train.learning_rate`; an absent key has no line."""
    line: int | None = None
    node: Node = compose(read_text(path))
    for part in location:
        pair = next((pair for mapping in _with_merged(node) if (pair := find_pair(mapping, part))), None)
        if pair is None:
            break
        line, node = pair[0].start_mark.line + 1, pair[1]
    place = f"{path}:{line}" if line else str(path)
    return f"{place} {'.'.join(location)}"


def _with_merged(node: Node) -> Iterable[MappingNode]:
    """Yield a mapping and all that it takes keys from by `<<`, nearest first; nothing for other nodes."""
    if isinstance(node, SequenceNode):  # of `<<: [*first, *second]`
        for item in node.value:
            yield from _with_merged(item)
    if isinstance(node, MappingNode):
        yield node
        for key, value in node.value:
            if key.tag == MERGE_TAG:
                yield from _with_merged(value)
