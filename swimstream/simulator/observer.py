"""Sees everything in a world and checks the promises at every step. It knows the truth; the nodes know only views."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NoReturn

import attrs

from swimstream.core.effects import EntriesRecord
from swimstream.events import Event, MemberChanged, Superseded
from swimstream.model.member import MemberState
from swimstream.simulator import promises
from swimstream.simulator.authority_judge import AuthorityJudge
from swimstream.simulator.copy_judge import CopyJudge
from swimstream.simulator.council_judge import CouncilJudge
from swimstream.simulator.court import Court
from swimstream.simulator.disks import Disk
from swimstream.simulator.move_judge import MoveJudge
from swimstream.simulator.operator_judge import OperatorJudge
from swimstream.simulator.plan_judge import PlanJudge
from swimstream.simulator.watches import Evidence, Findings, View, Watch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swimstream.config import Timing
    from swimstream.core.effects import Record, StartInstance
    from swimstream.model.changes import Seat
    from swimstream.model.history import Decision
    from swimstream.model.identity import InstanceId, Run
    from swimstream.model.member import Member
    from swimstream.simulator.clock import Clock
    from swimstream.simulator.faults import Faults


class Observer:
    """The all-seeing judge of one world. Raises `PromiseBroken` at the step that broke the promise."""

    def __init__(self, *, seed: int, gentle: bool, clock: Clock, timing: Timing, faults: Faults) -> None:
        """Judge the world of `seed`; in a `gentle` one, no healthy worker may ever be declared dead."""
        self.findings = Findings()
        self.watches: list[Watch] = []
        """Of live runs, in the order of their start."""
        self.court = Court(seed=seed, clock=clock)
        self.copies = CopyJudge(self.court, self.findings)
        self.council = CouncilJudge(self.court)
        self.authority = AuthorityJudge(self.court)
        self._plan_judge = PlanJudge(self.court)
        self.operators = OperatorJudge(self.court, are_clocks_steady=not faults.clock_leaps)
        self._moves = MoveJudge(self.court, self._plan_judge, self.council)
        self.gentle_from = 0.0 if gentle else math.inf
        """From when on no healthy worker may be declared dead: at once, or when the network has long been whole."""
        self._gentle = gentle
        leaps_s = faults.clock_leaps * faults.leap_s[1]
        self._forgets_after_s = timing.tombstone_s / (1 + faults.clock_drift) - leaps_s
        """A tombstone is not forgotten earlier, by the world's time."""
        self._told_within_s = timing.sync_interval_s
        """After so long everybody has heard of a new member, also if the gossip was lost."""
        self._began: dict[Run, Watch] = {}
        self._crashed: dict[Run, float] = {}
        self._left: dict[Run, float] = {}
        self._detected: set[tuple[Run, Run]] = set()

    @property
    def now(self) -> float:
        """Return the virtual time."""
        return self.court.now

    @property
    def decisions(self) -> Sequence[Decision]:
        """Return every committed decision, the one of index 1 first."""
        return self._plan_judge.decisions

    @property
    def leaders(self) -> Mapping[int, Run]:
        """Return who led each term."""
        return self.council.leaders

    def broken(self, promise: str, detail: str) -> NoReturn:
        """Raise `PromiseBroken` for this world and this moment."""
        self.court.broken(promise, detail)

    # --- the truth --------------------------------------------------------------------------------

    def begin(self, view: View, *, place: str = "", disk: Disk | None = None) -> Watch:
        """Take note that a run has started; the driver passes what this returns at every later step."""
        watch = Watch(view, view.run, self.now, place, disk or Disk.blank())
        self.watches.append(watch)
        self._began[watch.run] = watch
        return watch

    def end(self, watch: Watch, *, crashed: bool, running: Mapping[InstanceId, int]) -> None:
        """Take note that a run has ended, and what (instance → epoch) was running on it."""
        watch.ended_at = self.now
        self.watches.remove(watch)
        if crashed:
            self._crashed[watch.run] = self.now
            for instance in running:
                self.copies.lose(instance)
        elif watch.joined_at < math.inf:
            self._left[watch.run] = self.now

    # --- the steps --------------------------------------------------------------------------------

    def step(self, watch: Watch) -> None:
        """Check what may have changed in one node; call it after every input."""
        view = watch.view
        if view.run != watch.run:
            self._check_later_run(watch, view.run)
        if view.is_leader:
            self.council.look_at_leader(watch)
        plan = view.plan
        if plan is not watch.plan:
            self._plan_judge.look(watch, plan)
            self.council.look_at_commit(watch, plan)
            self.copies.look(watch, plan)
            self.operators.look(plan)
            self.authority.look(plan)
            watch.plan = plan
        self.council.remember(watch)

    def hear(self, watch: Watch, event: Event) -> None:
        """Check what a node tells its application."""
        if isinstance(event, Superseded):
            self._check_superseded(watch, event.by)
        if not isinstance(event, MemberChanged):
            return
        member = event.member
        self._check_member(watch, member)
        if member.run == watch.run:
            watch.joined_at = min(watch.joined_at, self.now)
        if member.state is not MemberState.DEAD:
            return
        crashed_at = self._crashed.get(member.run)
        if crashed_at is not None:
            if (watch.run, member.run) not in self._detected:
                self._detected.add((watch.run, member.run))
                self.findings.detection_s.append(self.now - crashed_at)
            return
        for other in self.watches:
            if other.view.run == member.run:
                self.findings.false_deaths += 1
                if self.now >= max(self.gentle_from, other.excused_until, watch.blind_until):
                    accusers = ", ".join(member.accusers) or "nobody"
                    self.broken(
                        promises.NO_FALSE_DEATH,
                        f"{watch.run} declared {member.run} dead, which lives (accused by {accusers})",
                    )

    def sample(self) -> None:
        """Read every view as a whole; now and then, since it costs more than a step."""
        for watch in self.watches:
            for member in watch.view.members():
                self._check_member(watch, member)
            self.operators.sample(watch)

    def write(self, watch: Watch, seat: Seat, record: Record) -> None:
        """Check what has become durable on the disk behind `seat`."""
        self.council.write(watch, seat, record)
        if isinstance(record, EntriesRecord) and watch.view.is_leader:
            for entry in record.entries:
                if entry.term == watch.view.mark.term:
                    self.copies.append(watch, entry, may_commit=self.council.newest_term <= entry.term)
                    self._moves.append(watch, entry)
                    self.operators.append(watch, entry)

    def start_instance(self, watch: Watch, effect: StartInstance) -> None:
        """Check an order to run an instance."""
        self.copies.start(watch, effect)
        self.operators.start(watch, effect)

    def check_detected(self, run: Run, *, since: float, only_healthy: bool = False) -> None:
        """Check that everybody who was there at `since` knows that `run` is gone; call it when the bound is over.

        `only_healthy` leaves those out that stood still, or whose links came and went.
        """
        for watch in self.watches:
            if watch.began_at > since or (only_healthy and self.now < max(watch.excused_until, watch.blind_until)):
                continue
            for member in watch.view.members():
                if member.run == run and not member.state.is_gone:
                    ended = "crashed" if run in self._crashed else "left"
                    at = self._crashed.get(run, self._left.get(run, since))
                    self.broken(
                        promises.DETECTION,
                        f"{run} {ended} at {at:.3f} s; {watch.run} still holds it {member.state.name}",
                    )

    # --- one promise each -------------------------------------------------------------------------

    def _check_later_run(self, watch: Watch, run: Run) -> None:
        if run.name != watch.run.name or run < watch.run:
            self.broken(promises.INCARNATIONS, f"{watch.run} goes on as {run}, which is not a later run of it")
        watch.earlier.add(watch.run)
        watch.run = run
        self._began[run] = watch

    def _check_superseded(self, watch: Watch, by: Run) -> None:
        """Only a later worker may take a name over; and not from one that it could have asked.

        Who has moved cannot tell an earlier life of its own from a namesake: it may stop, and is started again.
        """
        later = self._began.get(by)
        if later is None or by.name != watch.run.name or by <= watch.run:
            self.broken(promises.ONE_NAME, f"{watch.run} gave way to {by}, which is no later run of its name")
        if later.place == watch.place:
            self.broken(promises.ONE_NAME, f"{watch.run} gave way to {by}, an earlier life of its own")
        was_known = watch.joined_at + self._told_within_s < later.began_at
        if self._gentle and was_known and self.now >= watch.excused_until:
            self.broken(promises.ONE_NAME, f"{watch.run} lived and could be asked, but {by} took its name")

    def _check_member(self, watch: Watch, member: Member) -> None:
        before = watch.known.get(member.run.name)
        gone_at = math.inf
        if member.state.is_gone:
            gone_at = min(self.now, before.gone_at if before is not None else math.inf)
        held = Evidence(member.run.boot, member.incarnation, member.state, gone_at)
        if before is not None and held.version < before.version:
            if self.now < before.gone_at + self._forgets_after_s:
                self.broken(
                    promises.INCARNATIONS,
                    f"{watch.run} knew boot, incarnation, state {_version(before)} of {member.run.name}, "
                    f"now it holds {_version(held)}",
                )
            held = attrs.evolve(held, gone_at=self.now if member.state.is_gone else math.inf)
        watch.known[member.run.name] = held


def _version(evidence: Evidence) -> str:
    return f"({evidence.boot}, {evidence.incarnation}, {evidence.state.name})"
