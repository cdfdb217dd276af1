"""What would be decided if some workers died, or a job were submitted: recovery itself is asked, on a copy of the plan.

Every wait is over at once: holds, delays before a restart, the end of at-most-one instances. What is given to a worker
runs there. So it tells where things would come to rest, not when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.core.change_requests import refusal
from swimstream.core.recovery.pending import pending
from swimstream.core.recovery.recovery import Recovery
from swimstream.core.recovery.situation import Patience
from swimstream.core.submissions import faults, former_fault, size_fault, too_big
from swimstream.errors import UsageError
from swimstream.model.changes import Assign, Entry, SetAuthority, SubmitJob, UpdateJob
from swimstream.model.identity import InstanceId, Run
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState, InstanceStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from swimstream.core.recovery.situation import Situation
    from swimstream.model.job import JobSpec
    from swimstream.model.plan import Plan

ROUNDS_MAX = 256
NEVER_S = 1e9
ASSUMED = SetAuthority(isolation_ms=1, drift_ppm=0)
"""Stands for what a leader would propose if nothing is said of it in the plan yet."""


@attrs.frozen(kw_only=True)
class Move:
    """An instance that would be given to another run, or anew."""

    instance: InstanceId
    before: Run | None
    after: Run
    reason: str
    evidence: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Outcome:
    """Where things would come to rest."""

    moves: tuple[Move, ...]
    """By instance."""
    pending: tuple[tuple[InstanceId, str], ...]
    """What would run nowhere, and why."""
    seats: int
    """Of the council."""
    seats_left: int
    """Those whose workers would live."""
    change: str = ""
    """What a dry run's job would be: `new`, an `update`, or the `revival` of one that was cancelled."""

    @property
    def is_able(self) -> bool:
        """Return whether the council could decide any of it: a majority would be left."""
        return 2 * self.seats_left > self.seats or not self.seats


def what_if(situation: Situation, *, kill: Collection[str] = (), site: str = "") -> Outcome:
    """Return what would come of the death of the workers in `kill`, and of all in `site`, at once.

    Raise `UsageError` for a name or a site that no live worker has.
    """
    live = {name: member for name, member in situation.members.items() if not member.state.is_gone}
    victims = {name for name, member in live.items() if site and member.profile.site == site}
    if site and not victims:
        raise UsageError(f"site: no live worker is in {site!r}")
    unknown = sorted(set(kill) - set(live))
    if unknown:
        raise UsageError(f"kill: no live worker has the name {unknown[0]!r}")
    victims |= set(kill)
    if not victims:
        raise UsageError("kill: expected the name of a worker, or a site")
    witnesses = tuple(sorted(set(live) - victims))
    members = {
        name: attrs.evolve(member, state=MemberState.DEAD, since=float("-inf"), accusers=witnesses)
        if name in victims
        else member
        for name, member in situation.members.items()
    }
    return _outcome(attrs.evolve(situation, members=members), of=None)


def dry_run(situation: Situation, job: JobSpec) -> Outcome:
    """Return where the instances of `job` would go if it were submitted, or its present version were replaced by it.

    Raise `UsageError` if it would be refused.
    """
    plan = situation.plan
    change: SubmitJob | UpdateJob = SubmitJob(job=job)
    what = "new"
    live = {name: member for name, member in situation.members.items() if not member.state.is_gone}
    if job.name in plan.jobs:
        change = UpdateJob(job=job, base=0, asked_by="")
        what = "revival" if job.name in plan.directives.cancelled else "update"
        error = too_big(job) or refusal(plan, change, live)
    else:
        error = (
            too_big(job) or former_fault(job, plan) or faults(job, plan.jobs, live.values()) or size_fault(job, plan)
        )
    if error:
        raise UsageError(error)
    after = plan.advance([Entry(index=plan.index + 1, term=plan.term, change=change)])
    return attrs.evolve(_outcome(attrs.evolve(situation, plan=after), of=job.name), change=what)


def _outcome(situation: Situation, *, of: str | None) -> Outcome:
    """Let recovery decide until it comes to rest; of all instances, or those of one job."""
    before = situation.plan.assignments
    recovery = Recovery(Patience(accept_s=NEVER_S, absence_s=NEVER_S), authority=ASSUMED)
    made: dict[InstanceId, Assign] = {}
    settled = attrs.evolve(situation, stopped_at=lambda _: float("-inf"))
    for _ in range(ROUNDS_MAX):
        changes = recovery.decide(settled)
        if not changes:
            later = recovery.next_deadline()
            if later - situation.now >= NEVER_S / 2:
                break
            settled = attrs.evolve(settled, now=max(later, settled.now))
            continue
        plan = settled.plan
        entries = [
            Entry(index=plan.index + number, term=plan.term, change=change)
            for number, change in enumerate(changes, start=1)
        ]
        made |= {change.instance: change for change in changes if isinstance(change, Assign)}
        settled = _taken_up(attrs.evolve(settled, plan=plan.advance(entries)))
    moves = [
        Move(
            instance=which,
            before=before[which].run if which in before else None,
            after=made[which].run,
            reason=made[which].reason,
            evidence=made[which].evidence,
        )
        for which in sorted(made)
        if of in (None, which.job)
    ]
    waits = recovery.waits
    left = pending(
        settled.plan, settled.members, tags=settled.tags, coordinates=settled.coordinates, waits=waits, now=settled.now
    )
    return Outcome(
        moves=tuple(moves),
        pending=tuple((which, left[which]) for which in sorted(left) if of in (None, which.job)),
        seats=len(settled.plan.council),
        seats_left=_seats_left(settled),
    )


def _seats_left(situation: Situation) -> int:
    live = {
        (member.run.name, member.profile.voter) for member in situation.members.values() if not member.state.is_gone
    }
    return sum((seat.name, seat.voter) in live for seat in situation.plan.council)


def _taken_up(situation: Situation) -> Situation:
    """Return the situation in which whatever was given away runs, and whatever was taken back has stopped."""
    statuses = dict(situation.statuses)
    statuses.update((each.instance, each) for each in _reports(situation.plan, situation))
    return attrs.evolve(situation, statuses=statuses)


def _reports(plan: Plan, situation: Situation) -> Iterable[InstanceStatus]:
    for which, held in plan.assignments.items():
        before = situation.statuses.get(which)
        if held.finished or plan.is_evicted(held.run):
            continue
        if before is None or not before.is_of(held):
            state = InstanceState.RUNNING
        elif held.revoked and not before.state.is_over:
            state = InstanceState.STOPPED
        else:
            continue
        checkpoint = before.checkpoint if before is not None else held.resume_from
        yield InstanceStatus(
            instance=which, epoch=held.epoch, run=held.run, seq=1, state=state, since_ms=0, checkpoint=checkpoint
        )
