"""Datagrams between the hosts of a world: lost, late, twice, out of order, damaged, or cut off one way."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Protocol

import attrs

from swimstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from swimstream.model.identity import Address
    from swimstream.simulator.clock import Clock

HELD_BACK_MULT = 20
"""A reordered datagram is late by up to this many times the usual delay."""


def _share(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value < 1:
        raise UsageError(f"{attribute.name}: expected a share from 0 up to but not including 1, got {value!r}")


def _seconds(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 60:
        raise UsageError(f"{attribute.name}: expected 0 to 60 s, got {value!r}")


@attrs.frozen(kw_only=True)
class Links:
    """How the network behaves all the time, for every pair of hosts alike."""

    delay_s: float = attrs.field(default=0.0005, validator=_seconds)
    """One way, at least."""
    jitter_s: float = attrs.field(default=0.0005, validator=_seconds)
    """Up to so much more, uniformly."""
    loss: float = attrs.field(default=0.0, validator=_share)
    duplication: float = attrs.field(default=0.0, validator=_share)
    reordering: float = attrs.field(default=0.0, validator=_share)
    """Share of the datagrams that are held back and overtaken."""
    corruption: float = attrs.field(default=0.0, validator=_share)
    """Share of the datagrams that arrive cut short or replaced by noise, as a checksum would not pass them."""


class Endpoint(Protocol):
    """A process that listens at an address."""

    @property
    def name(self) -> str:
        """Return the host it runs on; cuts go by host."""

    @property
    def address(self) -> Address:
        """Return where it listens."""

    def receive_packet(self, data: bytes, source: Address) -> None:
        """Take a datagram."""

    def packet_refused(self, to: Address) -> None:
        """Learn that no process listens at `to`, where it had sent a datagram."""

    def receive_frame(self, stream: int, data: bytes) -> None:
        """Take a frame of a stream."""

    def stream_closed(self, stream: int) -> None:
        """Learn that a stream has ended."""

    def number_incoming(self) -> int:
        """Return the number of a stream that somebody opens to it."""


class Way(Protocol):
    """What befalls the packets from one host to another, instead of the usual weather."""

    def carry(self, packet: bytes, now: float) -> list[tuple[float, bytes]]:
        """Return when what arrives: nothing, the packet or more, each at `now` (seconds) or later."""


class Network:
    """The weather between hosts. Counts everything that it drops."""

    def __init__(self, links: Links, *, clock: Clock, rng: Random) -> None:
        """Build a network that nobody listens to yet."""
        self.links = links
        self.loss_extra = 0.0
        """Loss on top of `links.loss` while a phase of loss lasts."""
        self.counters: Counter[str] = Counter()
        self._clock = clock
        self._rng = rng
        self._listeners: dict[Address, Endpoint] = {}
        self._left: dict[Address, str] = {}
        """Where nobody listens any more, and whose host that is."""
        self._down: set[str] = set()
        """Hosts that have crashed with their process and answer nothing."""
        self._cuts: Counter[tuple[str, str]] = Counter()
        self._ways: dict[tuple[str, str], Way] = {}

    def listen(self, endpoint: Endpoint) -> None:
        """Bind `endpoint` to its address; its host is up."""
        self._listeners[endpoint.address] = endpoint
        self._left.pop(endpoint.address, None)
        self._down.discard(endpoint.name)

    def unlisten(self, endpoint: Endpoint, *, host_answers: bool = True) -> None:
        """Free the address, unless another process has taken it since; the host goes down unless it answers."""
        if self._listeners.get(endpoint.address) is not endpoint:
            return
        del self._listeners[endpoint.address]
        self._left[endpoint.address] = endpoint.name
        if not host_answers:
            self._down.add(endpoint.name)

    def listener(self, address: Address) -> Endpoint | None:
        """Return who listens there now."""
        return self._listeners.get(address)

    def answers(self, address: Address) -> bool:
        """Return whether a host is up there, be it only to refuse."""
        return address in self._listeners or (address in self._left and self._left[address] not in self._down)

    def cut(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Block these directions, each `(from, to)`; cuts add up."""
        self._cuts.update(pairs)

    def mend(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take back one earlier `cut` of these directions."""
        self._cuts.subtract(pairs)

    def is_cut(self, source: str, target: str) -> bool:
        """Return whether nothing gets from `source` to `target` at this moment."""
        return self._cuts[source, target] > 0

    def set_way(self, source: str, target: str, way: Way | None) -> None:
        """Have packets from host `source` to `target` go this way; None: as they usually go."""
        if way is None:
            self._ways.pop((source, target), None)
        else:
            self._ways[source, target] = way

    def way(self, source: str, target: str) -> Way | None:
        """Return the way that was set for packets from `source` to `target`; None: they go as usual."""
        return self._ways.get((source, target))

    def loses(self) -> bool:
        """Draw whether one packet is lost."""
        loss = self.links.loss + self.loss_extra
        return loss > 0 and self._rng.random() < loss

    def delay_s(self) -> float:
        """Draw how long one packet travels, one way."""
        return self.links.delay_s + self.links.jitter_s * self._rng.random()

    def send(self, sender: Endpoint, to: Address, payload: bytes) -> None:
        """Send one datagram; it arrives never, once or twice."""
        self.counters["packets"] += 1
        self.counters["packet_bytes"] += len(payload)
        if self._cuts and self.is_cut(sender.name, self._host_at(to)):
            self.counters["packets_cut"] += 1
            return
        links, rng = self.links, self._rng
        way = self._ways.get((sender.name, self._host_at(to))) if self._ways else None
        if way is not None:
            arrivals = way.carry(payload, self._clock.now)
            self.counters["packets_lost"] += not arrivals
            for at, packet in arrivals:
                self._clock.at(at, partial(self._arrive, sender, to, packet))
            return
        if self.loses():
            self.counters["packets_lost"] += 1
            return
        delay_s = self.delay_s()
        if links.reordering and rng.random() < links.reordering:
            delay_s += (links.delay_s + links.jitter_s) * HELD_BACK_MULT * rng.random()
        if links.corruption and rng.random() < links.corruption:
            payload = self._damage(payload)
        if links.duplication and rng.random() < links.duplication:
            self._clock.after(self.delay_s(), partial(self._arrive, sender, to, payload))
        self._clock.after(delay_s, partial(self._arrive, sender, to, payload))

    def _arrive(self, sender: Endpoint, to: Address, payload: bytes) -> None:
        listener = self._listeners.get(to)
        if listener is None:
            self.counters["packets_unheard"] += 1
            self._refuse(sender, to)
            return
        listener.receive_packet(payload, sender.address)

    def _host_at(self, to: Address) -> str:
        """Return the host of that address, or an empty text if nobody has ever listened there."""
        listener = self._listeners.get(to)
        return listener.name if listener is not None else self._left.get(to, "")

    def _refuse(self, sender: Endpoint, to: Address) -> None:
        """Have the host at `to`, if there is one and it is up, tell `sender` that no process listens there.

        Such an answer travels like any packet: it is late, lost or cut off.
        """
        host = self._host_at(to)
        if not self.answers(to) or self.is_cut(host, sender.name):
            return
        way = self._ways.get((host, sender.name))
        if way is not None:
            for at, _ in way.carry(b"", self._clock.now)[:1]:
                self._clock.at(at, partial(self._arrive_refusal, sender, to))
            return
        if self.loses():
            return
        self._clock.after(self.delay_s(), partial(self._arrive_refusal, sender, to))

    def _arrive_refusal(self, sender: Endpoint, to: Address) -> None:
        if self._listeners.get(sender.address) is sender:
            self.counters["packets_refused"] += 1
            sender.packet_refused(to)

    def _damage(self, payload: bytes) -> bytes:
        self.counters["packets_damaged"] += 1
        keep = self._rng.randrange(len(payload))
        noise = self._rng.randbytes(self._rng.randrange(len(payload) - keep + 1))
        return payload[:keep] + noise
