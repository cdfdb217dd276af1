"""Who faults are tried on: a process that follows orders on stdin, and answers each with a line of JSON.

Orders: `hello`; `burn` (a thread that computes for ever); `take MIB`; `write`, `sync`, `commit` (ok, or the error's
name, or SQLite's words); `sync-ms`; `calendar`; `monotonic`; `look-up NAME`. Files are those of the directory
SUBJECT_DISK.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sqlite3
import sys
import threading
import time
from pathlib import Path

PAGE_BYTES = 4096


class Subject:
    """What it has: memory, a file, a database."""

    def __init__(self, disk: Path | None) -> None:
        """Open what there is, before anything is wrong."""
        self._held: list[bytearray] = []
        self._file = -1
        if disk is not None:
            self._file = os.open(disk / "file", os.O_RDWR | os.O_CREAT)
            self._database = sqlite3.connect(disk / "database", isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("CREATE TABLE kept (row)")

    def follow(self, order: str) -> float | str:
        """Do it; return the answer."""
        match order.split():
            case ["hello"]:
                return "ok"
            case ["burn"]:
                threading.Thread(target=_burn, daemon=True).start()
                return "ok"
            case ["take", mib]:
                memory = bytearray(int(mib) << 20)
                for offset in range(0, len(memory), PAGE_BYTES):
                    memory[offset] = 1
                self._held.append(memory)
                return "ok"
            case ["calendar"]:
                return time.time()
            case ["monotonic"]:
                return time.monotonic()
            case ["look-up", name]:
                return _look_up(name)
            case [word]:
                return self._of_disk(word)
            case _:
                raise ValueError(f"expected an order, got {order!r}")

    def _of_disk(self, word: str) -> float | str:
        began_at = time.monotonic()
        try:
            match word:
                case "write":
                    os.write(self._file, b"x")
                case "sync":
                    os.fsync(self._file)
                case "commit":
                    self._database.execute("INSERT INTO kept VALUES (1)")
                case "sync-ms":
                    os.fsync(self._file)
                    return (time.monotonic() - began_at) * 1000
                case _:
                    raise ValueError(f"expected an order, got {word!r}")
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        except sqlite3.Error as error:
            return str(error)
        return "ok"


def _burn() -> None:
    while True:
        pass


def _look_up(name: str) -> str:
    try:
        socket.getaddrinfo(name, 80)
    except socket.gaierror as error:
        return "EAI_AGAIN" if error.errno == socket.EAI_AGAIN else str(error)
    return "ok"


def main() -> None:
    """Follow orders until stdin ends."""
    disk = os.environ.get("SUBJECT_DISK")
    subject = Subject(None if disk is None else Path(disk))
    for line in sys.stdin:
        sys.stdout.write(json.dumps({"value": subject.follow(line.strip())}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
