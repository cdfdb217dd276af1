"""The council as an operator of the cluster sees it: who sits in it, and how each seat stands."""

from __future__ import annotations

import attrs

from swimstream.model.member import MemberState

COUNCIL_TOPIC = "_council"


@attrs.frozen(kw_only=True)
class SeatStanding:
    """What the worker on a seat says of itself, as of its answer."""

    role: str
    """`follower`, `precandidate`, `candidate` or `leader`."""
    term: int
    last_index: int
    """Of its log, committed or not."""
    commit: int
    """Index up to which it knows its log to be committed."""
    authority_age_s: float | None = None
    """How old its newest usable proof of a quorum is; None if it has none."""


@attrs.frozen(kw_only=True)
class CouncilSeat:
    """One seat of the newest committed council."""

    name: str
    site: str
    """Empty if no worker of that name is remembered."""
    state: MemberState | None
    """Of the worker of that name; None if none is remembered."""
    has_memory: bool
    """Whether the worker still has the memory behind this seat's vote; without it the seat never votes again."""
    standing: SeatStanding | None
    """None if it did not answer."""
    is_older: bool = False
    """Whether the worker is of a version that cannot answer, though it may well vote."""

    @property
    def can_vote(self) -> bool:
        """Return whether it has answered, and with the memory behind its vote."""
        return self.standing is not None and self.has_memory


@attrs.frozen(kw_only=True)
class CouncilReport:
    """The council and its seats, as far as they answered."""

    cluster_id: int
    """0: no cluster has been founded yet."""
    leader: str
    """Empty if no leader is known where it was asked."""
    term: int
    index: int
    """Of the committed plan where it was asked."""
    seats: tuple[CouncilSeat, ...]
    """By name."""
    seats_wanted: int
    """How many seats the council shall have."""
    isolation_s: float
    """How long a proof of a quorum lasts; 0 if that is not committed yet."""

    @property
    def last_index(self) -> int:
        """Return the end of the leader's log, or of the longest log that is known while the leader is silent."""
        known = {seat.name: seat.standing.last_index for seat in self.seats if seat.standing is not None}
        return known.get(self.leader, max(known.values(), default=self.index))

    @property
    def majority(self) -> int:
        """Return how many seats decide."""
        return len(self.seats) // 2 + 1

    @property
    def is_able(self) -> bool:
        """Return whether a majority of the seats has answered that can vote."""
        return sum(seat.can_vote for seat in self.seats) >= self.majority

    def lag_of(self, seat: CouncilSeat) -> int | None:
        """Return how many entries a seat's log is behind the leader's; None if it is silent."""
        return None if seat.standing is None else max(0, self.last_index - seat.standing.last_index)
