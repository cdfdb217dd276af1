"""Who is near whom: workers in neighbourhoods, by their network coordinates.

A round trip below `NEAR_S` is as good as none, and coordinates are estimates. So workers that near to each other are
one neighbourhood, and only the way between two neighbourhoods counts, in whole steps. That keeps noise out of
decisions, and makes them cheap: a thousand workers are a handful of places.

Greedy leader clustering (Hartigan 1975, ch. 3), in the order of the names: a worker joins the first neighbourhood
whose founder is near, else it founds one. Refused: the best clustering. It would change as a whole with one worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.model.coordinate import Coordinate, distance_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NEAR_S = 0.010
"""Also the step in which distances are compared."""
ERROR_MAX = 0.5
"""A coordinate that its owner trusts less says nothing yet."""
NEIGHBOURHOODS_MAX = 64
"""Whoever is further from all of these belongs to the nearest."""


class Neighbourhoods:
    """The neighbourhoods of one decision, numbered from 0."""

    def __init__(self, names: Iterable[str], coordinates: Mapping[str, Coordinate]) -> None:
        """Find them among workers, given by name in the order that decides."""
        founders: list[Coordinate] = []
        self._of: dict[str, int] = {}
        for name in names:
            own = coordinates.get(name)
            if own is None or own.error > ERROR_MAX:
                continue
            near = next((number for number, each in enumerate(founders) if distance_s(own, each) <= NEAR_S), None)
            if near is None and len(founders) >= NEIGHBOURHOODS_MAX:
                near = min(range(len(founders)), key=lambda number: distance_s(own, founders[number]))
            if near is None:
                near = len(founders)
                founders.append(own)
            self._of[name] = near
        self._rtt_s = [[0.0 if one is other else distance_s(one, other) for other in founders] for one in founders]

    def of(self, name: str) -> int | None:
        """Return where a worker is; None if its place is not known."""
        return self._of.get(name)

    def steps(self, here: int, others: Mapping[int, int]) -> int:
        """Return the mean round trip from `here` to so many others in each neighbourhood, in whole steps."""
        total = sum(others.values())
        if not total:
            return 0
        sum_s = sum(count * self._rtt_s[here][other] for other, count in others.items())
        return round(sum_s / total / NEAR_S)
