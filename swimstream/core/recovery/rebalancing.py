"""A worker has joined, and others have much more to do: some instances move to it. Off unless somebody wants it.

- Only while everything runs: nothing pending, starting, failed, stalled or suspected, and no worker drains.
- Hysteresis: only while the shares of two workers' capacities that are taken differ by more than `SPREAD` of the mean,
  and only if the one that gives keeps no less than the one that takes. So what was moved never moves back.
- So many moves at a time as the policy says (`Directives.rebalance_moves`), the next ones when these run. Make before
  break; of at-least-one instances alone that restart by themselves (`failover`): all others, or those that restart
  with them, would stand still for a while, for no need of theirs.
- Where an instance is better off (its preferred site, near to its neighbours) it stays: the same scores decide as ever.

It looks at the load and not at the joining itself: a new leader need not know who was new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.recovery.draining import EMPTYING
from swimstream.core.recovery.moves import handover_to
from swimstream.model.job import AT_LEAST_ONE, SCOPE_INSTANCE
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState

if TYPE_CHECKING:
    from swimstream.core.recovery.placement import Places
    from swimstream.core.recovery.situation import Situation
    from swimstream.model.changes import Assign
    from swimstream.model.member import Member
    from swimstream.model.plan import Assignment

SPREAD = 0.5
REASON = "others have less to do"


def rebalance(situation: Situation, places: Places) -> list[Assign]:
    """Return the moves of one round, the busiest worker first; none while anything is out of order."""
    left = situation.plan.directives.rebalance_moves
    if not left or not _is_all_well(situation):
        return []
    members = [each for each in situation.members_sorted if _is_able(each, situation)]
    hosted: dict[str, list[Assignment]] = {each.run.name: [] for each in members}
    for instance in sorted(situation.plan.assignments):
        held = situation.plan.assignments[instance]
        if not held.finished and held.run.name in hosted:
            hosted[held.run.name].append(held)
    mean = sum(map(places.share, members)) / len(members) if members else 0.0
    moves: list[Assign] = []
    for source in sorted(members, key=lambda each: (-places.share(each), each.run.name)):
        for held in hosted[source.run.name]:
            if len(moves) >= left:
                return moves
            moves += _relieve(source, held, situation, places, spread=SPREAD * mean)
    return moves


def _relieve(source: Member, held: Assignment, situation: Situation, places: Places, *, spread: float) -> list[Assign]:
    """Move one instance if that is worth it."""
    spec = situation.spec_of(held.instance)
    if spec is None or spec.instances != AT_LEAST_ONE or spec.failover != SCOPE_INSTANCE:
        return []
    before = places.share(source)
    places.free(held.instance, held.run)
    placement = places.choose(held.instance, has_to_move=False)
    target = situation.members[placement.run.name] if placement.run is not None else source
    apart = before - places.share(target)
    if placement.run is not None and target.run != source.run and apart > spread:
        places.take(held.instance, target.run)
        if places.share(source) >= places.share(target):
            return [handover_to(placement, held, situation, reason=REASON)]
        places.free(held.instance, target.run)
    places.take(held.instance, held.run)
    return []


def _is_able(member: Member, situation: Situation) -> bool:
    is_given = not situation.plan.directives.mode_of_run(member.run)
    return member.state is MemberState.ALIVE and member.profile.capacity > 0 and is_given


def _is_all_well(situation: Situation) -> bool:
    plan = situation.plan
    if any(member.state is MemberState.SUSPECT for member in situation.members_sorted):
        return False
    if any(mode.mode in EMPTYING for mode in plan.directives.modes.values()):
        return False
    wanted = (instance for job in plan.jobs.values() for instance in job.instances() if plan.is_wanted(instance))
    return all(
        (held := plan.assignments.get(instance)) is not None
        and not held.revoked
        and not held.stale
        and situation.state_of(held) is InstanceState.RUNNING
        for instance in wanted
    )
