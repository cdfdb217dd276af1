"""The values of a placement: who could take an instance, how good each would be, and the outcome."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs

from swimstream.model.identity import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.core.recovery.suitability import Suitable
    from swimstream.model.job import OperatorSpec


@attrs.frozen(order=True)
class Score:
    """How good a worker is for an instance: the lower, the better, by the first difference."""

    suspects: int
    is_elsewhere: bool
    distance: int
    load_step: int
    in_site: int
    on_worker: int
    load_ppm: int
    name: str


@attrs.frozen(kw_only=True)
class Rated:
    """What one worker is for an instance: a score, or the filter by which it fell."""

    run: Run
    score: Score | None
    why: str
    """The score in words, or the filter."""


@attrs.frozen(kw_only=True)
class Placement:
    """The outcome: a worker, or why there is none. `evidence` tells why it is that worker, and of the next best."""

    run: Run | None
    why: str
    evidence: tuple[str, ...] = ()


Group = tuple[str, int | None]
"""The workers of one site and neighbourhood."""
Entry = tuple[int, int, int, str]
"""In a heap: load in steps, instances of the operator on the worker, load exactly, name."""


class Pool:
    """The workers that pass the filters of some operators, by group; the best of each on top of its heap."""

    def __init__(self, passed: Suitable, group_of: Mapping[str, Group]) -> None:
        """Begin without heaps: each is made when its group is first looked at."""
        self.passed = passed
        self.group_of = group_of
        self.heaps: dict[Group, list[Entry]] = {}
        self.freed_seen = 0


class Candidates:
    """What one operator makes of a pool: how good each group is, and where it has instances already."""

    def __init__(self, spec: OperatorSpec, pool: Pool) -> None:
        """Begin with nothing judged."""
        self.spec = spec
        self.pool = pool
        self.rank_of: dict[Group, tuple[bool, int]] = {}
        self.tiers: list[list[Group]] = []
        """The groups of equal rank, the best rank first."""
        self.in_site: Counter[str] = Counter()
        self.on_worker: Counter[str] = Counter()
        self.heaps: dict[Group, list[Entry]] = {}
        """Its own, as soon as it has instances on many workers: those of the pool know nothing of them."""
        self.freed_seen = 0
