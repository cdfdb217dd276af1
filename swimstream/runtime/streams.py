"""Frames over TCP: a 4-byte big-endian length, then that many bytes. Everything here has a bound and a deadline.

A stranger can hold at most `INCOMING_PER_HOST_MAX` connections from one address, each for `IDLE_S` without a byte and
`FRAME_S` for one frame; all strangers `INCOMING_MAX`, and `LARGE_FRAMES_MAX` large frames in memory at a time.
"""

from __future__ import annotations

import collections
import logging
from typing import TYPE_CHECKING, Protocol

import trio

from swimstream.config import FRAME_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

    from swimstream.model.identity import Address

log = logging.getLogger(__name__)

INCOMING_MAX = 128
INCOMING_PER_HOST_MAX = 64
"""From one address: one host must not shut all others out. Workers that share an address share this."""
OUTGOING_MAX = 128
QUEUED_FRAMES_MAX = 64
QUEUED_BYTES_MAX = 2 * FRAME_BYTES_MAX
CONNECT_S = 10.0
IDLE_S = 10.0
FRAME_S = 60.0
LINGER_S = 2.0
LARGE_FRAME_BYTES = 64 * 1024
LARGE_FRAMES_MAX = 8
PREFIX_BYTES = 4


class StreamInputs(Protocol):
    """Where frames and endings go: the driver."""

    async def frame_received(self, stream: int, data: bytes) -> None:
        """Take one frame; returns once the node has handled it, so that a fast sender is slowed down."""

    def stream_ended(self, stream: int) -> None:
        """Take note that the stream is gone."""


class _Stream:
    """One connection and what still has to leave on it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.queue: collections.deque[bytes] = collections.deque()
        self.queued_bytes = 0
        self.more = trio.Event()
        self.closing = False
        self.at_end = trio.Event()
        """The other side has closed."""
        self.scope = trio.CancelScope()


class Streams:
    """Every open connection of one peer. Peer's thread only."""

    def __init__(self, inputs: StreamInputs, *, resolve: Callable[[Address], Address | None]) -> None:
        """Build without connections; `resolve` turns a seed's name into an IP literal."""
        self._inputs = inputs
        self._resolve = resolve
        self._nursery: trio.Nursery | None = None
        self._open: dict[int, _Stream] = {}
        self._incoming: collections.Counter[str] = collections.Counter()
        """How many by address; at most `INCOMING_MAX` addresses."""
        self._outgoing = 0
        self._last_incoming = 0
        self._large_frames = trio.CapacityLimiter(LARGE_FRAMES_MAX)
        self.refused = 0
        """Connections, in or out, beyond the bound."""
        self.overflowed = 0
        """Connections ended because too much waited to be sent on them."""
        self.oversized = 0
        """Frames beyond `FRAME_BYTES_MAX`, in or out; each ended its connection."""
        self.timed_out = 0
        self.frames_received = 0
        self.frames_sent = 0

    @property
    def are_open(self) -> bool:
        """Return whether there is any connection that a frame could come by."""
        return bool(self._open)

    def use(self, nursery: trio.Nursery) -> None:
        """Run the tasks of all streams in `nursery`; comes before anything else."""
        self._nursery = nursery

    async def serve(self, listener: socket) -> None:
        """Accept connections until cancelled."""
        listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
        await trio.serve_listeners(self._serve_one, listeners, handler_nursery=self._nursery)

    def open(self, number: int, to: Address, frame: bytes) -> None:
        """Connect in the background and send `frame`; failures reach `stream_ended`."""
        assert number > 0
        assert number not in self._open, "the node gives each stream a number of its own"
        assert self._nursery is not None, "use() comes first"
        if self._outgoing >= OUTGOING_MAX:
            self.refused += 1
            self._inputs.stream_ended(number)
            return
        self._outgoing += 1
        stream = self._open[number] = _Stream(number)
        self.send(number, frame)
        self._nursery.start_soon(self._connect, stream, to)

    def send(self, number: int, frame: bytes) -> None:
        """Queue one frame; a closed stream swallows it."""
        stream = self._open.get(number)
        if stream is None or stream.closing:
            return
        if len(frame) > FRAME_BYTES_MAX:
            self.oversized += 1
            stream.scope.cancel()
        elif len(stream.queue) >= QUEUED_FRAMES_MAX or stream.queued_bytes + len(frame) > QUEUED_BYTES_MAX:
            self.overflowed += 1
            stream.scope.cancel()
        else:
            stream.queue.append(frame)
            stream.queued_bytes += len(frame)
            stream.more.set()

    def close(self, number: int) -> None:
        """Close once everything sent so far has left; `stream_ended` is not called."""
        stream = self._open.pop(number, None)
        if stream is not None:
            stream.closing = True
            stream.more.set()

    async def _serve_one(self, connection: trio.SocketStream) -> None:
        host = _host_of(connection)
        if self._incoming.total() >= INCOMING_MAX or self._incoming[host] >= INCOMING_PER_HOST_MAX:
            self.refused += 1
            await trio.aclose_forcefully(connection)
            return
        self._incoming[host] += 1
        self._last_incoming -= 1
        stream = self._open[self._last_incoming] = _Stream(self._last_incoming)
        with stream.scope:
            await self._carry(stream, connection)
        self._incoming[host] -= 1
        self._incoming += collections.Counter()  # drops those at zero
        self._ended(stream)

    async def _connect(self, stream: _Stream, to: Address) -> None:
        with stream.scope:
            address = self._resolve(to)
            if address is not None:
                try:
                    with trio.fail_after(CONNECT_S):
                        connection = await _connect(address)
                except (OSError, trio.TooSlowError):
                    pass
                else:
                    await self._carry(stream, connection)
        self._outgoing -= 1
        self._ended(stream)

    def _ended(self, stream: _Stream) -> None:
        if self._open.pop(stream.number, None) is not None:
            self._inputs.stream_ended(stream.number)

    async def _carry(self, stream: _Stream, connection: trio.SocketStream) -> None:
        """Move frames both ways until either side ends it."""
        try:
            async with connection, trio.open_nursery() as both:
                both.start_soon(self._write, stream, connection, both.cancel_scope)
                await self._read(stream, connection)
                stream.at_end.set()
                if not stream.closing:
                    both.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except* trio.TooSlowError:
            self.timed_out += 1

    async def _read(self, stream: _Stream, connection: trio.SocketStream) -> None:
        while (prefix := await _receive_exactly(connection, PREFIX_BYTES)) is not None:
            length = int.from_bytes(prefix, "big")
            if length > FRAME_BYTES_MAX:
                self.oversized += 1
                return
            with trio.fail_after(FRAME_S):
                if length > LARGE_FRAME_BYTES:
                    async with self._large_frames:
                        if not await self._read_frame(stream, connection, length):
                            return
                elif not await self._read_frame(stream, connection, length):
                    return

    async def _read_frame(self, stream: _Stream, connection: trio.SocketStream, length: int) -> bool:
        data = await _receive_exactly(connection, length)
        if data is None:
            return False
        if not stream.closing:  # after a close the node does not know this stream any more
            self.frames_received += 1
            await self._inputs.frame_received(stream.number, data)
        return True

    async def _write(self, stream: _Stream, connection: trio.SocketStream, both: trio.CancelScope) -> None:
        while True:
            while stream.queue:
                frame = stream.queue.popleft()
                with trio.fail_after(FRAME_S):
                    await connection.send_all(len(frame).to_bytes(PREFIX_BYTES, "big") + frame)
                stream.queued_bytes -= len(frame)
                self.frames_sent += 1
            if stream.closing:
                break
            stream.more = trio.Event()
            await stream.more.wait()
        # Closing at once with unread bytes in our buffer would reset the connection under the last frames.
        await connection.send_eof()
        with trio.move_on_after(LINGER_S):
            await stream.at_end.wait()
        both.cancel()


def _host_of(connection: trio.SocketStream) -> str:
    """Return from where a connection comes; nothing if it has ended already."""
    try:
        return str(connection.socket.getpeername()[0])
    except OSError:
        return ""


async def _connect(address: Address) -> trio.SocketStream:
    family = trio.socket.AF_INET6 if ":" in address.host else trio.socket.AF_INET
    sock = trio.socket.socket(family, trio.socket.SOCK_STREAM)
    try:
        await sock.connect((address.host, address.port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


async def _receive_exactly(connection: trio.SocketStream, length: int) -> bytes | None:
    """Return `length` bytes, or None at the end of the stream; `TooSlowError` after `IDLE_S` without a byte."""
    data = bytearray()
    while len(data) < length:
        with trio.fail_after(IDLE_S):
            more = await connection.receive_some(min(length - len(data), 65_536))
        if not more:
            return None
        data += more
    return bytes(data)
