"""What a worker and an operator's own process say to each other: CBOR arrays, each behind its length.

Both sides are our own code of one version, so what cannot be read is a bug. A message is a list: first its name.

| worker → process | |
|---|---|
| `start, {…}` | run this function as this instance; the first message, but of one that was kept warm |
| `warm, {…}` | import this function, and wait; the first message |
| `output` | with a descriptor: print there from now on; once, before `start` |
| `run, {…}` | likewise this command, to its supervisor |
| `cancel` | stop |
| `dump` | say where you stand |
| `answer, number, address or None` | of a question |
| `refused, number, is_usage, text` | likewise |

| process → worker | |
|---|---|
| `running` | the function is about to be called |
| `report, progress, checkpoint, endpoint` | None: as before |
| `load, watermark, backlog, busy until, backpressured` | likewise |
| `stack, place, text` | the answer to `dump` |
| `ask, number, what, instance, other than` | what: `now`, `located`, `finished` |
| `returned`, `failed, cause`, or of a command `exited, status` | the last message; a negative status is a signal |
| `failed, cause, class` | likewise; class: a number of `ErrorClass`, else 0 |
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import cbor2

if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTH = struct.Struct("!I")
FRAME_BYTES_MAX = 16 * 2**20
CHUNK_BYTES = 65_536
UNTIL = struct.Struct("=d")
"""A deadline on the other pipe, which carries nothing else: as the worker says it, and as the process confirms it."""


def waiting_deadlines(renewals: socket.socket) -> list[float]:
    """Return the deadlines that nobody has read yet, oldest first; each is to be confirmed once it is in force.

    A process that takes longer to start than its first deadline would else die of that one, though it was renewed.
    """
    found: list[float] = []
    with suppress(BlockingIOError, ConnectionError):
        while len(renewals.recv(UNTIL.size, socket.MSG_PEEK | socket.MSG_DONTWAIT)) == UNTIL.size:
            found += UNTIL.unpack(renewals.recv(UNTIL.size))
    return found


def encode(*message: object) -> bytes:
    """Return one frame."""
    data = cbor2.dumps(message)
    assert len(data) <= FRAME_BYTES_MAX, f"a message of {len(data)} B to or from an operator's process"
    return LENGTH.pack(len(data)) + data


class Frames:
    """Takes bytes as they come; gives messages."""

    def __init__(self) -> None:
        """Begin empty."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[list[object]]:
        """Yield every message that is complete with `data`."""
        self._buffer += data
        while len(self._buffer) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer)
            assert length <= FRAME_BYTES_MAX, f"a message of {length} B to or from an operator's process"
            end = LENGTH.size + length
            if len(self._buffer) < end:
                return
            message = cbor2.loads(bytes(self._buffer[LENGTH.size : end]))
            del self._buffer[:end]
            yield message
