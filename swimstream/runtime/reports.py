"""What instances say of themselves, on its way from the operators' threads to the peer's thread.

Every change of state arrives, in order. Progress and checkpoints are coalesced: only the newest is kept, so an
operator that reports 100,000 times a second costs the peer one report each `REPORT_INTERVAL_S`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from swimstream.model.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.model.identity import InstanceId

__all__ = ["REPORT_INTERVAL_S", "Report", "Reports"]

REPORT_INTERVAL_S = 0.05


class Reports:
    """The reports that wait. Any thread puts, the peer's thread takes.

    Bounded by the instances of this worker times the states of their lives: a state is reported once.
    """

    def __init__(self) -> None:
        """Build empty; nobody is woken before `on_first` is set."""
        self._lock = threading.Lock()
        self._waiting: dict[tuple[InstanceId, int], list[Report]] = {}
        self._urgent = False
        self._taken_at = float("-inf")
        self.on_first: Callable[[], None] = _nobody
        """Called, on the reporting thread, when reports begin to wait or one becomes urgent."""
        self.coalesced = 0
        """How many reports were merged into an earlier one."""
        self.fences_missed = 0
        """How many at-most-one instances went on past their deadline, because they run where nothing can kill them."""
        self.log_bytes_dropped = 0
        """Output of instances that was dropped since newer output took its room."""
        self.log_bytes_refused = 0
        """Output that could not be written, for example to a full disk."""
        self.logs_forgotten = 0
        """Instances of which nothing is kept any more since too many others came."""
        self.log_questions_dropped = 0
        """Questions for output that came faster than they were answered."""
        self.stops_missed = 0
        """How many instances went on although they were asked to stop twice, for the same reason."""
        self.freezes = 0
        """How many times the operators' loop has stood still for longer than `frozen_after_s`."""
        self.frozen_s_max = 0.0
        """For how long it did at most, in seconds, as far as the peer saw it."""

    def put(self, report: Report) -> None:
        """Hand over `report`, merged into the last one of that epoch unless the state has changed."""
        with self._lock:
            wake = not self._waiting or (report.state is not None and not self._urgent)
            self._urgent = self._urgent or report.state is not None
            queue = self._waiting.setdefault((report.instance, report.epoch), [])
            if report.state is None and queue:
                queue[-1] = report.after(queue[-1])
                self.coalesced += 1
            else:
                queue.append(report)
        if wake:
            self.on_first()

    def due_at(self) -> float:
        """Return when the peer should take what waits: at once for a state, else one interval after the last time."""
        with self._lock:
            if not self._waiting:
                return float("inf")
            return float("-inf") if self._urgent else self._taken_at + REPORT_INTERVAL_S

    def take(self, *, now: float) -> list[Report]:
        """Return what waits, oldest first within an instance (peer's thread)."""
        with self._lock:
            queues = list(self._waiting.values())
            self._waiting.clear()
            self._urgent = False
            self._taken_at = now
        return [report for queue in queues for report in queue]


def _nobody() -> None:
    """Do nothing: there is no peer yet."""
