"""What people want changed in a world while it suffers: of its jobs, of its workers, and of what was decided of both.

A worker that is to be empty, or is given nothing new, is set free again after a while: else nothing could be said of
where instances end up. Only who is really dead is declared dead, since whoever does that answers for it. And *poison*
is nobody's wish: it is an instance that takes its worker down with it wherever it runs; `striker.py` sees to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.model.changes import (
    CORDONED,
    DRAINING,
    NORMAL,
    CancelJob,
    Command,
    DeclareDead,
    Pardon,
    Restart,
    SetPolicy,
    SetWorkerMode,
    UpdateJob,
)
from swimstream.model.job import SCOPES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from random import Random

    from swimstream.model.identity import Run
    from swimstream.model.job import JobSpec
    from swimstream.model.plan import Plan
    from swimstream.simulator.faults import Faults

POISON = "poison"
BURY = "bury"
SORTS = ("update", "scale", "cancel", "revive", "restart", "drop", "pardon", "rebalance")
SORTS_OF_WORKERS = ("cordon", "drain", "drain", BURY, POISON)
MODES = {"cordon": CORDONED, "drain": DRAINING, "free": NORMAL}
PARALLELISM_MAX = 4
LASTS_S = (1.0, 8.0)


@attrs.frozen(kw_only=True)
class Wish:
    """Somebody asks, at a worker, that something be changed."""

    at: float
    for_s: float
    """How long a worker is cordoned or drained, somebody tries to have one declared dead, or an instance is poison."""
    pick: float
    """At which worker: a share from 0 to 1."""
    sort: str
    job: float
    """Which of the jobs that this worker's plan has; or which of the workers."""
    operator: float
    number: int
    """What the operator gets: a parameter that differs, or so many instances."""


def draw_wishes(faults: Faults, *, rng: Random) -> list[Wish]:
    """Return wishes at random times."""
    first, last = faults.window_s
    drawn = []
    for _ in range(faults.wishes):
        at = rng.uniform(first, last)
        drawn.append(
            Wish(
                at=at,
                for_s=min(rng.uniform(*LASTS_S), last - at),
                pick=rng.random(),
                sort=rng.choice(SORTS if rng.random() < 0.5 else SORTS_OF_WORKERS),
                job=rng.random(),
                operator=rng.random(),
                number=rng.randint(1, PARALLELISM_MAX),
            )
        )
    return drawn


def change_of_job(wish: Wish, plan: Plan, jobs: Mapping[str, JobSpec], *, asked_by: str) -> Command | None:
    """Return what is asked for by somebody who has this plan before him; None if it has no job.

    Only of those `jobs` that were accepted, as they were submitted: who submits one that was changed meanwhile is
    refused, and would try for ever.
    """
    names = sorted(name for name in plan.jobs if name in jobs)
    if not names:
        return None
    job = plan.jobs[names[int(wish.job * len(names))]]
    operators = list(job.operators)
    at = int(wish.operator * len(operators))
    match wish.sort:
        case "cancel":
            return CancelJob(job=job.name, asked_by=asked_by)
        case "restart":
            wanted = tuple(each for each in job.instances() if plan.is_wanted(each))
            return Restart(instances=wanted, reason=f"asked for at {asked_by}", evidence=()) if wanted else None
        case "pardon":
            instances = sorted(plan.directives.quarantined) or list(job.instances())
            return Pardon(instance=instances[int(wish.operator * len(instances))], asked_by=asked_by)
        case "rebalance":
            return SetPolicy(rebalance_moves=wish.number, asked_by=asked_by)
        case "update":
            parameters = {**operators[at].parameters, "changed": f"{wish.at:.6f}"}
            failover = SCOPES[wish.number % len(SCOPES)]
            operators[at] = attrs.evolve(operators[at], parameters=parameters, failover=failover)
        case "scale":
            operators[at] = attrs.evolve(operators[at], parallelism=wish.number)
        case "drop":
            operators = operators[: max(1, len(operators) - 1)]
        case _:  # the job as it was submitted: what was cancelled, or dropped, begins again
            operators = list(jobs[job.name].operators)
            if wish.number % 2 and job.name in plan.directives.cancelled:
                base = plan.version_of(job.name)
                return UpdateJob(job=jobs[job.name], base=base, asked_by=asked_by, fresh=True)
    return UpdateJob(job=attrs.evolve(job, operators=tuple(operators)), base=0, asked_by=asked_by)


def change_of_worker(wish: Wish, plan: Plan, names: Sequence[str], dead: Collection[Run], *, by: str) -> Command | None:
    """Return what is asked for of one of the live workers `names`, or of one of the runs that are `dead` in truth."""
    if wish.sort != BURY:
        return mode_change(names[int(wish.job * len(names))], MODES[wish.sort], asked_by=by)
    hosting = {held.run for held in plan.assignments.values() if not held.finished and not plan.is_evicted(held.run)}
    runs = sorted(run for run in hosting | plan.stops.keys() if run in dead and not plan.is_asserted_dead(run))
    return DeclareDead(run=runs[int(wish.job * len(runs))], asked_by=by) if runs else None


def mode_change(name: str, mode: str, *, asked_by: str) -> SetWorkerMode:
    """Return what puts the worker of that name into a mode."""
    return SetWorkerMode(name=name, mode=mode, level=0, boot=0, reason="somebody wants it", asked_by=asked_by)
