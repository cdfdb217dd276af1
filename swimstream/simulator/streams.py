"""Streams between the processes of a world: ordered frames, set up in a round trip, broken by deaths and cuts.

Loss does not lose a frame, it delays it by retransmission time-outs; a cut stalls a stream and, if it lasts,
breaks it. Both ends hear of a break, but not at the same time.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import attrs

from swimstream.model.identity import Address
from swimstream.simulator.network import Endpoint

if TYPE_CHECKING:
    from swimstream.simulator.clock import Clock
    from swimstream.simulator.network import Network

CONNECT_TIMEOUT_S = 2.0
CONNECT_RETRY_S = 1.0
RETRANSMIT_S = 0.2
RETRANSMITS_MAX = 6
STALL_RETRY_S = 0.25
STALL_S_MAX = 5.0
IDLE_S_MAX = 30.0
SWEEP_S = 5.0
STREAMS_PER_PROCESS_MAX = 256
FRAMES_QUEUED_MAX = 1_024


@attrs.define(eq=False)
class _End:
    """One side of a connection and what it still has to send."""

    process: Endpoint | None
    number: int
    closed: bool = False
    queue: deque[bytes | _Fin] = attrs.field(factory=deque)
    arrives_at: float = 0.0
    stalled_since: float = -1.0
    """Since when a cut has kept the queue from moving; negative while it moves."""


class _Fin:
    """The end of what one side sends."""


_FIN = _Fin()


@attrs.define(eq=False)
class _Connection:
    opener: _End
    acceptor: _End
    to: Address
    used_at: float
    open: bool = False
    broken: bool = False

    def other(self, end: _End) -> _End:
        return self.acceptor if end is self.opener else self.opener


class Streams:
    """Every connection of a world."""

    def __init__(self, network: Network, *, clock: Clock) -> None:
        """Build the transport on top of `network`, whose delays, losses and cuts it shares."""
        self._network = network
        self._clock = clock
        self._connections: dict[tuple[Endpoint, int], tuple[_Connection, _End]] = {}
        self._counts: dict[Endpoint, int] = {}
        clock.after(SWEEP_S, self._sweep)

    def open(self, process: Endpoint, stream: int, to: Address, frame: bytes) -> None:
        """Connect and send `frame` first; `process` learns of a failure by `stream_closed`."""
        now = self._clock.now
        connection = _Connection(_End(process, stream), _End(None, 0), to, now)
        connection.opener.queue.append(frame)
        self._network.counters["streams"] += 1
        if self._counts.get(process, 0) >= STREAMS_PER_PROCESS_MAX:
            self._network.counters["streams_refused"] += 1
            self._clock.after(0.0, partial(process.stream_closed, stream))
            return
        self._add(connection, connection.opener)
        target = self._network.listener(to)
        travel_s = None if target is None else self._travel_s(process, target, b"", retry_s=CONNECT_RETRY_S)
        patience_s = travel_s
        if patience_s is None:
            patience_s = sum(CONNECT_RETRY_S for _ in range(RETRANSMITS_MAX) if self._network.loses())
        if patience_s >= CONNECT_TIMEOUT_S or (target is not None and self._is_blocked(process, target)):
            self._clock.after(CONNECT_TIMEOUT_S, partial(self._break, connection))
            return
        delay_s = self._network.delay_s() if travel_s is None else 0.0
        self._clock.after(patience_s + delay_s, partial(self._accept, connection))

    def send(self, process: Endpoint, stream: int, frame: bytes) -> None:
        """Send one frame; a closed stream swallows it."""
        self._push(process, stream, frame)

    def close(self, process: Endpoint, stream: int) -> None:
        """Close after everything sent so far; `process` hears nothing more of this stream."""
        self._push(process, stream, _FIN)

    def process_died(self, process: Endpoint, *, silent: bool) -> None:
        """End every stream of `process`: the others hear it at once, or after a long silence if its host died too."""
        mine = [pair for (owner, _), pair in self._connections.items() if owner is process]
        for connection, end in mine:
            self._forget(end)
            end.queue.clear()
            delay_s = STALL_S_MAX if silent else self._network.delay_s()
            self._clock.after(delay_s, partial(self._break, connection))

    def open_count(self, process: Endpoint) -> int:
        """Return how many streams `process` has open now."""
        return self._counts.get(process, 0)

    def _add(self, connection: _Connection, end: _End) -> None:
        assert end.process is not None, "only an end with a process is registered"
        self._connections[end.process, end.number] = (connection, end)
        self._counts[end.process] = self._counts.get(end.process, 0) + 1

    def _forget(self, end: _End) -> None:
        """Drop one side. Nothing is delivered to it any more."""
        if end.closed or end.process is None:
            return
        end.closed = True
        del self._connections[end.process, end.number]
        self._counts[end.process] -= 1

    def _is_blocked(self, one: Endpoint, two: Endpoint) -> bool:
        """A stream needs both directions: data one way, acknowledgements the other."""
        return self._network.is_cut(one.name, two.name) or self._network.is_cut(two.name, one.name)

    def _accept(self, connection: _Connection) -> None:
        listener = self._network.listener(connection.to)
        if listener is None or self._counts.get(listener, 0) >= STREAMS_PER_PROCESS_MAX:
            self._network.counters["streams_refused"] += 1
            is_answered = self._network.answers(connection.to)
            refused_after_s = self._network.delay_s() if is_answered else CONNECT_TIMEOUT_S
            self._clock.after(refused_after_s, partial(self._break, connection))
            return
        if connection.broken or connection.opener.process is None:
            return
        connection.acceptor.process = listener
        connection.acceptor.number = listener.number_incoming()
        self._add(connection, connection.acceptor)
        travel_s = self._travel_s(listener, connection.opener.process, b"", retry_s=CONNECT_RETRY_S)
        delay_s = self._network.delay_s() if travel_s is None else travel_s
        self._clock.after(delay_s, partial(self._established, connection))

    def _established(self, connection: _Connection) -> None:
        connection.open = True
        self._pump(connection, connection.opener)

    def _push(self, process: Endpoint, stream: int, item: bytes | _Fin) -> None:
        found = self._connections.get((process, stream))
        if found is None:
            self._network.counters["frames_swallowed"] += 1
            return
        connection, end = found
        if len(end.queue) >= FRAMES_QUEUED_MAX:
            self._network.counters["streams_overrun"] += 1
            self._break(connection)
            return
        end.queue.append(item)
        if isinstance(item, _Fin):
            self._forget(end)
        if connection.open and end.stalled_since < 0:
            self._pump(connection, end)

    def _pump(self, connection: _Connection, end: _End) -> None:
        other = connection.other(end)
        while end.queue and not connection.broken and end.process is not None and other.process is not None:
            if self._is_blocked(end.process, other.process):
                if end.stalled_since < 0:
                    end.stalled_since = self._clock.now
                if self._clock.now - end.stalled_since >= STALL_S_MAX:
                    self._break(connection)
                else:
                    self._clock.after(STALL_RETRY_S, partial(self._pump, connection, end))
                return
            end.stalled_since = -1.0
            item = end.queue.popleft()
            frame = b"" if isinstance(item, _Fin) else item
            travel_s = self._travel_s(end.process, other.process, frame, retry_s=RETRANSMIT_S)
            if travel_s is None:
                late_s = RETRANSMIT_S * sum(1 for _ in range(RETRANSMITS_MAX) if self._network.loses())
                travel_s = self._network.delay_s() + late_s
            end.arrives_at = max(end.arrives_at, self._clock.now + travel_s)
            self._clock.at(end.arrives_at, partial(self._deliver, connection, other, item))
            if not isinstance(item, _Fin):
                self._network.counters["frames"] += 1
                self._network.counters["frame_bytes"] += len(item)

    def _travel_s(self, source: Endpoint, target: Endpoint, frame: bytes, *, retry_s: float) -> float | None:
        """Return how long a frame takes on the way that was set for it, lost copies sent again; None: there is none."""
        way, now = self._network.way(source.name, target.name), self._clock.now
        if way is None:
            return None
        for lost in range(RETRANSMITS_MAX):
            arrivals = way.carry(frame, now)
            if arrivals:
                return lost * retry_s + arrivals[0][0] - now
        return RETRANSMITS_MAX * retry_s

    def _deliver(self, connection: _Connection, to: _End, item: bytes | _Fin) -> None:
        connection.used_at = self._clock.now
        if to.closed or to.process is None:
            self._network.counters["frames_swallowed"] += 1
            return
        if isinstance(item, _Fin):
            self._forget(to)
            to.process.stream_closed(to.number)
        else:
            to.process.receive_frame(to.number, item)

    def _break(self, connection: _Connection) -> None:
        """Tell both ends that are still there."""
        connection.broken = True
        for end in (connection.opener, connection.acceptor):
            end.queue.clear()
            if end.process is not None and not end.closed:
                self._forget(end)
                self._clock.after(self._network.delay_s(), partial(end.process.stream_closed, end.number))

    def _sweep(self) -> None:
        """Break what nobody has used for long, as a driver's idle time-out does."""
        for connection, _ in list(self._connections.values()):
            if not connection.broken and self._clock.now - connection.used_at > IDLE_S_MAX:
                self._network.counters["streams_idle"] += 1
                self._break(connection)
        self._clock.after(SWEEP_S, self._sweep)
