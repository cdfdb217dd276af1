"""Where this node stands in the network, learned from the round trips of its own probes.

Vivaldi (Dabek, Cox, Kaashoek, Morris, SIGCOMM 2004): think of springs between the workers, each as long as the round
trip that was measured. Each measurement lets its spring pull or push this node a little: further when this node is
less certain of its place than the other one (§4.2: c_e, c_c). Each point has a height, for the way from a host to
the core of the network, which adds to every distance (§5.4). As Serf does, after Ledlie et al. (NSDI 2007): what the
points still predict wrongly is averaged into an adjustment, and a weak gravity keeps all of them near the origin.

Only round trips by datagram to the target itself count. A stream is retransmitted, and a relay has ways of its own.
Refused: to spread coordinates by gossip. They ride on acks, so everybody learns of each member it probes; more would
be packets for what changes with every round.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from swimstream.core.membership.round_trips import RoundTrip
from swimstream.model.coordinate import DIMENSIONS, Coordinate, distance_s, raw_distance_s
from swimstream.model.identity import Run

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping
    from random import Random

ERROR_MAX = 1.5
ERROR_SHARE = 0.25
"""Share of a measurement in the own error (c_e)."""
PULL_SHARE = 0.25
"""Share of the way that a measurement may move this node (c_c)."""
ADJUSTMENT_WINDOW = 20
HEIGHT_S_MIN = 10e-6
GRAVITY_S = 150.0
"""So far from the origin gravity pulls by one second a measurement; it grows with the square."""
ROUND_TRIP_S_MAX = 10.0
COMPONENT_S_MAX = 60.0
"""Who finds itself further out starts anew: no network is like that, and it could not be told on the wire."""
ZERO_S = 1e-6

ORIGIN = Coordinate(height_s=HEIGHT_S_MIN, error=ERROR_MAX)


@attrs.frozen(kw_only=True)
class Place:
    """This node's coordinate, and what it predicted wrongly of late."""

    coordinate: Coordinate = ORIGIN
    misses_s: tuple[float, ...] = ()
    """Measured less predicted, of the last `ADJUSTMENT_WINDOW` measurements."""

    def after(self, other: Coordinate, *, rtt_s: float, rng: Random) -> Place:
        """Return the place after a round trip to a worker that says that it stands at `other`."""
        rtt_s = max(rtt_s, ZERO_S)
        moved = _attracted(_pulled(self.coordinate, other, rtt_s=rtt_s, rng=rng), rng=rng)
        misses_s = (*self.misses_s, rtt_s - raw_distance_s(moved, other))[-ADJUSTMENT_WINDOW:]
        adjustment_s = sum(misses_s) / (2 * ADJUSTMENT_WINDOW)  # half each: the other end adjusts as well
        return Place(coordinate=attrs.evolve(moved, adjustment_s=adjustment_s), misses_s=misses_s)

    @property
    def is_sound(self) -> bool:
        """Return whether every number is finite and can be told."""
        own = self.coordinate
        numbers = (*own.vector, own.height_s, own.adjustment_s, own.error)
        return all(math.isfinite(number) and abs(number) <= COMPONENT_S_MAX for number in numbers)


def _pulled(own: Coordinate, other: Coordinate, *, rtt_s: float, rng: Random) -> Coordinate:
    """Let one spring act (§4.2, figure 3)."""
    predicted_s = distance_s(own, other)
    wrong = abs(predicted_s - rtt_s) / rtt_s
    weight = own.error / max(own.error + other.error, ZERO_S)
    error = wrong * ERROR_SHARE * weight + own.error * (1 - ERROR_SHARE * weight)
    moved = _pushed(own, other, by_s=PULL_SHARE * weight * (rtt_s - predicted_s), rng=rng)
    return attrs.evolve(moved, error=min(error, ERROR_MAX))


def _attracted(own: Coordinate, *, rng: Random) -> Coordinate:
    """Let gravity act."""
    return _pushed(own, ORIGIN, by_s=-((distance_s(own, ORIGIN) / GRAVITY_S) ** 2), rng=rng)


def _pushed(own: Coordinate, other: Coordinate, *, by_s: float, rng: Random) -> Coordinate:
    """Move away from `other`, or nearer when negative; whoever stands on the very spot goes in a random direction."""
    apart_s = math.dist(own.vector, other.vector)
    way = [mine - theirs for mine, theirs in zip(own.vector, other.vector, strict=True)]
    height_s = own.height_s
    if apart_s > ZERO_S:
        height_s = max(HEIGHT_S_MIN, height_s + (height_s + other.height_s) * by_s / apart_s)
    else:
        way = [rng.random() - 0.5 for _ in range(DIMENSIONS)]
    length = math.hypot(*way) or 1.0
    vector = tuple(mine + by_s * part / length for mine, part in zip(own.vector, way, strict=True))
    return attrs.evolve(own, vector=vector, height_s=height_s)


@attrs.frozen(kw_only=True)
class Acquaintance:
    """What was measured to one run, and where it says that it stands."""

    run: Run
    round_trip: RoundTrip
    coordinate: Coordinate | None
    """None: its version does not tell."""


class Coordinates:
    """The place of one node, and those of the members that it has probed: one record a name, dropped with the member.

    A round trip outside 0 to `ROUND_TRIP_S_MAX` is refused (`round_trips_refused`); a place with numbers that make no
    sense begins anew at the origin (`coordinates_reset`).
    """

    def __init__(self, *, rng: Random, counters: Counter[str]) -> None:
        """Stand at the origin, and know nobody."""
        self._rng = rng
        self._counters = counters
        self._place = Place()
        self._known: dict[str, Acquaintance] = {}
        self._all: dict[str, Coordinate] | None = None

    @property
    def own(self) -> Coordinate:
        """Return where this node stands."""
        return self._place.coordinate

    def observe(self, run: Run, theirs: Coordinate | None, *, rtt_s: float) -> None:
        """Learn from one round trip to `run`, which says that it stands at `theirs`."""
        if not 0 <= rtt_s <= ROUND_TRIP_S_MAX:
            self._counters["round_trips_refused"] += 1
            return
        known = self._known.get(run.name)
        before = known.round_trip if known is not None and known.run == run else RoundTrip()
        round_trip = before.after(rtt_s)
        self._known[run.name] = Acquaintance(run=run, round_trip=round_trip, coordinate=theirs)
        self._all = None
        if theirs is None:
            return
        place = self._place.after(theirs, rtt_s=round_trip.median_s, rng=self._rng)
        if not place.is_sound:
            self._counters["coordinates_reset"] += 1
            place = Place()
        self._place = place

    def estimate_s(self, run: Run) -> float | None:
        """Return within what time nearly every answer of `run` comes; None when nothing was measured yet.

        The larger of what this node measured, and twice what the coordinates say: own measurements of one member are
        as rare as its turn in the ring, while this node's place moves with every probe.
        """
        known = self._known.get(run.name)
        if known is None or known.run != run:
            return None
        predicted_s = distance_s(self.own, known.coordinate) if known.coordinate is not None else 0.0
        return max(known.round_trip.late_s, 2 * predicted_s)

    def retain(self, is_member: Callable[[str], bool]) -> None:
        """Forget all who are no members any more."""
        gone = [name for name in self._known if not is_member(name)]
        for name in gone:
            del self._known[name]
            self._all = None

    def by_name(self, own_name: str) -> Mapping[str, Coordinate]:
        """Return every coordinate that is known; the same object until one changes. Not to be changed."""
        if self._all is None:
            told = {name: known.coordinate for name, known in self._known.items() if known.coordinate is not None}
            self._all = told | {own_name: self.own}
        return self._all
