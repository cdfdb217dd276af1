"""Which instances are not executed at present, and why: for people, and for nobody's decisions."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from swimstream.core.recovery.placement import NOTHING, NOWHERE, Places
from swimstream.core.recovery.waiting import FOREVER, MAY_STILL_ACT
from swimstream.model.identity import InstanceId
from swimstream.model.job import AT_MOST_ONE, PINNED
from swimstream.model.member import too_old
from swimstream.model.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.core.recovery.suitability import Tags
    from swimstream.core.recovery.waiting import Wait
    from swimstream.model.coordinate import Coordinate
    from swimstream.model.member import Member
    from swimstream.model.plan import Assignment, Plan

WAITS_FOR_LEADER = "waits for the leader to decide"
NO_WAITS: Mapping[InstanceId, Wait] = MappingProxyType({})


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
        is_cancelled = name in plan.directives.cancelled
        for instance in plan.jobs[name].instances():
            held = plan.assignments.get(instance)
            wait = waits.get(instance)
            quarantined = plan.directives.quarantined.get(instance)
            if is_cancelled:
                if held is not None and not held.finished:
                    reasons[instance] = f"the job was cancelled, and {MAY_STILL_ACT.replace('former', 'last')}"
            elif quarantined is not None:
                reasons[instance] = f"in quarantine: {quarantined.reason}"
            elif wait is not None:
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
    blocked = why_blocked(plan, instance)
    if blocked:
        return blocked
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
    blocked = why_blocked(plan, held.instance)
    if blocked:
        return blocked
    placement = places.choose(held.instance, at=held.run)
    if placement.run is None:
        return placement.why
    return f"{MAY_STILL_ACT}, or {WAITS_FOR_LEADER}" if spec.instances == AT_MOST_ONE else WAITS_FOR_LEADER


def why_blocked(plan: Plan, instance: InstanceId) -> str:
    """Return what must have finished before `instance` may begin and has not, or nothing."""
    job = plan.jobs[instance.job]
    for name in job.operator(instance.operator).blocking:
        count = job.operator(name).parallelism
        inputs = [plan.assignments.get(InstanceId(job.name, name, index)) for index in range(count)]
        left = sum(held is None or not held.finished for held in inputs)
        if left:
            have = "has" if count == 1 else "have"
            return f"its input {name} has not finished: {left} of {counted(count, 'instance')} {have} not"
    return ""
