"""Judges how long a worker lets its at-most-one instances run: never longer than L after the proof that it can have.

True time is at most L / (1 - drift) on a clock that is slow by the whole drift. A stop that is committed (a Hold, an
eviction) must end renewal: no fence may lie further behind the moment when the first leader knew it committed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.simulator import promises

if TYPE_CHECKING:
    from swimstream.model.identity import Run
    from swimstream.model.plan import Plan
    from swimstream.simulator.causes import Causes
    from swimstream.simulator.court import Court
    from swimstream.simulator.watches import Watch

ROUNDING_S = 1e-6
PPM = 1_000_000


@attrs.frozen
class Stop:
    """A stop that stands."""

    index: int
    known_at: float


class AuthorityJudge:
    """Knows when each stop was committed."""

    def __init__(self, court: Court) -> None:
        """Begin with nobody stopped."""
        self._court = court
        self._newest = -1
        self._stops: dict[Run, Stop] = {}

    def look(self, plan: Plan) -> None:
        """Take note of the stops in a plan that is newer than any before."""
        if plan.index <= self._newest:
            return
        self._newest = plan.index
        for run in list(self._stops):
            if not plan.is_held(run):
                del self._stops[run]
        for run, index in plan.stops.items():
            known = self._stops.get(run)
            if known is None or known.index != index:
                self._stops[run] = Stop(index, self._court.now)

    def fence(self, watch: Watch, until: float, causes: Causes) -> None:
        """Check a fence that is set at the world's time `until`."""
        plan = watch.view.plan
        self.look(plan)  # it may be the first to know of its release, in this very step
        lasts_s = plan.isolation_ms / 1_000 / (1 - plan.drift_ppm / PPM)
        proof_at = causes.proof_at
        if until > proof_at + lasts_s + ROUNDING_S:
            self._court.broken(
                promises.AUTHORITY,
                f"{watch.run} lets its instances run until {until:.4f} s: the newest proof that can have reached it "
                f"is of {proof_at:.4f} s and lasts {lasts_s:.4f} s",
            )
        stop = self._stops.get(watch.view.run)
        if stop is not None and until > stop.known_at + lasts_s + ROUNDING_S:
            self._court.broken(
                promises.AUTHORITY,
                f"{watch.run} lets its instances run until {until:.4f} s, though it was stopped by entry {stop.index}, "
                f"committed at {stop.known_at:.4f} s",
            )
