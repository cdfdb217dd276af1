"""One member is probed every round; who stays silent is suspected.

SWIM §4.1 and §4.3: targets come from a shuffled list that is walked to its end, so that every member is probed
within 2n - 1 rounds; newcomers enter it at a random place. A target that does not answer in time is probed
again through k relays, so that one bad path accuses nobody, and by a stream, in case only its datagrams are lost.
Lifeguard: a relay that gets no answer sends a nack, so that the prober can tell a dead target from its own deafness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.model.identity import Address, Run
from swimstream.model.member import Evidence, MemberState

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from random import Random

    from swimstream.model.member import Member

RELAYS_MAX = 1_024
NACK_SHARE = 0.8
"""A relay answers no later than this share of the time the prober has left (Lifeguard: 80 %)."""


class ProbeRing:
    """The order in which members are probed."""

    def __init__(self, rng: Random) -> None:
        """Build an empty ring."""
        self._rng = rng
        self._names: list[str] = []
        self._known: set[str] = set()
        """The same names: every claim asks whether its member is here."""
        self._next = 0
        self._has_repeated = False
        """Whether this walk has given somebody a second turn."""

    def add(self, name: str) -> None:
        """Insert a newcomer at a random place; twice is once."""
        if name not in self._known:
            self._known.add(name)
            position = self._rng.randint(0, len(self._names))
            self._names.insert(position, name)
            self._next += position < self._next

    def remove(self, name: str) -> None:
        """Take a member out."""
        if name in self._known:
            self._known.remove(name)
            position = self._names.index(name)
            del self._names[position]
            self._next -= position < self._next

    def next(self) -> str | None:
        """Return whom to probe next; shuffle anew after each full walk."""
        if not self._names:
            return None
        if self._next >= len(self._names):
            self._next = 0
            self._has_repeated = False
            self._rng.shuffle(self._names)
        name = self._names[self._next]
        self._next += 1
        return name

    def hasten(self, name: str) -> None:
        """Give a member the next turn; the others keep their order.

        Why nobody is forgotten over it: who was still to come in this walk only changes places, and a walk that visits
        each of n once, in whatever order, lets nobody wait longer than 2n - 1 rounds: from the first turn of one walk
        to the last of the next. Who had its turn gets a second one, which makes the walk one round longer; since that
        happens once in a walk at most, and a wait touches two walks, it is 2n + 1 rounds at the very worst.
        """
        if name not in self._names:
            return
        position = self._names.index(name)
        if position < self._next:
            if self._has_repeated or position == self._next - 1:
                return  # the second: it has its turn right now
            self._has_repeated = True
            self._next -= 1
        del self._names[position]
        self._names.insert(self._next, name)


@attrs.define(kw_only=True)
class Probe:
    """The probe under way. Times are absolute."""

    seq: int
    target: Run
    address: Address
    sent_at: float
    indirect_at: float
    acked: bool = False
    is_measured: bool = False
    """Whether the target's own answer by datagram has come, perhaps after that of a relay."""
    asked: bool = False
    """Whether the relays have been asked."""
    relays: frozenset[str] = frozenset()
    nacked_by: frozenset[str] = frozenset()
    stream: int = 0
    """The stream on which the target is pinged as well, in case only datagrams are lost; 0 while there is none."""
    datagram_refused: bool = False
    stream_refused: bool = False

    @property
    def evidence(self) -> Evidence:
        """Return what an accuser has seen in this round."""
        return Evidence(
            relays=len(self.relays),
            nacks=len(self.nacked_by),
            datagram_refused=self.datagram_refused,
            stream_refused=self.stream_refused,
        )

    @property
    def is_hopeless(self) -> bool:
        """Return whether everything has said no, so that nothing is left to wait for.

        The target's host says that nobody listens there, for datagrams and for streams, and every relay that was
        asked has said that it gets no answer either. Host and network may be forged, the relays' word is sealed. A
        process that is merely slow, or stopped, still holds its port: nothing is refused then.
        """
        silent = bool(self.relays) and self.nacked_by == self.relays
        return not self.acked and self.datagram_refused and self.stream_refused and silent


@attrs.frozen(kw_only=True)
class Errand:
    """A probe that this node makes for another one."""

    requester: Run
    seq: int
    """The requester's own number for it."""
    target: Run
    address: Address
    nack_at: float
    ends_at: float
    nacked: bool = False


class Errands:
    """Probes made for others, by our own sequence number; at most `RELAYS_MAX` (`relays_refused` counts the rest)."""

    def __init__(self, counters: Counter[str]) -> None:
        """Build an empty table."""
        self._counters = counters
        self._errands: dict[int, Errand] = {}

    def add(self, seq: int, errand: Errand) -> bool:
        """Accept an errand; return whether there was room."""
        if len(self._errands) >= RELAYS_MAX:
            self._counters["relays_refused"] += 1
            return False
        self._errands[seq] = errand
        return True

    def finish(self, seq: int, target: Run) -> Errand | None:
        """Return and forget the errand that an ack by `target` answers."""
        errand = self._errands.get(seq)
        if errand is None or errand.target != target:
            return None
        del self._errands[seq]
        return errand

    def due(self, now: float) -> list[Errand]:
        """Return the errands whose requester is owed a nack now, and forget those that are over."""
        owed = []
        for seq, errand in list(self._errands.items()):
            if not errand.nacked and errand.nack_at <= now:
                owed.append(errand)
                self._errands[seq] = attrs.evolve(errand, nacked=True)
            if errand.ends_at <= now:
                del self._errands[seq]
        return owed

    def refused(self, address: Address) -> list[Errand]:
        """Return the errands to `address` whose requester is owed a nack: nobody listens there."""
        owed = []
        for seq, errand in list(self._errands.items()):
            if not errand.nacked and errand.address == address:
                owed.append(errand)
                self._errands[seq] = attrs.evolve(errand, nacked=True)
        return owed

    def next_deadline(self) -> float:
        """Return when `due` wants to be called next."""
        return min(
            (errand.ends_at if errand.nacked else errand.nack_at for errand in self._errands.values()),
            default=float("inf"),
        )


def choose_relays(
    members: Sequence[Member], *, target: Member, prober_site: str, count: int, rng: Random
) -> list[Member]:
    """Return up to `count` random alive members other than the target, to probe it for us.

    One of them is near the target, the others are at other sites than the prober's as far as there are such: one
    bad link between two sites must accuse nobody.
    """
    able = [member for member in members if member.state is MemberState.ALIVE and member.run != target.run]
    able = rng.sample(able, len(able))
    near = [member for member in able if member.profile.site == target.profile.site][:1]
    rest = sorted(
        (member for member in able if member not in near), key=lambda member: member.profile.site == prober_site
    )
    return (near + rest)[:count]
