"""What a leader does for its term: send entries, count who holds them, notice when it has lost its majority.

Raft §5.3 and §5.4.2 (an older entry commits only along with one of the leader's own term); Ongaro's thesis §6.2
(a leader that hears no majority for an election time-out steps down).

The majority is always that of the newest council in the log, committed or not (thesis §4.1). The leader's own copy
counts only while it has a seat there (§4.2.2), and that of a learner never (§4.2.1).

That a majority has acked is news for everybody: `prove` makes the proof of it which `authority.py` is about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.core.council.beacons import Proof
from swimstream.core.council.pieces import Stamp
from swimstream.model.changes import Entry, Seat
from swimstream.wire.council_messages import Append, AppendReply, SnapshotPiece, TimeoutNow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from swimstream.core.council.log import Log
    from swimstream.core.council.pace import Pace
    from swimstream.core.council.pulls import Giver
    from swimstream.model.changes import Change
    from swimstream.wire.council_messages import PiecePull
    from swimstream.wire.messages import Message

ROUNDS_KEPT = 64
LOST_AFTER = 1.5
"""A piece of the plan is sent again after so many heartbeat intervals: with the first or second beat."""


@attrs.define(kw_only=True)
class Progress:
    """One follower, as its leader knows it. Invariant: `0 <= match < next`."""

    next: int
    """Index of the next entry to send."""
    match: int = 0
    """Index up to which its log is known to agree with the leader's."""
    round_acked_at: float = float("-inf")
    """When the newest heartbeat round that it acked was *sent*, on the leader's clock."""
    token: int = 0
    """That of the newest reply: what the next message says of the quorum answers it."""
    probing: bool = True
    """Whether the point of agreement is still looked for: then `next` moves only with an answer."""
    piece: tuple[int, int] = (0, 0)
    """Index and offset of the piece of the plan that it lacks."""
    piece_at: float = float("-inf")
    """When the round began in which that piece was sent last."""


@attrs.frozen
class Transfer:
    """The leader wants `heir` to lead instead, and proposes nothing before `until` or before that has happened."""

    heir: Seat
    until: float


class Leadership:
    """One term of one leader. `tell(name, message)` sends to a seat."""

    def __init__(
        self,
        seat: Seat,
        term: int,
        log: Log,
        tell: Callable[[str, Message], None],
        giver: Giver,
        *,
        pace: Pace,
        now: float,
    ) -> None:
        """Take office; nothing is sent before the first `append` or `beat`."""
        pace.begin_term()
        self.heartbeat_at = now + pace.heartbeat_s
        self._seat = seat
        self._term = term
        self._log = log
        self._tell = tell
        self._giver = giver
        self._pace = pace
        self._since = now
        self._round = 1
        self._rounds = {1: now}
        self._progress: dict[Seat, Progress] = {}
        """Every seat of the newest council but the leader's own, and the learner."""
        self._learner: Seat | None = None
        self.transfer: Transfer | None = None
        self._proof: Proof | None = None
        """The newest one that this leadership has made."""
        self._follow_council()

    def append(self, changes: Iterable[Change]) -> None:
        """Put changes at the end of the log; `send_entries` lets them go once the log is on disk."""
        first = self._log.last_index + 1
        self._log.append(Entry(index=first + i, term=self._term, change=change) for i, change in enumerate(changes))
        self._follow_council()

    def teach(self, learner: Seat | None) -> None:
        """Bring one worker up to date that has no seat yet, instead of the one before (thesis §4.2.1)."""
        self._learner = learner
        self._follow_council()

    def _follow_council(self) -> None:
        """Send to whom the newest council names, and to the learner; who was there before keeps its progress."""
        learners = () if self._learner is None else (self._learner,)
        wanted = [seat for seat in dict.fromkeys((*self._log.council, *learners)) if seat != self._seat]
        before = self._progress
        self._progress = {seat: before.get(seat, Progress(next=self._log.last_index + 1)) for seat in wanted}

    def _voters(self) -> dict[Seat, Progress]:
        """Return the others that have a seat in the newest council."""
        return {seat: self._progress[seat] for seat in self._log.council if seat != self._seat}

    def _own(self, value: float) -> list[float]:
        """Return what the leader itself adds to a count: nothing while it has no seat."""
        return [value] if self._seat in self._log.council else []

    def is_level(self, seat: Seat, now: float) -> bool:
        """Return whether that seat or learner holds all that is committed, and has answered of late."""
        progress = self._progress.get(seat)
        if progress is None or progress.probing or progress.match < self._log.commit:
            return False
        return now - progress.round_acked_at <= self._pace.election_timeout_s_min

    def heir(self, now: float) -> Seat | None:
        """Return the voter that could take over soonest, or None if none has answered of late."""
        level = {seat: progress.match for seat, progress in self._voters().items() if self.is_level(seat, now)}
        return max(sorted(level), key=lambda seat: level[seat], default=None)

    def hand_over(self) -> None:
        """Call on the heir to campaign, once it holds everything; said again until it is heard (thesis §3.10)."""
        progress = self._progress.get(self.transfer.heir) if self.transfer is not None else None
        if self.transfer is not None and progress is not None and progress.match == self._log.last_index:
            self._tell(self.transfer.heir.name, TimeoutNow(term=self._term))

    def send_entries(self, now: float) -> None:
        """Send every follower what it lacks."""
        for seat in self._progress:
            self._replicate(seat, now)

    def beat(self, now: float) -> None:
        """Send a heartbeat round."""
        self.heartbeat_at = now + self._pace.heartbeat_s
        self._round += 1
        self._rounds[self._round] = now
        self._rounds.pop(self._round - ROUNDS_KEPT, None)
        self.send_entries(now)

    def has_quorum(self, now: float) -> bool:
        """Return whether a majority has acked a heartbeat that was sent within the last election time-out."""
        return now - max(self._quorum_at(now), self._since) <= self._pace.election_timeout_s_min

    def _quorum_at(self, now: float) -> float:
        """Return when the newest heartbeats that a majority has acked were *sent*, on the leader's clock.

        Rule 1 of authority: an ack counts from the sending of the very round that it names, so a late one of an older
        round proves nothing newer. Rule 2: the majority is that of the newest council in the log, committed or not; who
        has no seat in it does not count, be it a learner, a removed voter or the leader itself.
        """
        acked = [progress.round_acked_at for progress in self._voters().values()]
        return reached_by_majority([*self._own(now), *acked], seats=len(self._log.council))

    def prove(self, now: float) -> Proof | None:
        """Return the proof that this leader had a majority, the newest that can be made; None before there is one.

        Rule 3: none before an entry of its own term has committed, since only from then on the leader's commit index
        covers all that was ever committed before; and the index is that of the moment when the proof is made. The
        proof then stays as it is until a later one can be made.
        """
        if self._log.plan.term != self._term:
            return None
        issued = self._quorum_at(now)
        if issued > (self._proof.issued if self._proof is not None else float("-inf")):
            self._proof = Proof(term=self._term, index=self._log.commit, issued=issued)
        return self._proof

    def receive_reply(self, seat: Seat, reply: AppendReply, now: float) -> None:
        """Learn how far a follower has come, and send on what it lacks."""
        progress = self._progress.get(seat)
        if progress is None:
            return
        sent_at = self._rounds.get(reply.round)
        if sent_at is not None:
            if sent_at > progress.round_acked_at:
                self._pace.measure(seat, now - sent_at, voters=self._log.council)
            progress.round_acked_at = max(progress.round_acked_at, sent_at)
        progress.token = reply.token or progress.token
        index = min(reply.index, self._log.last_index)
        if reply.success:
            progress.probing = False
            progress.match = max(progress.match, index)
            progress.next = max(progress.next, progress.match + 1)
            wants_more = progress.next <= self._log.last_index
        else:
            back = max(progress.match + 1, min(index + 1, progress.next - 1))
            wants_more = back < progress.next
            progress.next, progress.probing = back, True
        if wants_more and not self._reads_pieces(progress):
            self._replicate(seat, now)
        elif self.transfer is not None and self.transfer.heir == seat:
            self.hand_over()

    def receive_piece_pull(self, name: str, pull: PiecePull) -> None:
        """Send a follower the next piece, as a heartbeat of the round that is open."""
        for seat, progress in self._progress.items():
            if seat.name == name:
                progress.piece = (pull.index, pull.offset)
                self._send_plan(seat, progress)

    def committable(self) -> int:
        """Return the highest index that may be committed: held by a majority, and of the leader's own term."""
        matches = [float(progress.match) for progress in self._voters().values()]
        index = reached_by_majority([*self._own(self._log.last_index), *matches], seats=len(self._log.council))
        if index > self._log.commit and self._log.term_at(int(index)) == self._term:
            return int(index)
        return self._log.commit

    def _replicate(self, seat: Seat, now: float) -> None:
        progress = self._progress[seat]
        prev_term = self._log.term_at(progress.next - 1)
        if prev_term is None:
            progress.probing = True
            if self._reads_pieces(progress):
                self._tell(seat.name, self._append(progress, self._log.base.index, self._log.base.term, (), now))
            else:
                self._send_plan(seat, progress)
            return
        entries = self._log.entries_from(progress.next, upto=self._log.last_index)
        append = self._append(progress, progress.next - 1, prev_term, entries, now)
        if not progress.probing:
            progress.next += len(entries)
        self._tell(seat.name, append)

    def _append(
        self, progress: Progress, prev_index: int, prev_term: int, entries: tuple[Entry, ...], now: float
    ) -> Append:
        return Append(
            term=self._term,
            voter=self._seat.voter,
            round=self._round,
            prev_index=prev_index,
            prev_term=prev_term,
            commit=self._log.commit,
            entries=entries,
            heartbeat_ms=self._pace.heartbeat_ms,
            echo=progress.token,
            beacon=self._proof.written_at(now) if self._proof is not None and progress.token else None,
        )

    def _reads_pieces(self, progress: Progress) -> bool:
        """Return whether a piece is under way to it: if a heartbeat interval has brought no question, it is lost."""
        is_recent = self._rounds[self._round] - progress.piece_at < LOST_AFTER * self._pace.heartbeat_s
        return is_recent and self._log.term_at(progress.next - 1) is None

    def _send_plan(self, seat: Seat, progress: Progress) -> None:
        """Send the plan, or the piece of it that was asked for last."""
        stamp = Stamp(term=self._term, voter=self._seat.voter, round=self._round)
        given = self._giver.shelf.go_on(*progress.piece, stamp)
        if isinstance(given, SnapshotPiece):
            progress.piece, progress.piece_at = (given.index, given.offset), self._rounds[self._round]
        self._tell(seat.name, given)


def reached_by_majority(values: Iterable[float], *, seats: int) -> float:
    """Return the highest value that a majority of `seats` has reached; `values` holds at most one for each seat."""
    ranked = sorted(values, reverse=True)
    return ranked[seats // 2] if len(ranked) > seats // 2 else float("-inf")
