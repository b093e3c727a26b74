"""Diagnostics of a corpus in three severities; of each code the first 20 are kept in full, the rest counted."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from stages.errors import SHOWN, CorpusError, list_faults

Severity = Literal["error", "warning", "note"]
LEFT_OUT = "left out: "
# Codes of doubts about the corpus as a whole, which make all other figures meaningless: they are shown first.
HEADLINES = ("word-prefix", "word-suffix", "unknown-words")


@dataclass(frozen=True)
class Diagnostic:
    """One observation: an `error` makes the corpus unusable, a `warning` may cost accuracy, a `note` informs."""

    severity: Severity
    code: str
    message: str
    where: str  # file:line, or the file or folder as a whole


def suggest_run(place: object, setting: str) -> str:
    """Return the command, ready to copy, that trains on the corpus at `place` with another value of a parameter."""
    return f"tuneline run --set {shlex.quote(f'data.dir={place}')} --set {shlex.quote(setting)}"


class UnreadableError(CorpusError):
    """The rest of a file cannot be read; `where` is the file or a line of it."""

    def __init__(self, code: str, where: object, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.code, self.where, self.message = code, str(where), message


class AnnotationError(Exception):
    """A record is not annotated text. The message says why; the reader that catches it adds where."""


@dataclass
class Diagnostics:
    """Collects diagnostics. `counts` has the number of each code, those that are not kept included.

    What a reader adds as an error is a fault of one sentence or record, which it leaves out; `faulty` counts these.
    """

    kept: list[Diagnostic] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    faulty: int = 0

    def add(self, severity: Severity, code: str, where: object, message: str) -> None:
        """Add one diagnostic."""
        self.add_all(severity, code, 1, [(str(where), message)])

    def add_all(
        self,
        severity: Severity,
        code: str,
        count: int,
        examples: Iterable[tuple[str, str]],
        *,
        faulty: int | None = None,
    ) -> None:
        """Add `count` diagnostics of one code. Of `examples`, pairs of place and message, only those kept are read.

        Errors count as so many faulty sentences; as `faulty`, where one sentence may have several.
        """
        if not count:
            return
        if severity == "error":
            self.faulty += count if faulty is None else faulty
        if self.counts[code] < SHOWN:
            capacity = SHOWN - sum(each.code == code for each in self.kept)
            kept = zip(range(capacity), examples, strict=False)
            self.kept += [Diagnostic(severity, code, message, where) for _, (where, message) in kept]
        self.counts[code] += count

    def extend(self, other: "Diagnostics") -> None:
        """Add all diagnostics of another collection."""
        for code, count in other.counts.items():
            kept = [diagnostic for diagnostic in other.kept if diagnostic.code == code]
            self.add_all(kept[0].severity, code, count, [(each.where, each.message) for each in kept], faulty=0)
        self.faulty += other.faulty

    def replace_errors(self, code: str) -> "Diagnostics":
        """Return a copy whose errors are warnings `code` that a sentence is left out; `counts` has the sentences."""
        errors = self.of("error")
        codes = {error.code for error in errors}
        kept = [diagnostic for diagnostic in self.kept if diagnostic.code not in codes]
        copy = Diagnostics(
            kept, Counter({code: n for code, n in self.counts.items() if code not in codes}), self.faulty
        )
        copy.add_all("warning", code, self.faulty, ((error.where, f"{LEFT_OUT}{error.message}") for error in errors))
        return copy

    def restore_errors(self, code: str) -> None:
        """Make errors again of the warnings `code` that `replace_errors` made."""
        self.kept = [
            replace(each, severity="error", message=each.message.removeprefix(LEFT_OUT)) if each.code == code else each
            for each in self.kept
        ]

    def sort(self, sources: Sequence[str]) -> None:
        """Sort by file in the order of `sources`; headlines come first, others that are of no file last."""
        order = {source: number for number, source in enumerate(sources)}
        end = len(order)

        def place(each: Diagnostic) -> int:
            file = order.get(each.where.rpartition(":")[0], order.get(each.where, end))
            return -1 if each.code in HEADLINES else file

        self.kept.sort(key=place)

    def of(self, severity: Severity) -> list[Diagnostic]:
        """List the kept diagnostics of one severity, in the order in which they were added."""
        return [diagnostic for diagnostic in self.kept if diagnostic.severity == severity]

    def more(self, code: str) -> int:
        """Count the diagnostics of a code that were not kept."""
        return max(0, self.counts[code] - SHOWN)

    def raise_errors(self, heading: str) -> None:
        """Raise a CorpusError with all errors, if there are any."""
        errors = self.of("error")
        if errors:
            rest = sum(self.more(code) for code in {error.code for error in errors})
            raise CorpusError(list_faults(heading, [f"{error.where}: {error.message}" for error in errors], more=rest))

    def to_json(self) -> dict[str, Any]:
        """`findings` and `counts` as `tuneline check` and `tuneline import` print them.

        `grade` repeats `severity`: programs that read this output may rely on either.
        """
        findings = [{"grade": diagnostic.severity, **asdict(diagnostic)} for diagnostic in self.kept]
        return {"findings": findings, "counts": dict(self.counts)}
