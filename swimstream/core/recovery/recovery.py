"""What to do about it: from the plan, the members and the statuses to changes of the plan.

Only the leader asks, and only the leader commits what comes out; nobody acts before that. Every change carries
its reason and its evidence. A missing status is never taken for a death: an assignment counts as not taken up
only after the leader itself has waited for it, so a new leader starts all such waits anew.

- What is done about the runs of workers: `workers.py`; where an instance goes: `placement.py`; how a worker is emptied:
  `draining.py`; what moves to one that has joined: `rebalancing.py`.
- An instance is assigned when it has no run and all that it must wait for has finished, its run is evicted or away, it
  has failed or was stopped by its worker (`restarts.py` says when and where), its copy is out of date, or its worker
  does not take it up in time.
- An at-most-one instance that is not taken up in time is revoked first; and none is given to another run before its
  copy has ended for good, or the run has been stopped for so long that it cannot act any more. The guard at the log
  (`council/guard.py`) checks that again; what is decided here is when to ask for it.
- An instance that has finished is concluded and never executed again; also if it was to be restarted (`Restart`)
  and has finished before. What its job was changed under (`UpdateJob`) has finished as something else: it is.
- An instance of a cancelled job, or in quarantine, is not executed. What is left of one that nobody wants any more is
  forgotten once its copy has ended. Only at-most-one instances are left so, since only of them another copy must wait.
- A copy that is out of date (`Restart`, `UpdateJob`) is executed anew, on the same run if that still may. It does not
  wait for its own delay, even if it has failed by itself meanwhile.
- What is done about more than a single death: `hazards.py`; when a worker that was given up is back: `conflicts.py`.
  Who keeps an instance warm: `standbys.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.recovery.draining import clear_modes, drain
from swimstream.core.recovery.hazards import Hazards, comes_first
from swimstream.core.recovery.moves import is_former_kept
from swimstream.core.recovery.pending import why_blocked
from swimstream.core.recovery.places import places_in
from swimstream.core.recovery.rebalancing import rebalance
from swimstream.core.recovery.restarts import judge_end, note_running
from swimstream.core.recovery.stalls import is_given_up
from swimstream.core.recovery.standbys import review_standbys
from swimstream.core.recovery.waiting import FOREVER, MAY_STILL_ACT, Waits
from swimstream.core.recovery.workers import review_workers, waits_for_worker
from swimstream.model.changes import (
    EVIDENCE_ITEMS_MAX,
    Assign,
    Change,
    Conclude,
    Forget,
    Quarantine,
    Revoke,
    SetAuthority,
)
from swimstream.model.history import CANCEL, QUARANTINE, UPDATE, subject_of
from swimstream.model.job import AT_MOST_ONE
from swimstream.model.status import InstanceState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.core.recovery.placement import Places
    from swimstream.core.recovery.situation import Patience, Situation
    from swimstream.core.recovery.waiting import Wait
    from swimstream.core.recovery.workers import Workers
    from swimstream.model.identity import InstanceId
    from swimstream.model.job import OperatorSpec
    from swimstream.model.plan import Assignment, Plan

NOT_TAKEN_UP = "was not taken up in time"
WHY_DECIDED = {
    UPDATE: "the job was updated",
    CANCEL: "the job was cancelled, and updated since",
    QUARANTINE: "it is in quarantine no more",
}
"""Deed of the history that took a copy back or declared it out of date → why; of any other it is its own reason."""


class Recovery:
    """The decisions of one leadership. Remembers since when it has waited for what, and nothing else."""

    def __init__(self, patience: Patience, *, authority: SetAuthority) -> None:
        """Begin with no memory, as a new leader does. `authority` is proposed if the plan has none yet."""
        self._patience = patience
        self._authority = authority
        self._waits = Waits()
        self._hazards = Hazards(patience)
        self._unfinished: dict[tuple[str, str], str] = {}
        """What the instances of an operator wait for, as far as this review has asked: see `_waits_for_inputs`."""

    def next_deadline(self) -> float:
        """Return when `decide` could come to another result though nothing has changed."""
        return self._waits.next_check_at

    @property
    def waits(self) -> Mapping[InstanceId, Wait]:
        """Return the instances that the last decision has left alone, and until when."""
        return self._waits.of_instances

    def decide(self, situation: Situation) -> list[Change]:
        """Return the changes to commit now, those of the workers first."""
        plan = situation.plan
        self._waits.begin_review(situation.now)
        self._unfinished.clear()
        changes: list[Change] = []
        if not plan.isolation_ms and situation.may_hold():
            changes.append(self._authority)  # rule 7: the same for everybody, so it belongs in the plan
        self._hazards.begin_review(situation)
        workers = review_workers(situation, self._waits, self._patience, self._hazards.outages)
        judged = self._hazards.judge(situation, workers.evicted, self._waits)
        changes += [*judged, *workers.changes]
        places = places_in(situation, gone=workers.evicted)
        for name in sorted(plan.jobs):
            if name not in plan.directives.cancelled:
                for instance in plan.jobs[name].instances():
                    changes += self._decide_instance(situation, instance, workers, places)
        changes += self._forget_leftovers(situation, workers)
        if comes_first(judged):  # the rest is looked at again when that is committed, and has been waited for as well
            return judged
        changes += clear_modes(situation)
        decided = {change.instance for change in changes if isinstance(change, Assign | Revoke | Conclude | Quarantine)}
        changes += drain(situation, places, self._waits, decided=decided, patience_s=self._patience.accept_s)
        urgent = self._hazards.with_scopes(situation, changes) or list(rebalance(situation, places))
        return urgent or list(review_standbys(situation, places))

    def _decide_instance(
        self, situation: Situation, instance: InstanceId, workers: Workers, places: Places
    ) -> list[Change]:
        held = situation.plan.assignments.get(instance)
        if held is None:
            return self._assign(situation, instance, places, reason="the job was accepted")
        if held.finished or instance in situation.plan.directives.quarantined:
            return []
        if situation.has_finished(held):
            return [Conclude(instance=instance, epoch=held.epoch)]
        if situation.has_failed_for_good(held):
            return self._restart(situation, held, workers, places)
        name = held.run.name
        if held.run in workers.evicted:
            return self._move(situation, held, workers, places, reason=f"{name}: {workers.evicted[held.run]}")
        if situation.plan.is_evicted(held.run):
            how = "declared dead by a person" if situation.plan.is_asserted_dead(held.run) else "evicted"
            return self._move(situation, held, workers, places, reason=f"{name} was {how}")
        if held.run in workers.away:
            gone = workers.away[held.run]
            if waits_for_worker(held, gone, situation, self._waits):
                return []
            return self._move(situation, held, workers, places, reason=f"{name}: {gone.why}")
        if held.revoked:
            reason = _why_decided(situation.plan, held.revoked)
            return self._move(situation, held, workers, places, reason=reason, elsewhere=not held.stale)
        if held.stale:
            return self._renew(situation, held, workers, places)
        settled = self._hazards.settle_conflict(situation, held, places, self._waits)
        return [*settled] or self._mend(situation, held, workers, places)

    def _forget_leftovers(self, situation: Situation, workers: Workers) -> list[Change]:
        """Forget what belongs to no job any more, or to a cancelled one, once its copy has ended."""
        plan, changes = situation.plan, list[Change]()
        if not situation.may_direct():
            return []
        left = [
            each for each in plan.assignments if each.job in plan.directives.cancelled or plan.spec_of(each) is None
        ]
        for instance in sorted(left):
            held = plan.assignments[instance]
            if held.revoked and not self._must_wait(situation, held, workers):
                reason = "it has ended" if situation.has_ended(held) else "its run cannot act on it any more"
                changes.append(Forget(instance=instance, epoch=held.epoch, reason=reason))
        return changes

    def _renew(self, situation: Situation, held: Assignment, workers: Workers, places: Places) -> list[Change]:
        """Execute an instance anew whose copy is out of date; of an at-most-one one that copy ends first."""
        reason = _why_decided(situation.plan, held.stale)
        if situation.is_at_most_one(held.instance) and not situation.has_ended(held):
            if not situation.may_hold():
                return []
            return [Revoke(instance=held.instance, epoch=held.epoch, reason=reason)]
        return self._move(situation, held, workers, places, reason=reason)

    def _mend(self, situation: Situation, held: Assignment, workers: Workers, places: Places) -> list[Change]:
        """Decide about an instance whose worker lives."""
        match situation.state_of(held):
            case None:
                if not self._waits.has_waited(f"offer {held.epoch} {held.instance}", self._patience.accept_s):
                    return []
                if not situation.is_at_most_one(held.instance):
                    return self._move(situation, held, workers, places, reason=NOT_TAKEN_UP, elsewhere=True)
                if not situation.may_hold():
                    return []
                # rule 12: it may have been taken up, unheard; so it is taken back and waited for like any other
                return [Revoke(instance=held.instance, epoch=held.epoch, reason=NOT_TAKEN_UP)]
            case InstanceState.FAILED | InstanceState.STOPPED:
                return self._restart(situation, held, workers, places)
            case InstanceState.STALLED:
                return self._give_up_stalled(situation, held, workers, places)
            case InstanceState.RUNNING if held.failures:
                note_running(held, self._waits)
                return []
            case _:  # an isolated instance too has been taken up: its worker starts it again by itself
                return []

    def _give_up_stalled(
        self, situation: Situation, held: Assignment, workers: Workers, places: Places
    ) -> list[Change]:
        """Execute an instance again that has made no progress for too long."""
        if not is_given_up(situation, held, self._waits):
            return []
        if not situation.is_at_most_one(held.instance):
            return self._restart(situation, held, workers, places)
        if not situation.may_hold():
            return []
        reason = f"stalled: {situation.statuses[held.instance].cause}"
        return [Revoke(instance=held.instance, epoch=held.epoch, reason=reason)]

    def _restart(self, situation: Situation, held: Assignment, workers: Workers, places: Places) -> list[Change]:
        """Execute an instance again that has ended by itself, when it is time; or give up."""
        spec = situation.spec_of(held.instance)
        assert spec is not None, "what was taken from its job is not executed again"
        verdict = judge_end(held, situation.statuses[held.instance], spec.restart, self._waits)
        if verdict.is_final:
            if not situation.may_direct():
                self._waits.leave_alone(held.instance, FOREVER, verdict.reason)
                return []
            evidence, reason = verdict.evidence, verdict.reason
            return [Quarantine(instance=held.instance, epoch=held.epoch, reason=reason, evidence=evidence)]
        if self._waits.leave_alone(held.instance, verdict.due_at, f"{verdict.reason}; it is executed again"):
            return []
        return self._move(
            situation,
            held,
            workers,
            places,
            reason=verdict.reason,
            evidence=verdict.evidence,
            failures=verdict.failures,
            elsewhere=verdict.is_elsewhere,
        )

    def _must_wait(self, situation: Situation, held: Assignment, workers: Workers) -> bool:
        """Return whether somebody may still act on an at-most-one assignment, and note that it waits if so."""
        if situation.has_ended(held):
            return False
        # rules 8 to 12; a release that is decided in this very review annuls the wait
        until = FOREVER if held.run in workers.released else situation.stopped_at(held)
        return self._waits.leave_alone(held.instance, until, MAY_STILL_ACT)

    def _move(
        self,
        situation: Situation,
        held: Assignment,
        workers: Workers,
        places: Places,
        *,
        reason: str,
        evidence: tuple[str, ...] = (),
        failures: int | None = None,
        elsewhere: bool = False,
    ) -> list[Change]:
        """Give an instance to another run, or to the same one anew, once nobody acts on its assignment any more."""
        if situation.is_at_most_one(held.instance) and self._must_wait(situation, held, workers):
            return []
        if self._hazards.must_wait(held.instance, held.run, self._waits):
            return []
        places.free(held.instance, held.run)
        changes = self._assign(
            situation,
            held.instance,
            places,
            reason=reason,
            evidence=evidence,
            held=held,
            failures=failures,
            elsewhere=elsewhere,
        )
        if changes:
            self._hazards.note_move(held.run)
        else:
            places.take(held.instance, held.run)  # what nobody takes keeps its place where it is
        return changes

    def _assign(
        self,
        situation: Situation,
        instance: InstanceId,
        places: Places,
        *,
        reason: str,
        evidence: tuple[str, ...] = (),
        held: Assignment | None = None,
        failures: int | None = None,
        elsewhere: bool = False,
    ) -> list[Change]:
        """Place an instance; no room means that it stays pending until something changes."""
        spec = situation.spec_of(instance)
        assert spec is not None, "only what a job has is assigned"
        if (spec.instances == AT_MOST_ONE and not situation.plan.isolation_ms) or self._waits_for_inputs(
            situation.plan, instance, spec
        ):
            return []
        at = held.run if held is not None else None
        placement = places.choose(instance, at=at, stay=not elsewhere, elsewhere=elsewhere)
        if placement.run is None:
            return []
        places.take(instance, placement.run)
        if failures is None:
            failures = held.failures if held is not None else 0
        return [
            Assign(
                instance=instance,
                run=placement.run,
                failures=failures,
                resume_from=situation.resume_from(instance),
                reason=reason,
                evidence=(*placement.evidence, *evidence)[:EVIDENCE_ITEMS_MAX],
                handover=held is not None and is_former_kept(held, situation),
            )
        ]

    def _waits_for_inputs(self, plan: Plan, instance: InstanceId, spec: OperatorSpec) -> bool:
        if not spec.blocking:
            return False
        key = (instance.job, instance.operator)
        if key not in self._unfinished:
            self._unfinished[key] = why_blocked(plan, instance)
        return bool(self._unfinished[key])


def _why_decided(plan: Plan, index: int) -> str:
    """Return why a copy was declared out of date, or taken back, by the entry at `index`."""
    position = index - plan.decisions[0].index if plan.decisions else -1
    if not 0 <= position < len(plan.decisions):
        return "its former copy is out of date"
    made = plan.decisions[position]
    return WHY_DECIDED.get(subject_of(made).deed, made.reason)
