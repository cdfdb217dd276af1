"""Judges when an at-most-one instance may be given to another run: not before the worst clock that is allowed.

Whether two copies really overlap depends on luck: on clocks, on what the former run still had. So this judge asks for
what the proof asks for: the former copy's end was reported, or the stop of its run has been known to be committed until
no run can act any more, not even one whose clock is slow by the whole drift and whose proof was made just before. By
the world's clock that takes L / (1 - drift).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.model.changes import Assign, Forget
from swimstream.model.job import AT_MOST_ONE
from swimstream.model.status import InstanceState
from swimstream.simulator import promises
from swimstream.simulator.authority_judge import PPM, ROUNDING_S

if TYPE_CHECKING:
    from swimstream.model.changes import Entry
    from swimstream.model.plan import Assignment
    from swimstream.simulator.council_judge import CouncilJudge
    from swimstream.simulator.court import Court
    from swimstream.simulator.plan_judge import PlanJudge
    from swimstream.simulator.watches import Watch

FINAL = (InstanceState.STOPPED, InstanceState.FINISHED, InstanceState.FAILED)
"""Being isolated is none: such a copy may start again."""


class MoveJudge:
    """Looks at every such assignment when its leader puts it into its log."""

    def __init__(self, court: Court, plans: PlanJudge, council: CouncilJudge) -> None:
        """Ask `plans` when an entry was first known to be committed, and `council` when a leader was elected."""
        self._court = court
        self._plans = plans
        self._council = council

    def append(self, watch: Watch, entry: Entry) -> None:
        """Check one entry of a leader's own term. What it also commits in the same step is left to the other judges."""
        made, plan = entry.change, watch.plan
        if not isinstance(made, Assign | Forget) or watch.view.plan.index >= entry.index:
            return
        held = plan.assignments.get(made.instance)
        if held is None or plan.guarantee_of(made.instance) != AT_MOST_ONE or _is_over(watch, held):
            return
        gives = f"gives {made.instance} to {made.run}" if isinstance(made, Assign) else f"forgets {made.instance}"
        what = f"{watch.run} {gives} in epoch {entry.index}"
        if watch.view.plan.is_asserted_dead(held.run):
            return  # a person has said so, who was right: that nothing of it is left, the copies' judge knows
        stop = plan.stop_index(held)
        if not stop:
            self._court.broken(promises.AT_MOST_ONE, f"{what}, but nothing has stopped {held.run} in {held.epoch}")
        since = self._plans.known_at(stop)
        if self._plans.decisions[stop - 1].term < entry.term:  # it was in the leader's log when that was elected
            since = min(since, self._council.elected_at[entry.term])
        safe_at = since + plan.isolation_ms / 1_000 / (1 - plan.drift_ppm / PPM)
        if self._court.now < safe_at - ROUNDING_S:
            self._court.broken(
                promises.AT_MOST_ONE,
                f"{what}, but {held.run} may act until {safe_at:.4f} s: its stop at {stop} counts from {since:.4f} s",
            )


def _is_over(watch: Watch, held: Assignment) -> bool:
    """Return whether this leader has been told that the very copy has ended for good."""
    told = (status for status in watch.view.statuses() if status.instance == held.instance)
    return held.finished or any(status.epoch == held.epoch and status.state in FINAL for status in told)
