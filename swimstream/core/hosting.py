"""What runs on this worker, and by which authority: the plan, the proofs of a quorum and the local instances joined.

An at-most-one instance runs only while this run can prove that a quorum stood less than L ago (`Plan.isolation_ms`;
see `council/authority.py`), counted from the proof's `issued`:

- up to `START_SHARE` of L it may be started, else it is ISOLATED and waits;
- at `STOP_SHARE` of L it is asked to stop, so that it has ended in good order before L is over;
- at L its own runner ends it (rule 13), whatever this process is doing then: that time is its fence, which moves with
  every newer proof.

The order within one turn matters: first the plan is followed, then fences are renewed. A run that learns from one
packet that an instance was taken from it, and of a newer proof, must not renew that instance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.claiming import Claiming
from swimstream.core.council.asking import Asking
from swimstream.core.effects import DumpStack, KeepWarm, Notify, RenewFence, StartInstance, StopInstance
from swimstream.events import IsolationChanged
from swimstream.model.holdings import NOTHING
from swimstream.model.job import AT_MOST_ONE
from swimstream.model.status import InstanceState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from swimstream.config import Timing
    from swimstream.core.rooms import Rooms
    from swimstream.model.identity import InstanceId
    from swimstream.model.plan import Assignment, Plan

FOREVER = float("inf")
START_SHARE = 0.5
"""An at-most-one instance is started with a proof that is younger than this share of L: later it hardly pays."""
STOP_SHARE = 0.8
"""It is asked to stop when the proof is older than this one; what is left is for stopping in good order."""
RENEW_SHARE = 0.05
"""Fences are moved once it is by more than this share of L: the runners need not hear of every proof."""


class Hosting:
    """What one worker runs. `settle` is called after every input, once the plan has been followed."""

    def __init__(self, rooms: Rooms, *, timing: Timing, rng: Random, now: float) -> None:
        """Begin with nothing that runs."""
        self._rooms = rooms
        self._claiming = Claiming(rooms)
        self._asking = Asking(rng=rng, pause_s=timing.probe_timeout_s, now=now)
        self._known_since = FOREVER
        """Since when this worker knows L: before, there was nothing to ask for."""
        self._is_leaving = False
        self._has_ended = False
        self._warm: tuple[tuple[InstanceId, str], ...] = ()
        """What its runner was told to keep warm last."""
        self._waits_for_former = False
        """Whether a copy goes on here of something that is to be kept warm once that has ended."""
        self.is_isolated = False
        """Whether this worker has known of no quorum for longer than L."""

    # --- time -------------------------------------------------------------------------------------

    @property
    def _isolation_s(self) -> float:
        """Return L. It is the plan's, the same for everybody (rule 7), and 0 while it is not set."""
        return self._rooms.council.plan.isolation_ms / 1_000

    @property
    def _usable_at(self) -> float:
        return self._rooms.council.authority.usable_at

    def authority_age_s(self, now: float) -> float:
        """Return how old the newest proof of a quorum is that this run may use, infinity if it has none."""
        return now - self._usable_at

    def fire_timers(self, now: float) -> None:
        """Say what has stalled. Ask for a newer proof if that is due; what has run out is seen to in `settle`."""
        for status in self._rooms.local.find_stalled(now):
            self._rooms.counters["instances_stalled"] += 1
            self._rooms.tell_status(status)
            self._rooms.outbox.put(DumpStack(status.instance, status.epoch))
        if self._ask_at() > now:
            return
        membership = self._rooms.membership
        others = [member for member in membership.table.live() if member.run != membership.run]
        member = self._asking.choose(others, self._rooms.council.plan.council, now)
        if member is not None:
            self._rooms.counters["authority_asked"] += 1
            self._rooms.outbox.send(member.profile.address, self._rooms.council.authority.request(now))

    def next_deadline(self) -> float:
        """Return when something is due though nothing has come in."""
        if self._has_ended or not self._isolation_s:
            return FOREVER
        stop_at = self._usable_at + STOP_SHARE * self._isolation_s if self._rooms.local.may_go_on else FOREVER
        isolated_at = self._isolated_at() if not self.is_isolated else FOREVER
        return min(self._ask_at(), stop_at, isolated_at)

    def _ask_at(self) -> float:
        if self._has_ended or not self._isolation_s or not self._rooms.membership.is_announced:
            return FOREVER
        is_hosting = self._rooms.local.may_go_on or self._rooms.local.has_isolated
        return self._asking.due_at(self._usable_at, self._isolation_s, is_hosting=is_hosting)

    def _isolated_at(self) -> float:
        return max(self._usable_at, self._known_since) + self._isolation_s

    # --- the plan ---------------------------------------------------------------------------------

    def follow_plan(self, now: float) -> None:
        """Start what the plan gives to this run, as far as it may run; stop what it does not."""
        self._claiming.settle(now)  # before what has ended by itself is forgotten here
        rooms, plan = self._rooms, self._rooms.council.plan
        run = rooms.membership.run
        rooms.council.authority.review(plan, run)
        ours = NOTHING if self._has_ended else plan.held_by(run)
        concerned = () if self._has_ended else (*ours, *rooms.local.held())  # and not the 20,000 that others hold
        assignments = {each: plan.assignments[each] for each in concerned if each in plan.assignments}
        fenced = {instance for instance in ours if plan.guarantee_of(instance) == AT_MOST_ONE}
        if self._is_leaving and fenced:
            assignments = {instance: held for instance, held in assignments.items() if instance not in fenced}
        fence_at = self._usable_at + self._isolation_s if self._may_start(now) else None
        to_start, to_stop, news = rooms.local.follow_plan(
            run, assignments, now, fenced=fenced, fence_at=fence_at, stall_after_s=_stall_times(plan, ours)
        )
        for status in to_stop:
            rooms.outbox.put(StopInstance(status.instance, status.epoch))
        for status in news:
            rooms.tell_status(status)
        for assigned in to_start:
            self._start(assigned, fence_at if assigned.instance in fenced else None)
        self._keep_warm()

    def _start(self, assigned: Assignment, fence_at: float | None) -> None:
        instance: InstanceId = assigned.instance
        job = self._rooms.council.plan.jobs[instance.job]
        self._rooms.outbox.put(
            StartInstance(
                instance=instance,
                epoch=assigned.epoch,
                spec=job.operator(instance.operator),
                inputs=job.inputs_of(instance.operator),
                outputs=job.outputs_of(instance.operator),
                resume_from=assigned.resume_from,
                fence_at=fence_at,
            )
        )

    def _keep_warm(self) -> None:
        """Have the runner prepare what this run is a standby of; what was started just now has taken it over."""
        plan, local = self._rooms.council.plan, self._rooms.local
        ours: set[InstanceId] = set()
        if not self._has_ended and not self._is_leaving:
            standbys, run = plan.directives.standbys, self._rooms.membership.run
            ours = {instance for instance, runs in standbys.items() if run in runs}
            # what was promoted, but may not be started before there is a proof, stays warm until then
            ours |= {instance for instance, _ in self._warm if local.state_of(instance) is InstanceState.ISOLATED}
        # a former copy that has not ended yet, as it hands over or is slow to stop, needs what would be kept warm
        acting = {instance for instance in ours if _is_acting(local.state_of(instance))}
        self._waits_for_former = bool(acting)
        wanted = sorted(instance for instance in ours - acting if plan.is_wanted(instance))
        warm = tuple((each, plan.jobs[each.job].operator(each.operator).kind) for each in wanted)
        if warm != self._warm:
            self._warm = warm
            self._rooms.outbox.put(KeepWarm(warm))

    def _may_start(self, now: float) -> bool:
        return bool(self._isolation_s) and now < self._usable_at + START_SHARE * self._isolation_s

    # --- authority --------------------------------------------------------------------------------

    def settle(self, now: float) -> None:
        """Act on what has become of the proofs: stop what runs out, start what may run again, move the fences.

        And stop the former copies whose successors run.
        """
        for status in self._rooms.local.end_handovers(self._has_successor, now):
            self._rooms.outbox.put(StopInstance(status.instance, status.epoch))
        self._claiming.settle(now)
        if self._waits_for_former:
            self._keep_warm()
        if self._has_ended or not self._isolation_s:
            return
        rooms = self._rooms
        if self._known_since == FOREVER:
            self._known_since = now
        rooms.council.authority.review(rooms.council.plan, rooms.membership.run)
        if now >= self._usable_at + STOP_SHARE * self._isolation_s:
            for status in rooms.local.park():
                rooms.counters["instances_isolated"] += 1
                rooms.outbox.put(StopInstance(status.instance, status.epoch))
        elif rooms.local.has_isolated and self._may_start(now):
            self.follow_plan(now)
        until = self._usable_at + self._isolation_s
        if rooms.local.renew(until, now=now, slack_s=RENEW_SHARE * self._isolation_s):
            rooms.outbox.put(RenewFence(until))
        is_isolated = now >= self._isolated_at()
        if is_isolated is not self.is_isolated:
            self.is_isolated = is_isolated
            rooms.outbox.put(Notify(IsolationChanged(is_isolated, self.authority_age_s(now))))

    def _has_successor(self, instance: InstanceId, epoch: int) -> bool:
        status = self._rooms.statuses.get(instance)
        return status is not None and status.epoch > epoch and status.state is InstanceState.RUNNING

    # --- the end ----------------------------------------------------------------------------------

    def begin_leaving(self, now: float) -> None:
        """Stop the at-most-one instances, and take up none any more: their end is to be told before the goodbye."""
        self._is_leaving = True
        self.follow_plan(now)

    def ended_at(self) -> float:
        """Return by when all at-most-one instances have ended in any case; -inf if they have."""
        return self._rooms.local.fenced_until

    def end(self, now: float) -> None:
        """Stop everything: this worker takes part no more."""
        self._has_ended = True
        self.follow_plan(now)


def _is_acting(state: InstanceState | None) -> bool:
    """Return whether a copy in that state may do something still; an isolated one has ended and may start again."""
    return state is not None and not state.is_over and state is not InstanceState.ISOLATED


def _stall_times(plan: Plan, instances: Iterable[InstanceId]) -> dict[InstanceId, float]:
    """Return how long each of these may make no progress while input waits, if its job sets a bound."""
    specs = ((instance, plan.spec_of(instance)) for instance in instances)
    return {instance: spec.stall_after_s for instance, spec in specs if spec is not None and spec.stall_after_s}
