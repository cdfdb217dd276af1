"""How jobs and their instances stand: a pure function of the plan, the statuses and the members that a worker knows.

Nothing of it is agreed upon. Two workers may see it differently for as long as news travel; no decision rests on it.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from swimstream.core.recovery.pending import pending
from swimstream.core.recovery.placement import NOTHING
from swimstream.model.identity import InstanceId
from swimstream.model.status import InstanceState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swimstream.core.recovery.suitability import Tags
    from swimstream.model.assignment import Assignment
    from swimstream.model.identity import Run
    from swimstream.model.job import JobSpec
    from swimstream.model.member import Member
    from swimstream.model.plan import Plan
    from swimstream.model.status import InstanceStatus

FINISHED = InstanceState.FINISHED.name.lower()
RUNNING = InstanceState.RUNNING.name.lower()
STOPPING = InstanceState.STOPPING.name.lower()
PENDING = "pending"
"""It belongs to no live worker."""
ASSIGNED = "assigned"
"""Its worker has not been heard of it yet."""
QUARANTINED = "quarantined"
"""It is not executed until somebody pardons it or changes its job."""
CANCELLED = "cancelled"
"""It is not executed, and no copy of it is known to run."""
RETIRED = "retired"
"""An update took it from its job; its last copy has not ended for certain."""


class JobState(enum.Enum):
    """What a job comes to."""

    PENDING = "pending"
    """Nothing of it runs, or has finished, yet."""
    RUNNING = "running"
    """Whatever is due runs, in its newest version, or has finished. Due is what no blocking input keeps waiting."""
    DEGRADED = "degraded"
    """Some of it runs, some does not."""
    FINISHED = "finished"
    """All of it has finished."""
    FAILED = "failed"
    """Instances are in quarantine, and what has not finished reads from them: nothing goes on by itself."""
    CANCELLING = "cancelling"
    """It was cancelled; some copies have not ended yet, or not for certain."""
    CANCELLED = "cancelled"
    """It was cancelled, and nothing of it runs."""


@attrs.frozen(kw_only=True)
class InstanceStanding:
    """How one instance stands."""

    instance: InstanceId
    state: str
    """`pending`, `assigned`, `quarantined`, `cancelled`, `retired`, or an `InstanceState` in lower case."""
    worker: str = ""
    """Where the plan has it, empty if nowhere."""
    epoch: int = 0
    """Since which decision; 0: never assigned."""
    progress: int = 0
    is_outdated: bool = False
    """It still runs as it was before an update or a restart."""
    standbys: tuple[str, ...] = ()
    """The workers that keep it warm."""
    why: str = ""
    """Why it does not run, or why it failed last."""


@attrs.frozen(kw_only=True)
class JobStatus:
    """How one job stands."""

    name: str
    state: JobState
    version: int
    """1 as submitted; each update that changes something is one more."""
    counts: Mapping[str, int]
    """How many instances are in which state, the words sorted."""
    why: str
    """Of the first instance that does not run as it should; empty if all do."""
    instances: tuple[InstanceStanding, ...]
    """In the order of the operators; retired ones last."""


def job_statuses(
    plan: Plan,
    statuses: Mapping[InstanceId, InstanceStatus],
    members: Iterable[Member],
    *,
    tags: Tags = NOTHING,
) -> dict[str, JobStatus]:
    """Return the status of every job of the plan, by name, sorted. `tags` are those of the workers."""
    by_name = {member.run.name: member for member in members}
    waiting = pending(plan, by_name, tags=tags)
    retired = [each for each in sorted(plan.assignments) if plan.spec_of(each) is None]
    found = {}
    for name in sorted(plan.jobs):
        own = (*plan.jobs[name].instances(), *(each for each in retired if each.job == name))
        standings = tuple(
            _standing(plan, each, statuses.get(each), by_name, waits_for=waiting.get(each, "")) for each in own
        )
        found[name] = _job_status(plan, name, standings)
    return found


# --- one instance ---------------------------------------------------------------------------------


def _standing(
    plan: Plan,
    instance: InstanceId,
    status: InstanceStatus | None,
    members: Mapping[str, Member],
    *,
    waits_for: str,
) -> InstanceStanding:
    held = plan.assignments.get(instance)
    said = status if held is not None and status is not None and status.epoch == held.epoch else None
    state, why = _state_and_why(plan, instance, held, said, members, waits_for=waits_for)
    if held is None and state == CANCELLED and status is not None and _goes_on(status, members):
        state, why = STOPPING, f"{status.run.name} has not said that it has stopped"
    return InstanceStanding(
        instance=instance,
        state=state,
        worker=held.run.name if held is not None else "",
        epoch=held.epoch if held is not None else 0,
        progress=said.progress if said is not None else 0,
        is_outdated=held is not None and held.stale > 0 and not held.finished,
        standbys=tuple(run.name for run in plan.directives.standbys.get(instance, ())),
        why=why,
    )


def _state_and_why(
    plan: Plan,
    instance: InstanceId,
    held: Assignment | None,
    said: InstanceStatus | None,
    members: Mapping[str, Member],
    *,
    waits_for: str,
) -> tuple[str, str]:
    if plan.spec_of(instance) is None:
        return RETIRED, "taken from its job; its copy has not ended for certain"
    if instance.job in plan.directives.cancelled:
        return (CANCELLED, "") if held is None else (STOPPING, "its copy has not ended for certain")
    accused = plan.directives.quarantined.get(instance)
    if accused is not None:
        return QUARANTINED, accused.reason
    if held is not None and held.finished:
        return FINISHED, ""
    if waits_for:
        return PENDING, waits_for
    state, why = (said.state.name.lower(), said.cause) if said is not None else (ASSIGNED, "")
    if held is not None and _is_gone(held.run, members):
        gone = members[held.run.name].state.name.lower()
        why = f"was the last that was heard: its worker is {gone}, and nothing is decided yet"
    elif held is not None and held.stale:
        why = "out of date: is to be restarted"
    return state, why


def _is_gone(run: Run, members: Mapping[str, Member]) -> bool:
    member = members.get(run.name)
    return member is not None and member.run == run and member.state.is_gone


def _goes_on(status: InstanceStatus, members: Mapping[str, Member]) -> bool:
    """Return whether a live worker said last that it still runs this."""
    member = members.get(status.run.name)
    return not status.state.is_over and member is not None and member.run == status.run and not member.state.is_gone


# --- the whole job --------------------------------------------------------------------------------


def _job_status(plan: Plan, name: str, standings: tuple[InstanceStanding, ...]) -> JobStatus:
    job = plan.jobs[name]
    if name in plan.directives.cancelled:
        left = [each for each in standings if each.state != CANCELLED]
        state = JobState.CANCELLING if left else JobState.CANCELLED
    else:
        open_ = [each for each in standings if each.state not in (FINISHED, RETIRED)]
        due = _due(job, {each.instance.operator for each in open_})
        not_right = (each for each in open_ if each.state != RUNNING or each.is_outdated)
        left = [each for each in not_right if each.instance.operator in due]
        begun = any(each.state in (RUNNING, FINISHED) for each in standings)
        state = JobState.FINISHED if plan.is_finished(name) else _state_of(job, open_, left, begun=begun)
    accused = [each for each in left if each.state == QUARANTINED]
    first = (accused or left)[:1]
    return JobStatus(
        name=name,
        state=state,
        version=plan.version_of(name),
        counts=dict(sorted(Counter(each.state for each in standings).items())),
        why="".join(f"{each.instance} is {each.state}" + (f": {each.why}" if each.why else "") for each in first),
        instances=standings,
    )


def _state_of(job: JobSpec, open_: list[InstanceStanding], left: list[InstanceStanding], *, begun: bool) -> JobState:
    accused = {each.instance.operator for each in open_ if each.state == QUARANTINED}
    cut_off = _readers_of(job, accused)
    if accused and all(each.state == QUARANTINED or each.instance.operator in cut_off for each in open_):
        return JobState.FAILED
    if not left:
        return JobState.RUNNING
    return JobState.DEGRADED if begun else JobState.PENDING


def _due(job: JobSpec, unfinished: set[str]) -> set[str]:
    """Return the operators that nothing keeps waiting which must finish first."""
    return {spec.name for spec in job.operators if not unfinished.intersection(spec.blocking)}


def _readers_of(job: JobSpec, operators: set[str]) -> set[str]:
    """Return all that read from these operators, directly or through others."""
    readers, before = set[str](), None
    while readers != before:
        before = set(readers)
        readers |= {spec.name for spec in job.operators if (operators | readers).intersection(spec.inputs)}
    return readers
