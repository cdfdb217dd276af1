"""What to do about it: from the plan, the members and the statuses to changes of the plan.

Only the leader asks, and only the leader commits what comes out; nobody acts before that. Every change carries
its reason and its evidence. A missing status is never taken for a death: an assignment counts as not taken up
only after the leader itself has waited for it, so a new leader starts all such waits anew.

- A run is evicted when it is declared dead or has left, when a later run of its name is here, or when the plan
  names it and it has not been seen for `absence_s` (a worker that died while nobody was left to remember it).
- An instance is assigned when it has no run, its run is evicted, it has failed or was stopped by its worker (after
  a growing delay), or its worker does not take it up in time.
- An instance that has finished is concluded and never executed again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from swimstream.core.recovery.placement import place
from swimstream.model.changes import EVIDENCE_ITEMS_MAX, Assign, Change, Conclude, Evict
from swimstream.model.identity import InstanceId
from swimstream.model.member import Member, MemberState
from swimstream.model.plan import Assignment, Plan
from swimstream.model.status import InstanceState, InstanceStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swimstream.model.identity import Run

RESTART_DELAY_S_MIN = 0.5
RESTART_DELAY_S_MAX = 30.0
FAILURES_MAX = 1_000_000


@attrs.frozen(kw_only=True)
class Situation:
    """All that a decision may depend on."""

    plan: Plan
    members: Mapping[str, Member]
    statuses: Mapping[InstanceId, InstanceStatus]
    now: float


@attrs.frozen(kw_only=True)
class Patience:
    """How long to wait before the absence of something counts, seconds."""

    accept_s: float
    absence_s: float


class Recovery:
    """The decisions of one leadership. Remembers since when it has waited for what, and nothing else."""

    def __init__(self, patience: Patience) -> None:
        """Begin with no memory, as a new leader does."""
        self._patience = patience
        self._waits: dict[str, float] = {}
        self._renewed: dict[str, float] = {}
        self._next_check_at = float("inf")

    def next_deadline(self) -> float:
        """Return when `decide` could come to another result though nothing has changed."""
        return self._next_check_at

    def decide(self, situation: Situation) -> list[Change]:
        """Return the changes to commit now, evictions first."""
        self._renewed = {}
        self._next_check_at = float("inf")
        gone = self._evictions(situation)
        changes: list[Change] = list(gone)
        evicted = {change.run: change for change in gone}
        load = Counter(
            held.run for held in situation.plan.assignments.values() if not held.finished and held.run not in evicted
        )
        for name in sorted(situation.plan.jobs):
            for instance in situation.plan.jobs[name].instances():
                changes += self._decide_instance(situation, instance, evicted, load)
        self._waits = self._renewed
        return changes

    # --- workers ----------------------------------------------------------------------------------

    def _evictions(self, situation: Situation) -> list[Evict]:
        runs = {held.run for held in situation.plan.assignments.values() if not held.finished}
        changes = []
        for run in sorted(run for run in runs if not situation.plan.is_evicted(run)):
            member = situation.members.get(run.name)
            verdict = self._verdict(run, member, situation.now)
            if verdict:
                accusers = member.accusers[:EVIDENCE_ITEMS_MAX] if member is not None else ()
                changes.append(Evict(run=run, reason=verdict, evidence=tuple(f"seen by {who}" for who in accusers)))
        return changes

    def _verdict(self, run: Run, member: Member | None, now: float) -> str:
        """Return why `run` is gone, or nothing if it may live."""
        if member is None or member.run.boot < run.boot:
            waited = self._has_waited(f"absent {run}", self._patience.absence_s, now)
            return f"not seen for {self._patience.absence_s:.0f} s" if waited else ""
        if member.run.boot > run.boot:
            return f"a later run is here: {member.run}"
        if member.state is MemberState.DEAD:
            return "declared dead"
        return "has left" if member.state is MemberState.LEFT else ""

    # --- instances --------------------------------------------------------------------------------

    def _decide_instance(
        self, situation: Situation, instance: InstanceId, evicted: Mapping[Run, Evict], load: Counter[Run]
    ) -> Iterable[Change]:
        held = situation.plan.assignments.get(instance)
        if held is None:
            return self._assign(situation, instance, load, reason="the job was accepted")
        if held.finished:
            return []
        status = situation.statuses.get(instance)
        if status is not None and status.epoch == held.epoch and status.state is InstanceState.FINISHED:
            return [Conclude(instance=instance, epoch=held.epoch)]
        if held.run in evicted:
            reason = f"{held.run.name}: {evicted[held.run].reason}"
            return self._assign(situation, instance, load, held=held, reason=reason)
        if situation.plan.is_evicted(held.run):
            return self._assign(situation, instance, load, held=held, reason=f"{held.run.name} was evicted")
        return self._mend(situation, held, status, load)

    def _mend(
        self, situation: Situation, held: Assignment, status: InstanceStatus | None, load: Counter[Run]
    ) -> Iterable[Change]:
        """Decide about an instance whose worker lives."""
        is_current = status is not None and status.epoch == held.epoch
        if status is None or not is_current:
            if not self._has_waited(f"offer {held.epoch} {held.instance}", self._patience.accept_s, situation.now):
                return []
            reason = "was not taken up in time"
            return self._reassign(situation, held, load, reason=reason, failed=False, elsewhere=True)
        match status.state:
            case InstanceState.FAILED | InstanceState.STOPPED:
                delay_s = min(RESTART_DELAY_S_MAX, RESTART_DELAY_S_MIN * 2 ** min(held.failures, 16))
                if not self._has_waited(f"ended {held.epoch} {held.instance}", delay_s, situation.now):
                    return []
                failed = status.state is InstanceState.FAILED
                reason = f"failed: {status.cause}" if failed else "was stopped by its worker"
                return self._reassign(situation, held, load, reason=reason, failed=True, elsewhere=not failed)
            case _:
                return []

    def _reassign(
        self,
        situation: Situation,
        held: Assignment,
        load: Counter[Run],
        *,
        reason: str,
        failed: bool,
        elsewhere: bool,
    ) -> Iterable[Change]:
        load[held.run] -= 1
        avoid = held.run if elsewhere else None
        return self._assign(situation, held.instance, load, held=held, reason=reason, failed=failed, avoid=avoid)

    def _assign(
        self,
        situation: Situation,
        instance: InstanceId,
        load: Counter[Run],
        *,
        reason: str,
        held: Assignment | None = None,
        failed: bool = False,
        avoid: Run | None = None,
    ) -> Iterable[Change]:
        """Place an instance; no room means that it stays pending until something changes."""
        spec = situation.plan.jobs[instance.job].operator(instance.operator)
        placement = place(spec, _present(situation.plan, situation.members), load, avoid=avoid)
        if placement.run is None:
            return []
        load[placement.run] += 1
        status = situation.statuses.get(instance)
        known = status.checkpoint if status is not None else b""
        return [
            Assign(
                instance=instance,
                run=placement.run,
                failures=min((held.failures if held is not None else 0) + failed, FAILURES_MAX),
                resume_from=known or (held.resume_from if held is not None else b""),
                reason=reason,
                evidence=(placement.why,),
            )
        ]

    def _has_waited(self, what: str, patience_s: float, now: float) -> bool:
        """Return whether this leader has seen `what` without a break for so long."""
        since = self._waits.get(what, now)
        self._renewed[what] = since
        if since + patience_s <= now:  # the same sum as the deadline below, so that rounding cannot part them
            return True
        self._next_check_at = min(self._next_check_at, since + patience_s)
        return False


def pending(plan: Plan, members: Mapping[str, Member]) -> dict[InstanceId, str]:
    """Return the instances that belong nowhere at present, and why."""
    load = Counter(held.run for held in plan.assignments.values() if not held.finished)
    reasons = {}
    for name in sorted(plan.jobs):
        for instance in plan.jobs[name].instances():
            held = plan.assignments.get(instance)
            if held is None or (not held.finished and plan.is_evicted(held.run)):
                spec = plan.jobs[name].operator(instance.operator)
                placement = place(spec, _present(plan, members), load)
                reasons[instance] = placement.why if placement.run is None else "waits for the leader to decide"
    return reasons


def _present(plan: Plan, members: Mapping[str, Member]) -> list[Member]:
    """Return the members that may hold an instance: an evicted run may look alive until it has heard of it."""
    return [members[name] for name in sorted(members) if not plan.is_evicted(members[name].run)]
