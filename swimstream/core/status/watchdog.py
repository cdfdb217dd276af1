"""Whether an instance makes progress: STALLED is told from idle, from busy and from held up by others.

A copy that is alive and does nothing is the failure that heartbeats do not see. So an operator says how far it has
come and how much input waits for it, and its job how long it may make no progress then (`stall_after_s`). The worker's
peer judges by its own clock, apart from the operator's thread: it needs no word of an operator that is stuck.

An instance is STALLED if and only if all of this holds:

- its job gives it a `stall_after_s`, and it has been RUNNING, in a loop that turns or FROZEN;
- it has told a backlog, and that is above 0: one whose input is empty is idle, one that tells none may be;
- it does not wait for its outputs (`backpressured`), and is not inside a step that it declared long (`busy`);
- its progress has not risen for `stall_after_s`, counted anew when input begins to wait or its outputs take on again.

As soon as one of these ends it is RUNNING again. Refused: a heartbeat of the operator's own making, since a thread that
does nothing but beat goes on beating when the work has died.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.model.status import InstanceState

if TYPE_CHECKING:
    from swimstream.model.report import Report
    from swimstream.model.status import InstanceStatus

FOREVER = float("inf")
WATCHED = (InstanceState.RUNNING, InstanceState.FROZEN, InstanceState.STALLED)


@attrs.frozen(kw_only=True)
class Silence:
    """For how long one copy has made no progress, and what excuses it. Seconds on the node's clock."""

    since: float
    """Since when the present silence counts."""
    after_s: float = 0.0
    """How long it may last; 0: for ever."""
    progress: int = 0
    """What this copy itself said last: its status may be further, by a former copy of the epoch that was isolated."""
    busy_until: float = float("-inf")
    backpressured: bool = False

    def heard(self, before: InstanceStatus, after: InstanceStatus, said: Report, now: float) -> Silence:
        """Return it after a report that has made `after` of the status `before`."""
        backpressured = self.backpressured if said.backpressured is None else said.backpressured
        progress = max(self.progress, said.progress or 0)
        begins_anew = (
            progress > self.progress
            or (after.state is InstanceState.RUNNING and before.state is not InstanceState.RUNNING)
            or (not before.backlog and bool(after.backlog))
            or (self.backpressured and not backpressured)
        )
        return attrs.evolve(
            self,
            since=now if begins_anew else self.since,
            progress=progress,
            busy_until=self.busy_until if said.busy_until is None else said.busy_until,
            backpressured=backpressured,
        )

    def stalls_at(self, status: InstanceStatus) -> float:
        """Return when it is too long, if nothing is heard before; infinity if it is excused."""
        is_expected = bool(self.after_s and status.backlog) and status.state in WATCHED
        if not is_expected or self.backpressured:
            return FOREVER
        return max(self.since + self.after_s, self.busy_until)

    def was_overslept(self, stalls_at: float, now: float) -> bool:
        """Return whether the judge comes so late that it must have slept itself, and the operator with it."""
        return now - stalls_at > self.after_s


def cause_of_stall(silence: Silence, status: InstanceStatus) -> str:
    """Return what is said of a stall before anybody has looked where the operator stands."""
    return f"no progress for {silence.after_s:g} s, backlog {status.backlog}"
