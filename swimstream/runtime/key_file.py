"""The file that holds a worker's keys: written anew when the cluster's keys are changed, whole or not at all."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from swimstream.wire.keyring import format_key

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        try:
            _replace(self._path.resolve(), "".join(f"{format_key(key)}\n" for key in keys))
        except OSError as error:
            log.error("the changed keys are in memory only key_file=%s why=%s", self._path, error)  # noqa: TRY400  # one line


def _replace(path: Path, text: str) -> None:
    """Put `text` in place of a file. Under a name of its own until it is whole: workers may share one key file."""
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # else a power cut may bring the old file back
    finally:
        os.close(directory)
