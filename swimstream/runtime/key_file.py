"""The file that holds a worker's keys: written anew when the cluster's keys are changed, whole or not at all."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from swimstream.wire.keyring import format_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger(__name__)


class KeyFile:
    """Where the keys go; None for a worker that was given none. Any thread; calls come one after the other."""

    def __init__(self, path: Path | None) -> None:
        """Write to `path`, which only its owner can read afterwards."""
        self._path = path

    def store(self, keys: Sequence[bytes]) -> None:
        """Write `keys`, one a line, the one that seals first. Durable on return.

        What cannot be written is logged and nothing else: the worker goes on with the new keys, and must be given them
        again before it restarts.
        """
        if self._path is None:
            return
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as out:
                out.writelines(f"{format_key(key)}\n" for key in keys)
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(self._path)
        except OSError as error:
            log.error("the changed keys are in memory only key_file=%s why=%s", self._path, error)  # noqa: TRY400  # one line
