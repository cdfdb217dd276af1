"""What a view remembers of members that it holds no record of.

- Those that were forgotten: a peer that forgets later, or was cut off for longer than a tombstone lasts, must not bring
  them back by telling what it still believes. Only what is newer than all that was known then is believed.
- Those that it has only heard accusations of, as happens while many start or restart at once: such a claim makes no
  member, but it is passed on, once, so that it reaches the accused, which alone can refute it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

    def __len__(self) -> int:
        return len(self._known)

    def add(self, member: Member) -> None:
        """Remember a member whose record is dropped."""
        self._known[member.run.name] = (member.run.boot, member.incarnation)
        self._known.move_to_end(member.run.name)
        if len(self._known) > FORGOTTEN_MAX:
            self._known.popitem(last=False)

    def covers(self, run: Run, incarnation: int) -> bool:
        """Return whether a claim says nothing that is newer than what was forgotten."""
        return (run.boot, incarnation) <= self._known.get(run.name, (-1, -1))


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
