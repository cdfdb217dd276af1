"""Who keeps an instance warm, so that it goes on there as soon as it has to move.

`OperatorSpec.standby` says how many. A standby run executes nothing: it has no epoch, and so nothing of it is fenced,
waited for or counted against anybody. It is promoted by an assignment like any other (`placement.py` prefers it), and
the guard at the log judges that as ever: so a warm copy never makes a second one of an at-most-one instance.

- It passes all filters of a placement, is another worker than the instance's own, and in another site if one has room.
- It takes slots when standbys are placed, but what keeps warm gives way to what runs: a worker that is filled by others
  is a standby no more.
- One that is suspected keeps its part until it is known whether it lives: a warm copy costs more than the doubt.
- Looked at when nothing else is to be decided; a change is proposed only if the list is to be another.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from swimstream.model.changes import SetStandbys
from swimstream.model.member import MemberState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from swimstream.core.recovery.placement import Places
    from swimstream.core.recovery.situation import Situation
    from swimstream.model.identity import InstanceId, Run
    from swimstream.model.job import OperatorSpec
    from swimstream.model.plan import Assignment

NOT_WANTED = "none is wanted"
TOO_FEW = "a place for a standby is free"


def review_standbys(situation: Situation, places: Places) -> list[SetStandbys]:
    """Return the lists that are to change, by instance. `places` is used up: what is reserved in it stays so."""
    if not situation.may_direct():
        return []
    listed = situation.plan.directives.standbys
    wanted = _wanted(situation)
    kept: dict[InstanceId, tuple[Run, ...]] = {}
    reasons: dict[InstanceId, str] = {}
    for instance in sorted(listed):
        spec = wanted.get(instance)
        kept[instance] = _kept(instance, spec, situation, places) if spec is not None else ()
        if kept[instance] != listed[instance]:
            gone = next(run.name for run in listed[instance] if run not in kept[instance])
            reasons[instance] = f"{gone} cannot keep it warm any more" if spec is not None else NOT_WANTED
    for instance, spec in wanted.items():
        before = kept.get(instance, ())
        kept[instance] = _filled(instance, spec, before, situation, places)
        if kept[instance] != before:
            reasons.setdefault(instance, TOO_FEW)
    return [
        SetStandbys(instance=each, runs=kept[each], reason=reasons[each])
        for each in sorted(reasons)
        if kept[each] != listed.get(each, ())
    ]


def _wanted(situation: Situation) -> Mapping[InstanceId, OperatorSpec]:
    """Return what is to be kept warm, in order, and its operator: what somebody has, and has not finished."""
    plan = situation.plan
    wanted = {}
    for name in sorted(plan.jobs):
        specs = {each.name: each for each in plan.jobs[name].operators if each.standby}
        for instance in plan.jobs[name].instances() if specs else ():
            held = plan.assignments.get(instance)
            spec = specs.get(instance.operator)
            if spec is not None and held is not None and not held.finished and plan.is_wanted(instance):
                wanted[instance] = spec
    return wanted


def _kept(instance: InstanceId, spec: OperatorSpec, situation: Situation, places: Places) -> tuple[Run, ...]:
    """Return those of the list that stay in it, and reserve their slots."""
    held = situation.plan.assignments[instance]
    kept: list[Run] = []
    for run in situation.plan.directives.standbys[instance]:
        if len(kept) == spec.standby or run.name == held.run.name:
            continue
        with _as_if_lost(held, spec, places):
            is_able = _is_doubtful(run, situation) or places.may_have(instance, run)
        if is_able:
            places.reserve(spec.slots, run)
            kept.append(run)
    return tuple(kept)


def _is_doubtful(run: Run, situation: Situation) -> bool:
    member = situation.members.get(run.name)
    is_suspect = member is not None and member.run == run and member.state is MemberState.SUSPECT
    return is_suspect and not situation.plan.is_evicted(run)


def _filled(
    instance: InstanceId, spec: OperatorSpec, kept: tuple[Run, ...], situation: Situation, places: Places
) -> tuple[Run, ...]:
    """Return the list with as many more as are wanted and there are places for, and reserve their slots."""
    held = situation.plan.assignments[instance]
    member = situation.members.get(held.run.name)
    own_site = {member.profile.site} if member is not None else set[str]()
    runs = list(kept)
    while len(runs) < spec.standby:
        skip = {held.run.name, *(run.name for run in runs)}
        with _as_if_lost(held, spec, places):
            run = places.best_of_others(instance, skip=skip, sites=own_site)
            run = run or places.best_of_others(instance, skip=skip, sites=())
        if run is None:
            break
        places.reserve(spec.slots, run)
        runs.append(run)
    return tuple(runs)


@contextmanager
def _as_if_lost(held: Assignment, spec: OperatorSpec, places: Places) -> Iterator[None]:
    """Have an instance keep nobody from standing by for itself, while its run is asked to be apart from its like."""
    if spec.anti_affinity:
        places.free(held.instance, held.run)
    yield
    if spec.anti_affinity:
        places.take(held.instance, held.run)
