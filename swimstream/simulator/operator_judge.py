"""Judges what is decided about operators that failed for good, that are to be apart, and that are kept warm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.model.changes import Assign
from swimstream.model.job import APART_NOT, APART_SITE
from swimstream.model.status import ErrorClass, InstanceState
from swimstream.simulator import promises

if TYPE_CHECKING:
    from collections.abc import Collection

    from swimstream.core.effects import StartInstance
    from swimstream.model.changes import Entry
    from swimstream.model.identity import InstanceId, Run
    from swimstream.model.plan import Plan
    from swimstream.simulator.court import Court
    from swimstream.simulator.watches import Watch

STALL_SLACK = 0.9
"""A clock may be wrong by some of it, and a report is under way for a moment."""


class OperatorJudge:
    """Looks at assignments when a leader makes them, at plans when they are committed, and at what workers are told."""

    def __init__(self, court: Court, *, are_clocks_steady: bool) -> None:
        """Begin with nothing decided. Where clocks leap, nothing can be said of how long a copy came no further."""
        self._court = court
        self._are_clocks_steady = are_clocks_steady
        self._is_any_watched = False
        self._progress_at: dict[tuple[InstanceId, int], float] = {}
        """When a copy last told of progress, or came up."""
        self._given: dict[Run, dict[int, Entry]] = {}
        """The assignments that a leader has put into its log, and does not know to be committed, by index."""

    def append(self, watch: Watch, entry: Entry) -> None:
        """Check an assignment that a leader has put into its log."""
        given = self._given.setdefault(watch.run, {})
        for index in [index for index in given if index <= watch.view.plan.index or given[index].term < entry.term]:
            del given[index]
        if isinstance(entry.change, Assign) and watch.view.plan.index < entry.index:
            self._check_not_fatal(watch, entry, entry.change)
            self._check_apart(watch, entry, entry.change)
            given[entry.index] = entry

    def _check_not_fatal(self, watch: Watch, entry: Entry, made: Assign) -> None:
        """Check that what failed for good is not assigned by one who knows that, unless somebody wants it anew.

        Who is out of date was restarted or updated; who is taken back, and in no quarantine, was pardoned. What failed
        and was lost with its worker before anybody heard of it is executed again like anything else.
        """
        held = watch.view.plan.assignments.get(made.instance)
        if held is None or held.stale or held.revoked:
            return
        for status in watch.view.statuses():
            is_of_it = status.instance == held.instance and status.epoch == held.epoch
            if is_of_it and status.state is InstanceState.FAILED and status.error is ErrorClass.FATAL:
                self._court.broken(
                    promises.FATAL,
                    f"{watch.run} gives {made.instance} to {made.run} in epoch {entry.index}, "
                    f"though it failed for good in {held.epoch}: {status.cause}",
                )

    def _check_apart(self, watch: Watch, entry: Entry, made: Assign) -> None:
        """Check that none of its like is with the same worker, or in the same site, as far as this leader knows."""
        plan = watch.view.plan
        spec = plan.spec_of(made.instance)
        if spec is None or spec.anti_affinity == APART_NOT:
            return
        members = {member.run: member for member in watch.view.members() if not member.state.is_gone}
        runs = {each: held.run for each, held in plan.assignments.items() if plan.is_wanted(each)}
        for earlier in self._given[watch.run].values():
            if earlier.index < entry.index and isinstance(earlier.change, Assign):
                runs[earlier.change.instance] = earlier.change.run
        for other in plan.jobs[made.instance.job].instances_of(spec.name):
            run = runs.get(other)
            if other == made.instance or run not in members or made.run not in members:
                continue
            is_near = run == made.run
            if spec.anti_affinity == APART_SITE:
                is_near = members[run].profile.site == members[made.run].profile.site
            if is_near:
                what = f"{watch.run} gives {made.instance} to {made.run} in epoch {entry.index}, and {other}"
                self._court.broken(promises.APART, f"{what} is with {run}")

    def look(self, plan: Plan) -> None:
        """Check what a plan says: nobody keeps warm what it runs."""
        for instance, runs in plan.directives.standbys.items():
            held = plan.assignments.get(instance)
            names = [run.name for run in runs]
            if len(set(names)) < len(names) or (held is not None and held.run in runs):
                where = held.run if held is not None else "nobody"
                self._court.broken(promises.WARM, f"{instance} is with {where}, and kept warm on {', '.join(names)}")

    def start(self, watch: Watch, effect: StartInstance) -> None:
        """Check an order to run an instance: it is in no quarantine, as far as its worker knows."""
        self._is_any_watched = self._is_any_watched or bool(effect.spec.stall_after_s)
        self._progress_at[effect.instance, effect.epoch] = self._court.now
        quarantined = watch.view.plan.directives.quarantined.get(effect.instance)
        if quarantined is not None:
            self._court.broken(
                promises.FATAL,
                f"{watch.run} starts {effect.instance} in epoch {effect.epoch}, in quarantine: {quarantined.reason}",
            )

    def keep_warm(self, watch: Watch, warm: Collection[InstanceId], active: Collection[InstanceId]) -> None:
        """Check what a worker keeps warm beside the copies that it is to run."""
        both = sorted(set(warm) & set(active))
        if both:
            self._court.broken(promises.WARM, f"{watch.run} runs and keeps warm {both[0]}")

    def progress(self, instance: InstanceId, epoch: int) -> None:
        """Take note that a copy has come further."""
        self._progress_at[instance, epoch] = self._court.now

    def sample(self, watch: Watch) -> None:
        """Check what a worker says of its own copies: one that is STALLED has come no further for long."""
        for status in watch.view.statuses() if self._are_clocks_steady and self._is_any_watched else ():
            if status.state is not InstanceState.STALLED or status.run != watch.view.run:
                continue
            spec = watch.view.plan.spec_of(status.instance)
            since = self._progress_at.get((status.instance, status.epoch))
            if spec is None or since is None or not spec.stall_after_s:
                continue
            ago_s = self._court.now - since
            if ago_s < STALL_SLACK * spec.stall_after_s:
                what = f"{status.instance} is STALLED on {watch.run}, and made progress {ago_s:.2f} s ago"
                self._court.broken(promises.STALLED, what)
