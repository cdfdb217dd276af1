"""Who leads: campaigns and votes (Raft §5.2, §5.4.1; Ongaro's thesis §9.6 for the pre-vote).

PreVote, CheckQuorum (see `leading.py`) and vote stickiness stand together, so that a peer with a bad link cannot
depose a working leader. Only an election that the leader itself has asked for (thesis §3.10) needs neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.council.seats import majority
from swimstream.core.council.standing import NOBODY, Role
from swimstream.model.changes import Seat
from swimstream.wire.council_messages import TimeoutNow, VoteReply, VoteRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.core.council.standing import Standing
    from swimstream.model.identity import Run


class Elections:
    """One peer's part in elections. `take_office(now)` is called once it has been elected."""

    def __init__(self, standing: Standing, take_office: Callable[[float], None]) -> None:
        """Begin with no question open."""
        self._standing = standing
        self._take_office = take_office
        self._votes: set[Seat] = set()

    def campaign(self, now: float) -> None:
        """Ask for votes, at first without a new term; without a seat wait for another time-out."""
        standing = self._standing
        if standing.has_seat:
            standing.become_precandidate(now)
            self._canvass(standing.term + 1, pre=True, now=now)
        else:
            standing.election_at = now + standing.election_timeout_s()

    def receive_timeout_now(self, sender: Run, message: TimeoutNow, now: float) -> None:
        """Campaign at once, as the leader of this very term asks (thesis §3.10)."""
        standing = self._standing
        is_leaders = standing.known_leader == (sender.name, message.term) and message.term == standing.term
        if is_leaders and standing.role is Role.FOLLOWER and standing.has_seat:
            standing.become_candidate(now)
            self._canvass(standing.term, now=now, transfer=True)

    def take_over_alone(self, now: float) -> None:
        """Campaign in the new term of a council that consists of this seat alone; see `recovering.py`."""
        self._canvass(self._standing.term, now=now)

    def _canvass(self, term: int, *, now: float, pre: bool = False, transfer: bool = False) -> None:
        standing, log = self._standing, self._standing.log
        self._votes = {standing.seat}
        request = VoteRequest(
            term=term,
            voter=standing.seat.voter,
            last_index=log.last_index,
            last_term=log.last_term,
            pre=pre,
            transfer=transfer,
        )
        for name in sorted({seat.name for seat in log.council}):
            standing.tell(name, request)
        self._count_votes(now)

    def _count_votes(self, now: float) -> None:
        standing = self._standing
        if len(self._votes) < majority(standing.log.council):
            return
        if standing.role is Role.PRECANDIDATE:
            standing.become_candidate(now)
            self._canvass(standing.term, now=now)
        elif standing.role is Role.CANDIDATE:
            self._take_office(now)

    def receive_request(self, sender: Run, request: VoteRequest, now: float) -> None:
        """Give the vote, or say why not by the term of the reply."""
        standing = self._standing
        has_leader = now - standing.contact_at < standing.pace.election_timeout_s_min
        is_sticky = standing.is_leader or has_leader
        granted = False
        if (request.transfer or not is_sticky) and request.term >= standing.term:
            if not request.pre and request.term > standing.term:
                standing.become_follower(request.term, "", now)
            may_vote = request.pre or standing.voted_for in (NOBODY, Seat(sender.name, request.voter))
            granted = may_vote and standing.log.is_up_to_date(request.last_index, request.last_term)
        if granted and not request.pre:
            standing.election_at = now + standing.election_timeout_s()
            if standing.voted_for == NOBODY:
                standing.vote_for(Seat(sender.name, request.voter))
        term = request.term if granted else standing.term
        standing.tell(sender.name, VoteReply(term=term, voter=standing.seat.voter, granted=granted, pre=request.pre))

    def receive_reply(self, sender: Run, reply: VoteReply, now: float) -> None:
        """Count a vote for the question that is open."""
        standing = self._standing
        if not reply.granted:
            if reply.term > standing.term:
                standing.become_follower(reply.term, "", now)
            return
        asked = (standing.role, reply.pre, reply.term)
        seat = Seat(sender.name, reply.voter)
        is_open = asked in ((Role.PRECANDIDATE, True, standing.term + 1), (Role.CANDIDATE, False, standing.term))
        if is_open and seat in standing.log.council:
            self._votes.add(seat)
            self._count_votes(now)

    def leader_is_gone(self, name: str, now: float) -> None:
        """Bring the next campaign forward: membership holds the leader for dead or left. Stickiness stays."""
        standing = self._standing
        if standing.known_leader[0] == name and not standing.is_leader:
            soon = now + standing.rng.random() * standing.pace.heartbeat_s
            standing.election_at = min(standing.election_at, soon)
