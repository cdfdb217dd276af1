"""The instances that this worker holds: what to start, what to stop, and what to say of them.

A worker starts an instance only for an epoch above every epoch it has seen for it, and only when the committed
plan gives that epoch to this very run. A change of state is told at once; progress is coalesced to one record
per status interval.

An at-most-one instance is *fenced*: it is started only with the time by which it must have ended unless its fence is
renewed. Without such a time it is ISOLATED, and started under the same epoch once there is one. Since that may happen,
ISOLATED is no proof of its end; STOPPED is (rule 11 of authority): this run never starts it again.

A copy that is handed over goes on here though the plan gives the instance to another run: make before break. It is
stopped once a later epoch is RUNNING as far as is known here, the plan says nothing of a handover any more, or after
`HANDOVER_S_MAX`. Should the new copy fail, it goes on while the instance is handed over to yet another one. Never a
fenced one.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from swimstream.core.status.held import Held, Outlook, look_ahead
from swimstream.core.status.watchdog import Silence, cause_of_stall
from swimstream.model.status import InstanceState, InstanceStatus, cut_cause

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Mapping

    from swimstream.model.identity import InstanceId, Run
    from swimstream.model.plan import Assignment
    from swimstream.model.report import Report


HANDOVER_S_MAX = 300.0
"""A former copy goes on for so long at most, though its successor has not come up."""
NEVER: Mapping[InstanceId, float] = MappingProxyType({})
ISOLATED_CAUSE = "this worker cannot prove that a quorum stands"


class LocalInstances:
    """The instances of one worker: those of the plan, and what has not ended; the rest is counted and forgotten."""

    def __init__(self, *, status_interval_s: float, since_ms: int, counters: Counter[str], now: float) -> None:
        """Build an empty table; `since_ms` is the calendar time at `now`, to date states for people."""
        self._counters = counters
        self._status_interval_s = status_interval_s
        self._epoch_ms = since_ms - now * 1_000
        self._held: dict[InstanceId, Held] = {}
        self._known_outlook: Outlook | None = None
        """None since something has changed."""

    def held(self) -> Collection[InstanceId]:
        """Return what this worker has taken up, and not given up for good."""
        return self._held

    def follow_plan(
        self,
        run: Run,
        assignments: Mapping[InstanceId, Assignment],
        now: float,
        *,
        fenced: Collection[InstanceId] = (),
        fence_at: float | None = None,
        stall_after_s: Mapping[InstanceId, float] = NEVER,
    ) -> tuple[list[Assignment], list[InstanceStatus], list[InstanceStatus]]:
        """Compare with the plan; return what to start, what to stop, and the statuses that changed by it.

        `assignments` may leave out what is neither given to `run` nor `held` here.
        `fenced` tells which instances are at-most-one; one of them is started only if `fence_at` says until when.
        `stall_after_s` tells how long an instance may make no progress; one that is not in it, for ever.
        """
        self._known_outlook = None
        to_stop, news = self._drop_lost(run, assignments, now)
        to_start = []
        for instance, assigned in sorted((each.instance, each) for each in assignments.values() if each.run == run):
            needs_fence = instance in fenced
            held = self._held.get(instance)
            if assigned.finished:
                continue
            if held is None or held.status.epoch < assigned.epoch:
                held = self._held[instance] = self._take_up(assigned, stall_after_s.get(instance, 0.0), now)
            elif held.status.state is not InstanceState.ISOLATED or assigned.revoked or fence_at is None:
                continue
            if assigned.revoked:
                state = InstanceState.STOPPED  # it was never started here, and now it never will be
            elif needs_fence and fence_at is None:
                state = InstanceState.ISOLATED
            else:
                state = InstanceState.STARTING
                held.fence_at = fence_at if needs_fence else None
                to_start.append(attrs.evolve(assigned, resume_from=held.status.checkpoint))
            news.append(self._enter(held, state, now))
        return to_start, to_stop, news

    def _drop_lost(
        self, run: Run, assignments: Mapping[InstanceId, Assignment], now: float
    ) -> tuple[list[InstanceStatus], list[InstanceStatus]]:
        """Give up what the plan does not give to this run any more; return what to stop, and what was not running."""
        to_stop, news = [], []
        for instance in sorted(self._held):
            held = self._held[instance]
            assigned = assignments.get(instance)
            is_ours = assigned is not None and (assigned.run, assigned.epoch) == (run, held.status.epoch)
            if assigned is not None and is_ours and not assigned.revoked:
                continue
            if assigned is not None and self._goes_on_for(held, assigned, run, now):
                continue
            held.is_parked = False  # once it has ended it stays so
            if held.status.state is InstanceState.ISOLATED:
                news.append(self._enter(held, InstanceState.STOPPED, now))
            elif not held.stop_asked and not held.status.state.is_over:
                held.stop_asked = True
                to_stop.append(held.status)
            if held.status.state.is_over and (assigned is None or assigned.epoch > held.status.epoch):
                del self._held[instance]  # plans only go forward: no epoch that is forgotten is given out again
                self._counters["instances_forgotten"] += 1
        return to_stop, news

    def _goes_on_for(self, held: Held, assigned: Assignment, run: Run, now: float) -> bool:
        """Return whether this copy goes on until its successor runs, and note since when."""
        if held.fence_at is not None or held.stop_asked or not held.status.state.is_up:
            return False
        if assigned.former_run is None or assigned.run == run or assigned.finished or assigned.revoked:
            return False
        if held.hands_over_until is None:
            if (assigned.former_run, assigned.former_epoch) != (run, held.status.epoch):
                return False
            held.hands_over_until = now + HANDOVER_S_MAX
        return True

    @property
    def hands_over(self) -> bool:
        """Return whether some copy goes on here for its successor's sake."""
        return self._outlook().hands_over

    def end_handovers(self, has_successor: Callable[[InstanceId, int], bool], now: float) -> list[InstanceStatus]:
        """Return the former copies to stop now; `has_successor` tells whether a later epoch than that one runs."""
        if not self.hands_over:
            return []
        self._known_outlook = None
        ended = []
        for _, held in sorted(self._held.items()):
            until = held.hands_over_until
            if until is None or held.stop_asked or held.status.state.is_over:
                continue
            if until <= now or has_successor(held.status.instance, held.status.epoch):
                held.stop_asked = True
                ended.append(held.status)
        return ended

    def left_by(self, instance: InstanceId, run: Run, epoch: int) -> tuple[int, bytes] | None:
        """Return how far that copy can be gone on with, and its newest checkpoint, once it has ended here.

        That is how far it had come when it told that checkpoint; or at its end, if it tells none, since then it keeps
        what it needs elsewhere. None while it goes on, if it has failed, and if it was never here.
        """
        if not self.holds(instance, run, epoch):
            return None
        held = self._held[instance]
        if held.status.state not in (InstanceState.STOPPED, InstanceState.FINISHED):
            return None
        checkpoint = held.status.checkpoint
        return (held.kept_progress if checkpoint else held.status.progress, checkpoint)

    def holds(self, instance: InstanceId, run: Run, epoch: int) -> bool:
        """Return whether that copy goes on here, or has ended and is not forgotten yet."""
        held = self._held.get(instance)
        return held is not None and (held.status.run, held.status.epoch) == (run, epoch)

    def _take_up(self, assigned: Assignment, stall_after_s: float, now: float) -> Held:
        """Return the record of an epoch that is new here; its first status is told as number 1."""
        status = InstanceStatus(
            instance=assigned.instance,
            epoch=assigned.epoch,
            run=assigned.run,
            seq=0,
            state=InstanceState.STARTING,
            since_ms=self._calendar_ms(now),
            checkpoint=assigned.resume_from,
        )
        return Held(status, told_at=now, silence=Silence(since=now, after_s=stall_after_s))

    def _enter(self, held: Held, state: InstanceState, now: float) -> InstanceStatus:
        """Put an instance that does not run into another state, and return what to tell of it."""
        cause = ISOLATED_CAUSE if state is InstanceState.ISOLATED else ""
        held.stop_asked = held.is_parked = False
        held.silence = Silence(since=now, after_s=held.silence.after_s)
        since_ms = self._calendar_ms(now)
        held.status = attrs.evolve(held.status, state=state, since_ms=since_ms, endpoint="", cause=cause, backlog=None)
        return self._tell(held, now)

    # --- at-most-one instances --------------------------------------------------------------------

    @property
    def has_isolated(self) -> bool:
        """Return whether some instance waits for a proof of a quorum."""
        return self._outlook().has_isolated

    def state_of(self, instance: InstanceId) -> InstanceState | None:
        """Return the state of the copy here, None if there is none."""
        held = self._held.get(instance)
        return held.status.state if held is not None else None

    @property
    def may_go_on(self) -> bool:
        """Return whether some fenced copy runs here that was not told to stop."""
        return self._outlook().may_go_on

    @property
    def fenced_until(self) -> float:
        """Return by when the last fenced copy, told to stop or not, has ended in any case; -inf if there is none."""
        fences = [held.fence_at for held in self._held.values() if held.is_fenced and held.fence_at is not None]
        return max(fences, default=float("-inf"))

    def park(self) -> list[InstanceStatus]:
        """Return the fenced copies that are to be stopped now; once they have ended they are ISOLATED."""
        if not self.may_go_on:
            return []
        self._known_outlook = None
        parked = [held for _, held in sorted(self._held.items()) if held.may_go_on]
        for held in parked:
            held.stop_asked = held.is_parked = True
        return [held.status for held in parked]

    def renew(self, until: float, *, now: float, slack_s: float) -> bool:
        """Move the fences to `until`; return whether that is worth telling: some of them moves by more than a slack.

        Never the fence of a copy that was told to stop: somebody may wait for its end. Nor one that is past, as after
        a sleep: its runner ends that copy, and does not move it either.
        """
        if not self.may_go_on:
            return False
        going_on = [held for held in self._held.values() if held.may_go_on and not held.is_past(now)]
        if not any(held.fence_at is not None and held.fence_at + slack_s < until for held in going_on):
            return False
        for held in going_on:
            held.fence_at = until
        return True

    # --- what the runner says ---------------------------------------------------------------------

    def report(self, said: Report, now: float) -> InstanceStatus | None:
        """Take what the runner says; return the status if it must be told at once. Old epochs are ignored."""
        held = self._held.get(said.instance)
        if held is None or held.status.epoch != said.epoch or held.status.state.is_over:
            return None
        self._known_outlook = None
        before = held.status
        if before.state is InstanceState.ISOLATED:
            return None  # nothing runs, so this was said before it had ended
        if said.state is InstanceState.STALLED and before.state is not InstanceState.STALLED:
            return None  # the watchdog alone says so; this is where a copy stood that has gone on meanwhile
        after = _follow(before, said)
        if after.state is InstanceState.STOPPED and held.was_isolated(now):
            after = attrs.evolve(after, state=InstanceState.ISOLATED)
        held.silence = held.silence.heard(before, after, said, now)
        if after.state is InstanceState.STALLED and held.silence.stalls_at(after) > now:
            after = attrs.evolve(after, state=InstanceState.RUNNING, cause="")
        if after == before:
            return None
        held.is_ahead = True
        if after.checkpoint != before.checkpoint:
            held.kept_progress = after.progress
        if after.state is InstanceState.ISOLATED:
            held.status = after
            return self._enter(held, after.state, now)
        if after.state is not before.state:
            after = attrs.evolve(after, since_ms=self._calendar_ms(now))
        held.status = after
        is_urgent = (after.state, after.endpoint) != (before.state, before.endpoint)
        return self._tell(held, now) if is_urgent else None

    def find_stalled(self, now: float) -> list[InstanceStatus]:
        """Return the statuses of those that are STALLED from now on."""
        if self._outlook().stalls_at > now:
            return []
        self._known_outlook = None
        stalled = []
        for _, held in sorted(self._held.items()):
            at = held.stalls_at
            if at > now:
                continue
            if held.silence.was_overslept(at, now):
                held.silence = attrs.evolve(held.silence, since=now)
                continue
            cause, state = cause_of_stall(held.silence, held.status), InstanceState.STALLED
            held.status = attrs.evolve(held.status, state=state, since_ms=self._calendar_ms(now), cause=cause)
            stalled.append(self._tell(held, now))
        return stalled

    def fire_timers(self, now: float) -> list[InstanceStatus]:
        """Return the statuses whose progress is due to be told."""
        if self._outlook().tell_at > now:
            return []
        self._known_outlook = None
        due = [
            held
            for _, held in sorted(self._held.items())
            if held.is_ahead and held.told_at + self._status_interval_s <= now
        ]
        return [self._tell(held, now) for held in due]

    def next_deadline(self) -> float:
        """Return when `fire_timers`, `find_stalled` or `end_handovers` wants to be called next."""
        outlook = self._outlook()
        return min(outlook.tell_at, outlook.stalls_at, outlook.handover_at)

    def _outlook(self) -> Outlook:
        if self._known_outlook is None:
            self._known_outlook = look_ahead(self._held.values(), self._status_interval_s)
        return self._known_outlook

    def _tell(self, held: Held, now: float) -> InstanceStatus:
        held.status = attrs.evolve(held.status, seq=held.status.seq + 1)
        held.told_at = now
        held.is_ahead = False
        return held.status

    def _calendar_ms(self, now: float) -> int:
        return int(self._epoch_ms + now * 1_000)


def _follow(before: InstanceStatus, said: Report) -> InstanceStatus:
    """Return the status as it is after a report. The cause of a stall does not outlast it."""
    state = before.state if said.state is None else said.state
    is_past_stall = before.state is InstanceState.STALLED and state is not InstanceState.STALLED
    cause = "" if is_past_stall else before.cause
    return attrs.evolve(
        before,
        state=state,
        progress=before.progress if said.progress is None else max(said.progress, before.progress),
        checkpoint=before.checkpoint if said.checkpoint is None else said.checkpoint,
        endpoint=before.endpoint if said.endpoint is None else said.endpoint,
        cause=cause if said.cause is None else cut_cause(said.cause),
        error=before.error if said.error is None else said.error,
        watermark_ms=_later(before.watermark_ms, said.watermark_ms),
        backlog=before.backlog if said.backlog is None else said.backlog,
    )


def _later(before: int | None, said: int | None) -> int | None:
    """Return the later of two watermarks: none of them falls within an epoch."""
    if before is None or said is None:
        return before if said is None else said
    return max(before, said)
