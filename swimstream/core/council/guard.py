"""The last word on every move: no at-most-one instance is given away while its former run may still act.

The guard does not trust whoever decides. It looks at each change at the very moment of the append, on the plan as the
*whole log* would make it: what is committed, the tail that is not, and the changes of the same batch before it. What
it refuses is dropped and counted (`moves_refused`); a decision that was right a moment ago is judged anew.

What makes a move safe: its index m is above that of the stop entry k, and no Release lies between them in the log. A
run that learns of a later Release has, by then, a plan that shows the move as well, so it never resumes; and one that
has not heard of k has run out of authority when the wait is over (`stops.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.council.stops import StopLedger, wait_s
from swimstream.model.changes import Assign, Entry, Forget, Release
from swimstream.model.job import AT_MOST_ONE, PINNED
from swimstream.model.plan import PlanDraft

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable

    from swimstream.core.council.log import Log
    from swimstream.model.changes import Change
    from swimstream.model.plan import Assignment

NEVER = float("inf")


def no_end_known(held: Assignment) -> bool:  # noqa: ARG001  # the answer of who knows no statuses
    """Say of every copy that it may still be there."""
    return False


class MoveGuard:
    """Stands between a leader's decisions and its log; one for each peer, with a new ledger at each election.

    `has_ended(held)` says whether the copy of that very assignment has ended for good: a status of its run and epoch
    which `is_over`. Rule 11: being isolated is no end, since the run may resume; nor is a later run of the same name,
    nor that the run has left, nor what another run says of that epoch: it is of another cluster.
    """

    def __init__(self, log: Log, has_ended: Callable[[Assignment], bool], *, counters: Counter[str]) -> None:
        """Guard what is appended to `log`."""
        self._log = log
        self._has_ended = has_ended
        self._counters = counters
        self._ledger = StopLedger(elected_at=NEVER, last_index=0)

    # --- since when what is known -----------------------------------------------------------------

    def take_office(self, now: float) -> None:
        """Begin a leadership, before anything is appended. Rule 9: an older ledger counts no more."""
        self._ledger = StopLedger(elected_at=now, last_index=self._log.last_index)

    def note_commit(self, now: float) -> None:
        """Take note that this leader has just advanced its commit index."""
        self._ledger.commit_reached(self._log.commit, now, kept_s=self._wait_s())

    def stopped_at(self, held: Assignment) -> float:
        """Return when the wait for an assignment of the committed plan is over: infinity while nothing stops it."""
        if self._log.plan.is_asserted_dead(held.run):
            return float("-inf")
        return self._waited_until(self._log.plan.stop_index(held))

    def _waited_until(self, stop_index: int) -> float:
        """Return when no run can act any more that the entry at `stop_index` stops."""
        if not 0 < stop_index <= self._log.commit:  # rule 9: what is only appended stops nobody yet
            return NEVER
        return self._ledger.known_since(stop_index) + self._wait_s()

    def _wait_s(self) -> float:
        plan = self._log.plan  # rule 7: what is committed, the same for everybody, never the own configuration
        return wait_s(plan.isolation_ms, plan.drift_ppm)

    # --- at the append ----------------------------------------------------------------------------

    def admit(self, changes: Iterable[Change], now: float) -> list[Change]:
        """Return the changes that may be appended now, in order."""
        draft = PlanDraft(self._log.plan)
        for entry in self._log.tail():  # rule 10: what is appended counts, committed or not
            draft.apply(entry)
        admitted: list[Change] = []
        for change in changes:
            if self._fault(change, draft, now):
                self._counters["moves_refused"] += 1
                continue
            admitted.append(change)
            draft.apply(Entry(index=draft.index + 1, term=0, change=change))  # rule 10: and so does the batch itself
        return admitted

    def _fault(self, change: Change, draft: PlanDraft, now: float) -> str:
        """Return why `change` must not follow on the log that `draft` stands for, or nothing."""
        match change:
            case Release(run=run) if draft.is_evicted(run):
                return "the run is gone for good"
            case Assign() if draft.guarantee_of(change.instance) == AT_MOST_ONE:
                return self._fault_of_move(change, draft, now)
            case Forget() if draft.guarantee_of(change.instance) == AT_MOST_ONE:
                return self._fault_of_forgetting(change, draft, now)
            case Assign() if draft.guarantee_of(change.instance) == PINNED:
                held = draft.assignment_of(change.instance)
                return "it belongs to another worker" if held is not None and held.run.name != change.run.name else ""
        return ""

    def _fault_of_move(self, change: Assign, draft: PlanDraft, now: float) -> str:
        """Return why an at-most-one instance must not be given to a run now."""
        if not self._log.plan.isolation_ms:
            return "how long authority lasts is not committed"  # rule 7: nobody could tell when to stop
        if draft.is_held(change.run):
            return "the new run is held or gone"  # rule 6: it may not act, and its stop is waited for already
        held = draft.assignment_of(change.instance)
        if held is None:
            return ""
        if held.finished:
            return "it has finished"
        if held.epoch > self._log.commit:
            return "another assignment of it is not committed yet"  # rule 10: and nobody knows whether it is taken up
        return "" if self._is_stopped(held, draft, now) else "its former run may still act"

    def _fault_of_forgetting(self, change: Forget, draft: PlanDraft, now: float) -> str:
        """Return why an at-most-one instance must not leave the plan: once it has, anybody may be given it anew."""
        held = draft.assignment_of(change.instance)
        if held is None or held.epoch != change.epoch:
            return ""  # it changes nothing
        if held.epoch > self._log.commit:
            return "its assignment is not committed yet"
        return "" if self._is_stopped(held, draft, now) else "its run may still act"

    def _is_stopped(self, held: Assignment, draft: PlanDraft, now: float) -> bool:
        """Return whether it is certain that `held`, an assignment of the committed plan, is not acted on any more."""
        if self._has_ended(held):  # rule 11: a final stop of that very epoch
            return True
        if draft.is_asserted_dead(held.run):  # rule 11: a person's word, for which that person answers
            return True
        # Rules 8 to 10 and 12: Hold, Revoke and Evict alike. The index is asked of the draft: a Release in the tail
        # annuls it, and a Hold after that one has an index above the commit.
        return self._waited_until(draft.stop_index(held)) <= now
