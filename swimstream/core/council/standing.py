"""What one peer is in the council: its log, term, role and vote. The walls of the room share this value.

Roles change only in the `become_…` methods below. A message of a newer term makes anyone a follower.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from swimstream.core.council.log import Log
from swimstream.core.council.pace import Pace
from swimstream.core.effects import VoteRecord
from swimstream.model.changes import Seat

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from random import Random

    from swimstream.config import Timing
    from swimstream.core.council.leading import Leadership
    from swimstream.core.effects import Saved
    from swimstream.core.outbox import Outbox
    from swimstream.model.identity import Address
    from swimstream.wire.messages import Message


NOBODY = Seat("", 0)


class Role(enum.Enum):
    """What a peer is in its term."""

    FOLLOWER = enum.auto()
    PRECANDIDATE = enum.auto()
    CANDIDATE = enum.auto()
    LEADER = enum.auto()


class Standing:
    """One peer's place in the council, and how it reaches disk and the others."""

    def __init__(
        self,
        name: str,
        saved: Saved,
        outbox: Outbox,
        *,
        timing: Timing,
        rng: Random,
        counters: Counter[str],
        address_of: Callable[[str], Address | None],
        now: float,
    ) -> None:
        """Take up what the state directory held.

        A voter that comes back has forgotten whom it heard last, so it gives no vote for one shortest election
        time-out, as if it had just heard a leader.
        """
        self.log = Log(saved)
        self.term = max(saved.vote.term, self.log.last_term)
        self.role = Role.FOLLOWER
        self.voted_for = Seat(saved.vote.voted_for, saved.vote.voter) if saved.vote.term == self.term else NOBODY
        """Not the name alone: a worker that lost its memory is another candidate in the same term."""
        self.name = name
        self.seat = Seat(name, saved.voter)
        self.pace = Pace(timing)
        self.rng = rng
        self.counters = counters
        self.leadership: Leadership | None = None
        """Set exactly while the role is LEADER."""
        self.known_leader = ("", 0)
        """The leader of the newest term of which this peer knows the leader, and that term."""
        self.contact_at = now if self.term else float("-inf")
        """When a leader last spoke to this peer."""
        self.election_at = now + self.election_timeout_s()
        """When this peer campaigns unless it hears a leader before."""
        self._outbox = outbox
        self.address_of = address_of

    # --- views ------------------------------------------------------------------------------------

    @property
    def is_leader(self) -> bool:
        """Return whether this peer leads its term."""
        return self.role is Role.LEADER

    @property
    def has_seat(self) -> bool:
        """Return whether this peer, with this very memory, votes."""
        return self.seat in self.log.council

    def election_timeout_s(self) -> float:
        """Draw a patience, so that two voters rarely campaign at once (Raft §5.2)."""
        return self.pace.election_timeout_s(self.rng)

    # --- roles: the only places where one changes -------------------------------------------------

    def become_follower(self, term: int, leader: str, now: float) -> None:
        """Follow in `term`, which may be the present one; `leader` is empty unless it has just spoken."""
        if term > self.term:
            self._enter_term(term, NOBODY)
        self.role = Role.FOLLOWER
        self.leadership = None
        self.election_at = now + self.election_timeout_s()
        if leader:
            self.contact_at = now
            self.known_leader = (leader, term)

    def become_precandidate(self, now: float) -> None:
        """Ask whether a campaign would succeed; the term stays."""
        self.role = Role.PRECANDIDATE
        self.election_at = now + self.election_timeout_s()
        self.counters["prevotes_held"] += 1

    def become_candidate(self, now: float, *, terms: int = 1) -> None:
        """Campaign in a new term, with one's own vote; `terms` above the present one."""
        self._enter_term(self.term + terms, self.seat)
        self.role = Role.CANDIDATE
        self.election_at = now + self.election_timeout_s()
        self.counters["elections_held"] += 1

    def become_leader(self, leadership: Leadership) -> None:
        """Lead the term in which this peer has been elected."""
        assert self.role is Role.CANDIDATE
        self.role = Role.LEADER
        self.leadership = leadership
        self.known_leader = (self.name, self.term)
        self.election_at = float("inf")

    def _enter_term(self, term: int, voted_for: Seat) -> None:
        assert term > self.term
        self.term = term
        self.vote_for(voted_for)

    def vote_for(self, candidate: Seat) -> None:
        """Give this term's vote, on disk as well; or give it to `NOBODY` yet."""
        self.voted_for = candidate
        self._outbox.persist(VoteRecord(self.term, candidate.name, candidate.voter))

    # --- what goes out ----------------------------------------------------------------------------

    def commit_to(self, index: int) -> None:
        """Apply entries up to `index`, and put on disk what comes of it."""
        self.log.commit_to(index)
        self.persist_log()

    def persist_log(self) -> None:
        """Put on disk what has changed in the log."""
        for record in self.log.records:
            self._outbox.persist(record)
        self.log.records.clear()

    def tell(self, name: str, message: Message) -> None:
        """Send to another worker, if its address is known. A seat of one's own that was lost hears nothing."""
        if name == self.name:
            return
        address = self.address_of(name)
        if address is None:
            self.counters["council_unreachable"] += 1
        else:
            self._outbox.send(address, message)
