"""Which claim about a member wins (SWIM §4.2, with restarts and goodbyes).

Evidence is ordered by `(boot, incarnation, state)`:

- A higher boot replaces whatever was held: it is another run, the old one is gone. A lower boot says nothing.
- Alive wins with a higher incarnation only. Equal is no news, so gossip can never clear a suspicion; only the
  owner can, by raising its incarnation.
- Suspect, dead and left win with the higher `(incarnation, state)`. (SWIM lets a death override any incarnation;
  then a refuted rumour that arrives late kills a live member.) So a suspicion of a newer incarnation lifts a death
  of an older one, since the member must have refuted in between: what is held depends on what was heard, and not
  on the order in which it was heard.
- Left is final for a run.
- The stored incarnation never falls, even when the state stays: else a delayed alive revives the dead.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from swimstream.model.member import MemberState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swimstream.model.identity import Address, Run
    from swimstream.model.member import Member

INCARNATION_JUMP_MAX = 2**20
"""Evidence that raises an incarnation by more is refused: one forged packet must not exhaust the counter."""
BOOT_JUMP_MAX_MS = 100 * 365 * 86_400_000
"""Nobody believes that its own name has lived a century from now: likewise for the boot."""


def alive_wins(*, boot: int, incarnation: int, held: Member) -> bool:
    """Return whether an alive claim changes what is held."""
    if boot != held.run.boot:
        return boot > held.run.boot
    return incarnation > held.incarnation and held.state is not MemberState.LEFT


def accusation_wins(*, incarnation: int, state: MemberState, held: Member) -> bool:
    """Return whether a suspect, dead or left claim about the held run is stronger than what is held."""
    assert state is not MemberState.ALIVE
    return held.state is not MemberState.LEFT and (incarnation, state) > (held.incarnation, held.state)


def jumps_too_far(*, boot: int, incarnation: int, held: Member | None) -> bool:
    """Return whether a claim raises the incarnation of a run further than any honest owner would."""
    known = held.incarnation if held is not None and held.run.boot == boot else 0
    return incarnation - known > INCARNATION_JUMP_MAX


class MemberTable:
    """Records by name. The bound on their number is the caller's to check; see `Membership`."""

    def __init__(self) -> None:
        """Build an empty table."""
        self._members: dict[str, Member] = {}
        self.version = 0
        """Rises with every change."""
        self._names: list[str] = []
        """Sorted. Names come and go seldom, while records change and are walked through all the time."""
        self._rows: list[Member] = []
        """The record of each name, in the order of the names."""
        self._all: tuple[Member, ...] | None = ()
        """All records by name; None when they must be gathered anew."""
        self._live: tuple[Member, ...] | None = ()
        """The live members; None when they must be gathered anew."""
        self._live_count = 0

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        """Yield all records, sorted by name."""
        return iter(self.all())

    def __contains__(self, name: str) -> bool:
        return name in self._members

    @property
    def live_count(self) -> int:
        """Return how many members are alive or suspect."""
        return self._live_count

    def get(self, name: str) -> Member | None:
        """Return what is held under `name`."""
        return self._members.get(name)

    def held(self, name: str) -> Member:
        """Return what is held under a name that must be there."""
        member = self._members.get(name)
        assert member is not None, f"expected a record of {name}"
        return member

    def get_run(self, run: Run) -> Member | None:
        """Return what is held of exactly this run."""
        member = self._members.get(run.name)
        return member if member is not None and member.run == run else None

    def address_of(self, name: str) -> Address | None:
        """Return where a member lives, or lived."""
        member = self.get(name)
        return member.profile.address if member is not None else None

    def put(self, member: Member) -> None:
        """Store a record in place of any older one of its name."""
        name = member.run.name
        older = self._members.get(name)
        place = bisect_left(self._names, name)
        if older is None:
            self._names.insert(place, name)
            self._rows.insert(place, member)
        else:
            self._rows[place] = member
        self.version += 1
        self._all = self._live = None
        self._live_count += _is_live(member) - _is_live(older)
        self._members[name] = member

    def remove(self, name: str) -> None:
        """Forget a name."""
        older = self._members.pop(name, None)
        if older is not None:
            place = bisect_left(self._names, name)
            del self._names[place], self._rows[place]
            self.version += 1
            self._all = self._live = None
            self._live_count -= _is_live(older)

    def oldest_gone(self) -> Member | None:
        """Return the member that has been dead or left for longest."""
        gone = [member for member in self if member.state.is_gone]
        return min(gone, key=lambda member: member.since, default=None)

    def all(self) -> tuple[Member, ...]:
        """Return all records, sorted by name."""
        if self._all is None:
            self._all = tuple(self._rows)
        return self._all

    def live(self) -> tuple[Member, ...]:
        """Return the alive and suspect members, sorted by name."""
        if self._live is None:
            self._live = tuple(member for member in self if not member.state.is_gone)
        return self._live


def _is_live(member: Member | None) -> bool:
    return member is not None and not member.state.is_gone
