"""Where the rooms of the core put what should happen. Packs messages into packets; keeps the order of effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.effects import CloseStream, OpenStream, Persist, SendFrame, SendPacket
from swimstream.wire.codec import encode_header, encode_message
from swimstream.wire.messages import Header

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable

    from swimstream.core.effects import Effect, Record
    from swimstream.model.identity import Address, Run
    from swimstream.wire.messages import Message
    from swimstream.wire.seal import Envelope, Envelopes


class Outbox:
    """The ordered effects of one node.

    Every datagram that leaves is filled up with gossip: `piggyback(budget)` returns encoded updates that fit
    into `budget` bytes together. What does not fit a datagram goes by a stream of its own, without gossip.
    """

    def __init__(
        self,
        *,
        packet_bytes_max: int,
        piggyback: Callable[[int], list[bytes]],
        counters: Counter[str],
        envelopes: Envelopes,
    ) -> None:
        """Build an empty outbox; `identify` must be called before anything is sent."""
        self._envelopes = envelopes
        self._packet_bytes_max = packet_bytes_max - envelopes.datagram.overhead
        self._cluster_id = 0
        self._piggyback = piggyback
        self._counters = counters
        self._effects: list[Effect] = []
        self._header = b""
        self._last_stream = 0

    def identify(self, run: Run, cluster_id: int) -> None:
        """Say who sends from here on."""
        self._cluster_id = cluster_id
        self._header = encode_header(Header(cluster_id, run))

    def put(self, effect: Effect) -> None:
        """Append an effect that is not a message."""
        self._effects.append(effect)

    def persist(self, record: Record) -> None:
        """Have `record` on disk before anything that is sent after this call."""
        self._effects.append(Persist(record))

    def send(self, to: Address, message: Message, *, updates: Iterable[bytes] = ()) -> None:
        """Send `message`, with `updates` ahead of other gossip, as a datagram or, if it is too large, by stream."""
        fragments = [encode_message(message), *updates]
        size = len(self._header) + sum(map(len, fragments))
        if size <= self._packet_bytes_max:
            self._send_packet(to, fragments, size)
        else:
            stream = self.open_stream(to, fragments)
            self._effects.append(CloseStream(stream))

    def gossip(self, to: Address) -> None:
        """Send a datagram of queued updates; nothing if there are none."""
        self._send_packet(to, [], len(self._header))

    def open_stream(self, to: Address, fragments: Iterable[bytes]) -> int:
        """Open a stream with one first frame; return its number, which is positive."""
        self._last_stream += 1
        self._effects.append(OpenStream(self._last_stream, to, self._wrap(self._envelopes.frame, fragments)))
        self._counters["frames_sent"] += 1
        return self._last_stream

    def send_frame(self, stream: int, fragments: Iterable[bytes]) -> None:
        """Send one more frame on an open stream."""
        self._effects.append(SendFrame(stream, self._wrap(self._envelopes.frame, fragments)))
        self._counters["frames_sent"] += 1

    def close_stream(self, stream: int) -> None:
        """Close a stream after what was sent on it."""
        self._effects.append(CloseStream(stream))

    def take(self) -> list[Effect]:
        """Return the effects so far and forget them."""
        effects, self._effects = self._effects, []
        return effects

    def _wrap(self, envelope: Envelope, fragments: Iterable[bytes], to: Address | None = None) -> bytes:
        return envelope.wrap(self._header + b"".join(fragments), cluster_id=self._cluster_id, to=to)

    def _send_packet(self, to: Address, fragments: list[bytes], size: int) -> None:
        fragments += self._piggyback(self._packet_bytes_max - size)
        if fragments:
            self._effects.append(SendPacket(to, self._wrap(self._envelopes.datagram, fragments, to)))
            self._counters["packets_sent"] += 1
