"""Processes that are not ours to wait for: whether they live, and what is known of how they ended."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path

import trio

POLL_S = 0.05
PIDFD_GET_INFO = 0xC040_FF0B
"""`_IOWR(0xFF, 11, struct pidfd_info)` of Linux 6.13."""
PIDFD_INFO_EXIT = 1 << 3
"""From Linux 6.15 on: how it ended, also when it has been reaped by somebody else."""
PIDFD_INFO = struct.Struct("=QQ3I8Ii")


def open_pidfd(pid: int) -> int | None:
    """Return a descriptor of that process, which must not have been reaped yet; None where there are none."""
    if sys.platform == "linux":
        with suppress(OSError):  # a kernel before 5.3, or a sandbox
            return os.pidfd_open(pid)
    return None


async def wait_parent_gone(pid: int, pidfd: int | None) -> None:
    """Return once the parent of this process, which was `pid`, has ended with all its threads."""
    if pidfd is not None:
        await trio.lowlevel.wait_readable(pidfd)
        return
    while os.getppid() == pid:  # noqa: ASYNC110  # nothing else tells
        await trio.sleep(POLL_S)


def how_it_ended(pid: int, pidfd: int | None) -> str:
    """Return how an ended process ended, as words that follow its name; vague where the system does not tell."""
    status = _status_of_zombie(pid)
    if status is None and pidfd is not None:
        status = _status_of_reaped(pidfd)
    if status is None:
        return "has ended without a goodbye"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"was killed by {signal.Signals(number).name if number in set(signal.Signals) else f'signal {number}'}"
    return f"ended with exit status {os.WEXITSTATUS(status)} and no goodbye"


def _status_of_zombie(pid: int) -> int | None:
    """Return the wait status of a process that nobody has reaped yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[-1]) if fields and fields[0] == "Z" else None


def _status_of_reaped(pidfd: int) -> int | None:
    asked = bytearray(PIDFD_INFO.pack(PIDFD_INFO_EXIT, *[0] * 13))
    try:
        fcntl.ioctl(pidfd, PIDFD_GET_INFO, asked)
    except OSError:
        return None
    found = PIDFD_INFO.unpack(asked)
    return int(found[-1]) if found[0] & PIDFD_INFO_EXIT else None
