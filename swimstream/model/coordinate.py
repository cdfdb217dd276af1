"""Where a worker stands in the network: a point whose distance to another one predicts the round trip between them."""

from __future__ import annotations

import math

import attrs

DIMENSIONS = 8


@attrs.frozen(kw_only=True)
class Coordinate:
    """A Vivaldi coordinate (Dabek et al., SIGCOMM 2004, §5.4: Euclidean with height), with Serf's adjustment term."""

    vector: tuple[float, ...] = (0.0,) * DIMENSIONS
    """`DIMENSIONS` numbers, seconds."""
    height_s: float = 0.0
    """The way to and from the core of the network, which no detour avoids; not negative."""
    adjustment_s: float = 0.0
    """Mean of what the point alone predicted wrongly of late; may be negative."""
    error: float = 1.5
    """How little its owner trusts it: 0 is certain, 1.5 knows nothing."""


def raw_distance_s(one: Coordinate, other: Coordinate) -> float:
    """Return the round trip that the points alone predict, without their adjustments."""
    return math.dist(one.vector, other.vector) + (one.height_s + other.height_s)


def distance_s(one: Coordinate, other: Coordinate) -> float:
    """Return the predicted round trip between two workers in seconds; an estimate, within a small factor at best."""
    raw_s = raw_distance_s(one, other)
    adjusted_s = raw_s + (one.adjustment_s + other.adjustment_s)
    return adjusted_s if adjusted_s > 0 else raw_s
