"""A process of an instance, once it is started and before anybody has spoken with it.

It is spawned, not forked (a fork of a process with threads inherits locks that nobody will release), in a session of
its own, so that a Ctrl-C at the worker's terminal does not reach it and it can be killed with whatever it has started.
The kernel kills it when the worker's operators' thread ends, however that ends; see `child.py`.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import trio

log = logging.getLogger(__name__)

REAP_S = 1.0
POLL_S = 0.02
MODULE = "swimstream.runners.child"
COMMAND_MODULE = "swimstream.runners.supervisor"


class Spawned:
    """One process, and the worker's ends of what it was given. For the operators' loop only.

    `channel` is for messages, `fence` for deadlines alone, and its group ends with it while `_fuse` is open.
    """

    def __init__(
        self, module: str, *, fence_at: float | None, more: tuple[str, ...] = (), output: int | None = None
    ) -> None:
        """Start it; blocks for some milliseconds. Raise `OSError` if the system refuses.

        What it prints goes to the descriptor `output`, which stays the caller's; None: where the worker's own goes.
        To be called by the very thread that is to outlive it: PR_SET_PDEATHSIG means that thread's death.
        """
        self.channel, theirs = socket.socketpair()
        self.fence, their_fence = socket.socketpair()
        self.fence.setblocking(False)
        self._fuse, burning = os.pipe()
        passed = (theirs.fileno(), their_fence.fileno(), self._fuse, burning)
        until = "-" if fence_at is None else repr(fence_at)
        argv = [sys.executable, "-m", module, *map(str, passed), str(os.getpid()), until, *more]
        try:
            self._process = _spawn(argv, passed, output)
        except OSError:
            self.close()
            raise
        finally:
            theirs.close()
            their_fence.close()
            os.close(burning)

    @property
    def pid(self) -> int:
        """Return the process id, which is its session's and its group's as well."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Return the exit status once it was reaped, negative for a signal; None before."""
        return self._process.returncode

    def has_hung_up(self) -> bool:
        """Return whether nobody speaks at the other end any more. Only of one that says nothing before it is told to.

        Asked instead of the system: to learn from that of an end is to reap, and then the group's number may be reused.
        """
        try:
            return not self.channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    async def wait_for_end(self) -> None:
        """Wait until it is dead but, where that can be had, not reaped: so its group's number is still its own."""
        descriptor = _pidfd(self.pid)
        if descriptor is None:
            while self._process.poll() is None:  # noqa: ASYNC110  # nothing else tells
                await trio.sleep(POLL_S)
            return
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its group."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def reap(self) -> None:
        """Kill what is left of its group, and take its status."""
        with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            os.killpg(self.pid, signal.SIGKILL)
        try:
            self._process.wait(REAP_S)
        except subprocess.TimeoutExpired:
            log.exception("a killed operator does not end: it hangs in the kernel pid=%d", self.pid)

    def close(self) -> None:
        """Let go of what ties it to the worker."""
        self.channel.close()
        self.fence.close()
        os.close(self._fuse)


def _pidfd(pid: int) -> int | None:
    if sys.platform == "linux":
        with suppress(OSError):  # a kernel before 5.3, or a sandbox
            return os.pidfd_open(pid)
    return None


def _spawn(argv: list[str], passed: tuple[int, ...], output: int | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  # our own module
        argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=passed, start_new_session=True
    )
