"""What peers hold about a worker (SWIM §4.2: alive, suspect, dead; Serf's left)."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import attrs

from swimstream.model.identity import Address, Run

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS_MAX = 64
CAPACITY_MAX = 1_024
EXPECT_MAX = 10_000


class MemberState(enum.IntEnum):
    """The order is the precedence between claims of one boot and one incarnation."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3

    @property
    def is_gone(self) -> bool:
        """Return whether the claim ends the run's membership (a higher incarnation still revives a dead one)."""
        return self in (MemberState.DEAD, MemberState.LEFT)


@attrs.frozen(kw_only=True)
class Evidence:
    """What an accuser saw in the probe round that failed; nothing, if it only heard of it or is of an older version."""

    relays: int = 0
    """How many others it asked to probe the member, 0 to 31."""
    nacks: int = 0
    """How many of them said that the member is silent to them as well, 0 to 31."""
    datagram_refused: bool = False
    """Whether the member's host said that nobody listens for datagrams there."""
    stream_refused: bool = False
    """Whether no stream to the member could be opened."""


NOTHING_SEEN = Evidence()

SPEAKS = 5
"""What this version understands: 2 adds `SyncCheck`, tags, broadcasts, queries and messages; 3 guarantees, authority
and changes of the council; 4 versions of jobs, directives, and what an operator can ask for beyond a guarantee;
5 conflicts between two copies."""
SPEAKS_GUARANTEES = 3
"""From this level on a worker keeps guarantees, and understands a plan in which runs are held."""
SPEAKS_DIRECTIVES = 4
"""From this level on a worker understands a plan with directives (`model/directives.py`), and jobs that need them."""
SPEAKS_CONFLICTS = 5
"""From this level on a worker understands a plan with conflicts (`Directives.conflicts`), and jobs that settle them."""


@attrs.frozen(kw_only=True)
class Profile:
    """What a worker says about itself. It changes only with its incarnation."""

    address: Address
    site: str = "default"
    kinds: tuple[str, ...] = ()
    """Kinds of operators that it can run, sorted, at most `KINDS_MAX`."""
    capacity: int = 64
    """How many instances it takes at a time, 0 to `CAPACITY_MAX`."""
    expect: int = 1
    """How many workers it waits for before a cluster is founded."""
    voter: int = 0
    """Identity of its vote's memory: the boot of the first run that wrote its state directory."""
    speaks: int = 1
    """Up to which level of the protocol it understands messages; see `SPEAKS`."""


@attrs.frozen(kw_only=True)
class Member:
    """One peer's view of one worker: evidence, never authority."""

    run: Run
    incarnation: int
    state: MemberState
    profile: Profile
    since: float
    """When this peer entered the state, on this peer's clock (seconds)."""
    accusers: tuple[str, ...] = ()
    """Names of the members that reported the suspicion or the death, sorted; empty when alive. Of one that has
    left: who has removed it, if it did not leave by itself."""
    evidence: tuple[Evidence, ...] = ()
    """What each of `accusers` saw, in their order."""

    def evidence_of(self, accuser: str) -> Evidence:
        """Return what `accuser` saw, as far as it is known."""
        return dict(zip(self.accusers, self.evidence, strict=False)).get(accuser, NOTHING_SEEN)

    def may_be_witnessed(self, accuser: str, incarnation: int, *, accusers_max: int) -> bool:
        """Return whether a death that is declared already can have `accuser` as one more, of at most so many."""
        is_new = accuser not in ("", *self.accusers) and len(self.accusers) < accusers_max
        return self.state is MemberState.DEAD and incarnation == self.incarnation and is_new

    def accused_by(self, accuser: str, evidence: Evidence) -> Member:
        """Return the record with one more accuser; what one has said before stays."""
        names = sorted({*self.accusers, accuser})
        seen = {accuser: evidence} | {name: self.evidence_of(name) for name in self.accusers}
        return attrs.evolve(self, accusers=tuple(names), evidence=tuple(seen[name] for name in names))


def too_old(members: Iterable[Member], *, level: int = SPEAKS_GUARANTEES) -> list[str]:
    """Return the names of the live members that speak less than `level`: a plan that has such things, they refuse."""
    return [each.run.name for each in members if not each.state.is_gone and each.profile.speaks < level]
