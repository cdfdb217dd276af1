"""What ails operators: their code fails, for good at times, or goes on without coming any further."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from random import Random

    from swimstream.simulator.faults import Faults

STUCK_FOR_GOOD = 0.4


@attrs.frozen(kw_only=True)
class OperatorFailure:
    """The code of one running instance fails; `is_fatal`: it says that it would fail again."""

    at: float
    pick: float
    is_fatal: bool = False


@attrs.frozen(kw_only=True)
class Stall:
    """One running copy whose job watches it comes no further, though input waits."""

    at: float
    for_s: float
    """Infinity: until somebody ends it."""
    pick: float


def draw_ailments(faults: Faults, *, rng: Random) -> list[OperatorFailure | Stall]:
    """Return failures for good, and stalls, at random times."""
    first, last = faults.window_s
    drawn: list[OperatorFailure | Stall] = [
        OperatorFailure(at=rng.uniform(first, last), pick=rng.random(), is_fatal=True)
        for _ in range(faults.fatal_failures)
    ]
    for _ in range(faults.stalls):
        at, is_for_good = rng.uniform(first, last), rng.random() < STUCK_FOR_GOOD
        for_s = math.inf if is_for_good else min(rng.uniform(*faults.stall_s), last - at)
        drawn.append(Stall(at=at, for_s=for_s, pick=rng.random()))
    return drawn
