"""Processes that report JSON lines and take orders: started, watched, killed, started again, and always ended.

One thread: only `watch` reads. A report carries its own time on CLOCK_BOOTTIME, which all processes of a machine
share, so that a late reader changes no figure. Linux ends every process along with this one (see `die_with_parent`).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

from chaos.peers.peer import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

READ_BYTES = 65_536
LINE_BYTES_MAX = 1_048_576
WATCH_TURN_S = 0.25
END_S_MAX = 10.0
ERRORS_SHOWN_BYTES = 2_000

Line = dict[str, object]


class CrewError(Exception):
    """A process ended that nobody harmed, or something did not happen in time: there are no figures."""


class Hand:
    """One process. `pending` is the beginning of a line that has not ended yet."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Wrap a process that was just started."""
        self.name = name
        self.process = process
        self.is_harmed = False
        """Whether it may end."""
        self.pending = b""


class Crew:
    """All processes. Use it in a `with` block: nothing is left when that ends. `note(name, line)` takes each report."""

    def __init__(self, note: Callable[[str, Line], None]) -> None:
        """Begin with nobody."""
        self._note = note
        self._selector = selectors.DefaultSelector()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `end`; it has no name to be left behind
        self._hands: dict[str, Hand] = {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill every process."""
        self.end()

    def start(self, name: str, command: Sequence[str]) -> Hand:
        """Start a process under a name that nobody has, or whose last bearer has ended."""
        assert name not in self._hands or self._hands[name].process.returncode is not None, f"{name} is running"
        process = subprocess.Popen(  # noqa: S603  # our own command lines
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *_inherited()])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            process_group=0,
        )
        hand = self._hands[name] = Hand(name, process)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, hand)
        return hand

    def order(self, name: str, line: str) -> None:
        """Write one line to a process; nothing happens if it has ended."""
        pipe = self._hands[name].process.stdin
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            pipe.write(f"{line}\n".encode())
            pipe.flush()

    def kill(self, name: str) -> float:
        """`kill -9` a process and wait for its end; return when, on CLOCK_BOOTTIME."""
        hand = self._hands[name]
        hand.is_harmed = True
        at = now()
        self._end_group(hand)
        hand.process.wait(END_S_MAX)
        return at

    def running(self) -> list[str]:
        """Return the names of those that have not ended."""
        return [name for name, hand in self._hands.items() if hand.process.poll() is None]

    def watch(self, until: Callable[[], bool], *, timeout_s: float) -> bool:
        """Read reports until `until` holds or the time is over; return whether it holds. Raise `CrewError`."""
        deadline = time.monotonic() + timeout_s
        while not until():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            for key, _ in self._selector.select(min(left_s, WATCH_TURN_S)):
                self._read(key.data)
            self._check_processes()
        return True

    def await_(self, until: Callable[[], bool], complaint: str, *, timeout_s: float) -> None:
        """Do the same, but raise `CrewError` with the complaint when the time is over."""
        if not self.watch(until, timeout_s=timeout_s):
            raise CrewError(f"{complaint} after {timeout_s:.0f} s{self.last_errors()}")

    def rest(self, seconds: float) -> None:
        """Let everything go on undisturbed for so long."""
        self.watch(lambda: False, timeout_s=seconds)

    def last_errors(self) -> str:
        """Return the end of what all have written to stderr, after a line break; empty if they wrote nothing."""
        # All share the file's offset, and write at its end: read without moving it.
        size = os.fstat(self._errors.fileno()).st_size
        text = os.pread(self._errors.fileno(), ERRORS_SHOWN_BYTES, max(0, size - ERRORS_SHOWN_BYTES))
        return f"\n{text.decode(errors='replace')}" if text else ""

    def end(self) -> None:
        """Kill and reap every process. May be called again."""
        for hand in self._hands.values():
            self._end_group(hand)
        for hand in self._hands.values():
            hand.process.wait(END_S_MAX)
            self._close(hand)
        self._selector.close()
        self._errors.close()

    # --- within -----------------------------------------------------------------------------------

    def _end_group(self, hand: Hand) -> None:
        if hand.process.poll() is None:  # once it is reaped, its number may be another's
            with contextlib.suppress(ProcessLookupError):
                os.killpg(hand.process.pid, signal.SIGKILL)

    def _close(self, hand: Hand) -> None:
        for pipe in (hand.process.stdin, hand.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _read(self, hand: Hand) -> None:
        assert hand.process.stdout is not None
        data = os.read(hand.process.stdout.fileno(), READ_BYTES)
        if not data:
            self._selector.unregister(hand.process.stdout)
            self._close(hand)
            return
        *lines, hand.pending = (hand.pending + data).split(b"\n")
        if len(hand.pending) > LINE_BYTES_MAX:
            raise CrewError(f"{hand.name} wrote a line of more than {LINE_BYTES_MAX} bytes")
        for line in lines:
            self._note(hand.name, json.loads(line))

    def _check_processes(self) -> None:
        for hand in self._hands.values():
            status = hand.process.poll()
            if status is not None and not hand.is_harmed:
                raise CrewError(f"{hand.name} ended with status {status}{self.last_errors()}")


def now() -> float:
    """Return seconds on CLOCK_BOOTTIME, or on CLOCK_MONOTONIC where there is none."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _inherited() -> list[str]:
    return [path for path in [os.environ.get("PYTHONPATH", "")] if path]
