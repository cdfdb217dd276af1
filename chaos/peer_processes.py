"""Which process is the peer of a worker whose `isolation` is `process`, as /proc tells an outsider. Linux."""

from __future__ import annotations

from pathlib import Path

PEER_MARK = b"swimstream.runtime.peer_child"
"""Stands in the command line of every peer."""


def peer_of(pid: int) -> int | None:
    """Return the process of the peer of the worker whose process is `pid`; None if it has none (yet)."""
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit() and parent_of(int(directory.name)) == pid and is_peer(int(directory.name)):
            return int(directory.name)
    return None


def parent_of(pid: int) -> int | None:
    """Return the parent of a process; None if there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def is_peer(pid: int) -> bool:
    """Return whether a process that exists was started as somebody's peer."""
    try:
        return PEER_MARK in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
