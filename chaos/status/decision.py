"""What a leader's decision costs in CPU: 1,000 workers of 20 instances each, a tenth of them dead, decided at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from chaos.authority.town import LEAST, plan_of
from chaos.settlement import claim_of
from swimstream.config import LAN
from swimstream.core.recovery.recovery import Recovery
from swimstream.core.recovery.situation import Patience, Situation
from swimstream.model.changes import Assign, Change, Entry, SetAuthority
from swimstream.model.member import Member, MemberState
from swimstream.model.status import InstanceState, InstanceStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

KIND = "work"
DEAD_SHARE = 0.1
STEP_S = 1.0
STEPS_MAX = 600
AUTHORITY = SetAuthority(isolation_ms=6_000, drift_ppm=10_000)


@attrs.frozen(kw_only=True)
class Decision:
    """What it came to."""

    workers: int
    lost: int
    moved: int
    """Instances that were given to others."""
    reviews: int
    """How often the leader looked until all were."""
    cpu_s: float
    """Of all these reviews."""
    cpu_s_max: float
    """Of the longest."""
    idle_cpu_s: float
    """Of a review that finds nothing to do."""


def decide(*, workers: int, instances: int) -> Decision:
    """Return what it costs, on this machine, to give every lost instance to somebody."""
    claims = [claim_of(f"w{number:04}", number, kinds=(KIND,)) for number in range(workers)]
    runs = [claim.run for claim in claims]
    plan = plan_of(runs, LAN, tuple(f"{LEAST}{number:02}" for number in range(instances)))
    dead = set(runs[:: round(1 / DEAD_SHARE)])
    members = {
        claim.run.name: Member(
            run=claim.run, incarnation=0, state=MemberState.ALIVE, profile=claim.profile, since=0.0, accusers=()
        )
        for claim in claims
    }
    statuses = {
        each.instance: InstanceStatus(
            instance=each.instance, epoch=each.epoch, run=each.run, seq=1, state=InstanceState.RUNNING, since_ms=0
        )
        for each in plan.assignments.values()
    }
    situation = Situation(plan=plan, members=members, statuses=statuses, stopped_at=lambda _: 0.0, now=1_000.0)
    recovery = Recovery(Patience(accept_s=20.0, absence_s=60.0), authority=AUTHORITY)
    recovery.decide(situation)
    idle_s = _cpu_of(recovery, situation)[0]
    accusers = (runs[1].name, runs[2].name)
    for run in dead:
        members[run.name] = attrs.evolve(
            members[run.name], state=MemberState.DEAD, since=situation.now, accusers=accusers
        )
    costs, moved = [], set()
    for cost_s, change in _until_moved(recovery, attrs.evolve(situation, members=dict(members))):
        costs.append(cost_s)
        moved |= {each.instance for each in change if isinstance(each, Assign)}
    return Decision(
        workers=workers,
        lost=len(dead) * instances,
        moved=len(moved),
        reviews=len(costs),
        cpu_s=sum(costs),
        cpu_s_max=max(costs),
        idle_cpu_s=idle_s,
    )


def _cpu_of(recovery: Recovery, situation: Situation) -> tuple[float, list[Change]]:
    began_at = time.process_time()
    changes = recovery.decide(situation)
    return time.process_time() - began_at, changes


def _until_moved(recovery: Recovery, situation: Situation) -> Iterator[tuple[float, list[Change]]]:
    """Yield cost and changes of each review that found any, and apply them, until nobody dead holds anything."""
    for _ in range(STEPS_MAX):
        cost_s, changes = _cpu_of(recovery, situation)
        if changes:
            yield cost_s, changes
        plan = situation.plan.advance(_entries(situation.plan.index, changes))
        situation = attrs.evolve(situation, plan=plan, now=situation.now + STEP_S)
        gone = {name for name, member in situation.members.items() if member.state.is_gone}
        if all(held.run.name not in gone for held in plan.assignments.values()):
            return


def _entries(index: int, changes: list[Change]) -> list[Entry]:
    return [Entry(index=number, term=1, change=change) for number, change in enumerate(changes, start=index + 1)]
