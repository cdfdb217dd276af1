"""Virtual time: a queue of things to do, taken in order of time; equal times keep the order of their entry."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from swimstream.errors import SwimstreamError

ACTIONS_QUEUED_MAX = 1_000_000

Action = Callable[[], None]


class WorldOverrun(SwimstreamError):
    """The world produces work faster than virtual time passes; something in it storms."""


class Clock:
    """The time of the whole world. Nodes never see it: each has a clock of its own, with offset and rate."""

    def __init__(self) -> None:
        """Start at zero with nothing to do."""
        self.now = 0.0
        self.actions_done = 0
        self._queue: list[tuple[float, int, Action]] = []
        self._tickets = 0

    def at(self, time: float, action: Action) -> None:
        """Have `action` done at virtual `time` (seconds); a time in the past means now."""
        if len(self._queue) >= ACTIONS_QUEUED_MAX:
            raise WorldOverrun(f"expected at most {ACTIONS_QUEUED_MAX} actions in the queue at {self.now:.3f} s")
        self._tickets += 1
        heapq.heappush(self._queue, (max(time, self.now), self._tickets, action))

    def after(self, delay_s: float, action: Action) -> None:
        """Have `action` done `delay_s` seconds from now."""
        self.at(self.now + delay_s, action)

    def run_until(self, time: float) -> None:
        """Do everything due up to and including `time`, then stand at `time`."""
        queue = self._queue
        while queue and queue[0][0] <= time:
            self.now, _, action = heapq.heappop(queue)
            self.actions_done += 1
            action()
        self.now = max(self.now, time)
