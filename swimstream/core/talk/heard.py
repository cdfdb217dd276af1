"""What was heard of late, so that nothing is told twice.

Each item has an origin and a number that rises with everything its origin says. Items are remembered for a while,
and only so many; what is forgotten leaves its number behind: that and all lower numbers of its origin count as heard
from then on. So nothing is told twice even after it was forgotten. What comes later than everything that is
remembered when the memory is full is dropped, as in Serf's event buffer.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections import Counter

    from swimstream.model.identity import Run

ORIGINS_MAX = 8_192
"""Origins of which a lowest number is kept; beyond that the one that was set longest ago goes."""

Key = tuple["Run", int]


@attrs.frozen
class _Item:
    rank: int
    fragment: bytes
    until: float


class Heard:
    """At most `items_max` items, each for `keep_s` seconds; `counter` counts what went before its time."""

    def __init__(self, *, items_max: int, keep_s: float, counters: Counter[str], counter: str) -> None:
        """Build an empty memory."""
        self._items_max = items_max
        self._keep_s = keep_s
        self._counters = counters
        self._counter = counter
        self._items: dict[Key, _Item] = {}  # in the order of `until`
        self._ranked: list[tuple[int, Key]] = []
        self._arrivals = 0
        self._floors: dict[Run, int] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: Key) -> bool:
        return key in self._items or key[1] <= self._floors.get(key[0], -1)

    def take(self, key: Key, now: float, *, rank: int | None = None, fragment: bytes = b"") -> bool:
        """Remember an item; return whether it is to be told: it was not heard before, nor comes far too late.

        `rank` says which item goes first when the memory is full: the lowest. Without ranks it is the oldest.
        """
        self.forget_old(now)
        if key in self:
            return False
        self._arrivals += 1
        place = (self._arrivals if rank is None else rank, key)
        if len(self._items) >= self._items_max:
            self._counters[self._counter] += 1
            if place < self._ranked[0]:
                return False
            self._forget(self._ranked[0][1])
        bisect.insort(self._ranked, place)
        self._items[key] = _Item(place[0], fragment, now + self._keep_s)
        return True

    def forget_old(self, now: float) -> None:
        """Forget what was heard long ago."""
        while self._items:
            key = next(iter(self._items))
            if self._items[key].until > now:
                break
            self._forget(key)

    def keys(self) -> tuple[Key, ...]:
        """Return what is remembered, sorted."""
        return tuple(sorted(self._items))

    def fragment(self, key: Key) -> bytes | None:
        """Return the encoded item, if it is remembered."""
        item = self._items.get(key)
        return item.fragment if item is not None else None

    def _forget(self, key: Key) -> None:
        del self._ranked[bisect.bisect_left(self._ranked, (self._items.pop(key).rank, key))]
        run, number = key
        floor = max(number, self._floors.pop(run, -1))
        if len(self._floors) >= ORIGINS_MAX:
            del self._floors[next(iter(self._floors))]
        self._floors[run] = floor
