"""Judges the copies of instances: an epoch is run once, and what runs at most once never runs twice (P5).

A copy counts from the moment when it comes up to its end, by the world's clock. An assignment is judged sooner, when a
leader puts it into its log: no earlier copy may be left by then, running or about to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.model.changes import Assign, Forget
from swimstream.model.identity import Run
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, PINNED
from swimstream.simulator import promises

if TYPE_CHECKING:
    from swimstream.core.effects import StartInstance, StopInstance
    from swimstream.model.changes import Entry
    from swimstream.model.identity import InstanceId
    from swimstream.model.plan import Plan
    from swimstream.simulator.court import Court
    from swimstream.simulator.watches import Findings, Watch


@attrs.define(eq=False)
class Known:
    """One copy that was started and has not ended."""

    run: Run
    epoch: int
    is_up: bool = False


class CopyJudge:
    """Knows every copy in the world, whatever anybody believes."""

    def __init__(self, court: Court, findings: Findings) -> None:
        """Begin with nothing running."""
        self._court = court
        self._findings = findings
        self._copies: dict[InstanceId, list[Known]] = {}
        self._epochs: dict[tuple[InstanceId, int], Run] = {}
        self._lost: dict[InstanceId, float] = {}
        """Since when it has waited to run again: its worker crashed."""

    # --- the truth --------------------------------------------------------------------------------

    def start(self, watch: Watch, effect: StartInstance) -> None:
        """Check an order to run an instance.

        An at-most-one instance that its worker had to stop for want of authority starts again under its epoch, on the
        same run, after the former copy has ended.
        """
        key = (effect.instance, effect.epoch)
        what = f"{watch.run} starts {effect.instance} in epoch {effect.epoch}"
        first = self._epochs.get(key)
        is_again = first == watch.run and effect.spec.instances == AT_MOST_ONE
        if first is not None and not is_again:
            self._court.broken(promises.ONE_EPOCH, f"{what}, which {first} has started before")
        copies = self._copies.setdefault(effect.instance, [])
        if is_again and any(copy.epoch == effect.epoch for copy in copies):
            self._court.broken(promises.ONE_EPOCH, f"{what} again, but the former copy has not ended")
        self._epochs[key] = watch.run
        plan = watch.view.plan
        if effect.epoch > plan.index:
            self._court.broken(promises.ONE_EPOCH, f"{what}, its plan ends at {plan.index}")
        held = plan.assignments.get(effect.instance)
        if held is not None and held.epoch == effect.epoch and (held.run != watch.run or held.finished):
            self._court.broken(promises.ONE_EPOCH, f"{what}, but the plan says {held}")
        if effect.spec.instances == AT_MOST_ONE and effect.fence_at is None:
            self._court.broken(promises.AT_MOST_ONE, f"{what} without a fence")
        copies.append(Known(watch.run, effect.epoch))

    def come_up(self, watch: Watch, instance: InstanceId, epoch: int, *, guarantee: str) -> None:
        """Take note that a copy runs from now on; check that an at-most-one instance runs nowhere else."""
        copies = self._copies.setdefault(instance, [])
        for copy in copies:
            if copy.is_up and guarantee == AT_MOST_ONE:
                self._court.broken(
                    promises.AT_MOST_ONE,
                    f"{instance} comes up on {watch.run} in epoch {epoch}, "
                    f"and still runs on {copy.run} in epoch {copy.epoch}",
                )
        for copy in copies:
            if (copy.run, copy.epoch) == (watch.run, epoch):
                copy.is_up = True
        lost_at = self._lost.pop(instance, None)
        if lost_at is not None:
            self._findings.reexecution_s.append(self._court.now - lost_at)

    def go_down(self, watch: Watch, instance: InstanceId, epoch: int) -> None:
        """Take note that a copy has ended."""
        copies = self._copies.setdefault(instance, [])
        mine = {watch.run, *watch.earlier}
        copies[:] = [copy for copy in copies if copy.epoch != epoch or copy.run not in mine]

    def lose(self, instance: InstanceId) -> None:
        """Take note that an instance ran on a worker that has crashed."""
        self._lost[instance] = self._court.now

    # --- decisions and orders ---------------------------------------------------------------------

    def stop(self, watch: Watch, effect: StopInstance, *, goes: bool) -> None:
        """Check an order to stop: what runs at least once goes on while its worker is cut off, unless that `goes`."""
        plan = watch.view.plan
        held = plan.assignments.get(effect.instance)
        is_its_own = (
            held is not None
            and (held.run, held.epoch, held.finished) == (watch.view.run, effect.epoch, False)
            and not held.revoked
        )
        if is_its_own and not goes and plan.guarantee_of(effect.instance) == AT_LEAST_ONE:
            self._court.broken(
                promises.AT_LEAST_ONE,
                f"{watch.run} stops {effect.instance} in epoch {effect.epoch}, which is still its own",
            )

    def append(self, watch: Watch, entry: Entry, *, may_commit: bool) -> None:
        """Check what a leader has put into its log.

        Who has been succeeded without knowing it (`may_commit` is false) decides by an old log, and nothing comes of
        it: that a run goes on which was released since is no fault.
        """
        made, plan = entry.change, watch.view.plan
        if isinstance(made, Forget) and may_commit and plan.guarantee_of(made.instance) == AT_MOST_ONE:
            self._check_ended(f"{watch.run} forgets {made.instance}", made.instance, made.epoch + 1)
        if not isinstance(made, Assign) or made.instance.job not in plan.jobs:
            return
        guarantee = plan.guarantee_of(made.instance)
        what = f"{watch.run} gives {made.instance} to {made.run} in epoch {entry.index}"
        before = plan.assignments.get(made.instance)
        if guarantee == PINNED and before is not None and before.run.name != made.run.name:
            self._court.broken(promises.PINNED, f"{what}, but it is pinned to {before.run.name}")
        if guarantee != AT_MOST_ONE or not may_commit:
            return
        self._check_ended(what, made.instance, entry.index)

    def _check_ended(self, what: str, instance: InstanceId, before: int) -> None:
        """Check that no copy of an epoch below `before` is left."""
        for copy in self._copies.get(instance, []):
            if copy.epoch < before:
                self._court.broken(
                    promises.AT_MOST_ONE, f"{what}, and {copy.run} has not ended it in epoch {copy.epoch}"
                )

    def look(self, watch: Watch, plan: Plan) -> None:
        """Check what is new in a plan: assignments, and at-most-one instances that have left it.

        Once such a one has left, anybody may be given it anew as if nobody had ever had it.
        """
        for instance in sorted(watch.plan.assignments.keys() - plan.assignments.keys()):
            if watch.plan.guarantee_of(instance) == AT_MOST_ONE:
                epoch = watch.plan.assignments[instance].epoch
                self._check_ended(f"{instance} leaves the plan of {watch.run}", instance, epoch + 1)
        for instance, held in plan.assignments.items():
            if held.epoch > watch.plan.index and not plan.isolation_ms and plan.guarantee_of(instance) == AT_MOST_ONE:
                self._court.broken(
                    promises.AT_MOST_ONE, f"{held} was made before the cluster knew how long authority lasts"
                )
