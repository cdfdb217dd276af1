"""A worker is to be empty: what it has moves elsewhere, and nothing is torn that need not be.

- One region of a job at a time, in the whole cluster: the next one when all that was moved since the draining
  began runs again, or has had its time for it (`patience_s`). So a rolling restart disturbs one region at once.
- At-least-one: the former copy goes on until the new one runs (`Assign.handover`). At-most-one: it is taken back
  first, and given away once it has ended. Pinned: it stays, and ends with its worker.
- What has no other place stays where it is, and it is told why.

All that is remembered is in the plan: the entry since which a worker drains, and the epochs that are above it. A new
leader goes on where the former one was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.recovery.moves import handover_to, is_here
from swimstream.core.recovery.waiting import FOREVER
from swimstream.model.changes import DRAINING, LEAVING, NORMAL, Change, Revoke, SetWorkerMode
from swimstream.model.identity import Run
from swimstream.model.job import PINNED
from swimstream.model.status import InstanceState

if TYPE_CHECKING:
    from collections.abc import Collection

    from swimstream.core.recovery.placement import Places
    from swimstream.core.recovery.situation import Situation
    from swimstream.core.recovery.waiting import Waits
    from swimstream.model.identity import InstanceId
    from swimstream.model.plan import Assignment, Plan

EMPTYING = (DRAINING, LEAVING)
HAS_LEFT = "has left"
Region = tuple[str, str]
"""The job, and the first operator of the region."""


def clear_modes(situation: Situation) -> list[SetWorkerMode]:
    """Return the changes that end the mode of every run that was leaving and is gone."""
    modes = situation.plan.directives.modes
    if not modes or not situation.may_direct():
        return []
    return [
        SetWorkerMode(name=name, mode=NORMAL, level=0, boot=0, reason=HAS_LEFT, asked_by="")
        for name in sorted(modes)
        if modes[name].mode == LEAVING and _is_gone(Run(name, modes[name].boot), situation)
    ]


def _is_gone(run: Run, situation: Situation) -> bool:
    member = situation.members.get(run.name)
    if situation.plan.is_evicted(run):
        return True
    return member is not None and (member.run.boot > run.boot or (member.run == run and member.state.is_gone))


def drain(
    situation: Situation, places: Places, waits: Waits, *, decided: Collection[InstanceId], patience_s: float
) -> list[Change]:
    """Return the moves of one region, or none while another one is on its way; note what stays, and why.

    `decided` are the instances of which this review has decided something already.
    """
    modes = situation.plan.directives.modes
    emptying = {name: mode for name, mode in modes.items() if mode.mode in EMPTYING}
    if not emptying:
        return []
    since = min(mode.index for mode in emptying.values())
    regions: dict[Region, list[Assignment]] = {}
    on_its_way: Region | None = None
    for instance in sorted(situation.plan.assignments):
        held = situation.plan.assignments[instance]
        if held.finished or not situation.plan.is_wanted(instance):
            continue
        if _is_on_its_way(held, since, situation) and not waits.has_waited(f"moved {instance}", patience_s):
            on_its_way = on_its_way or region_of(instance, situation.plan)
        if instance not in decided and _is_to_move(held, situation):
            regions.setdefault(region_of(instance, situation.plan), []).append(held)
    for region in sorted(regions):
        if on_its_way is not None:
            _leave_alone(regions[region], f"until {on_its_way[0]}/{on_its_way[1]} and what is tied to it runs", waits)
            continue
        changes = [change for held in regions[region] for change in _move(held, situation, places, waits)]
        if changes:
            return changes
    return []


def region_of(instance: InstanceId, plan: Plan) -> Region:
    """Return the region that an instance of one of the plan's jobs belongs to."""
    return (instance.job, plan.jobs[instance.job].region_of(instance.operator)[0])


def _is_to_move(held: Assignment, situation: Situation) -> bool:
    """Return whether an instance runs on a worker that is to be empty, and nothing else is done about it."""
    if situation.plan.directives.mode_of_run(held.run) not in EMPTYING or held.revoked or held.stale:
        return False
    state = situation.state_of(held)
    return state is not None and not state.is_over and is_here(held.run, situation)


def _is_on_its_way(held: Assignment, since: int, situation: Situation) -> bool:
    """Return whether an instance was moved, or taken back, since the draining began and does not run yet."""
    if max(held.epoch, held.revoked) <= since:
        return False
    state = situation.state_of(held)
    return held.revoked > 0 or state is None or not (state.is_up or state is InstanceState.FINISHED)


def _move(held: Assignment, situation: Situation, places: Places, waits: Waits) -> list[Change]:
    spec = situation.spec_of(held.instance)
    assert spec is not None, "what is wanted is of a job"
    name = held.run.name
    if spec.instances == PINNED:
        waits.leave_alone(held.instance, FOREVER, f"{name} drains, but it is pinned to {name}")
        return []
    places.free(held.instance, held.run)
    placement = places.choose(held.instance)
    if placement.run is None:
        places.take(held.instance, held.run)
        waits.leave_alone(held.instance, FOREVER, f"{name} drains, but has to keep it: {placement.why}")
        return []
    places.take(held.instance, placement.run)
    reason = f"{name} is {situation.plan.directives.mode_of_run(held.run)}"
    if situation.is_at_most_one(held.instance):
        return [Revoke(instance=held.instance, epoch=held.epoch, reason=reason)]
    return [handover_to(placement, held, situation, reason=reason)]


def _leave_alone(region: list[Assignment], what_for: str, waits: Waits) -> None:
    for held in region:
        waits.leave_alone(held.instance, FOREVER, f"{held.run.name} drains: waits {what_for}")
