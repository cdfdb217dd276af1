"""Two copies of one instance have met again: which one is gone on with (`on_conflict = "furthest-progress"`).

A worker was given up, its instance was given to another, and it is back: its copy went on where nobody saw it. It is
stopped like any that is not its worker's any more, and its worker says how far it had come when it told its newest
checkpoint (`core/claiming.py`): from there it could be gone on with. If that is further than the replacement is by now,
the instance gets a new epoch on the worker that is back, from that checkpoint; an old epoch never revives. The
replacement goes on until the new copy runs (`Assign.handover`). Nomad has the like as `reconcile`, by other scores.

- Once for each time that a worker was given up: what was said of that very copy against the very next epoch. Any other
  new epoch, and either decision, ends the conflict, so nothing moves back and forth. All of it is in the plan: a new
  leader goes on where the former one was, and decides nothing a second time.
- Only a worker that passes all filters for it gets it back, at the pace of what an outage has left behind. A worker
  that does not leaves the replacement where it is, and the history says why.
- It is waited for `patience_s` at most: for the replacement to have begun, and for both workers to be there beyond
  doubt. After that the replacement stays.
- Equal progress moves nothing. Counters are compared, so they must count from the begin of the stream in each epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.recovery.moves import is_here
from swimstream.model.changes import Assign, KeepReplacement
from swimstream.model.job import FURTHEST_PROGRESS

if TYPE_CHECKING:
    from swimstream.core.recovery.brakes import Pace
    from swimstream.core.recovery.placement import Places
    from swimstream.core.recovery.situation import Situation
    from swimstream.core.recovery.waiting import Waits
    from swimstream.model.assignment import Assignment
    from swimstream.model.directives import Claim, Conflict
    from swimstream.model.identity import Run
    from swimstream.model.status import InstanceStatus

UNCLEAR = "it was not clear in time how far the replacement is, and who is there"


def settle_conflict(
    held: Assignment, situation: Situation, places: Places, waits: Waits, *, pace: Pace, patience_s: float
) -> list[Assign | KeepReplacement]:
    """Return the decision about the conflict of an instance whose worker lives; none if there is none, or not yet."""
    conflict = situation.plan.directives.conflicts.get(held.instance)
    claim = conflict.claim if conflict is not None else None
    if conflict is None or claim is None:
        return []
    if _is_gone(claim.run, situation):
        return [_keep(held, f"{claim.run}, which could have gone on with the former copy, is gone")]
    status = situation.statuses.get(held.instance)
    if status is None or not status.is_of(held) or not _is_clear(claim, status, situation):
        is_late = waits.has_waited(f"conflict {held.epoch} {held.instance}", patience_s)
        return [_keep(held, UNCLEAR)] if is_late else []
    told = _told(held, conflict, claim, status)
    words = f"{FURTHEST_PROGRESS}: {conflict.run} at {claim.progress}, {held.run} at {status.progress}"
    if claim.progress <= status.progress:
        return [_keep(held, words, told)]
    places.free(held.instance, held.run)
    why = places.refusal_of(held.instance, claim.run)
    if why or not waits.is_past(pace.next_at()):
        places.take(held.instance, held.run)
        return [_keep(held, f"{claim.run} cannot have it: {why}", (words, *told))] if why else []
    places.take(held.instance, claim.run)
    pace.spend()
    return [
        Assign(
            instance=held.instance,
            run=claim.run,
            failures=held.failures,
            resume_from=situation.resume_from(held.instance),
            reason=words,
            evidence=told,
            handover=True,
        )
    ]


def _is_gone(run: Run, situation: Situation) -> bool:
    member = situation.members.get(run.name)
    is_later = member is not None and member.run.boot > run.boot
    is_dead = member is not None and member.run == run and member.state.is_gone
    return is_later or is_dead or situation.plan.is_evicted(run)


def _is_clear(claim: Claim, status: InstanceStatus, situation: Situation) -> bool:
    """Return whether both workers are there beyond doubt, and the replacement has begun."""
    return status.state.is_up and is_here(claim.run, situation) and is_here(status.run, situation)


def _told(held: Assignment, conflict: Conflict, claim: Claim, status: InstanceStatus) -> tuple[str, ...]:
    return (
        f"{conflict.run} had come to {claim.progress} in epoch {conflict.epoch}",
        f"{held.run} is at {status.progress} in epoch {held.epoch}",
    )


def _keep(held: Assignment, reason: str, evidence: tuple[str, ...] = ()) -> KeepReplacement:
    return KeepReplacement(instance=held.instance, epoch=held.epoch, reason=reason, evidence=evidence)
