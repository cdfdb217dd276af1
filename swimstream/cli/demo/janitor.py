"""The demo's side of the janitor: start it, tell it of workers, start another when it dies."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

from swimstream.cli.demo import janitor_process
from swimstream.cli.demo.janitor_process import started_at
from swimstream.errors import SwimstreamError

END_TIMEOUT_S = 5.0
"""How long the demo waits for the janitor to end: some milliseconds, but when the machine is busy."""


class DemoFailed(SwimstreamError):
    """The demo cannot go on; the message says what was stuck and where to look."""


class Janitor:
    """One janitor process after the other. One thread only."""

    def __init__(self) -> None:
        """Start the first one, which makes the temporary directory."""
        self._workers: dict[int, str] = {}
        self._process = self._start()
        self.directory = Path(self._read_directory())
        """Removed, with all that is in it, when the demo ends."""

    def watch(self, pid: int) -> None:
        """Have the process killed when the demo ends."""
        self._workers[pid] = started_at(pid)
        self._tell(pid)

    def forget(self, pid: int) -> None:
        """Drop a process that has been reaped."""
        self._workers.pop(pid, None)

    def keep_alive(self) -> bool:
        """Start another janitor if this one has died; return whether that was so."""
        if self._process.poll() is None:
            return False
        self._close_pipes()
        self._process = self._start(str(self.directory))
        self._read_directory()
        for pid in self._workers:
            self._tell(pid)
        return True

    def close(self) -> None:
        """Clear up, and let the janitor look again and end. Every worker must have ended."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self._close_pipes()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it goes on by itself until its own patience ends
            self._process.wait(END_TIMEOUT_S)

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        # A session of its own: Ctrl-C in the terminal reaches the demo alone, and the janitor only by the pipe's end.
        return subprocess.Popen(  # noqa: S603  # our own command line
            [sys.executable, "-I", "-S", janitor_process.__file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            cwd="/",
        )

    def _read_directory(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise DemoFailed("the process that clears up afterwards could not be started")
        return line

    def _tell(self, pid: int) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{pid} {self._workers[pid]}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died: keep_alive tells the next one

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
