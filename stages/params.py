"""Read params.yaml and check the sections that a recipe declares.

A recipe's `Params` is a pydantic model with one field per section that it reads. dvc.yaml lists the same names under
`params` (a test compares them), except `runtime`, which says where to compute.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from stages.errors import ParamsError, list_faults

DEFAULT_FILE = Path("params.yaml")
STAGES = ("tokenize", "train", "evaluate", "register")
SECTIONS = ("data", "model", "tokenize", "train", "evaluate", "register", "runtime", "orchestration")
RENAMED = {  # the name that a key had in older params files -> its name
    "train.early_stopping": "early_stopping_patience",
    "train.head_rate": "head_lr_multiplier",
    "train.layer_decay": "layerwise_lr_decay",
    "train.batch_subwords": "batch_tokens",
    "train.micro_batch_subwords": "micro_batch_tokens",
    "evaluate.batch_subwords": "batch_tokens",
    "register.gate.level": "significance_level",
    "orchestration.keep_days": "retention_days",
    "orchestration.silence": "heartbeat_timeout_seconds",
    "orchestration.at_once": "concurrency_limit",
    **{f"orchestration.{stage}.at_once": "concurrency_limit" for stage in STAGES},
    **{f"orchestration.{stage}.time_limit": "timeout_seconds" for stage in STAGES},
}


class Section(BaseModel):
    """Base of every section: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class PretrainedParams(Section):
    """Which encoder is fine-tuned: a hub id or a local folder, pinned by revision and by the digest of its weights."""

    pretrained: str = Field(min_length=1)
    revision: str | None
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")


class RuntimeParams(Section):
    """Where and how to compute. No stage depends on it, or a checkout would be stale on every other machine."""

    device: Literal["auto", "cpu", "cuda"]
    checkpoint_dir: str = Field(min_length=1)
    checkpoint_seconds: int = Field(ge=1)


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


def read_document(path: Path) -> CommentedMap:
    """Parse a params file with its comments and line numbers; ParamsError if it is missing or malformed."""
    try:
        document = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file. Run from the root of the project, or give --params FILE.") from None
    except (OSError, ValueError, YAMLError) as error:  # ValueError: not UTF-8, or a date such as 2024-13-01
        raise ParamsError(f"{path} cannot be read: {error}") from None
    if not isinstance(document, CommentedMap):
        raise ParamsError(f"{path} holds no sections; it should look like the params.yaml that came with the project.")
    return document


def section_faults(document: CommentedMap, model: type[BaseModel], path: Path) -> list[str]:
    """Validate `document` against `model`: one line for each fault, none if it is valid."""
    present = {name: document[name] for name in section_names(model) if name in document}
    try:
        model.model_validate(present)
    except ValidationError as error:
        faults = [(tuple(str(part) for part in fault["loc"]), dict(fault)) for fault in error.errors()]
        # A key under its old name is one fault, not an unknown key and a missing one.
        renamed = {(*location[:-1], RENAMED.get(".".join(location))) for location, _ in faults}
        return [
            _describe(location, fault, document, model, path)
            for location, fault in faults
            if fault["type"] != "missing" or location not in renamed
        ]
    return []


def unknown_sections(document: CommentedMap, path: Path, *, known: Sequence[str] = SECTIONS) -> list[str]:
    """List the top-level keys that no recipe reads, a line for each."""
    return [
        f"{_where(document, (key,), path)}: no such section{suggest(str(key), known)}"
        for key in document
        if key not in known
    ]


def suggest(name: str, known: Iterable[str], *, section: str = "") -> str:
    """Continue a message on an unknown key: its new name, else the most similar one, else all that are known.

    `section` is the dotted prefix that `name` and the names in `known` leave out.
    """
    if f"{section}{name}" in RENAMED:
        return f"; it is now called {RENAMED[f'{section}{name}']}"
    known = list(known)
    near = get_close_matches(name, known, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; known here: {', '.join(known)}"


def _describe(
    location: tuple[str, ...], fault: dict[str, Any], document: CommentedMap, model: type[BaseModel], path: Path
) -> str:
    if fault["type"] == "extra_forbidden":
        section = "".join(f"{part}." for part in location[:-1])
        hint = suggest(location[-1], _field_names(model, location[:-1]), section=section)
        return f"{_where(document, location, path)}: unknown key{hint}"
    if fault["type"] == "missing":
        return f"{_where(document, location, path)}: missing"
    while location[:-1] and location[-1] not in _field_names(model, location[:-1]):
        location = location[:-1]  # the last part names one of several types
    given = "" if isinstance(fault["input"], dict) else f", but it is {fault['input']!r}"
    return f"{_where(document, location, path)}: {fault['msg']}{given}"


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


def _where(document: CommentedMap, location: tuple[Any, ...], path: Path) -> str:
    """Format the place of a key as `params.yaml:12 train.learning_rate`; an absent key has no line."""
    line, node = None, document
    for part in location:
        if not isinstance(node, CommentedMap) or part not in node:
            break
        line = node.lc.data[part][0] + 1 if part in node.lc.data else line  # a merged key has no line
        node = node[part]
    place = f"{path}:{line}" if line else str(path)
    return f"{place} {'.'.join(str(part) for part in location)}"
