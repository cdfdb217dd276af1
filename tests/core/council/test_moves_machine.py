"""The guard alone keeps at-most-one: proposals are random, leaders change, and only what the guard admits is appended.

A model of who may act stands beside it, as unkind as the assumptions allow: every run holds the newest proof of a
quorum that any plan it may have lets it use, learns of nothing sooner than it must, and has the slowest clock; every
leader has the fastest. It must never see a second run that may act on an at-most-one instance.
"""

from __future__ import annotations

from collections import Counter

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from swimstream.core.council.guard import MoveGuard
from swimstream.core.council.log import Log
from swimstream.core.effects import Saved
from swimstream.model.changes import Assign, Change, Entry, Evict, Hold, Noop, Release, Revoke, SubmitJob
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import AT_MOST_ONE, JobSpec, OperatorSpec
from swimstream.model.plan import Assignment, Plan
from tests.core.council.test_guard import AUTHORITY as SMALL_DRIFT
from tests.core.council.test_guard import FOUNDED

RHO = 0.1
"""As large as may be: what is missing in the wait then shows."""
AUTHORITY = attrs.evolve(SMALL_DRIFT, drift_ppm=int(RHO * 1e6))
LASTS_S = AUTHORITY.isolation_ms / 1_000 / (1 - RHO)
"""How long a proof lasts at a run whose clock is slow, in true seconds."""
RUNS = (Run("a", 1), Run("b", 1), Run("c", 1), Run("d", 1), Run("a", 2))
JOB = JobSpec(name="job", operators=(OperatorSpec(name="op", kind="map", parallelism=2, instances=AT_MOST_ONE),))
INSTANCES = tuple(JOB.instances())
LOG_MAX = 60
LEADERS_MAX = 4
TINY_S = 1e-6

picks = st.integers(0, 10**6)
runs = st.sampled_from(RUNS)
instances = st.sampled_from(INSTANCES)


class Leader:
    """One leadership: a log of its own, and the guard that is tested. Its clock is as fast as may be."""

    def __init__(self, log: list[Entry], commit: int, term: int, machine: MovesMachine) -> None:
        self.term = term
        self.log = Log(Saved(voter=1))
        self.log.append(log)
        self.log.commit_to(commit)
        self.guard = MoveGuard(self.log, machine.has_ended, counters=Counter())
        self.machine = machine
        self.guard.take_office(self.clock)
        self.propose(Noop())

    @property
    def clock(self) -> float:
        return self.machine.now * (1 + RHO)

    def propose(self, *changes: Change) -> None:
        admitted = self.guard.admit(changes, self.clock)
        first = self.log.last_index + 1
        if admitted:
            self.log.append(Entry(index=first + i, term=self.term, change=change) for i, change in enumerate(admitted))

    def entries(self) -> list[Entry]:
        return self.machine.committed[: self.log.base.index] + self.log._entries

    def commit_to(self, index: int) -> None:
        self.log.commit_to(index)
        self.guard.note_commit(self.clock)

    @property
    def leads(self) -> bool:
        """Return whether it has committed an entry of its own term, without which it gives no proof."""
        return self.log.term_at(self.log.commit) == self.term


class MovesMachine(RuleBasedStateMachine):
    """Leaders after each other, what is truly committed, the proofs that they gave, and who may act because of them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.plans = [Plan()]
        """The plan after each truly committed entry."""
        self.committed: list[Entry] = []
        self.proofs: dict[int, float] = {}
        """Index of a proof → when the newest one with that index was issued."""
        self.ended: set[tuple[InstanceId, int]] = set()
        self.leaders: list[Leader] = []
        self.term = 1

    def has_ended(self, held: Assignment) -> bool:
        return (held.instance, held.epoch) in self.ended

    @property
    def leader(self) -> Leader:
        """Return the one of the newest term: only it commits, and only it can still give proofs."""
        return self.leaders[-1]

    @initialize()
    def found(self) -> None:
        changes: tuple[Change, ...] = (FOUNDED[0], SubmitJob(job=JOB), AUTHORITY)
        log = [Entry(index=1 + i, term=1, change=change) for i, change in enumerate(changes)]
        self._commit(log)
        self._elect(log, 1)
        self.commit_everything()
        for run, which in zip(RUNS, INSTANCES, strict=False):
            self.assign(0, which, run)
        self.commit_everything()

    # --- what a leader may propose: anything ------------------------------------------------------

    @rule(pick=picks, which=instances, run=runs)
    def assign(self, pick: int, which: InstanceId, run: Run) -> None:
        self._propose(pick, _assign(which, run))

    @rule(pick=picks, run=runs, kind=st.sampled_from([Hold, Hold, Release, Release, Evict]))
    def decide_about_a_run(self, pick: int, run: Run, kind: type[Hold | Release | Evict]) -> None:
        self._propose(pick, _about(run, kind))

    @rule(pick=picks, which=instances)
    def revoke(self, pick: int, which: InstanceId) -> None:
        held = self.plans[-1].assignments.get(which)
        if held is not None:
            self._propose(pick, Revoke(instance=which, epoch=held.epoch, reason=""))

    @rule(pick=picks, which=instances, run=runs, kind=st.sampled_from([Hold, Release, Evict]), again=st.booleans())
    def decide_in_one_batch(
        self, pick: int, which: InstanceId, run: Run, kind: type[Hold | Release | Evict], *, again: bool
    ) -> None:
        held = self.plans[-1].assignments.get(which)
        former = held.run if held is not None else run
        self._propose(pick, _about(former, kind), _assign(which, run), *([_about(former, Hold)] if again else []))

    @rule(
        which=instances,
        to=runs,
        late_s=st.sampled_from([0.0, 0.5, LASTS_S]),
        stop=st.sampled_from(["hold", "hold", "revoke", "evict"]),
        replaced=st.sampled_from(["", "", "before it commits", "after it has committed"]),
        is_patient=st.booleans(),
        released=st.sampled_from(["", "in the tail", "in the batch"]),
    )
    def stop_wait_and_move(
        self, *, which: InstanceId, to: Run, late_s: float, stop: str, replaced: str, is_patient: bool, released: str
    ) -> None:
        """What recovery would do, to the point: a proof just before the stop is known, the move just as it may be."""
        held = self.plans[-1].assignments.get(which)
        if held is None:
            return
        match stop:
            case "hold":
                self._propose(0, _about(held.run, Hold))
            case "evict":
                self._propose(0, _about(held.run, Evict))
            case _:
                self.revoke(0, which)
        self.now += late_s
        self.give_proof()
        if replaced == "before it commits":
            self.elect(len(self.leaders) - 1, 4, 0, has_proved=False)
        self.commit_everything()
        if replaced == "after it has committed":
            self.elect(0, 4, 0, has_proved=False)
            self.commit_everything()
        if is_patient:
            self.wait_to_the_end(which)
        match released:
            case "in the tail":
                self._propose(0, _about(held.run, Release))
                self.assign(0, which, to)
            case "in the batch":
                self._propose(0, _about(held.run, Release), _assign(which, to))
            case _:
                self.assign(0, which, to)
        self._commit_upto(self.leader.log.commit + 1)
        self.give_proof()
        self.commit_everything()

    # --- what else may happen ---------------------------------------------------------------------

    @rule(share=st.floats(0, 1))
    def commit(self, share: float) -> None:
        """Some of the newest leader's log gets a majority; nothing of it before something of its own term."""
        log = self.leader.log
        self._commit_upto(log.commit + round(share * (log.last_index - log.commit)))

    def commit_everything(self) -> None:
        self.commit(1.0)

    @rule()
    def give_proof(self) -> None:
        """A majority acks a heartbeat that is sent just now, and the leader has committed no further since."""
        if self.leader.leads:
            self.proofs[self.leader.log.commit] = self.now

    @rule(wait_s=st.sampled_from([0.1, 1.0, LASTS_S / 2, LASTS_S, 2 * LASTS_S]))
    def wait(self, wait_s: float) -> None:
        self.now += wait_s

    @rule(which=instances)
    def wait_to_the_end(self, which: InstanceId) -> None:
        """Wait to the very moment from which on the newest leader holds a former run for stopped."""
        held = self.leader.log.plan.assignments.get(which)
        until = self.leader.guard.stopped_at(held) / (1 + RHO) if held is not None else 0.0
        if self.now < until < float("inf"):
            self.now = until + TINY_S / 10

    @rule(which=instances)
    def end(self, which: InstanceId) -> None:
        """A copy ends for good, and says so."""
        held = self.plans[-1].assignments.get(which)
        if held is not None:
            self.ended.add((which, held.epoch))

    @precondition(lambda self: len(self.committed) < LOG_MAX)
    @rule(pick=picks, kept=st.integers(0, 4), known=st.integers(0, 6), has_proved=st.booleans())
    def elect(self, pick: int, kept: int, known: int, *, has_proved: bool) -> None:
        """Somebody is elected that holds everything committed, and some of what some leader had appended besides."""
        if has_proved:
            self.give_proof()
        fit = [each.entries() for each in self.leaders if self._has_everything(each.entries())]
        log = fit[pick % len(fit)][: len(self.committed) + kept]
        self._elect(log, max(1, len(self.committed) - known))

    # --- what must hold ---------------------------------------------------------------------------

    @invariant()
    def no_second_run_may_act(self) -> None:
        for which in INSTANCES if self.leaders else ():
            epochs = [held for plan in self.plans if (held := plan.assignments.get(which)) is not None]
            former = {held.epoch: held for held in epochs}
            newest = max(former, default=0)
            for epoch in sorted(former):
                assert epoch == newest or not self._may_act(former[epoch]), f"{former[epoch]} beside epoch {newest}"

    def _may_act(self, held: Assignment) -> bool:
        """Return whether the run of `held` may act on it now, if everything is against us."""
        if (held.instance, held.epoch) in self.ended:
            return False
        taken_away = next(
            (index for index in range(held.epoch, len(self.plans)) if not _gives(self.plans[index], held)),
            len(self.plans),
        )
        free = [index for index in range(taken_away) if not self.plans[index].is_held(held.run)]
        issued = [at for index, at in self.proofs.items() if free and index <= free[-1]]
        return max(issued, default=float("-inf")) + LASTS_S > self.now + TINY_S

    # --- in support of it -------------------------------------------------------------------------

    def _propose(self, pick: int, *changes: Change) -> None:
        """Let a leader propose; now and then one that does not know yet that it is none any more."""
        leader = self.leaders[-1 - pick % 3 % len(self.leaders)]
        if leader.log.last_index < LOG_MAX:
            leader.propose(*changes)

    def _commit_upto(self, index: int) -> None:
        log = self.leader.log
        if index > log.commit and log.term_at(index) == self.leader.term:
            self._commit(self.leader.entries()[len(self.committed) : index])
            self.leader.commit_to(index)

    def _commit(self, entries: list[Entry]) -> None:
        for entry in entries:
            self.committed.append(entry)
            self.plans.append(self.plans[-1].advance([entry]))

    def _elect(self, log: list[Entry], commit: int) -> None:
        self.term += 1
        self.leaders = [*self.leaders, Leader(log, commit, self.term, self)][-LEADERS_MAX:]

    def _has_everything(self, log: list[Entry]) -> bool:
        return log[: len(self.committed)] == self.committed


def _assign(which: InstanceId, run: Run) -> Assign:
    return Assign(instance=which, run=run, failures=0, resume_from=b"", reason="", evidence=())


def _about(run: Run, kind: type[Hold | Release | Evict]) -> Change:
    match kind:
        case _ if kind is Release:
            return Release(run=run, reason="")
        case _ if kind is Evict:
            return Evict(run=run, reason="", evidence=())
    return Hold(run=run, reason="", evidence=())


def _gives(plan: Plan, held: Assignment) -> bool:
    """Return whether a run that knows `plan` still takes `held` for its own."""
    current = plan.assignments.get(held.instance)
    return (
        current is not None
        and current.epoch == held.epoch
        and not (current.revoked or current.finished or plan.is_evicted(held.run))
    )


TestMoves = MovesMachine.TestCase
TestMoves.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
