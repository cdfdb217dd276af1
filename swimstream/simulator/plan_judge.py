"""Judges the plan: what was committed is never lost or changed, and everybody has the same (P4).

And that a conflict between two copies is settled once: told from the history, since plans skip entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.model.job import FURTHEST_PROGRESS
from swimstream.model.plan import Plan
from swimstream.simulator import promises

if TYPE_CHECKING:
    from swimstream.model.history import Decision
    from swimstream.model.identity import Run
    from swimstream.simulator.court import Court
    from swimstream.simulator.watches import Watch


class PlanJudge:
    """Knows every plan that any process has ever had."""

    def __init__(self, court: Court) -> None:
        """Begin with no plan."""
        self.decisions: list[Decision] = []
        """Every committed decision, at position index - 1."""
        self._court = court
        self._known_at: list[float] = []
        """When each of them was first known to be committed, by anybody."""
        self._plans: dict[int, tuple[Plan, Run]] = {}
        self.settled: dict[tuple[str, str], Decision] = {}
        """How each conflict was settled that moved an instance back: by what was assigned, and the first evidence."""

    def known_at(self, index: int) -> float:
        """Return when somebody first knew that the entry at `index` is committed."""
        return self._known_at[index - 1]

    def look(self, watch: Watch, plan: Plan) -> None:
        """Compare the plan of one process with its plan before, and with everybody else's."""
        before = watch.plan
        if plan.index < before.index:
            self._court.broken(
                promises.COMMITTED, f"the plan of {watch.run} went back from {before.index} to {plan.index}"
            )
        self._check_history(watch, plan)
        first, whose = self._plans.setdefault(plan.index, (plan, watch.run))
        if first is not plan and first != plan:
            difference = _difference(first, plan)
            self._court.broken(
                promises.COMMITTED, f"{whose} and {watch.run} have different plans at {plan.index}: {difference}"
            )
        for instance, held in plan.assignments.items():
            old = before.assignments.get(instance)
            if old is held or old is None:
                continue
            if held.epoch < old.epoch or (held.epoch == old.epoch and held.run != old.run):
                self._court.broken(promises.COMMITTED, f"the epoch of {instance} did not rise: {old} became {held}")
            is_newer = plan.version_of(instance.job) > before.version_of(instance.job)
            if old.finished and not (held.finished and held.epoch == old.epoch) and not is_newer:
                self._court.broken(promises.COMMITTED, f"{instance} had finished: {old} became {held}")

        for instance in sorted(before.assignments.keys() - plan.assignments.keys()):
            if plan.is_wanted(instance) and plan.version_of(instance.job) == before.version_of(instance.job):
                self._court.broken(promises.COMMITTED, f"{instance} is executed no more, though nobody asked for that")

    def _check_history(self, watch: Watch, plan: Plan) -> None:
        """Compare decision by decision: plans skip indexes when several entries are applied at once."""
        if plan.index and (not plan.decisions or plan.decisions[-1].index != plan.index):
            self._court.broken(promises.COMMITTED, f"the plan of {watch.run} at {plan.index} lacks its newest decision")
        since = watch.plan.index
        for decision in plan.decisions:
            if decision.index <= since:
                continue
            if decision.index <= len(self.decisions):
                known = self.decisions[decision.index - 1]
                if known != decision:
                    self._court.broken(promises.COMMITTED, f"{watch.run} has {decision} where {known} was committed")
            elif decision.index == len(self.decisions) + 1:
                self.decisions.append(decision)
                self._known_at.append(self._court.now)
                self._check_settled(decision)
            else:
                self._court.broken(promises.COMMITTED, f"{watch.run} has {decision} after a gap")

    def _check_settled(self, decision: Decision) -> None:
        if not (decision.what.startswith("assign ") and decision.reason.startswith(FURTHEST_PROGRESS)):
            return
        which = (decision.what.split()[1], decision.evidence[0])  # the evidence names the copy that was given up
        if which in self.settled:
            self._court.broken(promises.ONCE_BACK, f"{decision} settles what {self.settled[which]} has settled")
        self.settled[which] = decision


def _difference(one: Plan, two: Plan) -> str:
    """Return the first field in which two plans differ."""
    for field in attrs.fields(Plan):
        left, right = getattr(one, field.name), getattr(two, field.name)
        if left != right:
            return f"{field.name}: {left} ≠ {right}"[:600]
    return "nothing visible"
