"""Ctrl-C and its relatives, taken at a moment of our choosing: never between a process' start and its registration."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asks the demo to end."""

    def __init__(self, number: int) -> None:
        """Remember which."""
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


class Signals:
    """Catches the signals that end a program. Main thread only."""

    def __init__(self) -> None:
        """Take over the handlers; at first a signal interrupts at once."""
        self._caught: int | None = None
        self._deferring = False
        self._before = {number: signal.signal(number, self._catch) for number in ENDING}

    def restore(self) -> None:
        """Give the handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def defer(self) -> None:
        """From here on, signals wait for `check`."""
        self._deferring = True

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self._caught is not None:
            raise Interrupted(self._caught)

    def ignore(self) -> None:
        """Let nothing disturb the clearing up, which takes a moment only."""
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)

    def _catch(self, number: int, _: FrameType | None) -> None:
        self._caught = number
        if not self._deferring:
            raise Interrupted(number)
