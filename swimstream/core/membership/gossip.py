"""Which updates ride on the next packet.

SWIM §4.1: an update is sent lambda * log n times and then forgotten; those sent least go first, so that news
travels fastest. One entry a subject: newer news of a subject replaces older. Updates are kept encoded, so
sending costs no encoding.

Three lanes: what changes the view of the world (members, states of instances) goes ahead of what applications say,
and that ahead of mere progress. However much is said, news of members never waits behind it. Progress
is soon out of date anyway, so it never causes a packet of its own, fills what probes leave free, and is sent half as
often; who misses it hears the next, or syncs. That bounds what it costs, however many instances there are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections import Counter

SUBJECTS_MAX = 16_384
URGENT, SPOKEN, ROUTINE = 0, 1, 2
MISSES_MAX = 8
"""After so many rumours that do not fit any more a packet is full: a long queue must not be walked for each packet."""


@attrs.define
class Rumour:
    """One encoded update on its way."""

    subject: str
    fragment: bytes
    lane: int
    sent: int = 0


class GossipQueue:
    """At most `SUBJECTS_MAX` rumours; beyond that the one sent most goes (counted as `gossip_dropped`).

    A fragment that is too long to fit a datagram beside a ping is refused (`gossip_unsendable`): it would stay at
    the head of the queue for ever. Such news travels by sync.
    """

    def __init__(self, *, retransmit_mult: int, fragment_bytes_max: int, counters: Counter[str]) -> None:
        """Build an empty queue."""
        self._fragment_bytes_max = fragment_bytes_max
        self._retransmit_mult = retransmit_mult
        self._counters = counters
        self._rumours: dict[str, Rumour] = {}
        # (lane, times sent) → subjects, oldest first: a dict keeps the order and removes in constant time
        self._ranks: dict[tuple[int, int], dict[str, Rumour]] = {}

    def __len__(self) -> int:
        return len(self._rumours)

    @property
    def has_urgent(self) -> bool:
        """Return whether there is news that should not wait for the next probe."""
        return any(lane != ROUTINE for lane, _ in self._ranks)

    def push(self, subject: str, fragment: bytes, *, lane: int = URGENT) -> None:
        """Queue news of `subject`, in place of any older news of it. Urgent news keeps its lane when updated."""
        if len(fragment) > self._fragment_bytes_max:
            self._counters["gossip_unsendable"] += 1
            self.discard(subject)
            return
        older = self._rumours.pop(subject, None)
        if older is not None:
            self._unrank(older)
            if older.sent == 0:
                lane = min(lane, older.lane)
        if len(self._rumours) >= SUBJECTS_MAX:
            self._drop_most_sent()
        self._rumours[subject] = rumour = Rumour(subject, fragment, lane)
        self._enrank(rumour)

    def sends_max(self, members: int) -> int:
        """Return how often an update is sent in a cluster of so many (SWIM §4.1, lambda log n)."""
        return self._retransmit_mult * math.ceil(math.log10(members + 1))

    def discard(self, subject: str) -> None:
        """Forget a subject."""
        rumour = self._rumours.pop(subject, None)
        if rumour is not None:
            self._unrank(rumour)

    def take(self, budget: int, *, members: int) -> list[bytes]:
        """Return updates that fit into `budget` bytes together, and count them as sent once more."""
        if not self._rumours or budget <= 0:
            return []
        sends_max = self.sends_max(members)
        chosen = self._choose(budget)
        for rumour in chosen:
            self._unrank(rumour)
            rumour.sent += 1
            if rumour.sent >= (math.ceil(sends_max / 2) if rumour.lane == ROUTINE else sends_max):
                del self._rumours[rumour.subject]
            else:
                self._enrank(rumour)
        return [rumour.fragment for rumour in chosen]

    def _choose(self, budget: int) -> list[Rumour]:
        """Return what fits into `budget`, the least sent first and the newest of those ahead."""
        chosen: list[Rumour] = []
        misses = 0
        for rank in sorted(self._ranks):
            for rumour in reversed(self._ranks[rank].values()):
                size = len(rumour.fragment)
                if size <= budget:
                    budget -= size
                    chosen.append(rumour)
                elif misses < MISSES_MAX - 1:
                    misses += 1
                else:
                    return chosen
        return chosen

    def _enrank(self, rumour: Rumour) -> None:
        rank = (rumour.lane, rumour.sent)
        waiting = self._ranks.get(rank)
        if waiting is None:
            self._ranks[rank] = {rumour.subject: rumour}
        else:
            waiting[rumour.subject] = rumour

    def _unrank(self, rumour: Rumour) -> None:
        rank = (rumour.lane, rumour.sent)
        waiting = self._ranks[rank]
        del waiting[rumour.subject]
        if not waiting:
            del self._ranks[rank]

    def _drop_most_sent(self) -> None:
        rank = self._ranks[max(self._ranks)]
        self.discard(next(iter(rank)))
        self._counters["gossip_dropped"] += 1
