"""Whether everybody sees the same, and whether that is the truth: what P3 asks for once the faults have stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.model.changes import NORMAL
from swimstream.model.job import APART_NOT, APART_SITE, PINNED
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from swimstream.model.identity import InstanceId, Run
    from swimstream.model.plan import Plan
    from swimstream.simulator.watches import View


def disagreements(
    views: Sequence[View],
    *,
    running: Mapping[Run, Mapping[InstanceId, int]],
    jobs: Iterable[str],
    index_min: int,
) -> list[str]:
    """Return, in words, all that is not yet as it must be; nothing means that the world has converged.

    `views` are those of all live nodes; `running` says which epochs really run on each; `jobs` were accepted and
    `index_min` is the newest index that anybody has ever had.
    """
    if not views:
        return ["nobody is alive"]
    found = [*member_disagreements(views), *_plan(views, jobs=jobs, index_min=index_min), *_leader(views)]
    return found or [*_statuses(views), *_copies(views, running)]


def _waiting(plan: Plan, names: Container[str]) -> set[InstanceId]:
    """Return the instances that are pinned to a worker whose name nobody bears: they wait for it."""
    return {
        instance
        for instance, held in plan.assignments.items()
        if held.run.name not in names and plan.guarantee_of(instance) == PINNED
    }


def _homeless(views: Sequence[View]) -> set[InstanceId]:
    """Return the instances that nobody may be given: each who is given any has another one of the operator."""
    plan, live = views[0].plan, {view.run for view in views}
    sites = {member.run.name: member.profile.site for member in views[0].members()}
    found: set[InstanceId] = set()
    for job in plan.jobs.values():
        for spec in job.operators:
            if spec.anti_affinity == APART_NOT:
                continue
            near = sites if spec.anti_affinity == APART_SITE else {name: name for name in sites}
            wanted = [each for each in job.instances_of(spec.name) if plan.is_wanted(each)]
            held = {each: plan.assignments[each].run for each in wanted if each in plan.assignments}
            taken = {near[run.name] for run in held.values() if run in live}
            free = {near[run.name] for run in live if plan.directives.mode_of(run.name) == NORMAL}
            if free <= taken:
                found |= {each for each in wanted if held.get(each) not in live}
    return found


def member_disagreements(views: Sequence[View]) -> list[str]:
    """Return, in words, whom the nodes of these views hold wrongly: each other, or somebody who is gone."""
    return list(_members(views))


def _members(views: Sequence[View]) -> Iterator[str]:
    truth = {view.run for view in views}
    for view in views:
        held = {member.run: member.state for member in view.members()}
        for run in sorted(truth):
            state = held.get(run)
            if state is not MemberState.ALIVE:
                yield f"{view.run} holds {run} {state.name if state is not None else 'unknown'}, it is alive"
        for run, state in held.items():
            if run not in truth and not state.is_gone:
                yield f"{view.run} holds {run} {state.name}, it is gone"


def _plan(views: Sequence[View], *, jobs: Iterable[str], index_min: int) -> Iterator[str]:
    newest = max((view.plan for view in views), key=lambda plan: plan.index)
    homeless = _homeless(views)
    if newest.index < index_min:
        yield f"the newest plan ends at {newest.index}, {index_min} was committed"
    for view in views:
        if view.plan.index != newest.index:
            yield f"the plan of {view.run} ends at {view.plan.index}, the newest at {newest.index}"
        elif view.plan is not newest and view.plan != newest:
            yield f"the plan of {view.run} differs at {newest.index}"
    for job in jobs:
        if job not in newest.jobs:
            yield f"job {job} was accepted and is not in the plan"
            continue
        for instance in newest.jobs[job].instances():
            if instance not in newest.assignments and newest.is_wanted(instance) and instance not in homeless:
                yield f"{instance} is assigned to nobody"


def _leader(views: Sequence[View]) -> Iterator[str]:
    leading = [view for view in views if view.is_leader]
    if len(leading) != 1:
        yield f"{len(leading)} nodes lead: {', '.join(str(view.run) for view in leading)}"
        return
    wanted = (leading[0].mark.term, leading[0].run.name)
    for view in views:
        if (view.mark.term, view.mark.leader) != wanted:
            yield f"{view.run} follows {view.mark.leader or 'nobody'} in term {view.mark.term}, expected {wanted}"


def _statuses(views: Sequence[View]) -> Iterator[str]:
    homeless = _homeless(views)
    for view in views:
        held = {status.instance: status for status in view.statuses()}
        waiting = _waiting(view.plan, {other.run.name for other in views}) | homeless
        for instance, assignment in view.plan.assignments.items():
            if assignment.finished or instance in waiting or instance in view.plan.directives.quarantined:
                continue
            status = held.get(instance)
            if status is None or (status.epoch, status.run) != (assignment.epoch, assignment.run):
                yield f"{view.run} knows no status of {instance} in epoch {assignment.epoch}, but {status}"
            elif status.state is not InstanceState.RUNNING:
                yield f"{view.run} holds {instance} {status.state.name} in epoch {status.epoch} and not finished"


def _copies(views: Sequence[View], running: Mapping[Run, Mapping[InstanceId, int]]) -> Iterator[str]:
    plan = views[0].plan
    waiting = _waiting(plan, {run.name for run in running}) | _homeless(views)
    for instance, assignment in plan.assignments.items():
        if (
            instance not in waiting
            and instance not in plan.directives.quarantined
            and not assignment.finished
            and running.get(assignment.run, {}).get(instance) != assignment.epoch
        ):
            yield f"{assignment.run} does not run {instance} in epoch {assignment.epoch}"
    for run, copies in running.items():
        for instance, epoch in copies.items():
            held = plan.assignments.get(instance)
            if held is None or held.finished or held.revoked or (held.run, held.epoch) != (run, epoch):
                yield f"{run} still runs {instance} in epoch {epoch}"
