"""Processes that stand still: their memory, sockets and locks stay, their time does not. No rights needed."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from chaos.hostfaults.fault import HostFault

if TYPE_CHECKING:
    from collections.abc import Iterable


class Pause(HostFault):
    """SIGSTOP to some processes, SIGCONT at the end; who has ended meanwhile is left out."""

    def __init__(self, pids: Iterable[int]) -> None:
        """Choose the processes. Their children are others."""
        self._pids = tuple(pids)
        self._stopped: list[int] = []

    def begin(self) -> None:
        """Stop them, in order."""
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self._stopped.append(pid)

    def end(self) -> None:
        """Let them go on, the last one first."""
        while self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._stopped.pop(), signal.SIGCONT)
