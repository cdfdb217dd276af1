"""One direction of a link, sans I/O: a packet and the time in, the packets and their times out.

It does what `sch_netem` does to a packet, step for step and in its order (Linux, net/sched/sch_netem.c,
`netem_enqueue`): duplicate, lose, corrupt, the limit, then reordering or delay and rate. Two models of equal faults and
seeds that are given equal packets at equal times answer equally.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import attrs

from chaos.net.curves import curve

if TYPE_CHECKING:
    from random import Random

    from chaos.net.fault import Fault

FRAME_BYTES = 14
"""Ethernet's header, which counts when a rate is kept."""
HEADERS_BYTES = 28
"""Those of IPv4 and UDP."""


@attrs.define
class Counters:
    """What became of the packets: as many arrive as `packets` + `duplicated` - `lost` - `over_limit`."""

    packets: int = 0
    lost: int = 0
    over_limit: int = 0
    duplicated: int = 0
    corrupted: int = 0
    reordered: int = 0
    """Sent at once, past those that are delayed."""


class Model:
    """One direction of one link. Times are seconds on the caller's clock, which never goes back."""

    def __init__(
        self, fault: Fault, *, rng: Random, counters: Counters | None = None, overhead_bytes: int = FRAME_BYTES
    ) -> None:
        """Begin with nothing on the way. `counters` may be shared.

        `overhead_bytes` is what a packet is longer on the wire than what `carry` is given.
        """
        self.fault = fault
        self.counters = counters or Counters()
        self._rng = rng
        self._overhead_bytes = overhead_bytes
        self._delay_s = fault.delay_ms / 1000
        self._jitter_s = fault.jitter_ms / 1000
        self._curve = curve(fault.distribution) if fault.jitter_ms else ()
        self._byte_s = 8 / (fault.rate_kbit * 1000) if fault.rate_kbit else 0.0
        self._is_bad = False
        self._since_reordered = 0
        self._due: list[float] = []
        """When each packet that is on the way arrives: a heap."""
        self._last_due = 0.0

    def carry(self, packet: bytes, now: float) -> list[tuple[float, bytes]]:
        """Return when what arrives: nothing, the packet or two of it, each at `now` or later."""
        fault, rng = self.fault, self._rng
        self.counters.packets += 1
        copies = 1
        if fault.duplicate and rng.random() * 100 < fault.duplicate:
            self.counters.duplicated += 1
            copies = 2
        if self._loses():
            self.counters.lost += 1
            copies -= 1
        if copies == 0:
            return []
        if copies == 1:
            return self._send(packet, now)
        # Netem hands the copy in again at the top, where it is not doubled but may be lost as any other.
        again = []
        if self._loses():
            self.counters.lost += 1
        else:
            again = self._send(packet, now)
        return again + self._send(packet, now)

    def follow(self, before: Model) -> None:
        """Take the place of another model: what is on its way counts on, by the limit and by the rate."""
        self._due = before._due.copy()
        self._last_due = before._last_due

    def on_the_way(self, now: float) -> int:
        """Return how many packets have not arrived yet."""
        due = self._due
        while due and due[0] <= now:
            heapq.heappop(due)
        return len(due)

    def _loses(self) -> bool:
        fault, rng = self.fault, self._rng
        model = fault.gilbert_elliott
        if model is None:
            return bool(fault.loss) and rng.random() * 100 < fault.loss
        p, r, lost_if_bad, lost_if_good = model
        was_bad = self._is_bad  # the state before the step decides, as in the kernel
        self._is_bad = rng.random() * 100 >= r if was_bad else rng.random() * 100 < p
        return rng.random() * 100 < (lost_if_bad if was_bad else lost_if_good)

    def _send(self, packet: bytes, now: float) -> list[tuple[float, bytes]]:
        fault, rng = self.fault, self._rng
        if fault.corrupt and packet and rng.random() * 100 < fault.corrupt:
            self.counters.corrupted += 1
            packet = _flipped(packet, rng.randrange(len(packet) * 8))
        if self.on_the_way(now) >= fault.limit:
            self.counters.over_limit += 1
            return []
        if fault.reorder and self._since_reordered >= fault.gap - 1 and rng.random() * 100 < fault.reorder:
            self.counters.reordered += 1
            self._since_reordered = 0
            due = now
        else:
            self._since_reordered += 1
            due = self._due_of(len(packet), now)
        heapq.heappush(self._due, due)
        self._last_due = due if len(self._due) == 1 else max(self._last_due, due)
        return [(due, packet)]

    def _due_of(self, size: int, now: float) -> float:
        """Return when a packet arrives that is delayed. The rate begins where the last one on the way ends."""
        due = now + self._draw_delay_s()
        if self._byte_s:
            if self._due:
                due = max(due, self._last_due)
            due += (size + self._overhead_bytes) * self._byte_s
        return due

    def _draw_delay_s(self) -> float:
        if not self._curve:
            return self._delay_s
        unit = self._curve[int(self._rng.random() * len(self._curve))]
        return max(0.0, self._delay_s + self._jitter_s * unit)


def _flipped(packet: bytes, bit: int) -> bytes:
    damaged = bytearray(packet)
    damaged[bit // 8] ^= 1 << (bit % 8)
    return bytes(damaged)
