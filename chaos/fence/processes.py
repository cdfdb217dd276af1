"""Processes under trial: started, paused, continued and ended by what cannot hit another process of the same number."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import attrs

from chaos.fence.judge import newest_epoch, read_executions
from swimstream.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from chaos.fence.judge import Execution

T = TypeVar("T")

POLL_S = 0.02
ALIVE_S = 0.5


class TrialError(Exception):
    """A trial came to nothing, which is no verdict."""


class Handle:
    """One process by its descriptor, whoever has started it. Signals to one that has ended do nothing."""

    def __init__(self, pid: int) -> None:
        """Take hold of a living process; raise `ProcessLookupError` if there is none."""
        assert sys.platform == "linux"
        self._descriptor = os.pidfd_open(pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        assert sys.platform == "linux"
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def wait(self, timeout_s: float) -> bool:
        """Return whether it has ended within `timeout_s`."""
        return bool(select.select([self._descriptor], [], [], timeout_s)[0])

    def __enter__(self) -> Self:
        """Return itself; lets go at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Have it continue, and let go of it: nothing is left standing still."""
        self.signal(signal.SIGCONT)
        os.close(self._descriptor)


def start(module: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a module of this harness in a session of its own; it dies with this process, even while it is stopped."""
    with log.open("ab") as sink:
        return subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-m", module, str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill it; the operators that it runs die with it."""
    process.kill()
    process.wait()


def until(find: Callable[[], T | None], *, what: str, timeout_s: float) -> T:
    """Return what `find()` gives once it is not None; raise `TrialError` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while (found := find()) is None:
        if time.monotonic() > deadline:
            raise TrialError(f"{what}: not within {timeout_s:g} s")
        time.sleep(POLL_S)
    return found


def running(directory: Path, *, stamps: int = 10) -> Execution | None:
    """Return the newest execution if it writes right now and has made so many attempts."""
    executions = read_executions(directory, epoch_min=newest_epoch(directory))
    if not executions:
        return None
    newest = executions[-1]
    is_alive = len(newest.stamps) >= stamps and clock.now() - newest.stamps[-1] < ALIVE_S
    return newest if is_alive else None


@attrs.frozen
class Paused:
    """A worker's process and its operator's, standing still."""

    worker: Handle
    operator: Handle
    at: float

    def go_on(self) -> None:
        """Continue both, the operator first: it gets every chance to write before its worker can stop it."""
        self.operator.signal(signal.SIGCONT)
        self.worker.signal(signal.SIGCONT)


def pause(worker: Handle, operator: Handle) -> Paused:
    """Stop both, the worker first: what it has not renewed by then it renews no more."""
    worker.signal(signal.SIGSTOP)
    at = clock.now()
    operator.signal(signal.SIGSTOP)
    return Paused(worker, operator, at)
