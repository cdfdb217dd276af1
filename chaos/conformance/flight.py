"""What became of numbered packets that were sent one way: the same figures for every backend."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence


@attrs.frozen
class Arrival:
    """One packet that arrived. The number of a damaged one means nothing."""

    number: int
    at: float
    is_whole: bool


@attrs.frozen(kw_only=True)
class Flight:
    """Packets 0, 1, … were sent at these times (s), `size` bytes of payload each; these came, in this order."""

    sent: tuple[float, ...]
    arrivals: tuple[Arrival, ...]
    size: int
    stalls: tuple[tuple[float, float], ...] = ()
    """From when to when, in order, the machine gave us no CPU. What arrives then was late for no fault's sake."""

    @property
    def count(self) -> int:
        """Return how many were sent."""
        return len(self.sent)

    def delays(self, *, stalled_too: bool = False) -> dict[int, float]:
        """Return how long (ms) each took that arrived whole, by number; of two copies the first.

        Without those that arrived while the machine stalled, unless they are wanted, too. Nothing is sent in a stall,
        so what takes no time never arrives in one: with such packets among others the rest is not a fair sample.
        """
        first: dict[int, float] = {}
        for arrival in self._whole():
            first.setdefault(arrival.number, arrival.at)
        calm = {number: at for number, at in sorted(first.items()) if stalled_too or not self._is_stalled(at)}
        return {number: 1000 * (at - self.sent[number]) for number, at in calm.items()}

    def delays_ms(self) -> list[float]:
        """Return the same without numbers."""
        return list(self.delays().values())

    def lost(self) -> list[bool]:
        """Return of each whether it has not come, or only damaged."""
        came = {arrival.number for arrival in self._whole()}
        return [number not in came for number in range(self.count)]

    def lost_share(self) -> float:
        """Return the share that has not come, or only damaged."""
        return sum(self.lost()) / self.count

    def bursts(self) -> list[int]:
        """Return how many were lost in a row, each time some were."""
        return [len(list(run)) for is_lost, run in groupby(self.lost()) if is_lost]

    def doubled_share(self) -> float:
        """Return the share that came more than once."""
        whole = self._whole()
        return (len(whole) - len({arrival.number for arrival in whole})) / self.count

    def damaged_share(self) -> float:
        """Return the share that came, but not as it was sent."""
        return sum(not arrival.is_whole for arrival in self.arrivals) / self.count

    def overtaken_share(self) -> float:
        """Return the share that came after one that was sent later."""
        newest, late = -1, 0
        for arrival in self._whole():
            late += arrival.number < newest
            newest = max(newest, arrival.number)
        return late / self.count

    def median_ms(self) -> float:
        """Return the median delay; infinite if nothing came."""
        delays = self.delays_ms()
        return statistics.median(delays) if delays else float("inf")

    def _is_stalled(self, at: float) -> bool:
        before = bisect_right(self.stalls, (at, float("inf"))) - 1
        return before >= 0 and at <= self.stalls[before][1]

    def _whole(self) -> list[Arrival]:
        return [arrival for arrival in self.arrivals if arrival.is_whole]


class Prober(Protocol):
    """Sends packets from one host to another and notes what arrives."""

    def fly(
        self, src: int, dst: int, *, count: int, pps: float, tail_s: float, family: int = 4, checksum: bool = True
    ) -> Flight:
        """Send `count` packets, `pps` a second, then wait `tail_s`; IPv4 or 6, with UDP's checksum or without."""


def distance(observed: Sequence[float], curve: Sequence[float]) -> float:
    """Return the Kolmogorov-Smirnov distance of observations from a curve: its values at even shares, rising.

    The largest difference between both shares of what lies at or below any value, 0 to 1.
    """
    apart, count, points = 0.0, len(observed), len(curve)
    for rank, value in enumerate(sorted(observed)):
        share = bisect_right(curve, value) / points
        apart = max(apart, abs(share - rank / count), abs(share - (rank + 1) / count))
    return apart if count else 1.0
