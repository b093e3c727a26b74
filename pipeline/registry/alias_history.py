"""The history of a model's alias `champion`: an append-only hash chain of entries, which the registry stores.

Each entry is a tag of the registered model, `tuneline.ledger.000001` and so on, and holds the digest of the previous
one, so that altered and deleted entries are detected.
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
from stages.errors import RegistryUnavailableError
from stages.tracking.client import connect, translate_errors
from stages.tracking.registry import CHAMPION

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

TAG_PREFIX = "tuneline.ledger."  # a name that registries store
ROLLBACK = "rollback"
FIRST_PREVIOUS = "0" * 64  # in the first entry, in place of the digest of the previous one


@dataclass(frozen=True)
class Entry:
    """One move of the alias, from version `source` to version `target` (None: no version), with its evidence.

    `time` is ISO 8601 in UTC, `action` is promote, force or rollback, `before` is the digest of the previous entry.
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
        """SHA-256 over all fields."""
        return json_digest(asdict(self))

    @property
    def moment(self) -> datetime:
        """`time`, parsed; ValueError if it is not ISO 8601."""
        return datetime.fromisoformat(self.time).astimezone(UTC)


@dataclass(frozen=True)
class AliasHistory:
    """The entries of a model, oldest first, and a message for each fault of the chain or of the alias."""

    entries: list[Entry]
    faults: list[str]

    def champion_at(self, moment: datetime) -> Entry | None:
        """The last move at or before a moment; None if there was none yet."""
        earlier = [entry for entry in self.entries if entry.moment <= moment]
        return earlier[-1] if earlier else None

    def previous_champion(self) -> int | None:
        """The version that the current champion replaced when it was promoted; None if there was none."""
        current = self.entries[-1].target if self.entries else None
        promotions = [entry for entry in self.entries if entry.action != ROLLBACK and entry.target == current]
        return promotions[-1].source if promotions else None


def read_model_history(name: str) -> AliasHistory:
    """The alias history of a model in the current registry; UserError if there is no such model."""
    with translate_errors():
        client = connect()
        require_model(client, name)
        return read_history(client, name)


def read_history(client: "MlflowClient", name: str) -> AliasHistory:
    """The alias history of a registered model; `faults` says where its chain or the alias itself was changed."""
    return _verify(client.get_registered_model(name))


def _verify(model: "RegisteredModel") -> AliasHistory:
    tags = {key: value for key, value in model.tags.items() if key.startswith(TAG_PREFIX)}
    entries: list[Entry] = []
    faults: list[str] = []
    expected = FIRST_PREVIOUS
    for key in sorted(tags):
        try:
            entry, digest = _parse(tags[key])
        except (TypeError, ValueError, KeyError, AttributeError):
            faults.append(f"{key} is not a valid entry: it was altered")
            continue
        if entry.digest != digest:
            faults.append(f"entry {entry.number} was altered")
        elif entry.before != expected or key != _key(entry.number):
            faults.append(f"the chain is broken before entry {entry.number}: an entry was altered or deleted")
        expected = digest
        entries.append(entry)
    current = model.aliases.get(CHAMPION)
    recorded = entries[-1].target if entries else None
    if (None if current is None else int(current)) != recorded:
        faults.append(
            f"{CHAMPION} is {_label(current)}, but the last entry says {_label(recorded)}: "
            "the alias was moved outside Tuneline, or a move was interrupted"
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
    """Append an entry and move the alias. The entry is written first: after a kill in between, call it again.

    RegistryUnavailableError if another process is seen to have written the same entry; the alias is not moved then.
    MLflow has no transactions, so two processes that write within the same milliseconds may both miss the other.
    """
    model = client.get_registered_model(name)
    last = next(reversed(_verify(model).entries), None)
    current = model.aliases.get(CHAMPION)
    # Invalid entries count as well: they are never overwritten, so that `faults` always reports them.
    numbers = (key.removeprefix(TAG_PREFIX) for key in model.tags if key.startswith(TAG_PREFIX))
    entry = Entry(
        number=1 + max((int(number) for number in numbers if number.isdecimal()), default=0),
        time=now().isoformat(timespec="seconds"),
        who=f"{getpass.getuser()}@{socket.gethostname()}",
        action=action,
        source=None if current is None else int(current),
        target=target,
        model_digest=model_digest,
        reason=reason,
        evidence=evidence,
        before=last.digest if last else FIRST_PREVIOUS,
    )
    text = json.dumps(asdict(entry) | {"digest": entry.digest}, sort_keys=True)
    client.set_registered_model_tag(name, _key(entry.number), text)
    if client.get_registered_model(name).tags[_key(entry.number)] != text:
        raise RegistryUnavailableError(
            f"somebody else moved {CHAMPION} of {name} at the same moment; look at the history, then try again"
        )
    if target is None:
        client.delete_registered_model_alias(name, CHAMPION)
    else:
        client.set_registered_model_alias(name, CHAMPION, str(target))
    return entry


def _parse(text: str) -> tuple[Entry, str]:
    """An entry and the digest that is stored with it; any of several errors if the text is not an entry."""
    fields = json.loads(text)
    digest: str = fields.pop("digest")
    entry = TypeAdapter(Entry).validate_json(json.dumps(fields))  # in strict mode, only JSON may stand for an Entry
    _ = entry.moment
    return entry, digest


def _key(number: int) -> str:
    return f"{TAG_PREFIX}{number:06}"


def _label(version: Any) -> str:
    return "no version" if version is None else f"version {version}"
