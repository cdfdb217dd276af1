"""Which process is attached, and whether it is dead: the proof that what it ran has ended.

A connection that closes proves nothing: a process may hang up and go on. On Linux the kernel tells which process has
connected to a Unix socket, and a pidfd tells when that very process has ended, whatever becomes of its number.
Refused: to ask by number whether it lives, since numbers are given away again.

What the process has started itself is not covered: it has to end with it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from swimstream.runtime.processes import how_it_ended

if TYPE_CHECKING:
    from typing import Self

SO_PEERPIDFD = 77
"""Linux 6.5; not in the module `socket` yet."""
UCRED = struct.Struct("iII")


class AttachedProcess:
    """One process, or nobody that is known. For one trio loop."""

    def __init__(self, pidfd: int | None, *, pid: int = 0) -> None:
        """Take over a descriptor of the process; None: nothing can be known of it. `pid` 0: not known."""
        self._pidfd = pidfd
        self._pid = pid
        self._is_dead = False

    @classmethod
    def of(cls, sock: socket.socket | trio.socket.SocketType) -> Self:
        """Return who has connected: known on Linux, through a Unix socket, in a namespace that can see it."""
        if sys.platform != "linux" or sock.family != socket.AF_UNIX:
            return cls(None)
        return cls(_pidfd_of(sock), pid=_pid_of(sock))

    @property
    def is_provable(self) -> bool:
        """Return whether its death could be seen."""
        return self._pidfd is not None or self._is_dead

    @property
    def is_dead(self) -> bool:
        """Return whether it has ended for certain."""
        if self._pidfd is not None and not self._is_dead:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            self._is_dead = bool(poll.poll(0))
        return self._is_dead

    async def wait_dead(self) -> None:
        """Return when it has ended; never, if that cannot be known."""
        if self._pidfd is None and not self._is_dead:
            await trio.sleep_forever()
        while not self.is_dead:
            assert self._pidfd is not None
            await trio.lowlevel.wait_readable(self._pidfd)

    def how_it_ended(self) -> str:
        """Return how it has ended, in words that follow its name, as far as the system tells; it must be dead."""
        return how_it_ended(self._pid, self._pidfd)

    def kill(self) -> None:
        """Kill it, if it is known."""
        if self._pidfd is not None and sys.platform == "linux":
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


def _pidfd_of(sock: socket.socket | trio.socket.SocketType) -> int | None:
    with suppress(OSError):
        return sock.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    if sys.platform == "linux":
        with suppress(OSError):
            pid = _pid_of(sock)
            pidfd = os.pidfd_open(pid) if pid else None
            # it may have died before that, and another have its number: then its connection has ended by now
            if pidfd is not None and _is_open(sock):
                return pidfd
            if pidfd is not None:
                os.close(pidfd)
    return None


def _pid_of(sock: socket.socket | trio.socket.SocketType) -> int:
    """Return its number, 0 if it cannot be seen from here; others may have it once the process has been reaped."""
    if sys.platform != "linux":
        return 0
    pid, _, _ = UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    return int(pid)


def _is_open(sock: socket.socket | trio.socket.SocketType) -> bool:
    with socket.socket(fileno=os.dup(sock.fileno())) as same:
        try:
            return bool(same.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False
