"""Raft among the council's seats, plainly (Ongaro & Ousterhout 2014; Ongaro's thesis). Read this file first.

The walls of the room, in files of their own: `standing.py` (term, role, vote: what one is, and the only place
where that changes), `elections.py` (who leads), `following.py` (how one comes by entries), `leading.py` (what a
leader does for its term), `changing.py` (when the council may change), `recovering.py` (when its majority is lost),
`log.py`. Who shall have a seat is decided elsewhere: `seats.py` at the founding, `seating.py` afterwards.
This file is their face to the node, and what a leader proposes and commits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.council.authority import Authority
from swimstream.core.council.changing import admitted
from swimstream.core.council.elections import Elections
from swimstream.core.council.following import Following
from swimstream.core.council.guard import MoveGuard, no_end_known
from swimstream.core.council.leading import Leadership, Transfer
from swimstream.core.council.recovering import begin_recovery, recovery_refusal
from swimstream.core.council.standing import Role, Standing
from swimstream.model.changes import Noop, Seat
from swimstream.model.plan import PlanMark

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Sequence
    from random import Random

    from swimstream.config import Timing
    from swimstream.core.council.log import Log
    from swimstream.core.effects import Saved
    from swimstream.core.outbox import Outbox
    from swimstream.model.changes import Change, Entry
    from swimstream.model.identity import Address, Run
    from swimstream.model.plan import Assignment, Plan
    from swimstream.wire.council_messages import (
        Append,
        AppendReply,
        PiecePull,
        PlanEntries,
        PlanPull,
        Snapshot,
        SnapshotPiece,
        TimeoutNow,
        VoteReply,
        VoteRequest,
    )


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
        has_ended: Callable[[Assignment], bool] = no_end_known,
    ) -> None:
        """Take up what the state directory held; see `Standing`."""
        self._standing = Standing(
            name, saved, outbox, timing=timing, rng=rng, counters=counters, address_of=address_of, now=now
        )
        self._elections = Elections(self._standing, self._take_office)
        self.authority = Authority(rng=rng, counters=counters)
        """What this peer knows of a quorum."""
        self._following = Following(self._standing, self.authority)
        self.guard = MoveGuard(self._standing.log, has_ended, counters=counters)

    # --- views ------------------------------------------------------------------------------------

    @property
    def log(self) -> Log:
        """Return the log; only the council changes it."""
        return self._standing.log

    @property
    def term(self) -> int:
        """Return the newest term that this peer has entered."""
        return self._standing.term

    @property
    def role(self) -> Role:
        """Return what this peer is in its term."""
        return self._standing.role

    @property
    def voted_for(self) -> Seat:
        """Return who has this peer's vote in its term; `NOBODY` if nobody has."""
        return self._standing.voted_for

    @property
    def plan(self) -> Plan:
        """Return the committed plan as far as it is known here."""
        return self.log.plan

    @property
    def is_leader(self) -> bool:
        """Return whether this peer leads its term."""
        return self._standing.is_leader

    @property
    def has_seat(self) -> bool:
        """Return whether this peer, with this very memory, votes."""
        return self._standing.has_seat

    @property
    def is_settled(self) -> bool:
        """Return whether nothing waits to be committed, and no other is about to lead."""
        return self.log.commit == self.log.last_index and self.transfer is None

    @property
    def transfer(self) -> Transfer | None:
        """Return to whom this leader is handing over, if it is."""
        leadership = self._standing.leadership
        return leadership.transfer if leadership is not None else None

    @property
    def seat(self) -> Seat:
        """Return this worker's name with the memory behind its vote, whether or not that has a seat."""
        return self._standing.seat

    @property
    def mark(self) -> PlanMark:
        """Return how far this peer's plan has come, and who leads as far as it knows."""
        leader, term = self._standing.known_leader
        return PlanMark(term=term, leader=leader, index=self.log.commit)

    def is_believable(self, term: int) -> bool:
        """Return whether a term can have come from elections; a forged one must not exhaust the counter."""
        return self._following.is_believable(term)

    # --- elections: see elections.py --------------------------------------------------------------

    def receive_vote_request(self, sender: Run, request: VoteRequest, now: float) -> None:
        """Give the vote, or say why not by the term of the reply."""
        self._elections.receive_request(sender, request, now)

    def receive_vote_reply(self, sender: Run, reply: VoteReply, now: float) -> None:
        """Count a vote for the question that is open."""
        self._elections.receive_reply(sender, reply, now)

    def leader_is_gone(self, name: str, now: float) -> None:
        """Bring the next campaign forward: membership holds the leader for dead or left. Stickiness stays."""
        self._elections.leader_is_gone(name, now)

    def step_down(self, now: float) -> None:
        """Stop leading or campaigning, in the same term."""
        standing = self._standing
        if standing.role is not Role.FOLLOWER:
            standing.become_follower(standing.term, "", now)
        if standing.known_leader[0] == standing.name:
            standing.known_leader = ("", standing.term)

    def found(self, entry: Entry, now: float) -> None:
        """Begin a log with the founding of a cluster, and campaign at once."""
        standing = self._standing
        assert self.log.last_index == 0
        standing.term = max(standing.term, entry.term)
        self.log.append([entry])
        standing.persist_log()
        self._elections.campaign(now)

    # --- leading (Raft §5.3, §5.4.2): see leading.py ----------------------------------------------

    def _take_office(self, now: float) -> None:
        standing = self._standing
        office = Leadership(
            standing.seat, standing.term, self.log, standing.tell, self._following.giver, pace=standing.pace, now=now
        )
        standing.become_leader(office)
        self.guard.take_office(now)
        self.propose([Noop()], now)

    def propose(self, changes: Sequence[Change], now: float) -> None:
        """Append changes, at least one, to the log and send them to the council. Only the leader may.

        Left out and counted: everything while another is about to lead, and what `changing.py` or the guard of moves
        does not let in.
        """
        standing, leadership = self._standing, self._standing.leadership
        assert leadership is not None
        if leadership.transfer is not None:
            standing.counters["proposals_refused"] += len(changes)
            return
        chosen = admitted(changes, self.log, term=standing.term, counters=standing.counters)
        chosen = self.guard.admit(chosen, now)
        if not chosen:
            return
        leadership.append(chosen)
        standing.persist_log()
        leadership.send_entries(now)
        self._advance_commit(leadership, now)

    def receive_append_reply(self, sender: Run, reply: AppendReply, now: float) -> None:
        """Learn how far a follower has come."""
        standing = self._standing
        if reply.term > standing.term:
            standing.become_follower(reply.term, "", now)
        elif standing.leadership is not None and reply.term == standing.term:
            standing.leadership.receive_reply(Seat(sender.name, reply.voter), reply, now)
            self._advance_commit(standing.leadership, now)

    def _advance_commit(self, leadership: Leadership, now: float) -> None:
        index = leadership.committable()
        if index > self.log.commit:
            self._standing.commit_to(index)
            self.guard.note_commit(now)
            leadership.heartbeat_at = now  # followers learn of the commit at once, not a heartbeat later
            if not self.has_seat and self.log.is_council_settled:
                self._standing.counters["leaders_unseated"] += 1
                self.step_down(now)  # it has led until its own removal was committed (thesis §4.2.2)
        proof = leadership.prove(now)
        if proof is not None:
            self.authority.learn(proof)  # the leader's own clock: `issued` as it is

    # --- the council's own seats ------------------------------------------------------------------

    def teach(self, learner: Seat | None) -> None:
        """As leader, bring this worker up to date that has no seat yet, and no other (thesis §4.2.1)."""
        if self._standing.leadership is not None:
            self._standing.leadership.teach(learner)

    def is_level(self, seat: Seat, now: float) -> bool:
        """Return whether, as this leader knows, that seat or learner has all that is committed and answers."""
        return self._standing.leadership is not None and self._standing.leadership.is_level(seat, now)

    def hand_over(self, now: float, *, to: str = "") -> bool:
        """As leader, propose nothing more and have `to`, or who can soonest, lead instead (thesis §3.10).

        Return whether that has begun or is under way. It ends after the shortest election time-out: then this peer
        leads on.
        """
        standing, leadership = self._standing, self._standing.leadership
        if leadership is None:
            return False
        if leadership.transfer is None:
            heirs = [seat for seat in self.log.council if seat.name == to and seat != standing.seat]
            heir = (
                next((seat for seat in heirs if leadership.is_level(seat, now)), None) if to else leadership.heir(now)
            )
            if heir is None:
                return False
            leadership.transfer = Transfer(heir, until=now + standing.pace.election_timeout_s_min)
            standing.counters["transfers_begun"] += 1
            leadership.send_entries(now)
            leadership.hand_over()
        return not to or leadership.transfer.heir.name == to

    def receive_timeout_now(self, sender: Run, message: TimeoutNow, now: float) -> None:
        """Campaign at once if the leader asks for it."""
        self._elections.receive_timeout_now(sender, message, now)

    def recover(self, *, cluster_id: int, live: Collection[Seat], asked_by: str, now: float) -> str:
        """Go on alone in the place of a council whose majority is lost for good; return why not, or nothing.

        See `recovering.py` for what that gives up. `live`: the seats of workers that are held for alive.
        """
        standing = self._standing
        names = {seat.name for seat in live}
        error = recovery_refusal(
            self.log,
            cluster_id=cluster_id,
            live=live,
            ahead=[name for name in self._following.ahead() if name in names],
            is_led=standing.is_leader or now - standing.contact_at < standing.pace.election_timeout_s_min,
            is_proved=now - self.authority.proved_at <= self.plan.isolation_ms / 1_000,
        )
        if not error:
            begin_recovery(standing, asked_by=asked_by, now=now)
            self._elections.take_over_alone(now)
        return error

    # --- following (Raft §5.3, §7), and the plan to everyone: see following.py --------------------

    def receive_append(self, sender: Run, append: Append, now: float) -> None:
        """Take a leader's entries and commit index."""
        self._following.receive_append(sender, append, now)

    def receive_snapshot(self, sender: Run, snapshot: Snapshot, now: float) -> None:
        """Take the whole plan: from the leader, or in answer to a pull (then `round` is 0 and nothing is replied)."""
        self._following.receive_snapshot(sender, snapshot, now)

    def receive_piece(self, sender: Run, piece: SnapshotPiece, now: float) -> None:
        """Take a piece of the plan, and once it is whole all of it: as `receive_snapshot`."""
        self._following.receive_piece(sender, piece, now)

    def hear_mark(self, sender: Run, mark: PlanMark, now: float) -> None:
        """Learn from a ping or an ack who leads, and whether the sender's plan is ahead; then pull what is missing."""
        self._following.hear_mark(sender, mark, now)

    def receive_pull(self, sender: Run, pull: PlanPull | PiecePull) -> None:
        """Give a member committed entries, or the plan or a piece of it to who is too far behind."""
        self._following.receive_pull(sender, pull)

    def receive_plan_entries(self, given: PlanEntries, now: float) -> None:
        """Adopt committed entries, in order; ends a candidacy."""
        self._following.receive_plan_entries(given, now)

    # --- time -------------------------------------------------------------------------------------

    def fire_timers(self, now: float) -> None:
        """Beat as a leader; campaign as a voter that has heard none for too long."""
        standing = self._standing
        leadership = standing.leadership
        if leadership is not None and leadership.heartbeat_at <= now:
            if leadership.transfer is not None and leadership.transfer.until <= now:
                leadership.transfer = None
                standing.counters["transfers_given_up"] += 1
            if leadership.has_quorum(now):
                leadership.beat(now)
                leadership.hand_over()
                self._advance_commit(leadership, now)  # who sits alone has no reply to wait for
            else:
                standing.counters["quorums_lost"] += 1
                self.step_down(now)
        if not self.is_leader and standing.election_at <= now:
            self._elections.campaign(now)
        self._following.pulls.fire_timers(now)

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next."""
        leadership = self._standing.leadership
        beat_at = leadership.heartbeat_at if leadership is not None else float("inf")
        return min(self._standing.election_at, self._following.pulls.retry_at, beat_at)
