"""Raft among the council's seats, plainly (Ongaro & Ousterhout 2014; Ongaro's thesis for pre-vote and check-quorum).

Roles change only in the `_become_…` methods. A message of a newer term makes anyone a follower; PreVote,
CheckQuorum and vote stickiness stand together, so that a peer with a bad link cannot depose a working leader.

Everyone holds a log, seat or not. Who has no seat never campaigns and follows by pulling what was committed
from whoever shows a newer plan; **a pull ends a candidacy**: a candidate that adopts entries by another way
than an election must not go on counting votes for the log that it had before.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from swimstream.core.council.leading import Leadership
from swimstream.core.council.log import Log
from swimstream.core.council.pace import Pace
from swimstream.core.council.pulls import Giver, Pulls
from swimstream.core.council.seats import majority
from swimstream.core.effects import VoteRecord
from swimstream.model.changes import Entry, Noop, Seat
from swimstream.model.plan import Plan, PlanMark
from swimstream.wire.council_messages import AppendReply, PiecePull, Snapshot, VoteReply, VoteRequest

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence
    from random import Random

    from swimstream.config import Timing
    from swimstream.core.effects import Saved
    from swimstream.core.outbox import Outbox
    from swimstream.model.changes import Change
    from swimstream.model.identity import Address, Run
    from swimstream.wire.council_messages import Append, PlanEntries, PlanPull, SnapshotPiece
    from swimstream.wire.messages import Message

TERM_JUMP_MAX = 2**32


class Role(enum.Enum):
    """What a peer is in its term."""

    FOLLOWER = enum.auto()
    PRECANDIDATE = enum.auto()
    CANDIDATE = enum.auto()
    LEADER = enum.auto()


class Council:
    """One peer's part in the council. `address_of(name)` finds a worker, also one that is held for dead."""

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
        self._voted_for = saved.vote.voted_for if saved.vote.term == self.term else ""
        self._name = name
        self._seat = Seat(name, saved.voter)
        self._outbox = outbox
        self._pace = Pace(timing)
        self._rng = rng
        self._counters = counters
        self._address_of = address_of
        self._votes: set[Seat] = set()
        self._leadership: Leadership | None = None
        """Set exactly while the role is LEADER."""
        self._known_leader = ("", 0)
        """The leader of the newest term of which this peer knows the leader, and that term."""
        self._contact_at = now if self.term else float("-inf")
        """When a leader last spoke to this peer."""
        self._election_at = now + self._pace.election_timeout_s(self._rng)
        self._giver = Giver(self.log, self._tell, address_of, voter=saved.voter)
        self._pulls = Pulls(self.log, self._tell, address_of, counters=counters, pace=self._pace)

    # --- views ------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """Return the committed plan as far as it is known here."""
        return self.log.plan

    @property
    def is_leader(self) -> bool:
        """Return whether this peer leads its term."""
        return self.role is Role.LEADER

    @property
    def has_seat(self) -> bool:
        """Return whether this peer, with this very memory, votes."""
        return self._seat in self.log.council

    @property
    def is_settled(self) -> bool:
        """Return whether nothing waits to be committed."""
        return self.log.commit == self.log.last_index

    @property
    def mark(self) -> PlanMark:
        """Return how far this peer's plan has come, and who leads as far as it knows."""
        return PlanMark(term=self._known_leader[1], leader=self._known_leader[0], index=self.log.commit)

    def is_believable(self, term: int) -> bool:
        """Return whether a term can have come from elections; a forged one must not exhaust the counter."""
        believable = term - max(self.term, self._known_leader[1]) <= TERM_JUMP_MAX
        self._counters["term_jumps_refused"] += not believable
        return believable

    # --- roles: the only places where one changes -------------------------------------------------

    def _become_follower(self, term: int, leader: str, now: float) -> None:
        if term > self.term:
            self._enter_term(term, voted_for="")
        self.role = Role.FOLLOWER
        self._leadership = None
        self._election_at = now + self._pace.election_timeout_s(self._rng)
        if leader:
            self._contact_at = now
            self._known_leader = (leader, term)

    def _become_precandidate(self, now: float) -> None:
        self.role = Role.PRECANDIDATE
        self._election_at = now + self._pace.election_timeout_s(self._rng)
        self._counters["prevotes_held"] += 1
        self._canvass(self.term + 1, pre=True, now=now)

    def _become_candidate(self, now: float) -> None:
        self._enter_term(self.term + 1, voted_for=self._name)
        self.role = Role.CANDIDATE
        self._election_at = now + self._pace.election_timeout_s(self._rng)
        self._counters["elections_held"] += 1
        self._canvass(self.term, pre=False, now=now)

    def _become_leader(self, now: float) -> None:
        assert self.role is Role.CANDIDATE
        self.role = Role.LEADER
        self._known_leader = (self._name, self.term)
        self._election_at = float("inf")
        self._leadership = Leadership(
            self._seat, self.term, self.log, self._tell, self._giver, pace=self._pace, now=now
        )
        self.propose([Noop()], now)

    def step_down(self, now: float) -> None:
        """Stop leading or campaigning, in the same term."""
        if self.role is not Role.FOLLOWER:
            self._become_follower(self.term, "", now)
        if self._known_leader[0] == self._name:
            self._known_leader = ("", self.term)

    def _enter_term(self, term: int, *, voted_for: str) -> None:
        assert term > self.term
        self.term = term
        self._voted_for = voted_for
        self._outbox.persist(VoteRecord(term, voted_for))

    # --- elections (Raft §5.2, §5.4.1; thesis §9.6) -----------------------------------------------

    def _canvass(self, term: int, *, pre: bool, now: float) -> None:
        self._votes = {self._seat}
        index, last = self.log.last_index, self.log.last_term
        request = VoteRequest(term=term, voter=self._seat.voter, last_index=index, last_term=last, pre=pre)
        for seat in self.log.council:
            if seat != self._seat:
                self._tell(seat.name, request)
        self._count_votes(now)

    def _count_votes(self, now: float) -> None:
        if len(self._votes) < majority(self.log.council):
            return
        if self.role is Role.PRECANDIDATE:
            self._become_candidate(now)
        elif self.role is Role.CANDIDATE:
            self._become_leader(now)

    def receive_vote_request(self, sender: Run, request: VoteRequest, now: float) -> None:
        """Give the vote, or say why not by the term of the reply."""
        is_sticky = self.is_leader or now - self._contact_at < self._pace.election_timeout_s_min
        granted = False
        if not is_sticky and request.term >= self.term:
            if not request.pre and request.term > self.term:
                self._become_follower(request.term, "", now)
            may_vote = request.pre or self._voted_for in ("", sender.name)
            granted = may_vote and self.log.is_up_to_date(request.last_index, request.last_term)
        if granted and not request.pre:
            self._election_at = now + self._pace.election_timeout_s(self._rng)
            if not self._voted_for:
                self._voted_for = sender.name
                self._outbox.persist(VoteRecord(self.term, sender.name))
        term = request.term if granted else self.term
        self._tell(sender.name, VoteReply(term=term, voter=self._seat.voter, granted=granted, pre=request.pre))

    def receive_vote_reply(self, sender: Run, reply: VoteReply, now: float) -> None:
        """Count a vote for the question that is open."""
        if not reply.granted:
            if reply.term > self.term:
                self._become_follower(reply.term, "", now)
            return
        asked = (self.role, reply.pre, reply.term)
        seat = Seat(sender.name, reply.voter)
        is_open = asked in ((Role.PRECANDIDATE, True, self.term + 1), (Role.CANDIDATE, False, self.term))
        if is_open and seat in self.log.council:
            self._votes.add(seat)
            self._count_votes(now)

    def leader_is_gone(self, name: str, now: float) -> None:
        """Bring the next campaign forward: membership holds the leader for dead or left. Stickiness stays."""
        if self._known_leader[0] == name and not self.is_leader:
            self._election_at = min(self._election_at, now + self._rng.random() * self._pace.heartbeat_s)

    # --- leading (Raft §5.3, §5.4.2): see leading.py ----------------------------------------------

    def propose(self, changes: Sequence[Change], now: float) -> None:
        """Append changes, at least one, to the log and send them to the council. Only the leader may."""
        assert self._leadership is not None
        self._leadership.append(changes)
        self._persist_log()
        self._leadership.send_entries()
        self._advance_commit(self._leadership, now)

    def receive_append_reply(self, sender: Run, reply: AppendReply, now: float) -> None:
        """Learn how far a follower has come."""
        if reply.term > self.term:
            self._become_follower(reply.term, "", now)
        elif self._leadership is not None and reply.term == self.term:
            self._leadership.receive_reply(Seat(sender.name, reply.voter), reply, now)
            self._advance_commit(self._leadership, now)

    def _advance_commit(self, leadership: Leadership, now: float) -> None:
        index = leadership.committable()
        if index > self.log.commit:
            self._commit_to(index)
            leadership.heartbeat_at = now  # followers learn of the commit at once, not a heartbeat later

    # --- following (Raft §5.3, §7) ----------------------------------------------------------------

    def receive_append(self, sender: Run, append: Append, now: float) -> None:
        """Take a leader's entries and commit index."""
        if not self._follows(sender, append.term, now):
            self._reply(sender, append.round, success=False, index=self.log.last_index)
            return
        self._pace.hear(append.heartbeat_ms)
        if not self.log.is_sound(append.entries, after=append.prev_index, term=append.term):
            self._counters["protocol_violations"] += 1
            return
        if append.prev_index > self.log.last_index:
            self._reply(sender, append.round, success=False, index=self.log.last_index)
        elif append.prev_index > self.log.commit and self.log.term_at(append.prev_index) != append.prev_term:
            self._reply(sender, append.round, success=False, index=append.prev_index - 1)
        else:
            self.log.merge(append.entries)
            self._persist_log()
            agreed = append.prev_index + len(append.entries)
            self._reply(sender, append.round, success=True, index=agreed)
            self._commit_to(min(append.commit, agreed))

    def receive_snapshot(self, sender: Run, snapshot: Snapshot, now: float) -> None:
        """Take the whole plan: from the leader, or in answer to a pull (then `round` is 0 and nothing is replied)."""
        if snapshot.round and not self._follows(sender, snapshot.term, now):
            self._reply(sender, snapshot.round, success=False, index=self.log.last_index)
            return
        if snapshot.plan.index > self.log.commit:
            self._adopt_term(snapshot.plan.term, now)
            self.log.install(snapshot.plan)
            self._persist_log()
        if snapshot.round:
            self._reply(sender, snapshot.round, success=True, index=self.log.commit)

    def receive_piece(self, sender: Run, piece: SnapshotPiece, now: float) -> None:
        """Take a piece of the plan, and once it is whole all of it: as `receive_snapshot`."""
        if piece.round and not self._follows(sender, piece.term, now):
            self._reply(sender, piece.round, success=False, index=self.log.last_index)
            return
        plan = self._pulls.receive(sender.name, piece, now)
        if plan is not None and self.is_believable(plan.term):
            self.receive_snapshot(sender, Snapshot(term=piece.term, voter=0, round=piece.round, plan=plan), now)
        elif piece.round:
            self._reply(sender, piece.round, success=True, index=self.log.commit)

    def _follows(self, sender: Run, term: int, now: float) -> bool:
        """Accept `sender` as the leader of `term`, unless the term is over."""
        if term < self.term:
            return False
        if term == self.term and self.is_leader:
            self._counters["protocol_violations"] += 1
            return False
        self._become_follower(term, sender.name, now)
        return True

    # --- the plan, to everyone --------------------------------------------------------------------

    def hear_mark(self, sender: Run, mark: PlanMark, now: float) -> None:
        """Learn from a ping or an ack who leads, and whether the sender's plan is ahead; then pull what is missing."""
        leader, term = self._known_leader
        knows_better = mark.leader == self._name  # whether it leads it need not be told; this mark was long under way
        if not self.is_believable(mark.term):
            return
        if self.is_leader and mark.term > self.term:
            self._become_follower(mark.term, "", now)
        if mark.leader and not knows_better and (mark.term > term or (mark.term == term and not leader)):
            self._known_leader = (mark.leader, mark.term)
        if not (self.is_leader or (self.has_seat and now - self._contact_at < 2 * self._pace.heartbeat_s)):
            self._pulls.see(sender.name, mark.index, now)

    def receive_pull(self, sender: Run, pull: PlanPull | PiecePull) -> None:
        """Give a member committed entries, or the plan or a piece of it to who is too far behind."""
        if self._leadership is not None and isinstance(pull, PiecePull) and pull.round:
            self._leadership.receive_piece_pull(sender.name, pull)
        else:
            self._giver.receive_pull(sender.name, pull, term=self.term)

    def receive_plan_entries(self, given: PlanEntries, now: float) -> None:
        """Adopt committed entries. Ends a candidacy: the log is no longer the one that was voted on."""
        if not given.entries or given.entries[-1].index <= self.log.commit:
            return
        first, last = given.entries[0], given.entries[-1]
        if first.index > self.log.commit + 1:
            return  # there is a gap: other entries were adopted since the pull, so ask again at the next mark
        if not self.log.is_sound(given.entries, after=first.index - 1, term=last.term):
            self._counters["protocol_violations"] += 1
            return
        self._adopt_term(last.term, now)
        self.log.merge(given.entries)
        self._persist_log()
        self._commit_to(last.index)
        self._pulls.answered(now)

    def _adopt_term(self, term: int, now: float) -> None:
        """Be no candidate any more, and of no older term than the newest entry."""
        if self.role is not Role.FOLLOWER or term > self.term:
            self._become_follower(max(term, self.term), "", now)

    # --- time, and what goes out ------------------------------------------------------------------

    def fire_timers(self, now: float) -> None:
        """Beat as a leader; campaign as a voter that has heard none for too long."""
        leadership = self._leadership
        if leadership is not None and leadership.heartbeat_at <= now:
            if leadership.has_quorum(now):
                leadership.beat(now)
            else:
                self._counters["quorums_lost"] += 1
                self.step_down(now)
        self._pulls.fire_timers(now)
        if not self.is_leader and self._election_at <= now:
            if self.has_seat:
                self._become_precandidate(now)
            else:
                self._election_at = now + self._pace.election_timeout_s(self._rng)

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next."""
        beat_at = self._leadership.heartbeat_at if self._leadership else float("inf")
        return min(self._election_at, self._pulls.retry_at, beat_at)

    def found(self, entry: Entry, now: float) -> None:
        """Begin a log with the founding of a cluster, and campaign at once."""
        assert self.log.last_index == 0
        self.term = max(self.term, entry.term)
        self.log.append([entry])
        self._persist_log()
        self._become_precandidate(now)

    def _commit_to(self, index: int) -> None:
        self.log.commit_to(index)
        self._persist_log()

    def _persist_log(self) -> None:
        for record in self.log.records:
            self._outbox.persist(record)
        self.log.records.clear()

    def _reply(self, leader: Run, heartbeat: int, *, success: bool, index: int) -> None:
        reply = AppendReply(term=self.term, voter=self._seat.voter, round=heartbeat, success=success, index=index)
        self._tell(leader.name, reply)

    def _tell(self, name: str, message: Message) -> None:
        address = self._address_of(name)
        if address is None:
            self._counters["council_unreachable"] += 1
        else:
            self._outbox.send(address, message)
