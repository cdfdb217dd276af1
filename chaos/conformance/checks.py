"""What is expected of a flight, and how far from it chance and the machine may take it."""

from __future__ import annotations

import math
import statistics
from random import Random
from typing import TYPE_CHECKING

import attrs

from chaos.conformance.flight import distance
from chaos.net.curves import curve
from chaos.net.model import FRAME_BYTES, HEADERS_BYTES, Model

if TYPE_CHECKING:
    from chaos.conformance.flight import Flight
    from chaos.net.fault import Fault

SIGMAS = 4.5
"""So far from what is expected lies one right figure in 150,000 by chance."""
KS_MULT = 1.95
"""Over the root of the count: beyond lies one right sample in a thousand."""
TIMED_MIN = 100
"""Fewer delays say nothing about a curve."""
LATE_SHARE = 1 / 6
"""On top goes the distance of the curve from itself that much of the slack later: 0.02 to 0.1 for 0.5 of 10 ms."""


@attrs.frozen(kw_only=True)
class Check:
    """One figure beside what it should be."""

    case: str
    what: str
    value: float
    expected: float
    tolerance: float

    @property
    def is_met(self) -> bool:
        """Return whether it is as near as it must be; what is no number is not."""
        return abs(self.value - self.expected) <= self.tolerance


def share(case: str, what: str, value: float, expected: float, flight: Flight, *, spread_mult: float = 1.0) -> Check:
    """Hold a share of the packets against its probability, in percent.

    `spread_mult` is how much wider chance spreads it than for packets on their own.
    """
    sigma = math.sqrt(expected * (1 - expected) / flight.count) * spread_mult
    tolerance = 100 * (SIGMAS * sigma + 0.0005)
    return Check(case=case, what=f"{what} (%)", value=100 * value, expected=100 * expected, tolerance=tolerance)


def nothing_else(case: str, flight: Flight, *, but: str = "") -> list[Check]:
    """Check that none was lost, doubled, damaged or overtaken, but for the one that is named."""
    shares = {
        "lost": flight.lost_share(),
        "doubled": flight.doubled_share(),
        "damaged": flight.damaged_share(),
        "overtaken": flight.overtaken_share(),
    }
    return [
        Check(case=case, what=f"{what} (%)", value=100 * value, expected=0, tolerance=0)
        for what, value in shares.items()
        if what not in but.split()
    ]


def median(case: str, flight: Flight, expected_ms: float, slack_ms: float, *, what: str = "median delay") -> Check:
    """Hold the median delay against what it should be."""
    return Check(case=case, what=f"{what} (ms)", value=flight.median_ms(), expected=expected_ms, tolerance=slack_ms)


def jitter(case: str, flight: Flight, fault: Fault, *, base_ms: float, slack_ms: float) -> list[Check]:
    """Hold the delays against the whole curve of the fault, beyond the `base_ms` that a packet takes without any."""
    wanted = [max(0.0, fault.delay_ms + fault.jitter_ms * unit) for unit in curve(fault.distribution)]
    found = [delay - base_ms for delay in flight.delays_ms()]
    if len(found) < TIMED_MIN:
        short = flight.count - TIMED_MIN
        return [Check(case=case, what="packets timed", value=len(found), expected=flight.count, tolerance=short)]
    mean, spread, root = statistics.mean(wanted), statistics.pstdev(wanted), math.sqrt(len(found))
    # Of a curve with a long tail the spread is itself spread widely.
    spread_slack = (0.1 if fault.distribution in ("uniform", "normal") else 0.25) * spread + 0.3 * slack_ms
    return [
        Check(
            case=case,
            what="mean delay (ms)",
            value=statistics.mean(found),
            expected=mean,
            tolerance=0.5 * slack_ms + SIGMAS * spread / root,
        ),
        Check(
            case=case,
            what="spread (ms)",
            value=statistics.pstdev(found),
            expected=spread,
            tolerance=spread_slack,
        ),
        Check(
            case=case,
            what=f"distance from {fault.distribution} (KS)",
            value=distance(found, wanted),
            expected=0,
            tolerance=KS_MULT / root + distance([each + LATE_SHARE * slack_ms for each in wanted], wanted),
        ),
    ]


def bursts(case: str, flight: Flight, fault: Fault) -> list[Check]:
    """Hold loss and the mean length of bursts against Gilbert and Elliott's chain, if what is lost is the bad state."""
    model = fault.gilbert_elliott
    assert model is not None
    p, r = model[0] / 100, model[1] / 100
    # Neighbours are alike: the chain's correlation 1-p-r makes so many times the variance of single draws.
    mult = math.sqrt((2 - p - r) / (p + r))
    checks = [share(case, "lost", flight.lost_share(), fault.lost_share, flight, spread_mult=mult)]
    if model[2:] == (100.0, 0.0):
        found = flight.bursts()
        tolerance = SIGMAS * math.sqrt(1 - r) / r / math.sqrt(max(1, len(found)))
        length = statistics.mean(found) if found else 0.0
        checks.append(Check(case=case, what="burst (packets)", value=length, expected=1 / r, tolerance=tolerance))
    return checks


def queue(case: str, flight: Flight, fault: Fault, *, slack_ms: float) -> list[Check]:
    """Hold a rate or a limit against what the model makes of packets sent at the very same times.

    No chance is in it: what differs is what the machine made of a packet at the queue's edge.
    """
    model = Model(fault, rng=Random(0), overhead_bytes=FRAME_BYTES + HEADERS_BYTES)
    packet = bytes(flight.size)
    ways = [(at, out) for at in flight.sent for out in (model.carry(packet, at),)]
    gone = sum(not out for _, out in ways) / flight.count
    delays = flight.delays()
    found = sorted(delays.values()) or [float("inf")]
    # Of the same packets, as far as it let them pass: some may have arrived in a stall, which says nothing.
    late = sorted(1000 * (out[0][0] - at) for number, (at, out) in enumerate(ways) if out and number in delays)
    late = late or [0.0]
    return [
        Check(case=case, what="lost (%)", value=100 * flight.lost_share(), expected=100 * gone, tolerance=3),
        Check(
            case=case,
            what="95th percentile of delay (ms)",
            value=found[int(0.95 * (len(found) - 1))],
            expected=late[int(0.95 * (len(late) - 1))],
            tolerance=2 * slack_ms,
        ),
    ]
