"""One process at a time in a state directory, and a mark of how much it has written there.

SQLite takes a damaged end of its write-ahead log for a write that a crash has cut short, and goes back to the last
sound one without a word; of a log that is missing it knows nothing. A voter would have forgotten its vote. So every
write has a number, in the database, and after the write the number is put here, in the file of the lock. A database
that has come less far than its mark has lost something that was acknowledged.

The mark is not synced: that would double the cost of a write. A process that is killed leaves it exact, since the
kernel has it; a machine that loses power may leave an older one, or none, which accuses nobody. So after a power
failure a log that was damaged as well, at its very end, can still go unnoticed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from typing import TYPE_CHECKING

from swimstream.errors import StorageError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

LOCK_NAME = "swimstream.lock"
_NUMBER_BYTES = 8
_HASH_BYTES = 8


class StateLock:
    """A state directory, held until `close`, or until the process ends in any way. Not thread-safe."""

    def __init__(self, state_dir: Path) -> None:
        """Take the directory; create it if there is none.

        Raise `UsageError` if another process holds it, `StorageError` if it cannot be used.
        """
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            # A file of its own: SQLite's locks vanish when anything else in the process closes the database.
            self._descriptor = os.open(state_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"state_dir: expected a directory that can be written, {state_dir}: {error}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            if isinstance(error, BlockingIOError):
                raise UsageError(
                    f"state_dir: expected a directory of this worker's own, but a running worker holds {state_dir}"
                ) from error
            raise StorageError(f"state_dir: expected a file system with locks, {state_dir}: {error}") from error

    def read_mark(self) -> int:
        """Return the number of the newest write that is known here; 0 if none is, or the mark is damaged."""
        data = os.pread(self._descriptor, _NUMBER_BYTES + _HASH_BYTES, 0)
        number = int.from_bytes(data[:_NUMBER_BYTES], "big")
        return number if data == _mark(number) else 0

    def write_mark(self, number: int) -> None:
        """Put down the number of a write that is durable."""
        os.pwrite(self._descriptor, _mark(number), 0)

    def close(self) -> None:
        """Give the directory free; the mark is on disk then."""
        try:
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)


def _mark(number: int) -> bytes:
    data = number.to_bytes(_NUMBER_BYTES, "big")
    return data + hashlib.blake2b(data, digest_size=_HASH_BYTES).digest()
