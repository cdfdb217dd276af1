"""The process above a command: `python -m swimstream.runners.supervisor`, started by `process.py` and by nobody else.

A command knows nothing of us, and a kernel timer does not survive `exec`. So this process holds the timer in the
command's place, and the command is tied to it: the kernel kills this process, whatever its state, and in its end the
command (PR_SET_PDEATHSIG). That is one step more than a timer of the command's own, so it is set 0.3 s early.

What the command starts is in the group that this process leads, and the kernel kills that with it, too: `fuse.py`.
Another 0.3 s before, if it runs then, this process kills the whole group itself.

One thread and one loop, so that forking is safe and nothing can hold up a renewal.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from swimstream.runners.causes import cause_of
from swimstream.runners.child import PR_SET_PDEATHSIG, die_with
from swimstream.runners.command import REPORT_FD
from swimstream.runners.fence import arm
from swimstream.runners.frames import CHUNK_BYTES, UNTIL, Frames, encode, waiting_deadlines
from swimstream.runners.fuse import arm_fuse
from swimstream.runners.report_lines import ReportLines
from swimstream.runtime import clock
from swimstream.runtime.reports import REPORT_INTERVAL_S

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from types import FrameType

    from swimstream.runners.fence import KernelFence, WatchdogFence

log = logging.getLogger(__name__)

FIRST_FD = 10
"""Our own descriptors are from here on: 3 is the command's."""


def main() -> None:
    """Run one command to its end: as `child`, and `EARLY_S` as the last argument."""
    channel_fd, fence_fd, fuse, burning, worker_pid, fence_at, early_s = sys.argv[1:]
    die_with(int(worker_pid))
    channel, fencing = _own(int(channel_fd)), _own(int(fence_fd))
    held = _moved(int(fuse))
    arm_fuse(held, _moved(int(burning)))
    deadline = None if fence_at == "-" else Deadline(float(fence_at), fencing, early_s=float(early_s))
    Supervisor(channel, deadline, fuse=held).run()


def _own(descriptor: int) -> socket.socket:
    """Take over an inherited socket."""
    return socket.socket(fileno=_moved(descriptor))


class Deadline:
    """When the command must have ended: the kernel's timer, and the kill of the group shortly before."""

    def __init__(self, until: float, renewals: socket.socket, *, early_s: float) -> None:
        """Arm the timer for half of `early_s` before `until`; the group is to be killed all of `early_s` before.

        `until` is what it was at the start of this process; what the worker has told since counts.
        """
        told = waiting_deadlines(renewals)
        self._until = max([until, *told])
        self._fence: KernelFence | WatchdogFence = arm(self._until - early_s / 2)
        self._early_s = early_s
        self.renewals = renewals
        with suppress(ConnectionError):
            renewals.sendall(b"".join(map(UNTIL.pack, told)))

    def left_s(self) -> float:
        """Return how long until the group is to be killed."""
        return self._until - self._early_s - clock.now()

    def move(self) -> bool:
        """Move it as the worker says, and confirm; return False when nothing will come any more."""
        try:
            data = self.renewals.recv(UNTIL.size, socket.MSG_WAITALL)
            if len(data) < UNTIL.size:
                return False
            (self._until,) = UNTIL.unpack(data)
            self._fence.renew(self._until - self._early_s / 2)
            self.renewals.sendall(data)
        except ConnectionError:
            return False
        return True


class Supervisor:
    """Starts one command, hands on what it says, and tells how it has ended."""

    def __init__(self, channel: socket.socket, deadline: Deadline | None, *, fuse: int) -> None:
        """Take over the socket to the worker, and the signals. The command is to hold `fuse`."""
        self._fuse = fuse
        self._channel = channel
        self._deadline = deadline
        self._frames = Frames()
        self._lines = ReportLines(log.warning)
        self._outgoing = bytearray()
        self._sent_at = float("-inf")
        self._reporting, writing = os.pipe()
        if writing != REPORT_FD:
            self._reporting = _moved(self._reporting)
            os.dup2(writing, REPORT_FD, inheritable=False)
            os.close(writing)
        os.set_blocking(self._reporting, False)
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):  # handlers, since to ignore would be inherited by the command
            signal.signal(number, _no_more_than_wake)

    def run(self) -> None:
        """Return when the command has ended and that was told."""
        try:
            command = _spawn(self._receive_order(), fuse=self._fuse)
        except (OSError, ValueError) as error:  # no such program, one that cannot be executed, too long arguments
            self._outgoing += encode("failed", cause_of(error))
        else:
            self._outgoing += encode("running")
            self._attend(command)
            self._read_reports()
            self._queue_news()
            self._outgoing += encode("exited", command.returncode)
        self._channel.setblocking(True)
        with suppress(ConnectionError):
            self._channel.sendall(self._outgoing)

    def _receive_order(self) -> Mapping[str, object]:
        while data := self._channel.recv(CHUNK_BYTES):
            for message in self._frames.feed(data):
                match message:
                    case ["run", dict(order)]:
                        return order
                    case other:
                        raise AssertionError(f"expected the order to run, got {other!r}")
        raise ConnectionError("the worker is gone")

    def _attend(self, command: subprocess.Popen[bytes]) -> None:
        """Do as the worker says, and hand on what the command says, until the command has ended."""
        os.close(REPORT_FD)
        self._channel.setblocking(False)
        self._obey(b"")  # what came right behind the order
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(self._reporting, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            if self._deadline is not None:
                selector.register(self._deadline.renewals, selectors.EVENT_READ)
            while command.poll() is None:
                selector.modify(self._channel, selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0))
                ready = {key.fileobj for key, _ in selector.select(self._patience_s())}
                self._act(ready, selector)

    def _act(self, ready: Collection[object], selector: selectors.BaseSelector) -> None:
        if self._deadline is not None:
            if self._deadline.renewals in ready and not self._deadline.move():
                selector.unregister(self._deadline.renewals)
            if self._deadline.left_s() <= 0:
                _kill_group()
        if self._woken in ready:
            with suppress(BlockingIOError):
                self._woken.recv(CHUNK_BYTES)
        if self._reporting in ready and not self._read_reports():
            selector.unregister(self._reporting)
        if self._channel in ready:
            self._hear()
        if self._lines.has_news and not self._outgoing and clock.now() >= self._sent_at + REPORT_INTERVAL_S:
            self._queue_news()
            self._sent_at = clock.now()
        self._send()

    def _patience_s(self) -> float | None:
        """Return how long nothing may happen: until reports are due, or the group is to be killed."""
        waits = []
        if self._lines.has_news and not self._outgoing:
            waits.append(self._sent_at + REPORT_INTERVAL_S - clock.now())
        if self._deadline is not None:
            waits.append(self._deadline.left_s())
        return max(0.0, min(waits)) if waits else None

    def _hear(self) -> None:
        """Read what the worker says. When it is gone nobody could stop the command, so the whole group ends."""
        try:
            data = self._channel.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            _kill_group()
        self._obey(data)

    def _obey(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            match message:
                case ["cancel"]:
                    os.killpg(0, signal.SIGTERM)
                case other:
                    raise AssertionError(f"expected a message of the worker, got {other!r}")

    def _send(self) -> None:
        """Send what the worker takes now. It may be paused: a renewal or the deadline must not wait for it."""
        with suppress(BlockingIOError, ConnectionError):
            while self._outgoing:
                del self._outgoing[: self._channel.send(self._outgoing)]

    def _read_reports(self) -> bool:
        """Read what the command has said; return False when nobody can say anything any more."""
        try:
            data = os.read(self._reporting, CHUNK_BYTES)
        except BlockingIOError:
            return True
        self._lines.feed(data)
        return bool(data)

    def _queue_news(self) -> None:
        news = self._lines.take()
        if news is not None:
            self._outgoing += encode("report", *news)


def _spawn(order: Mapping[str, object], *, fuse: int) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def tie() -> None:
        """Between fork and exec: die with the parent; at once if it is dead already."""
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return subprocess.Popen(  # noqa: S603  # it is the user's own command
        cast("list[str]", order["argv"]),
        env={**os.environ, **cast("dict[str, str]", order["env"])},
        cwd=str(order["cwd"]) or None,
        stdin=subprocess.DEVNULL,
        pass_fds=(REPORT_FD, fuse),
        preexec_fn=tie,  # noqa: PLW1509  # no other thread runs here
    )


def _moved(descriptor: int) -> int:
    """Return the same file under a number that is not the command's, and that it does not inherit."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_FD)
    os.close(descriptor)
    return moved


def _kill_group() -> None:
    """End the command, all it has started, and this process."""
    os.killpg(0, signal.SIGKILL)


def _no_more_than_wake(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal: without a handler of Python's no byte is written."""


if __name__ == "__main__":
    main()
