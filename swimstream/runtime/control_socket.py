"""The file of the control port: made for its owner only, taken over from a dead process, never from a live one."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

from swimstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONNECTIONS_MAX = 32


@contextlib.contextmanager
def bound_control(path: Path) -> Iterator[socket.socket]:
    """Listen at `path` while the block runs, and remove the socket after it unless a later worker has taken the path.

    `UsageError` names `control`.
    """
    bound = bind_control(path)
    inode = path.stat().st_ino
    try:
        yield bound
    finally:
        bound.close()
        with contextlib.suppress(OSError):
            if path.stat().st_ino == inode:
                path.unlink()


def bind_control(path: Path) -> socket.socket:
    """Listen at `path`, for this user only; replace the socket of a dead process; `UsageError` names `control`."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, parents=True)
        _remove_stale(path)
        sock.bind(os.fspath(path))
        path.chmod(0o600)  # nobody can connect before `listen`
        sock.listen(CONNECTIONS_MAX)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"control: {path} is in use by a live process") from None
        raise UsageError(f"control: cannot listen at {path}: {error.strerror or error}") from None
    except UsageError:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"control: {path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise UsageError(f"control: {path} is in use by a live process")
