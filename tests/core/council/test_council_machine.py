"""Raft under everything at once: loss, repetition, any order, crashes between any two effects, restarts from disk.

After every step it is checked (Raft figure 3): one leader a term, logs match, what is committed is never lost or
changed and is applied in order, and a leader has everything that was committed in earlier terms.

In the last machine the council itself changes, leadership is handed over and workers lose their memory. A leader is
asked for far more than it may do: what it lets in must be safe, whoever asks.
"""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from swimstream.model.changes import COUNCIL_CHANGES, ChangeCouncil
from tests.core.council.peers import (
    ELECTION_S,
    HEARTBEAT_S,
    MEMORY,
    Peer,
    Sent,
    change,
    founding,
    run_of,
    saved_after,
)

if TYPE_CHECKING:
    from swimstream.core.council.log import Log
    from swimstream.model.changes import Entry, Seat

SEATLESS = "z"
SPARE = "de"
"""Workers of the last machine that have no seat at first."""
MEMORIES_LOST_MAX = 3
LATE_MAX = 60
LETTERS_MAX = 200
LOG_MAX = 40

picks = st.integers(0, 10**6)
cuts = st.one_of(st.none(), st.none(), st.none(), st.integers(0, 3))
"""After how many effects of an input the peer crashes; mostly it does not."""


losses = st.sets(st.sampled_from("abcde"), max_size=2)
"""Who is cut off meanwhile."""


class CouncilMachine(RuleBasedStateMachine):
    """Some councils, one worker without a seat, and the letters between them."""

    names = "abc"

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.peers: dict[str, Peer] = {}
        self.letters: list[tuple[str, Sent]] = []
        self.leaders: dict[int, Seat] = {}
        self.committed: dict[int, tuple[Entry, int]] = {}
        """Index → the entry, and the term of the peer that first held it committed."""
        self.applied: dict[str, int] = {}
        self.proposed = 0

    @initialize()
    def found(self) -> None:
        log = [founding(self.names)]
        self.peers = {name: Peer(name, saved_after(log)) for name in self.names}
        self.peers[SEATLESS] = Peer(SEATLESS, saved_after([], term=0))

    # --- what may happen --------------------------------------------------------------------------

    @rule(pick=picks, lost=losses)
    def campaign(self, pick: int, lost: set[str]) -> None:
        """Everybody forgets the leader, and one campaigns, while `lost` are cut off."""
        self._campaign(self._peer(pick).name, lost)

    @rule(pick=picks, count=st.integers(1, 2), lost=losses)
    def propose(self, pick: int, count: int, lost: set[str]) -> None:
        """A leader, old or new, proposes something, while `lost` are cut off."""
        leaders = [peer for peer in self.peers.values() if peer.council.is_leader]
        if leaders and self.proposed < LOG_MAX:
            self.proposed += count
            older, self.letters = self.letters, []
            leader = leaders[pick % len(leaders)]
            leader.council.propose([change(f"{self.proposed}.{i}") for i in range(count)], self.now)
            self._carry_out(leader, None)
            self._deliver_all_but(lost)
            self.letters += older

    @rule(seats=st.permutations("abc"), has_proposed=st.booleans(), has_crashed=st.booleans())
    def dispute(self, seats: list[str], *, has_proposed: bool, has_crashed: bool) -> None:
        """Two lead after each other, neither hearing the other, by the vote of a third that may crash in between."""
        first, third, second = seats
        self._campaign(first, {second})
        if has_proposed:
            self.propose(0, 1, {second})
        if has_crashed:
            self._restart(self.peers[third])
        self._campaign(second, {first})

    @rule(pick=picks)
    def crash(self, pick: int) -> None:
        self._restart(self._peer(pick))

    @rule(pick=picks, wait=st.sampled_from([0.0, HEARTBEAT_S, ELECTION_S, 2 * ELECTION_S]), cut=cuts)
    def let_time_pass(self, pick: int, wait: float, cut: int | None) -> None:
        self.now += wait
        peer = self._peer(pick)
        peer.council.fire_timers(self.now)
        self._carry_out(peer, cut)

    @precondition(lambda self: self.letters)
    @rule(steps=st.lists(st.tuples(picks, st.integers(0, 9), cuts), min_size=1, max_size=6))
    def deliver(self, steps: list[tuple[int, int, int | None]]) -> None:
        """Deliver some letters in any order, now and then not for the last time, the receiver crashing over it."""
        for pick, again, cut in steps:
            if self.letters:
                place = pick % len(self.letters)
                letter = self.letters[place] if again == 0 else self.letters.pop(place)
                self._hand_over(letter, cut)

    @precondition(lambda self: self.letters)
    @rule(lost=losses)
    def deliver_all_but(self, lost: set[str]) -> None:
        self._deliver_all_but(lost)

    @rule(teller=picks, listener=picks)
    def ping(self, teller: int, listener: int) -> None:
        """A mark may make the listener pull, and a pull is answered by letters like any other."""
        source, peer = self._peer(teller), self._peer(listener)
        if source is not peer:
            peer.council.hear_mark(run_of(source.name), source.council.mark, self.now)
            self._carry_out(peer, None)

    # --- how --------------------------------------------------------------------------------------

    def _peer(self, pick: int) -> Peer:
        names = sorted(self.peers)
        return self.peers[names[pick % len(names)]]

    def _campaign(self, name: str, lost: set[str]) -> None:
        self.now += 3 * ELECTION_S
        older, self.letters = self.letters, []
        peer = self.peers[name]
        peer.council.fire_timers(self.now)
        self._carry_out(peer, None)
        self._deliver_all_but(lost)
        self.letters += older

    def _deliver_all_but(self, lost: set[str]) -> None:
        """Deliver in order until all is quiet. What goes to `lost` is late; what comes from there is lost."""
        late = []
        for _ in range(LETTERS_MAX):
            if not self.letters:
                break
            sender, sent = self.letters.pop(0)
            if sent.to in lost:
                late.append((sender, sent))
            elif sender not in lost:
                self._hand_over((sender, sent), None)
        self.letters += late

    def _hand_over(self, letter: tuple[str, Sent], cut: int | None) -> None:
        sender, sent = letter
        peer = self.peers[sent.to]
        peer.hear(sender, sent.message, self.now)
        self._carry_out(peer, cut)

    def _carry_out(self, peer: Peer, cut: int | None) -> None:
        self.letters += [(peer.name, sent) for sent in peer.take(upto=cut)]
        del self.letters[LATE_MAX:]
        self._see_what_is_led(peer)
        if cut is not None:
            self._restart(peer)
        self._see_what_is_committed(peer)

    def _restart(self, peer: Peer) -> None:
        peer.start(self.now)
        self.applied[peer.name] = 0

    # --- what must hold ---------------------------------------------------------------------------

    def _see_what_is_led(self, peer: Peer) -> None:
        council = peer.council
        if council.is_leader:
            assert self.leaders.setdefault(council.term, council.seat) == council.seat, "one leader a term"
            for index, (entry, term) in self.committed.items():
                if council.term > term:
                    assert has(council.log, entry), f"the leader of a later term lacks entry {index}"

    def _see_what_is_committed(self, peer: Peer) -> None:
        log = peer.council.log
        assert log.commit >= self.applied.get(peer.name, 0), "what is applied stays applied"
        self.applied[peer.name] = log.commit
        for entry in log.entries_from(log.base.index + 1, upto=log.commit):
            first, _ = self.committed.setdefault(entry.index, (entry, peer.council.term))
            assert first == entry, "a committed entry never changes"

    @invariant()
    def logs_match(self) -> None:
        for one, other in combinations(self.peers.values(), 2):
            mine = {entry.index: entry for entry in one.entries()}
            theirs = {entry.index: entry for entry in other.entries()}
            both = sorted(mine.keys() & theirs.keys())
            agreed = max((index for index in both if mine[index].term == theirs[index].term), default=0)
            for index in both:
                assert index > agreed or mine[index] == theirs[index], "logs match up to an equal term"

    @invariant()
    def plans_are_prefixes_of_one_history(self) -> None:
        longest = max((peer.council.plan for peer in self.peers.values()), key=lambda plan: plan.index, default=None)
        for peer in self.peers.values():
            assert longest is not None
            decisions = peer.council.plan.decisions
            assert decisions == longest.decisions[: len(decisions)]
            assert len(decisions) == peer.council.plan.index


class ChangingCouncilMachine(CouncilMachine):
    """The same with a council that changes, and workers that come back without their memory."""

    def __init__(self) -> None:
        super().__init__()
        self.memories = MEMORY

    @initialize()
    def found(self) -> None:
        log = [founding(self.names)]
        self.peers = {name: Peer(name, saved_after(log)) for name in self.names}
        self.peers |= {name: Peer(name, saved_after([], term=0)) for name in SPARE}

    # --- what may happen besides ------------------------------------------------------------------

    @rule(steps=st.lists(st.tuples(picks, losses), min_size=1, max_size=3), pick=picks)
    def change_council(self, steps: list[tuple[int, set[str]]], pick: int) -> None:
        """A leader, old or new, is asked for changes in quick succession, while some are cut off."""
        for which, lost in steps:
            leader = self._leader(pick)
            if leader is None:
                return
            older, self.letters = self.letters, []
            leader.council.propose([self._toggled(leader, which)], self.now)
            self._carry_out(leader, None)
            self._deliver_all_but(lost)
            self.letters += older

    @rule(which=st.lists(picks, min_size=2, max_size=3), pick=picks)
    def change_council_in_one_batch(self, which: list[int], pick: int) -> None:
        leader = self._leader(pick)
        if leader is not None:
            leader.council.propose([self._toggled(leader, each) for each in which], self.now)
            self._carry_out(leader, None)

    @rule(pick=picks, learner=picks)
    def teach(self, pick: int, learner: int) -> None:
        leader = self._leader(pick)
        if leader is not None:
            leader.council.teach(self._peer(learner).council.seat)

    @rule(pick=picks, heir=picks, lost=losses, has_crashed=st.booleans())
    def hand_over(self, pick: int, heir: int, lost: set[str], *, has_crashed: bool) -> None:
        leader = self._leader(pick)
        if leader is None:
            return
        self._beat(leader)
        older, self.letters = self.letters, []
        to = self._peer(heir)
        leader.council.hand_over(self.now, to=to.name)
        self._carry_out(leader, None)
        if has_crashed:
            self._restart(leader)
        self._deliver_all_but(lost)
        self.letters += older

    @rule(pick=picks)
    def forget(self, pick: int) -> None:
        """A worker comes back under its name with an empty disk; few enough that most of the council remembers."""
        peer = self._peer(pick)
        if self.memories < MEMORY + MEMORIES_LOST_MAX:
            self.memories += 1
            self.peers[peer.name] = Peer(
                peer.name, saved_after([], term=0, voter=self.memories), now=self.now, seed=100 * self.memories
            )
            self.applied[peer.name] = 0

    @rule(pick=picks, candidate=picks)
    def forget_and_campaign_again(self, pick: int, candidate: int) -> None:
        """The one that has just been elected comes back without its memory, and is made a voter by another."""
        self._campaign(self._peer(candidate).name, set())
        self.forget(candidate)
        self._campaign(self._peer(pick).name, set())
        self.change_council([(candidate, set())], 0)

    # --- how --------------------------------------------------------------------------------------

    def _leader(self, pick: int) -> Peer | None:
        leaders = [peer for peer in self.peers.values() if peer.council.is_leader]
        self.proposed += 1
        return leaders[pick % len(leaders)] if leaders and self.proposed < LOG_MAX else None

    def _beat(self, leader: Peer) -> None:
        """Let everybody answer one heartbeat, so that the leader knows who lives."""
        older, self.letters = self.letters, []
        self.now += HEARTBEAT_S
        leader.council.fire_timers(self.now)
        self._carry_out(leader, None)
        self._deliver_all_but(set())
        self.letters += older

    def _toggled(self, leader: Peer, which: int) -> ChangeCouncil:
        """Return the change by which a worker, with the memory that it has now, loses its seat or gets one."""
        before = set(leader.council.log.council)
        lost = sorted(seat for seat in before if seat != self.peers[seat.name].council.seat)
        seat = lost[which % len(lost)] if lost and which % 3 == 0 else self._peer(which).council.seat
        return ChangeCouncil(council=tuple(sorted(before ^ {seat})), reason="", evidence=())

    # --- what must hold besides -------------------------------------------------------------------

    @invariant()
    def no_log_has_two_uncommitted_councils(self) -> None:
        for peer in self.peers.values():
            waiting = [
                entry
                for entry in peer.entries()
                if isinstance(entry.change, COUNCIL_CHANGES)
                and self.committed.get(entry.index, (None, 0))[0] != entry
                and entry.index > 1
            ]
            assert len(waiting) <= 1, "one change of the council at a time"

    @invariant()
    def councils_change_by_one_seat(self) -> None:
        for peer in self.peers.values():
            councils = [set(peer.council.log.base.council)]
            councils += [set(e.change.council) for e in peer.entries() if isinstance(e.change, COUNCIL_CHANGES)]
            for before, after in pairwise(councils):
                assert not before or len(before ^ after) == 1


def has(log: Log, entry: Entry) -> bool:
    """Return whether a log holds an entry; what the snapshot holds was committed, and is compared as a plan."""
    if entry.index <= log.base.index:
        return True
    return entry.index <= log.last_index and log.entries_from(entry.index, upto=entry.index) == (entry,)


class LargerCouncilMachine(CouncilMachine):
    """The same with five seats, where two may be lost."""

    names = "abcde"


TestThreeSeats = CouncilMachine.TestCase
TestFiveSeats = LargerCouncilMachine.TestCase
TestChangingSeats = ChangingCouncilMachine.TestCase
CouncilMachine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
LargerCouncilMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
ChangingCouncilMachine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
