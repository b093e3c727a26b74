"""What was noticed about a corpus, as the log of a stage has it."""

import logging

from stages.corpus.faults import DROPPED
from stages.corpus.text.diagnostics import HEADLINES, Diagnostic, Diagnostics

log = logging.getLogger("tokenize")


def log_warnings(diagnostics: Diagnostics, *, headlines: bool) -> None:
    """Log the first warning of each code, and all that name an example that was left out.

    `headlines` chooses the warnings on the corpus as a whole, or all others.
    """
    warnings = [each for each in diagnostics.of("warning") if (each.code in HEADLINES) == headlines]
    for code in dict.fromkeys(warning.code for warning in warnings):
        of_code = [warning for warning in warnings if warning.code == code]
        shown = of_code if code.startswith(DROPPED) else of_code[:1]
        _log(shown, more=diagnostics.counts[code] - len(shown))


def log_notes(diagnostics: Diagnostics, code: str) -> None:
    """Log the notes of a code."""
    for note in diagnostics.of("note"):
        if note.code == code:
            log.info("%s", note.message)


def _log(warnings: list[Diagnostic], *, more: int) -> None:
    for warning in warnings:
        others = f" (and {more:,} more; see `tuneline check`)" if more > 0 and warning is warnings[-1] else ""
        log.warning("warning: %s: %s%s", warning.where, warning.message, others)
