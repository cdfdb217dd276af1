"""When a worker asks what others know of a quorum, and whom.

Beacons ride on acks that go out anyway, but from some hundred workers on those are too old by themselves: a worker
probes one member a round, which may have it from one that has it from the council. So who needs a fresh proof asks, and
who hosts at-most-one instances asks sooner. Random members and those of the council are asked in turn: the first spare
the council, the second have the freshest proofs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from random import Random

    from swimstream.model.changes import Seat
    from swimstream.model.member import Member

HOSTING_SHARE = 1 / 3
"""Who hosts at-most-one instances asks when its proof is older than this share of L."""
IDLE_SHARE = 2 / 3
"""Everybody else, who only wants to know whether it has been cut off, and to be able to take up an instance."""
PAUSE_SHARE = 1 / 12
"""At least so long between two questions: some eight of them before L is over, should most get lost."""
SPEAKS_AUTHORITY = 3
"""Who speaks an older version of the protocol would not answer (`Profile.speaks`)."""


class Asking:
    """The pace of one worker's questions."""

    def __init__(self, *, rng: Random, pause_s: float, now: float) -> None:
        """Ask for the first time after one pause; `pause_s` is the shortest, whatever L."""
        self._rng = rng
        self._pause_s = pause_s
        self._asked_at = now
        self._is_councils_turn = False

    def due_at(self, usable_at: float, isolation_s: float, *, is_hosting: bool) -> float:
        """Return when to ask, with a proof that was issued at `usable_at`."""
        old_at = usable_at + (HOSTING_SHARE if is_hosting else IDLE_SHARE) * isolation_s
        return max(old_at, self._asked_at + max(PAUSE_SHARE * isolation_s, self._pause_s))

    def choose(self, others: Iterable[Member], council: Collection[Seat], now: float) -> Member | None:
        """Return whom to ask now, of the other live members; None while none of them would answer."""
        self._asked_at = now
        able = [member for member in others if member.profile.speaks >= SPEAKS_AUTHORITY]
        seated = {seat.name for seat in council}
        voters = [member for member in able if member.run.name in seated]
        self._is_councils_turn = not self._is_councils_turn
        crowd = voters if voters and not self._is_councils_turn else able
        return self._rng.choice(crowd) if crowd else None
