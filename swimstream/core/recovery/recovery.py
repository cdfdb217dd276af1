"""What to do about it: from the plan, the members and the statuses to changes of the plan.

Only the leader asks, and only the leader commits what comes out; nobody acts before that. Every change carries
its reason and its evidence. A missing status is never taken for a death: an assignment counts as not taken up
only after the leader itself has waited for it, so a new leader starts all such waits anew.

- What is done about the runs of workers: `workers.py`.
- An instance is assigned when it has no run, its run is evicted or away, it has failed or was stopped by its worker
  (after a growing delay), or its worker does not take it up in time.
- An at-most-one instance that is not taken up in time is revoked first; and none is given to another run before its
  copy has ended for good, or the run has been stopped for so long that it cannot act any more. The guard at the log
  (`council/guard.py`) checks that again; what is decided here is when to ask for it.
- An instance that has finished is concluded and never executed again.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from swimstream.core.recovery.placement import NOTHING, NOWHERE, Places, places_in
from swimstream.core.recovery.waiting import FOREVER, Wait, Waits
from swimstream.core.recovery.workers import review_workers, waits_for_worker
from swimstream.model.changes import Assign, Change, Conclude, Revoke, SetAuthority
from swimstream.model.job import AT_MOST_ONE, PINNED
from swimstream.model.member import too_old
from swimstream.model.status import InstanceState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.core.recovery.situation import Patience, Situation
    from swimstream.core.recovery.suitability import Tags
    from swimstream.core.recovery.workers import Workers
    from swimstream.model.coordinate import Coordinate
    from swimstream.model.identity import InstanceId
    from swimstream.model.member import Member
    from swimstream.model.plan import Assignment, Plan

RESTART_DELAY_S_MIN = 0.5
RESTART_DELAY_S_MAX = 30.0
FAILURES_MAX = 1_000_000
NOT_TAKEN_UP = "was not taken up in time"
MAY_STILL_ACT = "its former run may still hold authority"
WAITS_FOR_LEADER = "waits for the leader to decide"
NO_WAITS: Mapping[InstanceId, Wait] = MappingProxyType({})


class Recovery:
    """The decisions of one leadership. Remembers since when it has waited for what, and nothing else."""

    def __init__(self, patience: Patience, *, authority: SetAuthority) -> None:
        """Begin with no memory, as a new leader does. `authority` is proposed if the plan has none yet."""
        self._patience = patience
        self._authority = authority
        self._waits = Waits()

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
        changes: list[Change] = []
        if not plan.isolation_ms and situation.may_hold():
            changes.append(self._authority)  # rule 7: the same for everybody, so it belongs in the plan
        workers = review_workers(situation, self._waits, self._patience)
        changes += workers.changes
        places = places_in(situation, gone=workers.evicted)
        for name in sorted(plan.jobs):
            for instance in plan.jobs[name].instances():
                changes += self._decide_instance(situation, instance, workers, places)
        return changes

    def _decide_instance(
        self, situation: Situation, instance: InstanceId, workers: Workers, places: Places
    ) -> list[Change]:
        held = situation.plan.assignments.get(instance)
        if held is None:
            return self._assign(situation, instance, places, reason="the job was accepted")
        if held.finished:
            return []
        if situation.state_of(held) is InstanceState.FINISHED:
            return [Conclude(instance=instance, epoch=held.epoch)]
        name = held.run.name
        if held.run in workers.evicted:
            return self._move(situation, held, workers, places, reason=f"{name}: {workers.evicted[held.run]}")
        if situation.plan.is_evicted(held.run):
            return self._move(situation, held, workers, places, reason=f"{name} was evicted")
        if held.run in workers.away:
            gone = workers.away[held.run]
            if waits_for_worker(held, gone, situation, self._waits):
                return []
            return self._move(situation, held, workers, places, reason=f"{name}: {gone.why}")
        if held.revoked:
            return self._move(situation, held, workers, places, reason=NOT_TAKEN_UP, elsewhere=True)
        return self._mend(situation, held, workers, places)

    def _mend(self, situation: Situation, held: Assignment, workers: Workers, places: Places) -> list[Change]:
        """Decide about an instance whose worker lives."""
        match situation.state_of(held):
            case None:
                if not self._waits.has_waited(f"offer {held.epoch} {held.instance}", self._patience.accept_s):
                    return []
                if situation.spec_of(held.instance).instances != AT_MOST_ONE:
                    return self._move(situation, held, workers, places, reason=NOT_TAKEN_UP, elsewhere=True)
                if not situation.may_hold():
                    return []
                # rule 12: it may have been taken up, unheard; so it is taken back and waited for like any other
                return [Revoke(instance=held.instance, epoch=held.epoch, reason=NOT_TAKEN_UP)]
            case InstanceState.FAILED | InstanceState.STOPPED as state:
                delay_s = min(RESTART_DELAY_S_MAX, RESTART_DELAY_S_MIN * 2 ** min(held.failures, 16))
                if not self._waits.has_waited(f"ended {held.epoch} {held.instance}", delay_s):
                    return []
                failed = state is InstanceState.FAILED
                cause = situation.statuses[held.instance].cause
                reason = f"failed: {cause}" if failed else "was stopped by its worker"
                return self._move(situation, held, workers, places, reason=reason, failed=True, elsewhere=not failed)
            case _:  # an isolated instance too has been taken up: its worker starts it again by itself
                return []

    def _move(
        self,
        situation: Situation,
        held: Assignment,
        workers: Workers,
        places: Places,
        *,
        reason: str,
        failed: bool = False,
        elsewhere: bool = False,
    ) -> list[Change]:
        """Give an instance to another run, or to the same one anew, once nobody acts on its assignment any more."""
        if situation.spec_of(held.instance).instances == AT_MOST_ONE and not situation.has_ended(held):
            # rules 8 to 12; a release that is decided in this very review annuls the wait
            until = FOREVER if held.run in workers.released else situation.stopped_at(held)
            if self._waits.leave_alone(held.instance, until, MAY_STILL_ACT):
                return []
        places.free(held.instance, held.run)
        changes = self._assign(
            situation, held.instance, places, reason=reason, held=held, failed=failed, elsewhere=elsewhere
        )
        if not changes:
            places.take(held.instance, held.run)  # what nobody takes keeps its place where it is
        return changes

    def _assign(
        self,
        situation: Situation,
        instance: InstanceId,
        places: Places,
        *,
        reason: str,
        held: Assignment | None = None,
        failed: bool = False,
        elsewhere: bool = False,
    ) -> list[Change]:
        """Place an instance; no room means that it stays pending until something changes."""
        spec = situation.spec_of(instance)
        if spec.instances == AT_MOST_ONE and not situation.plan.isolation_ms:
            return []
        placement = places.choose(instance, at=held.run if held is not None else None, elsewhere=elsewhere)
        if placement.run is None:
            return []
        places.take(instance, placement.run)
        status = situation.statuses.get(instance)
        known = status.checkpoint if status is not None else b""
        return [
            Assign(
                instance=instance,
                run=placement.run,
                failures=min((held.failures if held is not None else 0) + failed, FAILURES_MAX),
                resume_from=known or (held.resume_from if held is not None else b""),
                reason=reason,
                evidence=placement.evidence,
            )
        ]


def pending(
    plan: Plan,
    members: Mapping[str, Member],
    *,
    tags: Tags = NOTHING,
    coordinates: Mapping[str, Coordinate] = NOWHERE,
    waits: Mapping[InstanceId, Wait] = NO_WAITS,
    now: float = 0.0,
) -> dict[InstanceId, str]:
    """Return the instances that belong nowhere at present, or wait for their worker, and why.

    `waits` is what the leader has left alone (`Recovery.waits`), on the clock of `now`; anybody else does not know
    for how long it still does.
    """
    places = Places(plan, members.values(), tags=tags, coordinates=coordinates)
    reasons = {}
    for name in sorted(plan.jobs):
        for instance in plan.jobs[name].instances():
            held = plan.assignments.get(instance)
            wait = waits.get(instance)
            if wait is not None:
                left = f" ({wait.until - now:.1f} s left)" if wait.until < FOREVER else ""
                reasons[instance] = wait.why + left
            elif held is None:
                reasons[instance] = _why_unassigned(plan, members, instance, places)
            elif not held.finished and (plan.is_evicted(held.run) or held.revoked or _is_away(plan, members, held)):
                reasons[instance] = _why_not_moved(plan, held, places)
    return reasons


def _why_unassigned(plan: Plan, members: Mapping[str, Member], instance: InstanceId, places: Places) -> str:
    spec = plan.jobs[instance.job].operator(instance.operator)
    older = too_old(members.values())
    if spec.instances == AT_MOST_ONE and not plan.isolation_ms and older:
        return f"no guarantee can be kept while {', '.join(sorted(older))} is of an older version"
    placement = places.choose(instance)
    return placement.why if placement.run is None else WAITS_FOR_LEADER


def _is_away(plan: Plan, members: Mapping[str, Member], held: Assignment) -> bool:
    """Return whether an instance's run is gone and held, so that it may go on there if it comes back."""
    member = members.get(held.run.name)
    return held.run in plan.stops and (member is None or member.run != held.run or member.state.is_gone)


def _why_not_moved(plan: Plan, held: Assignment, places: Places) -> str:
    spec = plan.jobs[held.instance.job].operator(held.instance.operator)
    is_gone = plan.is_evicted(held.run)
    if not is_gone and spec.instances == PINNED:
        return f"pinned to {held.run.name}, which is away"
    if not is_gone and not held.revoked and spec.hold_for_s:
        return f"held: its worker is away, moves after hold_for ({spec.hold_for_s:.0f} s)"
    placement = places.choose(held.instance, at=held.run)
    if placement.run is None:
        return placement.why
    return f"{MAY_STILL_ACT}, or {WAITS_FOR_LEADER}" if spec.instances == AT_MOST_ONE else WAITS_FOR_LEADER
