"""Who moved the alias `champion` of a model, when, why, from and to: a chain of entries that the registry keeps.

An entry is a tag of the registered model, `tuneline.ledger.000001` and so on. Each holds the digest of the one before,
so that none can be altered or taken out without the chain showing it. Nothing is ever changed or removed here.
"""

import getpass
import json
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, TypeAdapter

from pipeline.registry.versions import require_model
from stages.artifacts import json_digest
from stages.errors import RegistryError
from stages.tracking.client import connect, reachable
from stages.tracking.registry import CHAMPION

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

PREFIX = "tuneline.ledger."
ROLLBACK = "rollback"
START = "0" * 64  # what stands in the first entry for the digest of the one before


@dataclass(frozen=True)
class Entry:
    """One move of the alias: from and to which version (None: from or to none), and on what evidence.

    `before` is the digest of the entry before; `time` is ISO 8601 in UTC; `action` is promote, force or rollback.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    number: int
    time: str
    who: str
    action: str
    source: int | None
    target: int | None
    model_digest: str
    reason: str
    evidence: dict[str, Any]
    before: str

    @property
    def digest(self) -> str:
        """SHA-256 over all of the entry."""
        return json_digest(asdict(self))

    @property
    def moment(self) -> datetime:
        """When the alias moved, in UTC; ValueError if `time` is no ISO 8601."""
        return datetime.fromisoformat(self.time).astimezone(UTC)


@dataclass(frozen=True)
class AliasHistory:
    """The entries of a model, the oldest first, and what is wrong with them or with the alias, in words."""

    entries: list[Entry]
    faults: list[str]

    def champion_at(self, moment: datetime) -> Entry | None:
        """The last move before or at a moment; None if there was none yet."""
        before = [entry for entry in self.entries if entry.moment <= moment]
        return before[-1] if before else None

    def before_present(self) -> int | None:
        """The champion that the present one took the place of when it was promoted; None if there was none."""
        present = self.entries[-1].target if self.entries else None
        made = [entry for entry in self.entries if entry.action != ROLLBACK and entry.target == present]
        return made[-1].source if made else None


def read_of(name: str) -> AliasHistory:
    """The ledger of a model of the present registry; UserError if it has no such model."""
    with reachable():
        client = connect()
        require_model(client, name)
        return read(client, name)


def read(client: "MlflowClient", name: str) -> AliasHistory:
    """The ledger of a registered model, checked against itself and against where the alias is now."""
    return _checked(client.get_registered_model(name))


def _checked(model: "RegisteredModel") -> AliasHistory:
    tags = {key: value for key, value in model.tags.items() if key.startswith(PREFIX)}
    entries: list[Entry] = []
    faults: list[str] = []
    expected = START
    for key in sorted(tags):
        try:
            entry, digest = _parsed(tags[key])
        except (TypeError, ValueError, KeyError, AttributeError):
            faults.append(f"{key} is no entry of Tuneline's: it was altered")
            continue
        if entry.digest != digest:
            faults.append(f"entry {entry.number} was altered")
        elif entry.before != expected or key != _key(entry.number):
            faults.append(f"the chain does not hold before entry {entry.number}: an entry was altered or taken out")
        expected = digest
        entries.append(entry)
    present = model.aliases.get(CHAMPION)
    recorded = entries[-1].target if entries else None
    if (None if present is None else int(present)) != recorded:
        faults.append(
            f"{CHAMPION} is {_version(present)}, but the last entry says {_version(recorded)}: "
            "the alias was moved outside Tuneline, or a move was cut off"
        )
    return AliasHistory(entries, faults)


def move(
    client: "MlflowClient",
    name: str,
    *,
    action: str,
    target: int | None,
    model_digest: str,
    reason: str,
    evidence: dict[str, Any],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Entry:
    """Move the alias and enter it. The entry is written first: one killed in between is mended by the same call again.

    RegistryError if somebody else is seen to have made an entry at the same moment; nothing is moved then. MLflow has
    no transaction, so of two that write within the same milliseconds it may be that neither sees the other.
    """
    model = client.get_registered_model(name)
    last = next(reversed(_checked(model).entries), None)
    present = model.aliases.get(CHAMPION)
    # After what stands there but is no entry, too: it is told for ever.
    numbers = (key.removeprefix(PREFIX) for key in model.tags if key.startswith(PREFIX))
    entry = Entry(
        number=1 + max((int(number) for number in numbers if number.isdecimal()), default=0),
        time=now().isoformat(timespec="seconds"),
        who=f"{getpass.getuser()}@{socket.gethostname()}",
        action=action,
        source=None if present is None else int(present),
        target=target,
        model_digest=model_digest,
        reason=reason,
        evidence=evidence,
        before=last.digest if last else START,
    )
    text = json.dumps(asdict(entry) | {"digest": entry.digest}, sort_keys=True)
    client.set_registered_model_tag(name, _key(entry.number), text)
    if client.get_registered_model(name).tags[_key(entry.number)] != text:
        raise RegistryError(
            f"somebody else moved {CHAMPION} of {name} at the same moment; look at the history, try again"
        )
    if target is None:
        client.delete_registered_model_alias(name, CHAMPION)
    else:
        client.set_registered_model_alias(name, CHAMPION, str(target))
    return entry


def _parsed(text: str) -> tuple[Entry, str]:
    """An entry, and the digest that stands with it; one of several errors if the text is none."""
    fields = json.loads(text)
    digest: str = fields.pop("digest")
    entry = TypeAdapter(Entry).validate_json(json.dumps(fields))  # of Python values, a strict one wants an Entry
    _ = entry.moment
    return entry, digest


def _key(number: int) -> str:
    return f"{PREFIX}{number:06}"


def _version(number: Any) -> str:
    return "no version" if number is None else f"version {number}"
