"""Catch SIGTERM and SIGINT, so that a loop can stop at a safe point."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType


@dataclass
class CaughtSignals:
    """The last signal received, and whether the parent process still lives."""

    received: signal.Signals | None = None
    parent: int = field(default_factory=os.getppid)

    @property
    def orphaned(self) -> bool:
        """Whether the process that started this one has ended."""
        return os.getppid() != self.parent

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as shells report it; that of SIGTERM if there was no signal."""
        return 128 + (self.received or signal.SIGTERM)


@contextmanager
def catch_signals() -> Iterator[CaughtSignals]:
    """Record SIGTERM and SIGINT instead of ending the process.

    Ctrl-C may arrive twice, from the terminal and from a parent process.
    """
    signals = CaughtSignals()

    def record(number: int, _: FrameType | None) -> None:
        signals.received = signal.Signals(number)

    before = {number: signal.signal(number, record) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
