"""One peer's view of who is alive: records, suspicions, and the news of them.

The view is evidence. It may differ from peer to peer for a while; nothing may derive a quorum from it.
Merge rules are in `table.py`, the suspicion's arithmetic in `suspicion.py`, probe rounds in `detector.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.config import MEMBERS_MAX
from swimstream.core.membership.gossip import GossipQueue
from swimstream.core.membership.health import Health
from swimstream.core.membership.probing import ProbeRing
from swimstream.core.membership.suspicion import Suspicion, confirmations_max, timeouts_s
from swimstream.core.membership.table import (
    BOOT_JUMP_MAX_MS,
    INCARNATION_JUMP_MAX,
    MemberTable,
    accusation_wins,
    alive_wins,
    jumps_too_far,
)
from swimstream.model.identity import Run
from swimstream.model.member import Member, MemberState
from swimstream.wire.codec import encode_message
from swimstream.wire.messages import Accusation, Alive

if TYPE_CHECKING:
    from collections import Counter
    from random import Random

    from swimstream.config import Timing
    from swimstream.model.identity import Address
    from swimstream.model.member import Profile


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
        self.namesake: Alive | None = None
        """Another run of this peer's own name, heard of before this one is announced."""
        self.namesake_boot = 0
        """The highest boot of this peer's own name that it has heard of."""
        self.outlived_boot = 0
        """The highest boot of a later run of this peer's own name that is gone again: this one must rise above it."""
        self.superseded_by: Alive | None = None
        """The later run of this peer's own name that has taken over, if one has."""
        self.is_announced = False
        self.is_leaving = False
        self._timing = timing
        self._counters = counters
        self._suspicions: dict[str, Suspicion] = {}
        self._tombstones: dict[str, float] = {}

    def take_gossip(self, budget: int) -> list[bytes]:
        """Return queued updates that fit into `budget` bytes together, and count them as sent once more."""
        return self.gossip.take(budget, members=self.table.live_count)

    def address_of(self, name: str) -> Address | None:
        """Return where a member lives, or lived."""
        member = self.table.get(name)
        return member.profile.address if member is not None else None

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
        own = self.table.get(self.run.name)
        assert own is not None, "only a member can leave"
        self._enter(own, MemberState.LEFT, now)

    def _refute(self, incarnation: int) -> None:
        """Raise the own incarnation above a claim against it (SWIM §4.2)."""
        if incarnation - self.incarnation > INCARNATION_JUMP_MAX:
            self._counters["incarnation_jumps_refused"] += 1
            return
        self.incarnation = max(self.incarnation, incarnation) + 1
        self.health = self.health.after_refutation()
        self._counters["refutations"] += 1
        own = self.table.get(self.run.name)
        assert own is not None, "only a member can be accused"
        self.table.put(attrs.evolve(own, incarnation=self.incarnation))
        self._queue_alive(own)

    # --- claims -----------------------------------------------------------------------------------

    def hear_alive(self, claim: Alive, now: float) -> None:
        """Merge a claim that a run is alive."""
        if claim.run.name == self.run.name:
            self._hear_own_alive(claim)
            return
        held = self.table.get(claim.run.name)
        if jumps_too_far(boot=claim.run.boot, incarnation=claim.incarnation, held=held):
            self._counters["incarnation_jumps_refused"] += 1
            return
        if held is None:
            if not self._make_room():
                self._counters["members_refused"] += 1
                return
        elif not alive_wins(boot=claim.run.boot, incarnation=claim.incarnation, held=held):
            if claim.run == held.run and claim.incarnation < held.incarnation:
                self._requeue(held)
            return
        self._suspicions.pop(claim.run.name, None)
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
        if not self._note_namesake(claim.run):
            return
        if not self.is_announced:
            self.namesake = claim
        elif claim.run.boot > self.run.boot and claim.profile.address == self.profile.address:
            # an earlier life of this very worker, before its calendar was set back: nobody else can hold the address
            self.outlived_boot = max(self.outlived_boot, claim.run.boot)
        elif claim.run.boot > self.run.boot:
            self.superseded_by = claim
        elif self.is_leaving:
            return
        elif claim.run.boot < self.run.boot or claim.incarnation < self.incarnation:
            self.gossip.push(_subject(self.run.name), self.own_alive())
        elif claim.incarnation == self.incarnation and claim.profile == self.profile:
            return
        else:
            self._refute(claim.incarnation)

    def _note_namesake(self, run: Run) -> bool:
        """Remember the highest boot of this peer's own name; return whether it can be believed."""
        if run.boot - self.run.boot > BOOT_JUMP_MAX_MS:
            self._counters["boot_jumps_refused"] += 1
            return False
        self.namesake_boot = max(self.namesake_boot, run.boot)
        return True

    def hear_accusation(self, claim: Accusation, now: float, *, is_hearsay: bool = False) -> None:
        """Merge a claim that a run is suspect or dead, or has left.

        Hearsay comes by sync, or from a teller that is itself held for dead: a death is then lowered to a suspicion
        that nobody signed. The member gets the time to refute, which is what heals a partition.
        """
        if claim.run.name == self.run.name:
            self._hear_own_accusation(claim, now)
            return
        held = self.table.get_run(claim.run)
        if held is None:
            self._counters["claims_about_strangers"] += 1
            return
        if jumps_too_far(boot=claim.run.boot, incarnation=claim.incarnation, held=held):
            self._counters["incarnation_jumps_refused"] += 1
            return
        is_lowered = is_hearsay and claim.state is MemberState.DEAD and not held.state.is_gone
        if claim.state is MemberState.SUSPECT or is_lowered:
            reporter = "" if is_hearsay or claim.accuser == claim.run.name else claim.accuser
            self._hear_suspicion(held, claim.incarnation, reporter, now)
            return
        raised = attrs.evolve(held, incarnation=max(held.incarnation, claim.incarnation))
        is_stronger = accusation_wins(incarnation=claim.incarnation, state=claim.state, held=held)
        if is_stronger and claim.state is not held.state:
            self._enter(raised, claim.state, now, accuser=claim.accuser)
        elif raised != held:
            self.table.put(raised)

    def _hear_own_accusation(self, claim: Accusation, now: float) -> None:
        if not self._note_namesake(claim.run) or self.is_leaving or not self.is_announced:
            return
        if claim.run.boot > self.run.boot and claim.state.is_gone:
            self.outlived_boot = max(self.outlived_boot, claim.run.boot)
        elif claim.run != self.run:
            return
        elif claim.incarnation < self.incarnation:
            self.gossip.push(_subject(self.run.name), self.own_alive())
        else:
            if claim.state is MemberState.DEAD:
                self._withhold_accusations()
            self._prolong_suspicions(now)
            self._refute(claim.incarnation)

    def _prolong_suspicions(self, now: float) -> None:
        """Have every suspicion start anew that this peer alone has signed.

        Who was suspected itself may not have been heard for a while: those whom it accused had no chance to refute.
        Else one peer whose link comes and goes declares the healthy dead, and is believed.
        """
        for name, suspicion in self._suspicions.items():
            if suspicion.reporters == {self.run.name}:
                self._suspicions[name] = attrs.evolve(suspicion, started_at=now)

    def _withhold_accusations(self) -> None:
        """Spread no accusation that is queued: who was held for dead was cut off, and judged the others by it."""
        for member in self.table:
            if member.state in (MemberState.SUSPECT, MemberState.DEAD):
                self.gossip.discard(_subject(member.run.name))

    def _hear_suspicion(self, held: Member, incarnation: int, reporter: str, now: float) -> None:
        if accusation_wins(incarnation=incarnation, state=MemberState.SUSPECT, held=held):
            self._suspect(attrs.evolve(held, incarnation=incarnation), reporter, now)
        elif held.state is MemberState.SUSPECT and incarnation == held.incarnation and reporter:
            suspicion = self._suspicions[held.run.name]
            if reporter not in suspicion.reporters and suspicion.wants_more:
                self._suspicions[held.run.name] = suspicion.confirm(reporter)
                self.table.put(attrs.evolve(held, accusers=_sorted(self._suspicions[held.run.name].reporters)))
                self._queue_accusation(held, MemberState.SUSPECT, reporter)
        elif incarnation > held.incarnation:
            self.table.put(attrs.evolve(held, incarnation=incarnation))

    def accuse(self, run: Run, now: float) -> None:
        """Suspect a run because it did not answer this peer."""
        held = self.table.get_run(run)
        if held is not None and not held.state.is_gone:
            self._hear_suspicion(held, held.incarnation, self.run.name, now)

    def _suspect(self, held: Member, reporter: str, now: float) -> None:
        members = self.table.live_count
        shortest_s, longest_s = timeouts_s(
            members=members,
            probe_interval_s=self._timing.probe_interval_s,
            mult=self._timing.suspicion_mult,
            max_mult=self._timing.suspicion_max_mult,
        )
        self._suspicions[held.run.name] = Suspicion(
            started_at=now,
            timeout_s_min=shortest_s,
            timeout_s_max=longest_s,
            confirmations_max=confirmations_max(members=members, wanted=self._timing.suspicion_confirmations),
            reporters=frozenset([reporter] if reporter else []),
        )
        self._enter(held, MemberState.SUSPECT, now, accuser=reporter)

    # --- states: the only place where one changes -------------------------------------------------

    def _enter(self, member: Member, state: MemberState, now: float, *, accuser: str = "") -> None:
        """Put `member` into a state other than alive, and tell."""
        suspicion = self._suspicions.get(member.run.name)
        accusers: set[str] = set()
        if state is not MemberState.LEFT:
            accusers.update(suspicion.reporters if suspicion is not None else ())
            accusers.update({accuser} - {"", member.run.name})
        if state is not MemberState.SUSPECT:
            self._suspicions.pop(member.run.name, None)
        entered = attrs.evolve(member, state=state, since=now, accusers=_sorted(accusers))
        self._store(entered)
        self._queue_accusation(entered, state, accuser or _signer(entered))

    def _store(self, member: Member, *, is_news: bool = True) -> None:
        name = member.run.name
        self.table.put(member)
        if member.state.is_gone:
            self.ring.remove(name)
            self._tombstones[name] = member.since + self._timing.tombstone_s
        else:
            self._tombstones.pop(name, None)
            if name != self.run.name:
                self.ring.add(name)
        if is_news:
            self.changes.append(member)

    def _queue_alive(self, member: Member) -> None:
        if member.run == self.run:
            fragment = self.own_alive()
        else:
            fragment = encode_message(Alive(run=member.run, incarnation=member.incarnation, profile=member.profile))
        self.gossip.push(_subject(member.run.name), fragment)

    def _queue_accusation(self, member: Member, state: MemberState, accuser: str) -> None:
        self.gossip.push(_subject(member.run.name), accusation_of(member, state, accuser))

    def _requeue(self, member: Member) -> None:
        """Spread again what is held, because somebody still believes something older."""
        if member.state is MemberState.ALIVE:
            self._queue_alive(member)
        else:
            self._queue_accusation(member, member.state, _signer(member))

    def claims_of(self, member: Member) -> list[bytes]:
        """Return the encoded claims that make another peer hold the same, also when it knew nothing of the member."""
        alive = Alive(run=member.run, incarnation=member.incarnation, profile=member.profile)
        claims = [] if member.state.is_gone else [encode_message(alive)]
        if member.state is not MemberState.ALIVE:
            claims.append(accusation_of(member, member.state, _signer(member)))
        return claims

    # --- time -------------------------------------------------------------------------------------

    def fire_timers(self, now: float) -> None:
        """Declare dead whose suspicion has run out; forget tombstones that are old enough."""
        for name in sorted(self._suspicions):
            if self._suspicions[name].deadline() <= now:
                held = self.table.get(name)
                assert held is not None
                assert held.state is MemberState.SUSPECT, "a suspicion ends with the state that it belongs to"
                signed = bool(self._suspicions[name].reporters)
                self._enter(held, MemberState.DEAD, now, accuser="" if signed else self.run.name)
                self._counters["deaths_declared"] += 1
        for name in [name for name, forget_at in self._tombstones.items() if forget_at <= now]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        """Drop a tombstone; one's own goodbye is kept as long as the process lives."""
        self._tombstones.pop(name, None)
        if name != self.run.name:
            self.table.remove(name)
            self.gossip.discard(_subject(name))

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next."""
        suspicions = (suspicion.deadline() for suspicion in self._suspicions.values())
        return min(min(suspicions, default=float("inf")), min(self._tombstones.values(), default=float("inf")))


def accusation_of(member: Member, state: MemberState, accuser: str) -> bytes:
    """Return an encoded claim against `member`, signed by `accuser`."""
    return encode_message(Accusation(run=member.run, incarnation=member.incarnation, state=state, accuser=accuser))


def _signer(member: Member) -> str:
    """Return who signs when a held accusation is told again: one of those who made it, never the teller.

    The accused's own name stands for nobody: hearsay that counts as no confirmation.
    """
    return member.accusers[0] if member.accusers else member.run.name


def _sorted(names: set[str] | frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _subject(name: str) -> str:
    return f"m/{name}"
