"""What reading a corpus brought to light, in three grades; of each kind the first 20 in full, the rest counted."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from stages.errors import SHOWN, CorpusError, listed

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Diagnostic:
    """One thing that was noticed: an `error` is refused, a `warning` costs accuracy, a `note` is good to know."""

    grade: Severity
    code: str
    message: str
    where: str  # file:line, or the file or folder as a whole


class UnreadableError(CorpusError):
    """A file cannot be read any further; `where` may be a line of it."""

    def __init__(self, code: str, where: object, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.code, self.where, self.message = code, str(where), message


class AnnotationError(Exception):
    """A record that is no annotated text; the message says why, and the reader knows where."""


@dataclass
class Diagnostics:
    """Collects diagnostics. `counts` says by code how many there were, the ones that are not kept included."""

    kept: list[Diagnostic] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, grade: Severity, code: str, where: object, message: str) -> None:
        """One finding."""
        self.add_all(grade, code, 1, [(str(where), message)])

    def add_all(self, grade: Severity, code: str, count: int, examples: Iterable[tuple[str, str]]) -> None:
        """Add `count` diagnostics of one code; of `examples`, pairs of place and message, only those kept are read."""
        if not count:
            return
        room = SHOWN - self.counts[code]
        if room > 0:
            kept = zip(range(min(room, count)), examples, strict=False)
            self.kept += [Diagnostic(grade, code, message, where) for _, (where, message) in kept]
        self.counts[code] += count

    def sort(self, sources: Sequence[str]) -> None:
        """Put them into the order of their files, those of none last."""
        order = {source: number for number, source in enumerate(sources)}
        end = len(order)
        self.kept.sort(key=lambda found: order.get(found.where.rpartition(":")[0], order.get(found.where, end)))

    def of(self, grade: Severity) -> list[Diagnostic]:
        """The kept diagnostics of one grade, in the order in which they were found."""
        return [finding for finding in self.kept if finding.grade == grade]

    def more(self, code: str) -> int:
        """How many diagnostics of a kind were not kept."""
        return max(0, self.counts[code] - SHOWN)

    def raise_errors(self, heading: str) -> None:
        """CorpusError with all errors, if there are any."""
        errors = self.of("error")
        if errors:
            rest = sum(self.more(code) for code in {error.code for error in errors})
            raise CorpusError(listed(heading, [f"{error.where}: {error.message}" for error in errors], more=rest))
