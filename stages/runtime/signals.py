"""SIGTERM and SIGINT as something that a loop looks at when it suits it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType


@dataclass
class CaughtSignals:
    """Which signal has come, if one has."""

    received: signal.Signals | None = None
    parent: int = field(default_factory=os.getppid)

    @property
    def orphaned(self) -> bool:
        """Whether the process that started this one is gone."""
        return os.getppid() != self.parent

    @property
    def exit_code(self) -> int:
        """As a shell tells it: 128 and the signal's number; without one, that of SIGTERM."""
        return 128 + (self.received or signal.SIGTERM)


@contextmanager
def catch_signals() -> Iterator[CaughtSignals]:
    """Within, SIGTERM and SIGINT are only noted: Ctrl-C may come from the terminal and from a parent as well."""
    signals = CaughtSignals()

    def note(number: int, _: FrameType | None) -> None:
        signals.received = signal.Signals(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
