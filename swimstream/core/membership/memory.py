"""What a view remembers of members that it holds no record of.

- Those that were forgotten: a peer that forgets later, or was cut off for longer than a tombstone lasts, must not bring
  them back by telling what it still believes. Only what is newer than all that was known then is believed.
- Those that it has only heard accusations of, as happens while many start or restart at once: such a claim makes no
  member, but it is passed on, once, so that it reaches the accused, which alone can refute it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from swimstream.core.membership.claims import unsigned_death_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swimstream.model.identity import Run
    from swimstream.model.member import Member
    from swimstream.wire.messages import Accusation

FORGOTTEN_MAX = 8_192
STRANGERS_MAX = 1_024


class Forgotten:
    """At most `FORGOTTEN_MAX` names with the highest boot and incarnation that was known; the oldest goes first."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._known: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._refused: dict[str, bytes] = {}
        """Who was said to live since `take_refused`; names out of `_known`, so as many at most."""

    def __len__(self) -> int:
        return len(self._known)

    def add(self, member: Member) -> None:
        """Remember a member whose record is dropped."""
        self._known[member.run.name] = (member.run.boot, member.incarnation)
        self._known.move_to_end(member.run.name)
        if len(self._known) > FORGOTTEN_MAX:
            oldest, _ = self._known.popitem(last=False)
            self._refused.pop(oldest, None)

    def covers(self, run: Run, incarnation: int) -> bool:
        """Return whether a claim says nothing that is newer than what was forgotten."""
        return (run.boot, incarnation) <= self._known.get(run.name, (-1, -1))

    def refuse(self, run: Run, incarnation: int) -> bytes:
        """Return the encoded claim that who was forgotten is dead, against one that it lives; keep it for a teller."""
        assert self.covers(run, incarnation), "only what is covered is refused"
        self._refused[run.name] = death = unsigned_death_of(run, incarnation)
        return death

    def take_refused(self) -> list[bytes]:
        """Return the claims against all that was refused since the last call, by name."""
        refused, self._refused = self._refused, {}
        return [refused[name] for name in sorted(refused)]

    def deaths_among(self, held: Iterable[tuple[Run, int]]) -> list[bytes]:
        """Return claims that those are dead that were forgotten here and that a peer still holds for alive."""
        return [unsigned_death_of(run, incarnation) for run, incarnation in held if self.covers(run, incarnation)]


class Strangers:
    """Which accusations of unknown runs were passed on, at most `STRANGERS_MAX`; the oldest goes first."""

    def __init__(self) -> None:
        """Begin with none."""
        self._told: OrderedDict[tuple[Run, int, int], None] = OrderedDict()

    def is_new(self, claim: Accusation) -> bool:
        """Return whether this claim is heard for the first time, and remember it."""
        key = (claim.run, claim.incarnation, int(claim.state))
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > STRANGERS_MAX:
            self._told.popitem(last=False)
        return True
