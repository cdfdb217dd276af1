"""One instance on this worker, as `local.py` keeps it: what others know of it, its fence, and how it is to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.core.status.watchdog import FOREVER, Silence
from swimstream.model.status import InstanceState, InstanceStatus

if TYPE_CHECKING:
    from collections.abc import Iterable


@attrs.define
class Held:
    """One instance on this worker. `told` is what others know; `status` may be ahead of it in progress."""

    status: InstanceStatus
    told_at: float
    silence: Silence
    is_ahead: bool = False
    stop_asked: bool = False
    is_parked: bool = False
    """Whether the stop was asked for only because the proof of a quorum runs out: then it may start again."""
    fence_at: float | None = None
    """By when its runner ends it; None for an instance that is not fenced, or that was never started."""
    hands_over_until: float | None = None
    """By when a copy that goes on for its successor's sake is stopped in any case; None: it is no such copy."""
    kept_progress: int = 0
    """How far it had come when it told its newest checkpoint; 0 while it has told none of its own."""

    @property
    def is_fenced(self) -> bool:
        """Return whether a fenced copy has been started here and has not been reported to have ended."""
        is_idle = self.status.state.is_over or self.status.state is InstanceState.ISOLATED
        return self.fence_at is not None and not is_idle

    @property
    def may_go_on(self) -> bool:
        """Return whether a fenced copy runs here that was not told to stop: only of such a one the fence moves."""
        return self.is_fenced and not self.stop_asked

    @property
    def stalls_at(self) -> float:
        """Return when it is STALLED unless something is heard; infinity for one that is excused, or STALLED already."""
        if self.stop_asked or self.status.state is InstanceState.STALLED:
            return FOREVER
        return self.silence.stalls_at(self.status)

    def is_past(self, now: float) -> bool:
        """Return whether its runner has ended it by now, or is about to."""
        return self.fence_at is not None and self.fence_at <= now

    def was_isolated(self, now: float) -> bool:
        """Return whether a copy that has stopped by now did so for want of a proof alone: asked to, or at its fence."""
        return self.is_parked or (self.is_past(now) and not self.stop_asked)


@attrs.frozen(kw_only=True)
class Outlook:
    """What every input of the node asks for; found once after each change, since a worker may hold 1,024 instances."""

    tell_at: float
    stalls_at: float
    handover_at: float
    hands_over: bool
    has_isolated: bool
    may_go_on: bool


def look_ahead(held: Iterable[Held], status_interval_s: float) -> Outlook:
    """Return what all of them ask for."""
    tell_at = stalls_at = handover_at = FOREVER
    hands_over = has_isolated = may_go_on = False
    for each in held:
        if each.is_ahead:
            tell_at = min(tell_at, each.told_at + status_interval_s)
        stalls_at = min(stalls_at, each.stalls_at)
        has_isolated = has_isolated or each.status.state is InstanceState.ISOLATED
        may_go_on = may_go_on or each.may_go_on
        if each.hands_over_until is not None and not each.status.state.is_over:
            hands_over = True
            handover_at = handover_at if each.stop_asked else min(handover_at, each.hands_over_until)
    return Outlook(
        tell_at=tell_at,
        stalls_at=stalls_at,
        handover_at=handover_at,
        hands_over=hands_over,
        has_isolated=has_isolated,
        may_go_on=may_go_on,
    )
