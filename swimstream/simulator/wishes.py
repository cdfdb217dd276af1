"""What people want changed in the jobs of a world while it suffers: updates, other parallelism, ends and restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.model.changes import CancelJob, Command, Restart, UpdateJob

if TYPE_CHECKING:
    from collections.abc import Collection
    from random import Random

    from swimstream.model.plan import Plan
    from swimstream.simulator.faults import Faults

SORTS = ("update", "scale", "cancel", "revive", "restart")
PARALLELISM_MAX = 4


@attrs.frozen(kw_only=True)
class Wish:
    """Somebody asks, at a worker, that a job be changed."""

    at: float
    pick: float
    """At which worker: a share from 0 to 1."""
    sort: str
    job: float
    """Which of the jobs that this worker's plan has."""
    operator: float
    number: int
    """What the operator gets: a parameter that differs, or so many instances."""


def draw_wishes(faults: Faults, *, rng: Random) -> list[Wish]:
    """Return wishes at random times."""
    first, last = faults.window_s
    return [
        Wish(
            at=rng.uniform(first, last),
            pick=rng.random(),
            sort=rng.choice(SORTS),
            job=rng.random(),
            operator=rng.random(),
            number=rng.randint(1, PARALLELISM_MAX),
        )
        for _ in range(faults.wishes)
    ]


def command_of(wish: Wish, plan: Plan, *, accepted: Collection[str], asked_by: str) -> Command | None:
    """Return what is asked for by somebody who has this plan before him; None if it has no job.

    Only of jobs that are `accepted`: who submits one that was changed meanwhile is refused, and would try for ever.
    """
    names = sorted(name for name in plan.jobs if name in accepted)
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
        case "update":
            parameters = {**operators[at].parameters, "changed": f"{wish.at:.6f}"}
            operators[at] = attrs.evolve(operators[at], parameters=parameters)
        case "scale":
            operators[at] = attrs.evolve(operators[at], parallelism=wish.number)
        case _:  # the job as it is: what was cancelled begins again
            pass
    return UpdateJob(job=attrs.evolve(job, operators=tuple(operators)), base=0, asked_by=asked_by)
