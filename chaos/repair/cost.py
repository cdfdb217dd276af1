"""What syncs of two nodes among a thousand cost, beside a full push-pull: by how much differs, and over an hour."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import attrs

from chaos.repair.pair import Exchange, Pair
from swimstream.config import LAN

if TYPE_CHECKING:
    from collections.abc import Iterator

DIFFERING = (0, 1, 10, 100)
"""So many members of the cluster have a record that only one of the two has heard of; a tenth at most."""
HOUR_S = 3_600.0
CHANGE_EVERY_S = 60.0
"""One member of the cluster changes so often, on average."""
SPREAD_S = 3.0
"""Gossip reaches a node within so long, here at any time in between: until then the two differ."""
MISSED = 0.01
"""Share of the changes that never reach a node by gossip."""


@attrs.frozen(kw_only=True)
class Hour:
    """One node's regular syncs over an hour."""

    is_busy: bool
    """Whether every instance makes progress all the time, of which each side has heard of another half."""
    syncs: int
    in_agreement: int
    sync_bytes: int
    largest: int
    full_bytes: int
    """What a full push-pull would have sent instead, so many times."""

    @property
    def ratio(self) -> float:
        """Return bytes beside those of full push-pull."""
        return self.sync_bytes / self.full_bytes


@attrs.frozen(kw_only=True)
class Cost:
    """Bytes both ways; ratios are to a full push-pull of the same tables."""

    nodes: int
    full_bytes: int
    by_difference: dict[int, Exchange]
    busy: Exchange
    """One sync in which progress counts, all instances being apart: what each sync costs if it always counts."""
    hash_ms: float
    """CPU time of one hash of everything."""
    quiet_hour: Hour
    busy_hour: Hour

    def ratio(self, exchange: Exchange) -> float:
        """Return bytes beside those of one full push-pull."""
        return exchange.sync_bytes / self.full_bytes


@attrs.frozen(kw_only=True)
class CostTrial:
    """Measure it for one size of the cluster."""

    nodes: int
    seed: int
    lasts_s: float = HOUR_S

    def run(self) -> Cost:
        """Return what it costs."""
        pair = Pair(nodes=self.nodes, seed=self.seed)
        full_bytes = pair.full_bytes()
        by_difference = {}
        for version, count in enumerate((each for each in DIFFERING if 10 * each <= self.nodes), start=1):
            for number in _spread(count, nodes=self.nodes):
                pair.change(number, number // 3 % 2, version)
            by_difference[count] = pair.compare()
            assert pair.agree(), "a sync leaves nothing apart"
        pair.progress(2)
        busy = pair.compare_progress()
        assert pair.agree(), "progress arrives when it counts"
        return Cost(
            nodes=self.nodes,
            full_bytes=full_bytes,
            by_difference=by_difference,
            busy=busy,
            hash_ms=pair.hash_ms(with_progress=False),
            quiet_hour=self._hour(is_busy=False),
            busy_hour=self._hour(is_busy=True),
        )

    def _hour(self, *, is_busy: bool) -> Hour:
        pair = Pair(nodes=self.nodes, seed=self.seed)
        full_bytes = pair.full_bytes()
        news = sorted(self._news(), key=lambda each: each[0])
        rng = Random(f"{self.seed}/syncs")
        exchanges: list[Exchange] = []
        now, seq = 0.0, 1
        while (now := now + LAN.sync_interval_s * rng.uniform(0.75, 1.25)) < self.lasts_s:
            while news and news[0][0] <= now:
                _, number, side, version = news.pop(0)
                pair.change(number, side, version)
            if is_busy:
                seq += 1
                pair.progress(seq)
            exchanges.append(pair.compare())
        return Hour(
            is_busy=is_busy,
            syncs=len(exchanges),
            in_agreement=sum(each.frames == 0 for each in exchanges),
            sync_bytes=sum(each.sync_bytes for each in exchanges),
            largest=max(each.sync_bytes for each in exchanges),
            full_bytes=full_bytes * len(exchanges),
        )

    def _news(self) -> Iterator[tuple[float, int, int, int]]:
        """Yield when which of the two hears of which change."""
        rng = Random(f"{self.seed}/news")
        at, version = 0.0, 0
        while (at := at + rng.expovariate(1 / CHANGE_EVERY_S)) < self.lasts_s:
            version += 1
            number = rng.randrange(2, self.nodes)
            for side in (0, 1):
                if rng.random() >= MISSED:
                    yield at + SPREAD_S * rng.random(), number, side, version


def _spread(count: int, *, nodes: int) -> range:
    """Return so many numbers all over the cluster, without those of the two that sync; of every kind of change."""
    step = max(1, (nodes - 2) // max(1, count))
    while step % 3 == 0:
        step -= 1
    return range(2, 2 + count * step, step)
