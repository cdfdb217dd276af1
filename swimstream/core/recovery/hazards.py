"""What is done about more than one death: outages, crashes that repeat, workers that flap, and scopes that restart.

One leadership's memory of all of them, and the order in which `recovery.py` asks. Nothing of it is proposed while a
live worker is of an older version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.recovery.blame import Poison
from swimstream.core.recovery.brakes import Outage, Outages, Pace
from swimstream.core.recovery.conflicts import settle_conflict
from swimstream.core.recovery.flapping import Flapping
from swimstream.core.recovery.regions import restart_together
from swimstream.model.changes import QUARANTINED, Blame, Proof, Quarantine, SetWorkerMode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from swimstream.core.recovery.placement import Places
    from swimstream.core.recovery.situation import Patience, Situation
    from swimstream.core.recovery.waiting import Waits
    from swimstream.model.assignment import Assignment
    from swimstream.model.changes import Assign, Change, KeepReplacement
    from swimstream.model.identity import InstanceId, Run


class Hazards:
    """The hazards of one leadership; `begin_review` comes first in each review."""

    def __init__(self, patience: Patience) -> None:
        """Begin with no memory."""
        self._outages = Outages(patience.suspicion_s)
        self._poison = Poison()
        self._flapping = Flapping(patience.suspicion_s)
        self._pace = Pace()
        self._patience = patience
        self.outages: Mapping[Run, Outage] = {}
        """The runs that vanished together with many others, as of this review."""

    def begin_review(self, situation: Situation) -> None:
        """See what has vanished together."""
        self.outages = self._outages.review(situation.members) if situation.may_direct() else {}
        self._pace.refill(situation.members, situation.now)

    def judge(self, situation: Situation, evicted: Iterable[Run], waits: Waits) -> list[Change]:
        """Return what to commit before the evictions of this review, which are of the runs `evicted`."""
        if not situation.may_direct():
            return []
        return [
            *self._poison.decide(situation, evicted, waits, is_outage=self.outages.__contains__),
            *self._flapping.decide(situation, waits),
        ]

    def must_wait(self, instance: InstanceId, run: Run, waits: Waits) -> bool:
        """Return whether `instance`, which `run` has lost in an outage, is to wait for its turn, and note it if so."""
        return run in self.outages and waits.leave_alone(
            instance, self._pace.next_at(), "its turn comes: many are executed again after an outage"
        )

    def note_move(self, run: Run) -> None:
        """Take note that an instance was moved that `run` had."""
        if run in self.outages:
            self._pace.spend()

    def settle_conflict(
        self, situation: Situation, held: Assignment, places: Places, waits: Waits
    ) -> list[Assign | KeepReplacement]:
        """Return which of the two copies is gone on with, if two have met again, and it is time."""
        return settle_conflict(held, situation, places, waits, pace=self._pace, patience_s=self._patience.accept_s)

    def with_scopes(self, situation: Situation, changes: Sequence[Change]) -> list[Change]:
        """Return `changes`, after the marks of what restarts together with what they give a new epoch."""
        return [*restart_together(situation, changes), *changes] if situation.may_direct() else list(changes)


def comes_first(judged: Iterable[Change]) -> bool:
    """Return whether a judgement is to be committed before anything is placed: it says who must not be, or where."""
    return any(
        isinstance(each, Quarantine)
        or (isinstance(each, SetWorkerMode) and each.mode == QUARANTINED)
        or (isinstance(each, Blame) and each.proof is not Proof.NONE)
        for each in judged
    )
