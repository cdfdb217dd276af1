"""What the emulator does with packets, sans I/O: to whom, through which model, and when."""

from __future__ import annotations

import heapq
import ipaddress
from random import Random
from typing import TYPE_CHECKING

import attrs

from chaos.net.model import Counters, Model
from chaos.net.spaces import address, address6
from chaos.net.words import read_words

if TYPE_CHECKING:
    from chaos.net.lab import Way

PACKETS_HELD_MAX = 200_000


class Forwarder:
    """All links between some hosts. Packets are those of IPv4 and IPv6; times are seconds on a monotonic clock."""

    def __init__(self, *, hosts: int, seed: int) -> None:
        """Begin with no faults; the seed decides what befalls which packet."""
        self.faults = Counters()
        self.unrouted = 0
        """Packets for nobody: multicast, and hosts that there are not."""
        self.over_capacity = 0
        """Packets dropped because too many were held."""
        self._seed = seed
        self._changes = 0
        self._models: dict[Way, Model] = {}
        self._held: list[tuple[float, int, int, bytes]] = []
        self._tickets = 0
        self._hosts: dict[bytes, int] = {}
        for host in range(hosts):
            for each in (address(host), address6(host)):
                self._hosts[ipaddress.ip_address(each).packed] = host

    def set(self, src: int, dst: int | None, words: str | None) -> None:
        """Have what these words of netem say from `src` to `dst`; None: no fault of its own. Raise `UsageError`."""
        if words is None:
            self._models.pop((src, dst), None)
            return
        fault = read_words(words)
        self._changes += 1
        rng = Random(f"{self._seed} {src} {dst} {self._changes}")
        model, before = Model(fault, rng=rng, counters=self.faults), self._models.get((src, dst))
        if before is not None:
            model.follow(before)
        self._models[src, dst] = model

    def take(self, src: int, packet: bytes, now: float) -> None:
        """Take a packet that a host has sent."""
        to = packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]
        dst = self._hosts.get(to)
        if dst is None:
            self.unrouted += 1
            return
        model = self._models.get((src, dst)) or self._models.get((src, None))
        if model is None:
            self._hold(now, dst, packet)
            return
        for due, data in model.carry(packet, now):
            self._hold(due, dst, data)

    def next_due(self) -> float | None:
        """Return when the next packet is to be delivered; None: none is held."""
        return self._held[0][0] if self._held else None

    def take_due(self, now: float) -> list[tuple[float, int, bytes]]:
        """Return the packets that are due, each with when and to which host; they are no longer held."""
        due, held = [], self._held
        while held and held[0][0] <= now:
            at, _, dst, packet = heapq.heappop(held)
            due.append((at, dst, packet))
        return due

    def counters(self) -> dict[str, int]:
        """Return what became of the packets, of all links together."""
        return {**attrs.asdict(self.faults), "unrouted": self.unrouted, "over_capacity": self.over_capacity}

    def _hold(self, due: float, dst: int, packet: bytes) -> None:
        if len(self._held) >= PACKETS_HELD_MAX:
            self.over_capacity += 1
            return
        self._tickets += 1
        heapq.heappush(self._held, (due, self._tickets, dst, packet))
