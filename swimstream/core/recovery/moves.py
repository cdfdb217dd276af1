"""A move of an instance whose worker is well: to be made before the break, if a second copy may run for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.model.changes import Assign
from swimstream.model.member import MemberState

if TYPE_CHECKING:
    from swimstream.core.recovery.candidates import Placement
    from swimstream.core.recovery.situation import Situation
    from swimstream.model.identity import Run
    from swimstream.model.plan import Assignment


def handover_to(placement: Placement, held: Assignment, situation: Situation, *, reason: str) -> Assign:
    """Return the change by which an instance goes to its new place while the former copy goes on."""
    assert placement.run is not None, "only to a place that there is"
    return Assign(
        instance=held.instance,
        run=placement.run,
        failures=held.failures,
        resume_from=situation.resume_from(held.instance),
        reason=reason,
        evidence=placement.evidence,
        handover=True,
    )


def is_here(run: Run, situation: Situation) -> bool:
    """Return whether that very run is alive, as far as is known, and the plan has not given it up."""
    member = situation.members.get(run.name)
    is_alive = member is not None and member.run == run and member.state is MemberState.ALIVE
    return is_alive and not situation.plan.is_evicted(run)


def is_former_kept(held: Assignment, situation: Situation) -> bool:
    """Return whether a former copy may go on still, since its successor is to be replaced by another one."""
    former = held.former_run
    if former is None or situation.is_at_most_one(held.instance):
        return False
    return is_here(former, situation)
