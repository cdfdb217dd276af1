"""What one instance printed, in files of a bounded size, of which the oldest are dropped.

Each file is named by the position of its first byte. So nothing is renamed, and a position means the same byte before
and after the oldest file has gone.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES_MAX = 4
"""Of one instance; the newest is being written."""
NAME = re.compile(r"(\d{20})\.log")


class LogFiles:
    """The files of one instance in a directory of their own. Not thread-safe. Every method may raise `OSError`."""

    def __init__(self, directory: Path, *, bytes_max: int) -> None:
        """Go on after what is there already; `bytes_max` is for all files together."""
        self._directory = directory
        self._file_bytes_max = max(1, bytes_max // FILES_MAX)
        self._starts = sorted(int(found[1]) for each in directory.glob("*.log") if (found := NAME.fullmatch(each.name)))
        self.end = self._starts[-1] + self._path(self._starts[-1]).stat().st_size if self._starts else 0
        """Position behind the last byte."""
        self._last = self._read_last()

    @property
    def lowest(self) -> int:
        """Return the position of the first byte that is still there."""
        return self._starts[0] if self._starts else self.end

    def append(self, data: bytes) -> int:
        """Write `data`; return how many older bytes were dropped for it."""
        before = self.lowest
        while data:
            if not self._starts or self.end - self._starts[-1] >= self._file_bytes_max:
                self._begin_file()
            piece = data[: self._starts[-1] + self._file_bytes_max - self.end]
            with self._path(self._starts[-1]).open("ab") as file:
                file.write(piece)
            self.end += len(piece)
            self._last = piece[-1:]
            data = data[len(piece) :]
        return self.lowest - before

    def append_line(self, text: str) -> int:
        """Write a line of our own, behind the end of whatever line is there; return as `append` does."""
        return self.append((b"\n" if self._last not in (b"", b"\n") else b"") + text.encode() + b"\n")

    def read(self, start: int, bytes_max: int) -> tuple[int, bytes]:
        """Return at most so many bytes from `start`, or from the first that is still there, and where they begin."""
        start = min(max(start, self.lowest), self.end)
        data = b""
        for file_start, file_end in self._spans():
            at = start + len(data)
            if file_start <= at < file_end and len(data) < bytes_max:
                with self._path(file_start).open("rb") as file:
                    file.seek(at - file_start)
                    data += file.read(min(bytes_max - len(data), file_end - at))
        return start, data

    def tail(self, lines: int, bytes_max: int) -> tuple[int, bytes]:
        """Return the last so many lines, as many of them as fit, and where they begin."""
        start, data = self.read(self.end - bytes_max, bytes_max)
        cut = len(data) - 1 if data.endswith(b"\n") else len(data)
        for _ in range(lines):
            if cut < 0:
                break
            cut = data.rfind(b"\n", 0, cut)
        cut = len(data) if lines == 0 else cut + 1
        return start + cut, data[cut:]

    def _begin_file(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path(self.end).touch()
        self._starts.append(self.end)
        while len(self._starts) > FILES_MAX:
            self._path(self._starts[0]).unlink(missing_ok=True)
            del self._starts[0]

    def _spans(self) -> Iterator[tuple[int, int]]:
        yield from pairwise([*self._starts, self.end])

    def _read_last(self) -> bytes:
        _, data = self.read(self.end - 1, 1)
        return data

    def _path(self, start: int) -> Path:
        return self._directory / f"{start:020}.log"
