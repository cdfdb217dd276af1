"""How fast a leader beats and how long voters wait for it: as configured, or slower if the network is.

Raft §5.6: the broadcast time must stay well below the election time-out. Fixed figures hold for one network only; on
a slower one answers come after patience has run out, and leader follows on leader. So the leader times its own
heartbeats, from the sending of a round to a voter's first reply to it, beats once in twice the slowest voter's round
trip, and tells its pace along with each heartbeat: everyone's patience is a multiple of it.

Its own heartbeats, and not the membership's coordinates: they go the same way as what is waited for, include the
voter's disk, need nobody's word for where it is, and a coordinate can be forged. What a slow or lying voter or leader
can do is bounded: no interval is ever more than `STRETCH_MAX` times the configured one, so there is always an end to
waiting. A single late answer changes nothing: the middle one of the last `TIMES_KEPT` counts.

What it costs: a crashed leader is replaced later, by as much as the time-out is stretched. A proof of authority does
not stretch with it: how long that lasts (`isolation_timeout_s`) is the same for the whole cluster and fixed in its
plan, at least twice the configured shortest election time-out. From a stretch of 2 on the time without a leader may
outlast it: then what runs at most once is stopped everywhere while a leader is elected, and goes on afterwards. It is
never run twice. Where round trips are that long for good, a slower preset is the remedy.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from swimstream.config import Timing
    from swimstream.model.changes import Seat

STRETCH_MAX = 4
"""No pace is slower than this many times the configured one."""
ROUND_TRIPS = 2
"""Heartbeats are so many round trips apart, at least."""
TIMES_KEPT = 5


class Pace:
    """The pace of the council as one peer keeps it: its own measurements while it leads, else what its leader told."""

    def __init__(self, timing: Timing) -> None:
        """Begin with what is configured."""
        self.heartbeat_s = timing.heartbeat_interval_s
        self._timing = timing
        self._times_s: dict[Seat, deque[float]] = {}

    @property
    def heartbeat_ms(self) -> int:
        """Return the pace as it is told, rounded up."""
        return math.ceil(self.heartbeat_s * 1_000)

    @property
    def election_timeout_s_min(self) -> float:
        """Return the shortest silence after which a voter campaigns, and a leader gives up."""
        return self._timing.election_heartbeats * self.heartbeat_s

    def election_timeout_s(self, rng: Random) -> float:
        """Draw a patience, so that two voters rarely campaign at once (Raft §5.2)."""
        return self.election_timeout_s_min * (1 + rng.random())

    def begin_term(self) -> None:
        """Lead, at the pace that held so far until there are measurements."""
        self._times_s.clear()

    def measure(self, seat: Seat, round_trip_s: float, *, voters: tuple[Seat, ...]) -> None:
        """Take the time of the first answer of a seat to a round of this leader's; only those of `voters` count."""
        self._times_s.setdefault(seat, deque(maxlen=TIMES_KEPT)).append(round_trip_s)
        self._times_s = {each: times_s for each, times_s in self._times_s.items() if each in voters}
        slowest_s = max((statistics.median_low(times_s) for times_s in self._times_s.values()), default=0.0)
        self.heartbeat_s = self._bounded(ROUND_TRIPS * slowest_s)

    def hear(self, heartbeat_ms: int) -> None:
        """Take over the pace that a leader tells; 0, from older peers, is none."""
        self.heartbeat_s = self._bounded(heartbeat_ms / 1_000)

    def _bounded(self, wanted_s: float) -> float:
        configured_s = self._timing.heartbeat_interval_s
        return min(max(wanted_s, configured_s), STRETCH_MAX * configured_s)
