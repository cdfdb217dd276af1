"""The janitor: a small process that outlives the demo by a moment and clears up after it, however it ended.

Run as a script, with the standard library alone, so that it is there within milliseconds. Its standard input is a
pipe whose other end only the demo holds: the end of that file is the demo's end, `kill -9` included. It makes the
temporary directory itself (a directory made by the demo could outlive a demo that is killed right then), prints the
path, and reads one line for each worker: `PID START`. A process is only killed if it still started at START: a
process id that was given to somebody else is left alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATIENCE_S = 10.0
SOCKET_PATH_ROOM = 50
"""A temporary directory with a longer path leaves too little room for a socket in it (the kernel takes 107 bytes)."""


def started_at(pid: int) -> str:
    """Return when the process started, as an opaque text; empty if there is none or it has ended (a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _started_at_by_ps(pid)
    return "" if fields[0] in "ZX" else fields[19]


def _started_at_by_ps(pid: int) -> str:
    """Return the same where there is no /proc (macOS)."""
    shown = subprocess.run(  # noqa: S603  # our own command line
        ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=1)
    return "" if len(shown) < 2 or shown[0].startswith("Z") else shown[1].strip().replace(" ", "_")


def make_directory() -> Path:
    """Make a new private directory whose path is short enough for sockets in it."""
    root = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="swimstream-", dir=root if len(root) <= SOCKET_PATH_ROOM else "/tmp"))  # noqa: S108  # mkdtemp makes it private


def sweep(workers: dict[int, str], directory: Path) -> None:
    """Kill what is left of the workers and remove the directory; give up after `PATIENCE_S`."""
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        left = [pid for pid, start in workers.items() if started_at(pid) == start]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # A worker that was dying may still have written after the directory was listed: look again until it is gone.
        shutil.rmtree(directory, ignore_errors=True)
        if not left and not directory.exists():
            return
        time.sleep(0.02)


def main() -> None:
    """Wait for the demo's end, then clear up. One argument: the directory, if there is one already."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else make_directory()
    workers: dict[int, str] = {}
    try:
        sys.stdout.write(f"{directory}\n")
        sys.stdout.flush()
        for line in sys.stdin:
            pid, _, start = line.strip().partition(" ")
            if pid.isdigit() and start:
                workers[int(pid)] = start
    finally:
        sweep(workers, directory)


if __name__ == "__main__":
    main()
