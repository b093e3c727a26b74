"""Reads params.yaml and checks the sections that a recipe declares.

A recipe's `Params` is a pydantic model with one field per section it reads, so that its field names are also what
dvc.yaml must list under `params` (a test compares them; `runtime`, which says where to compute, is left out there).
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from stages.errors import ParamsError, listed

DEFAULT_FILE = Path("params.yaml")
SECTIONS = ("data", "model", "tokenize", "train", "evaluate", "register", "runtime", "orchestration")


class Section(BaseModel):
    """Base of every section: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class PretrainedParams(Section):
    """Which encoder is fine-tuned: a hub id or a local folder, pinned by revision and by the digest of its weights."""

    pretrained: str = Field(min_length=1)
    revision: str | None
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")


class RuntimeParams(Section):
    """Where and how to compute. No dependency of a stage, or a checkout would be stale on each other machine."""

    device: Literal["auto", "cpu", "cuda"]
    checkpoint_dir: str = Field(min_length=1)
    checkpoint_seconds: int = Field(ge=1)


P = TypeVar("P", bound=BaseModel)


def load_params(path: Path, model: type[P]) -> P:
    """Read the sections of `path` that `model` names; every fault of the file is in the one ParamsError raised."""
    document = read_document(path)
    own = section_names(model)  # a file written for one call has a section that params.yaml has not
    faults = section_faults(document, model, path) + unknown_sections(document, path, known=(*SECTIONS, *own))
    if faults:
        raise ParamsError(listed(f"{path} is not usable:", faults))
    return model.model_validate({name: document[name] for name in own})


def section_names(model: type[BaseModel]) -> list[str]:
    """The sections that a recipe's `Params` declares, by their names in the file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def read_document(path: Path) -> CommentedMap:
    """Parse a params file, keeping its comments and line numbers."""
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
    """Everything that keeps `document` from being a `model`, a line for each fault."""
    present = {name: document[name] for name in section_names(model) if name in document}
    try:
        model.model_validate(present)
    except ValidationError as error:
        return [_describe(dict(fault), document, model, path) for fault in error.errors()]
    return []


def unknown_sections(document: CommentedMap, path: Path, *, known: Sequence[str] = SECTIONS) -> list[str]:
    """Top-level keys that no recipe reads."""
    return [
        f"{_where(document, (key,), path)}: no such section{suggestion(str(key), known)}"
        for key in document
        if key not in known
    ]


def suggestion(name: str, known: Any) -> str:
    """`; did you mean 'near'?`, or which names there are when none is near."""
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; known here: {', '.join(known)}"


def _describe(fault: dict[str, Any], document: CommentedMap, model: type[BaseModel], path: Path) -> str:
    location = tuple(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _field_names(model, location[:-1])
        return f"{_where(document, location, path)}: unknown key{suggestion(location[-1], known)}"
    if fault["type"] == "missing":
        return f"{_where(document, location, path)}: missing"
    while location[:-1] and location[-1] not in _field_names(model, location[:-1]):
        location = location[:-1]  # which of several types was tried
    given = "" if isinstance(fault["input"], dict) else f", but it is {fault['input']!r}"
    return f"{_where(document, location, path)}: {fault['msg']}{given}"


def _field_names(model: type[BaseModel], location: tuple[str, ...]) -> list[str]:
    """The keys that a section, or a section within it, has; none if there is no section at `location`."""
    for part in location:
        field = next((field for name, field in model.model_fields.items() if part == (field.alias or name)), None)
        types = [] if field is None else [field.annotation, *get_args(field.annotation)]
        sections = [kind for kind in types if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not sections:
            return []
        model = sections[0]
    return list(model.model_fields)


def _where(document: CommentedMap, location: tuple[Any, ...], path: Path) -> str:
    """`params.yaml:12 train.learning_rate`, or without the line where the key is absent."""
    line, node = None, document
    for part in location:
        if not isinstance(node, CommentedMap) or part not in node:
            break
        line = node.lc.data[part][0] + 1 if part in node.lc.data else line  # a merged key has no place of its own
        node = node[part]
    place = f"{path}:{line}" if line else str(path)
    return f"{place} {'.'.join(str(part) for part in location)}"
