"""The instances that this worker holds: what to start, what to stop, and what to say of them.

A worker starts an instance only for an epoch above every epoch it has seen for it, and only when the committed
plan gives that epoch to this very run. A change of state is told at once; progress is coalesced to one record
per status interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.errors import UsageError
from swimstream.model.status import (
    CHECKPOINT_BYTES_MAX,
    ENDPOINT_CHARS_MAX,
    ENDPOINT_PATTERN,
    PROGRESS_MAX,
    InstanceState,
    InstanceStatus,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.model.identity import InstanceId, Run
    from swimstream.model.plan import Assignment


def check_report(*, progress: int | None, checkpoint: bytes | None, endpoint: str | None) -> None:
    """Raise `UsageError` for what a status cannot hold."""
    if progress is not None and not 0 <= progress <= PROGRESS_MAX:
        raise UsageError(f"progress: expected 0 to {PROGRESS_MAX}, got {progress}")
    if checkpoint is not None and len(checkpoint) > CHECKPOINT_BYTES_MAX:
        raise UsageError(f"checkpoint: expected at most {CHECKPOINT_BYTES_MAX} B, got {len(checkpoint)} B")
    if endpoint is not None and not ENDPOINT_PATTERN.fullmatch(endpoint):
        raise UsageError(f"endpoint: expected at most {ENDPOINT_CHARS_MAX} visible ASCII characters, got {endpoint!r}")


@attrs.define
class Held:
    """One instance on this worker. `told` is what others know; `status` may be ahead of it in progress."""

    status: InstanceStatus
    told_at: float
    is_ahead: bool = False
    stop_asked: bool = False


class LocalInstances:
    """The instances of one worker. Bounded by the plan: at most the worker's capacity is assigned to it."""

    def __init__(self, *, status_interval_s: float, since_ms: int, now: float) -> None:
        """Build an empty table; `since_ms` is the calendar time at `now`, to date states for people."""
        self._status_interval_s = status_interval_s
        self._epoch_ms = since_ms - now * 1_000
        self._held: dict[InstanceId, Held] = {}

    def follow_plan(
        self, run: Run, assignments: Mapping[InstanceId, Assignment], now: float
    ) -> tuple[list[Assignment], list[InstanceStatus], list[InstanceStatus]]:
        """Compare with the plan; return what to start, what to stop, and the statuses that changed by it."""
        to_start, to_stop, news = [], [], []
        for instance in sorted(self._held):
            held = self._held[instance]
            assigned = assignments.get(instance)
            is_ours = assigned is not None and (assigned.run, assigned.epoch) == (run, held.status.epoch)
            if assigned is not None and assigned.epoch > held.status.epoch and held.status.state.is_over:
                del self._held[instance]
            elif not is_ours and not held.stop_asked and not held.status.state.is_over:
                held.stop_asked = True
                to_stop.append(held.status)
        for instance in sorted(instance for instance, assigned in assignments.items() if assigned.run == run):
            assigned = assignments[instance]
            held_epoch = self._held[instance].status.epoch if instance in self._held else 0
            if assigned.epoch > held_epoch and not assigned.finished:
                status = InstanceStatus(
                    instance=instance,
                    epoch=assigned.epoch,
                    run=run,
                    seq=1,
                    state=InstanceState.STARTING,
                    since_ms=self._calendar_ms(now),
                    checkpoint=assigned.resume_from,
                )
                self._held[instance] = Held(status, told_at=now)
                to_start.append(assigned)
                news.append(status)
        return to_start, to_stop, news

    def report(
        self,
        instance: InstanceId,
        epoch: int,
        now: float,
        *,
        state: InstanceState | None,
        progress: int | None,
        checkpoint: bytes | None,
        endpoint: str | None,
        cause: str | None,
    ) -> InstanceStatus | None:
        """Take what the runner says; return the status if it must be told at once. Old epochs are ignored."""
        held = self._held.get(instance)
        if held is None or held.status.epoch != epoch or held.status.state.is_over:
            return None
        before = held.status
        after = attrs.evolve(
            before,
            state=before.state if state is None else state,
            progress=before.progress if progress is None else max(progress, before.progress),
            checkpoint=before.checkpoint if checkpoint is None else checkpoint,
            endpoint=before.endpoint if endpoint is None else endpoint,
            cause=before.cause if cause is None else cause,
        )
        if after == before:
            return None
        held.is_ahead = True
        if after.state is not before.state:
            after = attrs.evolve(after, since_ms=self._calendar_ms(now))
        held.status = after
        is_urgent = (after.state, after.endpoint) != (before.state, before.endpoint)
        return self._tell(held, now) if is_urgent else None

    def fire_timers(self, now: float) -> list[InstanceStatus]:
        """Return the statuses whose progress is due to be told."""
        due = [
            held
            for _, held in sorted(self._held.items())
            if held.is_ahead and held.told_at + self._status_interval_s <= now
        ]
        return [self._tell(held, now) for held in due]

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next."""
        return min(
            (held.told_at + self._status_interval_s for held in self._held.values() if held.is_ahead),
            default=float("inf"),
        )

    def _tell(self, held: Held, now: float) -> InstanceStatus:
        held.status = attrs.evolve(held.status, seq=held.status.seq + 1)
        held.told_at = now
        held.is_ahead = False
        return held.status

    def _calendar_ms(self, now: float) -> int:
        return int(self._epoch_ms + now * 1_000)
