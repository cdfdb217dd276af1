"""What the operators say to each other: one JSON object a line, over TCP on the loopback.

    consumer: {"want": "flights/window-ewr[0]", "consumer": "flights/merge[0]", "epoch": 12, "from": 70, "ack": 64}
    upstream: {"instance": "flights/window-ewr[0]", "epoch": 9}
    upstream: {"at": 70, "items": [..., ...]}       items are numbered; the last one of a stream is null
    consumer: {"ack": 70}                           everything below 70 is durable further down
    consumer: {"final": true}                       the whole stream is durable: nothing is needed any more
    upstream: {"bye": true}                         understood; it finishes now

Both ends give their epoch: a port may have been taken over by another instance, and an older copy may still run.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import cbor2

if TYPE_CHECKING:
    from collections.abc import Mapping

    import trio

LINE_BYTES_MAX = 1024 * 1024
READ_BYTES = 65_536

Item = list[str | int | bool | None] | None
"""One element of a stream; None is its end."""


class ProtocolError(Exception):
    """The other end is not who or what it should be. The connection is given up and tried anew."""


class Lines:
    """Newline-delimited JSON objects over a stream. One task may read while another one writes."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def send(self, **message: object) -> None:
        """Send one object."""
        await self._stream.send_all(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def receive(self) -> Mapping[str, object]:
        """Return the next object. Raise `ProtocolError` when the stream ends or holds something else."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > LINE_BYTES_MAX:
                raise ProtocolError(f"expected lines of at most {LINE_BYTES_MAX} bytes")
            data = await self._stream.receive_some(READ_BYTES)
            if not data:
                raise ProtocolError("the other end has gone")
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            message = json.loads(line)
        except ValueError as error:
            raise ProtocolError(f"expected a JSON object, got {line[:80]!r}") from error
        if not isinstance(message, dict):
            raise ProtocolError(f"expected a JSON object, got {line[:80]!r}")
        return message


def number_in(message: Mapping[str, object], field: str) -> int:
    """Return a count from 0; raise `ProtocolError` if the field is anything else."""
    value = message.get(field)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ProtocolError(f"{field}: expected a count, got {value!r}")
    return value


def text_in(message: Mapping[str, object], field: str) -> str:
    """Return a text; raise `ProtocolError` if the field is anything else."""
    value = message.get(field)
    if not isinstance(value, str):
        raise ProtocolError(f"{field}: expected text, got {value!r}")
    return value


@attrs.frozen
class Checkpoint:
    """With empty state, output `number` is what follows from the inputs read from `offsets` on."""

    number: int = 0
    offsets: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """Return at most 64 bytes of CBOR."""
        return cbor2.dumps([self.number, *self.offsets])

    @classmethod
    def decode(cls, data: bytes, *, inputs: int) -> Checkpoint:
        """Return what `encode` made of it, or the beginning if there is no checkpoint yet. Raise `ValueError`."""
        if not data:
            return cls.beginning(inputs)
        numbers = cbor2.loads(data)
        if not isinstance(numbers, list) or not all(isinstance(number, int) and number >= 0 for number in numbers):
            raise ValueError(f"checkpoint: expected a list of counts, got {numbers!r}")
        if len(numbers) != 1 + inputs:
            raise ValueError(f"checkpoint: expected {1 + inputs} counts, got {len(numbers)}")
        return cls(numbers[0], tuple(numbers[1:]))

    @classmethod
    def beginning(cls, inputs: int) -> Checkpoint:
        """Return the checkpoint that needs nothing: recompute all."""
        return cls(0, (0,) * inputs)
