"""Why an instance is where it is, or nowhere: put together from what any worker knows. Pure; decides nothing.

The plan keeps its newest 256 decisions (`Plan.decisions`), so what is older is not told any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.core.job_status import CANCELLED, QUARANTINED
from swimstream.core.recovery.candidates import Rated
from swimstream.core.recovery.draining import drain
from swimstream.core.recovery.pending import pending
from swimstream.core.recovery.places import places_in
from swimstream.core.recovery.waiting import Waits
from swimstream.errors import UsageError
from swimstream.model.history import (
    ACCEPT,
    ASSIGN,
    BEGIN,
    CANCEL,
    DECLARE,
    EVICT,
    HOLD,
    RELEASE,
    UPDATE,
    Decision,
    subject_of,
)
from swimstream.model.identity import InstanceId, Run
from swimstream.model.status import InstanceStatus

if TYPE_CHECKING:
    from swimstream.core.recovery.situation import Situation
    from swimstream.model.plan import Plan

PATIENCE_S = 60.0
"""For what was moved last to run: whoever leads may have less of it."""
OF_JOBS = (ACCEPT, UPDATE, CANCEL, BEGIN)
OF_RUNS = (EVICT, HOLD, RELEASE, DECLARE)
"""What is done to jobs and runs that is told of their instances."""


@attrs.frozen(kw_only=True)
class Explanation:
    """What is known about one instance, and why it is so."""

    instance: InstanceId
    version: int
    """Of its job."""
    guarantee: str
    state: str
    """`quarantined`, `cancelled`, `pending` while no live run has it, `assigned` while nothing is said of its epoch,
    else as its status."""
    run: Run | None
    """Whose it is by the plan; None if it was never given to anybody."""
    epoch: int
    status: InstanceStatus | None
    """What that run says of that very epoch."""
    decision: Decision | None
    """By which it was given to that run: with the reason, and the scores as evidence. None if that is forgotten."""
    standbys: tuple[Run, ...]
    """Who keeps it warm."""
    waits_for: str
    """Why nothing is done about it at present; empty if there is nothing to do."""
    candidates: tuple[Rated, ...]
    """What each worker would be for it now, the best first."""
    history: tuple[Decision, ...]
    """All that is remembered about it, and about the runs that it was given to, oldest first."""


def explain(instance: InstanceId, situation: Situation) -> Explanation:
    """Return what is known of `instance`; raise `UsageError` if no job has it."""
    plan = situation.plan
    spec = plan.spec_of(instance)
    if spec is None:
        raise UsageError(f"instance: no job has {instance}")
    held = plan.assignments.get(instance)
    status = situation.statuses.get(instance)
    if held is None or status is None or not status.is_of(held):
        status = None
    waits_for = _waits_for(instance, situation)
    places = places_in(situation)
    if held is not None and not held.finished:
        places.free(instance, held.run)
    return Explanation(
        instance=instance,
        version=plan.version_of(instance.job),
        guarantee=spec.instances,
        state=_state(plan, instance, status, is_pending=bool(waits_for) and (status is None or status.state.is_over)),
        run=held.run if held is not None else None,
        epoch=held.epoch if held is not None else 0,
        status=status,
        decision=next((each for each in plan.decisions if held is not None and each.index == held.epoch), None),
        standbys=plan.directives.standbys.get(instance, ()),
        waits_for=waits_for,
        candidates=tuple(places.rate(instance, at=held.run if held is not None else None)),
        history=_history(instance, plan),
    )


def _state(plan: Plan, instance: InstanceId, status: InstanceStatus | None, *, is_pending: bool) -> str:
    held = plan.assignments.get(instance)
    if held is not None and held.finished:
        return "finished"
    if instance in plan.directives.quarantined:
        return QUARANTINED
    if held is None and instance.job in plan.directives.cancelled:
        return CANCELLED
    if held is None or is_pending:
        return "pending"
    return status.state.name.lower() if status is not None else "assigned"


def _waits_for(instance: InstanceId, situation: Situation) -> str:
    """Return why it is nowhere, or has to stay on a worker that is to be emptied; nothing if all is well."""
    waiting = pending(situation.plan, situation.members, tags=situation.tags, coordinates=situation.coordinates).get(
        instance
    )
    if waiting:
        return waiting
    waits = Waits()
    waits.begin_review(situation.now)
    drain(situation, places_in(situation), waits, decided=(), patience_s=PATIENCE_S)
    stays = waits.of_instances.get(instance)
    return stays.why if stays is not None else ""


def _history(instance: InstanceId, plan: Plan) -> tuple[Decision, ...]:
    """Return the decisions that name the instance, its job, or a run that it was given to."""
    runs: set[Run | None] = set()
    told = []
    for decision in plan.decisions:
        subject = subject_of(decision)
        is_named = instance in subject.instances
        is_of_job = subject.deed in OF_JOBS and subject.job == instance.job
        is_of_run = subject.deed in OF_RUNS and subject.run in runs
        if is_named and subject.deed == ASSIGN:
            runs.add(subject.run)
        if is_named or is_of_job or is_of_run:
            told.append(decision)
    return tuple(told)
