"""Crashes that strike a leader in the very step in which it decides, after any of that step's effects."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from swimstream.core.effects import EntriesRecord, Persist

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swimstream.core.effects import Effect
    from swimstream.simulator.life import Life


class Moment(enum.Enum):
    """A step of a leader in which something is decided."""

    ELECTED = enum.auto()
    """The first step in which it leads its term."""
    PROPOSES = enum.auto()
    """It puts an entry of its own term into its log, and sends it."""
    COMMITS = enum.auto()
    """It learns that a majority holds an entry, acts on it and tells."""


class Ambush:
    """Waits for one moment of any leader, and crashes it after a share of that step's effects."""

    def __init__(self, moment: Moment, *, share: float, spring: Callable[[Life, int], None]) -> None:
        """Have `spring(life, effects_left)` called once, in the step that is `moment`."""
        self.share = share
        self.spring = spring
        self._moment = moment

    def waits_for(self, life: Life, effects: Sequence[Effect]) -> bool:
        """Return whether this step of `life`, with these effects, is the one."""
        node = life.node
        if not node.is_leader:
            return False
        term = node.mark.term
        match self._moment:
            case Moment.ELECTED:
                return term not in life.terms_led
            case Moment.PROPOSES:
                logged = [effect.record for effect in effects if isinstance(effect, Persist)]
                own = (record for record in logged if isinstance(record, EntriesRecord) and record.entries)
                return any(record.entries[-1].term == term for record in own)
            case Moment.COMMITS:
                return node.plan.index > life.watch.plan.index
