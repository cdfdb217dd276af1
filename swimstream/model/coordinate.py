"""Where a worker stands in the network: a point whose distance to another one predicts the round trip between them."""

from __future__ import annotations

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
