"""How a peer comes by entries that it has not proposed: from a leader (Raft §5.3, §7), or by pulling.

Everyone holds a log, seat or not. Who has no seat never campaigns and follows by pulling what was committed
from whoever shows a newer plan; **a pull ends a candidacy**: a candidate that adopts entries by another way
than an election must not go on counting votes for the log that it had before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.config import MEMBERS_MAX
from swimstream.core.council.pulls import Giver, Pulls
from swimstream.core.council.standing import Role
from swimstream.wire.council_messages import (
    Append,
    AppendReply,
    PiecePull,
    PlanEntries,
    PlanPull,
    Snapshot,
    SnapshotPiece,
)

if TYPE_CHECKING:
    from swimstream.core.council.authority import Authority
    from swimstream.core.council.standing import Standing
    from swimstream.model.identity import Run
    from swimstream.model.plan import PlanMark

TERM_JUMP_MAX = 2**32


class Following:
    """One peer as a reader of what others have decided."""

    def __init__(self, standing: Standing, authority: Authority) -> None:
        """Begin free to pull. `authority`: what this peer knows of a quorum."""
        self._standing = standing
        self._authority = authority
        self.giver = Giver(standing.log, standing.tell, standing.address_of, voter=standing.seat.voter)
        self.pulls = Pulls(
            standing.log, standing.tell, standing.address_of, counters=standing.counters, pace=standing.pace
        )
        self._ahead: dict[str, int] = {}
        """Name → the index of a plan that had come further than the one here, when it was last heard of."""

    def is_believable(self, term: int) -> bool:
        """Return whether a term can have come from elections; a forged one must not exhaust the counter."""
        standing = self._standing
        believable = term - max(standing.term, standing.known_leader[1]) <= TERM_JUMP_MAX
        standing.counters["term_jumps_refused"] += not believable
        return believable

    # --- from a leader ----------------------------------------------------------------------------

    def receive_append(self, sender: Run, append: Append, now: float) -> None:
        """Take a leader's entries and commit index, and what it says of its majority."""
        standing, log = self._standing, self._standing.log
        if log.plan.cluster_id:  # who knows no cluster yet may have met two
            self._authority.receive_append(append)
        if not self._follows(sender, append.term, now):
            self._reply(sender, append.round, now, success=False, index=log.last_index)
            return
        standing.pace.hear(append.heartbeat_ms)
        if not log.is_sound(append.entries, after=append.prev_index, term=append.term):
            standing.counters["protocol_violations"] += 1
            return
        if append.prev_index > log.last_index:
            self._reply(sender, append.round, now, success=False, index=log.last_index)
        elif append.prev_index > log.commit and log.term_at(append.prev_index) != append.prev_term:
            self._reply(sender, append.round, now, success=False, index=append.prev_index - 1)
        else:
            log.merge(append.entries)
            standing.persist_log()
            agreed = append.prev_index + len(append.entries)
            self._reply(sender, append.round, now, success=True, index=agreed)
            standing.commit_to(min(append.commit, agreed))

    def receive_snapshot(self, sender: Run, snapshot: Snapshot, now: float) -> None:
        """Take the whole plan: from the leader, or in answer to a pull (then `round` is 0 and nothing is replied)."""
        standing, log = self._standing, self._standing.log
        if snapshot.round and not self._follows(sender, snapshot.term, now):
            self._reply(sender, snapshot.round, now, success=False, index=log.last_index)
            return
        if snapshot.plan.index > log.commit:
            self._adopt_term(snapshot.plan.term, now)
            log.install(snapshot.plan)
            standing.persist_log()
        if snapshot.round:
            self._reply(sender, snapshot.round, now, success=True, index=log.commit)

    def receive_piece(self, sender: Run, piece: SnapshotPiece, now: float) -> None:
        """Take a piece of the plan, and once it is whole all of it: as `receive_snapshot`."""
        if piece.round and not self._follows(sender, piece.term, now):
            self._reply(sender, piece.round, now, success=False, index=self._standing.log.last_index)
            return
        plan = self.pulls.receive(sender.name, piece, now)
        if plan is not None and self.is_believable(plan.term):
            self.receive_snapshot(sender, Snapshot(term=piece.term, voter=0, round=piece.round, plan=plan), now)
        elif piece.round:
            self._reply(sender, piece.round, now, success=True, index=self._standing.log.commit)

    def _follows(self, sender: Run, term: int, now: float) -> bool:
        """Accept `sender` as the leader of `term`, unless the term is over."""
        standing = self._standing
        if term < standing.term:
            return False
        if term == standing.term and standing.is_leader:
            standing.counters["protocol_violations"] += 1
            return False
        standing.become_follower(term, sender.name, now)
        return True

    def _reply(self, leader: Run, heartbeat: int, now: float, *, success: bool, index: int) -> None:
        standing = self._standing
        reply = AppendReply(
            term=standing.term,
            voter=standing.seat.voter,
            round=heartbeat,
            success=success,
            index=index,
            token=self._authority.token(now),
        )
        standing.tell(leader.name, reply)

    # --- the plan, to everyone --------------------------------------------------------------------

    def hear_mark(self, sender: Run, mark: PlanMark, now: float) -> None:
        """Learn from a ping or an ack who leads, and whether the sender's plan is ahead; then pull what is missing."""
        standing = self._standing
        leader, term = standing.known_leader
        # whether it leads it need not be told: such a mark was long under way
        knows_better = mark.leader == standing.name
        if not self.is_believable(mark.term):
            return
        if standing.is_leader and mark.term > standing.term:
            standing.become_follower(mark.term, "", now)
        if mark.leader and not knows_better and (mark.term > term or (mark.term == term and not leader)):
            standing.known_leader = (mark.leader, mark.term)
        self._note_who_is_ahead(sender.name, mark.index)
        is_led = standing.has_seat and now - standing.contact_at < 2 * standing.pace.heartbeat_s
        if not standing.is_leader and not is_led:
            self.pulls.see(sender.name, mark.index, now)

    def _note_who_is_ahead(self, name: str, index: int) -> None:
        self._ahead.pop(name, None)
        if index > self._standing.log.commit:
            self._ahead[name] = index
            if len(self._ahead) > MEMBERS_MAX:
                del self._ahead[next(iter(self._ahead))]
                self._standing.counters["marks_forgotten"] += 1

    def ahead(self) -> dict[str, int]:
        """Return who was heard to have more of the plan than this peer, and up to which index."""
        return {name: index for name, index in self._ahead.items() if index > self._standing.log.commit}

    def receive_pull(self, sender: Run, pull: PlanPull | PiecePull) -> None:
        """Give a member committed entries, or the plan or a piece of it to who is too far behind."""
        standing = self._standing
        if standing.leadership is not None and isinstance(pull, PiecePull) and pull.round:
            standing.leadership.receive_piece_pull(sender.name, pull)
        else:
            self.giver.receive_pull(sender.name, pull, term=standing.term)

    def receive_plan_entries(self, given: PlanEntries, now: float) -> None:
        """Adopt committed entries. Ends a candidacy: the log is no longer the one that was voted on."""
        standing, log = self._standing, self._standing.log
        if not given.entries or given.entries[-1].index <= log.commit:
            return
        first, last = given.entries[0], given.entries[-1]
        if first.index > log.commit + 1:
            return  # there is a gap: other entries were adopted since the pull, so ask again at the next mark
        if not log.is_sound(given.entries, after=first.index - 1, term=last.term):
            standing.counters["protocol_violations"] += 1
            return
        self._adopt_term(last.term, now)
        log.merge(given.entries)
        standing.persist_log()
        standing.commit_to(last.index)
        self.pulls.answered(now)

    def _adopt_term(self, term: int, now: float) -> None:
        """Be no candidate any more, and of no older term than the newest entry."""
        standing = self._standing
        if standing.role is not Role.FOLLOWER or term > standing.term:
            standing.become_follower(max(term, standing.term), "", now)
