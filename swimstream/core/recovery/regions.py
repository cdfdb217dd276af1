"""Who restarts together: the failover scope of an operator (`region`: Flink's pipelined regions; or the whole `job`).

When an instance of such an operator gets a new epoch because it failed, moves or is restarted, the other unfinished
instances of its scope are marked as out of date, and then get new epochs like everything that is.

- Told apart by indexes in the plan, so any leader sees the same: who was given out before the mark (`epoch < stale`)
  has not restarted since. What has the mark itself was restarted by such an event, so its new epoch begins no other.
- What has failed by itself meanwhile is marked too, and restarts with the rest: its delay is that of its scope.
- The marks go into the log before the assignment that causes them. If a leader dies between the two, the next one
  restarts the scope once more, at worst.
- What has finished stays finished. Of Flink's three rules (`RestartPipelinedRegionFailoverStrategy`) the first is this
  one; the second, to run a producer again whose result is lost, is refused: a concluded instance is never executed
  again, and what it has made belongs in a store of its own. The third, to restart all consumers of the region, is
  void: over a blocking edge they begin only when all their producers have finished, and those do not run again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from swimstream.model.changes import EVIDENCE_ITEMS_MAX, Assign, Restart
from swimstream.model.job import SCOPE_INSTANCE, SCOPE_JOB

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from swimstream.core.recovery.situation import Situation
    from swimstream.model.changes import Change
    from swimstream.model.identity import InstanceId
    from swimstream.model.job import JobSpec, OperatorSpec


def restart_together(situation: Situation, changes: Iterable[Change]) -> list[Restart]:
    """Return the marks to commit before `changes`, the rest of the same review: one for each scope that restarts."""
    assigned = {change.instance: change.reason for change in changes if isinstance(change, Assign)}
    found: list[Restart] = []
    for name in sorted(situation.plan.jobs):
        job = situation.plan.jobs[name]
        if (
            all(spec.failover == SCOPE_INSTANCE for spec in job.operators)
            or name in situation.plan.directives.cancelled
        ):
            continue
        for scope in _scopes(job):
            causes = list(_causes(situation, job, scope, assigned))
            marked = _others(situation, job, scope, causes, assigned)
            if marked:
                first, why = causes[0][0], causes[0][2]
                found.append(
                    Restart(
                        instances=tuple(marked),
                        reason=f"restarts with {first}",
                        evidence=(why, *(str(each) for each, _, _ in causes[1:EVIDENCE_ITEMS_MAX])),
                    )
                )
    return found


def _scopes(job: JobSpec) -> list[tuple[OperatorSpec, ...]]:
    """Return the operators that have one scope in common, for each scope; their union is what restarts."""
    scopes: dict[tuple[str, ...], list[OperatorSpec]] = {}
    for spec in job.operators:
        if spec.failover != SCOPE_INSTANCE:
            scopes.setdefault(_scope_of(job, spec), []).append(spec)
    return [tuple(specs) for specs in scopes.values()]


def _scope_of(job: JobSpec, spec: OperatorSpec) -> tuple[str, ...]:
    return tuple(each.name for each in job.operators) if spec.failover == SCOPE_JOB else job.region_of(spec.name)


def _causes(
    situation: Situation, job: JobSpec, specs: Iterable[OperatorSpec], assigned: dict[InstanceId, str]
) -> Iterator[tuple[InstanceId, float, str]]:
    """Yield each instance that begins a restart, the index before which others count as not restarted, and why."""
    for spec in specs:
        for instance in job.instances_of(spec.name):
            held = situation.plan.assignments.get(instance)
            if held is None or situation.has_finished(held):
                continue
            if held.stale:
                yield instance, held.stale, "it was restarted"
            elif instance in assigned:
                yield instance, math.inf, assigned[instance]


def _others(
    situation: Situation,
    job: JobSpec,
    specs: tuple[OperatorSpec, ...],
    causes: list[tuple[InstanceId, float, str]],
    assigned: Collection[InstanceId],
) -> list[InstanceId]:
    before = max((index for _, index, _ in causes), default=0)
    found = []
    for name in _scope_of(job, specs[0]) if causes else ():
        for instance in job.instances_of(name):
            held = situation.plan.assignments.get(instance)
            if held is None or held.stale or held.revoked or held.epoch >= before or instance in assigned:
                continue
            if not situation.has_finished(held) and situation.plan.is_wanted(instance):
                found.append(instance)
    return found
