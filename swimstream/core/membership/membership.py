"""One peer's view of who is alive: records, suspicions, and the news of them.

The view is evidence. It may differ from peer to peer for a while; nothing may derive a quorum from it.
Merge rules are in `table.py`, the suspicion's arithmetic in `suspicion.py`, probe rounds in `detector.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.config import MEMBERS_MAX
from swimstream.core.membership.claims import (
    accusation_of,
    alive_of,
    confirmation_of,
    signer_of,
    subject_of,
)
from swimstream.core.membership.gossip import GossipQueue
from swimstream.core.membership.health import Health
from swimstream.core.membership.memory import Forgotten, Strangers
from swimstream.core.membership.namesakes import Namesakes
from swimstream.core.membership.probing import ProbeRing
from swimstream.core.membership.suspicion import Suspicions
from swimstream.core.membership.table import (
    INCARNATION_JUMP_MAX,
    MemberTable,
    accusation_wins,
    alive_wins,
    jumps_too_far,
)
from swimstream.model.identity import Run
from swimstream.model.member import NOTHING_SEEN, Evidence, Member, MemberState
from swimstream.wire.codec import encode_message
from swimstream.wire.messages import Accusation, Alive

if TYPE_CHECKING:
    from collections import Counter
    from random import Random

    from swimstream.config import Timing
    from swimstream.model.member import Profile

HASTEN_MULT = 3
"""This many times more members than a suspicion needs for its accusers probe the suspect at once, on average."""


class Membership:
    """The member table with everything that changes it. `changes` lists records that entered a new state."""

    def __init__(self, run: Run, profile: Profile, *, timing: Timing, rng: Random, counters: Counter[str]) -> None:
        """Build the view of a peer that is no member yet; see `announce`."""
        self.run = run
        self.profile = profile
        self.incarnation = 0
        self.table = MemberTable()
        self.ring = ProbeRing(rng)
        self.gossip = GossipQueue(
            retransmit_mult=timing.retransmit_mult, fragment_bytes_max=timing.packet_bytes_max // 2, counters=counters
        )
        self.health = Health(score_max=timing.health_max)
        self.changes: list[Member] = []
        self.replaced: set[str] = set()
        """Names among `changes` whose earlier run was still held for a member."""
        self.forgotten: list[Run] = []
        """Whose tombstones were dropped since this was last emptied."""
        self.namesakes = Namesakes(counters)
        self.is_announced = False
        self.is_leaving = False
        self._timing = timing
        self._rng = rng
        self._counters = counters
        self._suspicions = Suspicions(timing)
        self._tombstones: dict[str, float] = {}
        """Name → when to forget it, the earliest first."""
        self.past = Forgotten()
        self._strangers = Strangers()

    def take_gossip(self, budget: int) -> list[bytes]:
        """Return queued updates that fit into `budget` bytes together, and count them as sent once more."""
        return self.gossip.take(budget, members=self.table.live_count)

    # --- oneself ----------------------------------------------------------------------------------

    def announce(self, now: float) -> None:
        """Become a member: tell everybody that this run is alive."""
        self.is_announced = True
        own = Member(
            run=self.run, incarnation=self.incarnation, state=MemberState.ALIVE, profile=self.profile, since=now
        )
        self._store(own)
        self._queue_alive(own)

    def begin_new_run(self, boot: int, now: float) -> None:
        """Go on as a later run of the same name: the old one was evicted or belongs to the past."""
        assert boot > self.run.boot
        self.run = Run(self.run.name, boot)
        self.incarnation = 0
        if self.is_announced:
            self.announce(now)

    def own_alive(self) -> bytes:
        """Return the encoded claim that this run is alive."""
        return encode_message(Alive(run=self.run, incarnation=self.incarnation, profile=self.profile))

    def say_goodbye(self, now: float) -> None:
        """Leave: never refute again, and tell everybody."""
        self.is_leaving = True
        own = self.table.held(self.run.name)
        self._enter(own, MemberState.LEFT, now)

    def _refute(self, incarnation: int) -> None:
        """Raise the own incarnation above a claim against it (SWIM §4.2)."""
        if incarnation - self.incarnation > INCARNATION_JUMP_MAX:
            self._counters["incarnation_jumps_refused"] += 1
            return
        self.incarnation = max(self.incarnation, incarnation) + 1
        self.health = self.health.after_refutation()
        self._counters["refutations"] += 1
        own = self.table.held(self.run.name)
        refuted = attrs.evolve(own, incarnation=self.incarnation)
        self.table.put(refuted)
        self._queue_alive(refuted)

    # --- claims -----------------------------------------------------------------------------------

    def hear_alive(self, claim: Alive, now: float, *, by_itself: bool = False) -> None:
        """Merge a claim that a run is alive. Told by that very run it is proof, whatever was forgotten."""
        if claim.run.name == self.run.name:
            self._hear_own_alive(claim)
            return
        held = self.table.get(claim.run.name)
        if jumps_too_far(boot=claim.run.boot, incarnation=claim.incarnation, held=held):
            self._counters["incarnation_jumps_refused"] += 1
            return
        if held is None:
            if not by_itself and self.past.covers(claim.run, claim.incarnation):
                self._counters["forgotten_refused"] += 1
                # who was forgotten as dead and lives hears of it, refutes with a higher incarnation, and is back
                self.gossip.push(subject_of(claim.run.name), self.past.refuse(claim.run, claim.incarnation))
                return
            if not self._make_room():
                self._counters["members_refused"] += 1
                return
        elif not alive_wins(boot=claim.run.boot, incarnation=claim.incarnation, held=held):
            if claim.run == held.run and claim.incarnation < held.incarnation:
                self._requeue(held)
            return
        self._end_suspicion(claim.run.name)
        if held is not None and held.run != claim.run and not held.state.is_gone:
            self.replaced.add(claim.run.name)
        member = Member(
            run=claim.run,
            incarnation=claim.incarnation,
            state=MemberState.ALIVE,
            profile=claim.profile,
            since=held.since if held is not None and held.run == claim.run and held.state is MemberState.ALIVE else now,
        )
        is_news = held is None or (held.run, held.state) != (member.run, member.state)
        self._store(member, is_news=is_news)
        self._queue_alive(member)

    def _make_room(self) -> bool:
        """Return whether there is a place for one more member; the oldest tombstone makes way for the living."""
        if len(self.table) >= MEMBERS_MAX:
            oldest = self.table.oldest_gone()
            if oldest is None:
                return False
            self._forget(oldest.run.name)
            self._counters["tombstones_dropped"] += 1
        return True

    def _hear_own_alive(self, claim: Alive) -> None:
        """Someone speaks of this peer's own name."""
        if not self.namesakes.note(claim.run, own=self.run):
            return
        if not self.is_announced:
            self.namesakes.met = claim
        elif claim.run.boot > self.run.boot and claim.profile.address == self.profile.address:
            # an earlier life of this very worker, before its calendar was set back: nobody else can hold the address
            self.namesakes.outlive(claim.run)
        elif claim.run.boot > self.run.boot:
            self.namesakes.superseded_by = claim
        elif self.is_leaving:
            return
        elif claim.run.boot < self.run.boot or claim.incarnation < self.incarnation:
            self.gossip.push(subject_of(self.run.name), self.own_alive())
        elif claim.incarnation == self.incarnation and claim.profile == self.profile:
            return
        else:
            self._refute(claim.incarnation)

    def hear_accusation(self, claim: Accusation, now: float, *, is_hearsay: bool = False) -> None:
        """Merge a claim that a run is suspect or dead, or has left.

        Hearsay comes by sync, or from a teller that is itself held for dead: a death is then lowered to a suspicion
        that nobody signed, and so is a death that nobody has signed. The member gets the time to refute, which is what
        heals a partition.
        """
        if claim.run.name == self.run.name:
            self._hear_own_accusation(claim, now)
            return
        held = self.table.get_run(claim.run)
        if held is None:
            self._hear_of_stranger(claim)
            return
        if jumps_too_far(boot=claim.run.boot, incarnation=claim.incarnation, held=held):
            self._counters["incarnation_jumps_refused"] += 1
            return
        is_unsigned = is_hearsay or claim.accuser == claim.run.name
        is_lowered = is_unsigned and claim.state is MemberState.DEAD and not held.state.is_gone
        if claim.state is MemberState.SUSPECT or is_lowered:
            reporter = "" if is_unsigned else claim.accuser
            self._hear_suspicion(held, claim.incarnation, reporter, claim.evidence, now)
            return
        raised = attrs.evolve(held, incarnation=max(held.incarnation, claim.incarnation))
        is_stronger = accusation_wins(incarnation=claim.incarnation, state=claim.state, held=held)
        if is_stronger and claim.state is not held.state:
            self._enter(raised, claim.state, now, accuser=claim.accuser, evidence=claim.evidence)
        elif raised != held:
            self.table.put(raised)

    def _hear_of_stranger(self, claim: Accusation) -> None:
        """Pass an accusation on, once, although it makes no member: the accused may be known to others."""
        self._counters["claims_about_strangers"] += 1
        known = claim.run.name in self.table or self.past.covers(claim.run, claim.incarnation)
        if not known and self._strangers.is_new(claim):
            self.gossip.push(subject_of(claim.run.name), encode_message(claim))

    def _hear_own_accusation(self, claim: Accusation, now: float) -> None:
        if not self.namesakes.note(claim.run, own=self.run) or self.is_leaving or not self.is_announced:
            return
        if claim.run.boot > self.run.boot and claim.state.is_gone:
            self.namesakes.outlive(claim.run)
        elif claim.run != self.run:
            return
        elif claim.state is MemberState.LEFT:  # which is final: an operator has removed this run
            self.namesakes.outlive(claim.run)
        elif claim.incarnation < self.incarnation:
            self.gossip.push(subject_of(self.run.name), self.own_alive())
        else:
            if claim.state is MemberState.DEAD:
                self._withhold_accusations()
            self._suspicions.prolong(self.run.name, now)
            self._refute(claim.incarnation)

    def _withhold_accusations(self) -> None:
        """Spread no accusation that is queued: who was held for dead was cut off, and judged the others by it."""
        for member in self.table:
            if member.state in (MemberState.SUSPECT, MemberState.DEAD):
                self.gossip.discard(subject_of(member.run.name))
                self._discard_confirmations(member)

    def _hear_suspicion(self, held: Member, incarnation: int, reporter: str, evidence: Evidence, now: float) -> None:
        if accusation_wins(incarnation=incarnation, state=MemberState.SUSPECT, held=held):
            self._suspect(attrs.evolve(held, incarnation=incarnation), reporter, evidence, now)
        elif held.state is MemberState.SUSPECT and incarnation == held.incarnation and reporter:
            if self._suspicions.confirm(held.run.name, reporter):
                confirmed = held.accused_by(reporter, evidence)
                self.table.put(confirmed)
                # beside the first accusation, not in its place: each brings the deadline nearer for who hears it
                self.gossip.push(
                    confirmation_of(held.run.name, reporter), accusation_of(confirmed, MemberState.SUSPECT, reporter)
                )
        elif held.may_be_witnessed(reporter, incarnation, accusers_max=self._timing.suspicion_confirmations + 1):
            self.table.put(held.accused_by(reporter, evidence))  # its word was under way when the death was declared
        elif incarnation > held.incarnation:
            self.table.put(attrs.evolve(held, incarnation=incarnation))

    def remove(self, name: str, now: float) -> str:
        """Have everybody take a dead member for one that has left; return why not, or nothing.

        Nobody tries to reach it any more. Should it live, it comes back as a later run.
        """
        held = self.table.get(name)
        if held is None:
            return f"name: expected a dead member, there is none named {name!r}"
        if not held.state.is_gone:
            return f"name: expected a dead member, {name!r} is {held.state.name.lower()}; stop that worker instead"
        if held.state is MemberState.DEAD:
            self._enter(held, MemberState.LEFT, now, accuser=self.run.name)
        return ""

    def accuse(self, run: Run, now: float, *, evidence: Evidence = NOTHING_SEEN) -> None:
        """Suspect a run because it did not answer this peer, which saw `evidence` of it."""
        held = self.table.get_run(run)
        if held is not None and not held.state.is_gone:
            self._hear_suspicion(held, held.incarnation, self.run.name, evidence, now)

    def _suspect(self, held: Member, reporter: str, evidence: Evidence, now: float) -> None:
        members = self.table.live_count
        self._end_suspicion(held.run.name)
        self._suspicions.open(held.run.name, reporter, members=members, now=now)
        self._enter(held, MemberState.SUSPECT, now, accuser=reporter, evidence=evidence)
        if reporter != self.run.name:
            self._look_for_oneself(held.run.name, members)

    def retell_suspicions(self, now: float) -> None:
        """Tell again of those whom this peer alone suspects: perhaps nobody has heard it (once every probe round)."""
        for name in self._suspicions.to_retell(self.run.name, now):
            self._requeue(self.table.held(name))

    def _look_for_oneself(self, name: str, members: int) -> None:
        """Perhaps probe a suspect next: its accusers come together soon, and it hears of the suspicion and can refute.

        In a random order of probes the confirmations would come one by one over a walk of n rounds. It costs no packet
        more, since a probe changes places; by chance, so that not everybody probes the one suspect of a large cluster.
        """
        if self._rng.random() * members < HASTEN_MULT * (self._timing.suspicion_confirmations + 1):
            self.ring.hasten(name)

    def _end_suspicion(self, name: str) -> None:
        held = self.table.get(name)
        if self._suspicions.close(name) and held is not None:
            self._discard_confirmations(held)

    def _discard_confirmations(self, held: Member) -> None:
        for accuser in held.accusers:
            self.gossip.discard(confirmation_of(held.run.name, accuser))

    # --- states: the only place where one changes -------------------------------------------------

    def _enter(
        self,
        member: Member,
        state: MemberState,
        now: float,
        *,
        accuser: str = "",
        evidence: Evidence = NOTHING_SEEN,
    ) -> None:
        """Put `member` into a state other than alive, and tell. A death is owed to all who had suspected it."""
        if state is not MemberState.SUSPECT:
            self._end_suspicion(member.run.name)
        entered = attrs.evolve(member, state=state, since=now)
        if state is not MemberState.DEAD:
            entered = attrs.evolve(entered, accusers=(), evidence=())
        if accuser not in ("", member.run.name):
            entered = entered.accused_by(accuser, evidence)
        self._store(entered)
        self._queue_accusation(entered, state, accuser or signer_of(entered))

    def _store(self, member: Member, *, is_news: bool = True) -> None:
        name = member.run.name
        self.table.put(member)
        if member.state.is_gone:
            self.ring.remove(name)
            self._tombstones.pop(name, None)  # to come last again
            self._tombstones[name] = member.since + self._timing.tombstone_s
        else:
            self._tombstones.pop(name, None)
            if name != self.run.name:
                self.ring.add(name)
        if is_news:
            self.changes.append(member)

    def _queue_alive(self, member: Member) -> None:
        self.gossip.push(subject_of(member.run.name), alive_of(member))

    def _queue_accusation(self, member: Member, state: MemberState, accuser: str) -> None:
        self.gossip.push(subject_of(member.run.name), accusation_of(member, state, accuser))

    def _requeue(self, member: Member) -> None:
        """Spread again what is held, because somebody still believes something older."""
        if member.state is MemberState.ALIVE:
            self._queue_alive(member)
        else:
            self._queue_accusation(member, member.state, signer_of(member))

    # --- time -------------------------------------------------------------------------------------

    def fire_timers(self, now: float) -> None:
        """Declare dead whose suspicion has run out; forget tombstones that are old enough."""
        for name in self._suspicions.due(now):
            held = self.table.held(name)
            assert held.state is MemberState.SUSPECT, "a suspicion ends with the state that it belongs to"
            # a suspicion that nobody signed came by sync: this peer has waited it out, and answers for it
            self._enter(held, MemberState.DEAD, now, accuser="" if held.accusers else self.run.name)
            self._counters["deaths_declared"] += 1
        while self._forget_at() <= now:
            self._forget(next(iter(self._tombstones)))

    def _forget(self, name: str) -> None:
        """Drop a tombstone; one's own goodbye is kept as long as the process lives."""
        self._tombstones.pop(name, None)
        held = self.table.get(name)
        if name != self.run.name and held is not None:
            self.past.add(held)
            self.forgotten.append(held.run)
            self.table.remove(name)
            self.gossip.discard(subject_of(name))

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next."""
        return min(self._suspicions.next_deadline(), self._forget_at())

    def _forget_at(self) -> float:
        return next(iter(self._tombstones.values()), float("inf"))
