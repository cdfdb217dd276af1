"""What must not be decided about operators is seen: what failed for good, what is to be apart, what is kept warm."""

from __future__ import annotations

import attrs
import pytest

from swimstream.config import LOCAL
from swimstream.core.effects import EntriesRecord, StartInstance
from swimstream.model.changes import (
    Assign,
    Change,
    Entry,
    Pardon,
    Quarantine,
    Restart,
    SetStandbys,
    SubmitJob,
)
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import APART_SITE, APART_WORKER, JobSpec, OperatorSpec
from swimstream.model.member import MemberState
from swimstream.model.plan import Plan
from swimstream.model.status import ErrorClass, InstanceState
from swimstream.simulator import promises
from swimstream.simulator.agreement import disagreements
from swimstream.simulator.clock import Clock
from swimstream.simulator.faults import Faults
from swimstream.simulator.observer import Observer
from swimstream.simulator.promises import PromiseBroken
from tests.worlds.views import FOUNDED, INSTANCE, FakeView, assign, member, status

SECOND = InstanceId("job", "source", 1)
STALL_AFTER_S = 3.0


def given(name: str, instance: InstanceId = INSTANCE) -> Assign:
    return attrs.evolve(assign(name), instance=instance)


class Office:
    """Leader b, which follows a plan that grows; the first instance is with a in epoch 3 of it."""

    def __init__(self, *, anti_affinity: str = "", clock_leaps: int = 0) -> None:
        spec = OperatorSpec(
            name="source", kind="work", parallelism=2, anti_affinity=anti_affinity, stall_after_s=STALL_AFTER_S
        )
        self.clock = Clock()
        faults = Faults(clock_leaps=clock_leaps)
        self.observer = Observer(seed=1, gentle=False, clock=self.clock, timing=LOCAL, faults=faults)
        self.view = FakeView("b", leader="b", is_leader=True, held=tuple(map(member, "abc")))
        self.watch = self.observer.begin(self.view)
        self.plan = Plan()
        self.spec = JobSpec(name="job", operators=(spec,))
        self.commit(FOUNDED, SubmitJob(job=self.spec), given("a"))

    def commit(self, *changes: Change) -> None:
        first = self.plan.index + 1
        entries = [Entry(index=first + number, term=1, change=change) for number, change in enumerate(changes)]
        self.view.plan = self.plan = self.plan.advance(entries)
        self.observer.step(self.watch)

    def append(self, *changes: Change) -> None:
        first = self.plan.index + 1
        entries = tuple(Entry(index=first + number, term=1, change=change) for number, change in enumerate(changes))
        self.observer.write(self.watch, FOUNDED.council[1], EntriesRecord(first, entries))

    def order(self, *, epoch: int) -> StartInstance:
        spec = self.spec.operator("source")
        return StartInstance(instance=INSTANCE, epoch=epoch, spec=spec, inputs=(), outputs=(), resume_from=b"")

    def fails_for_good(self) -> None:
        told = status(InstanceState.FAILED)
        self.view.told = (attrs.evolve(told, error=ErrorClass.FATAL),)


def test_what_failed_for_good_is_given_to_nobody() -> None:
    office = Office()
    office.fails_for_good()
    with pytest.raises(PromiseBroken, match=promises.FATAL):
        office.append(given("b"))


def test_what_failed_otherwise_may_be_executed_again() -> None:
    office = Office()
    office.view.told = (status(InstanceState.FAILED),)
    office.append(given("b"))


@pytest.mark.parametrize("wish", ["restart", "pardon"])
def test_what_failed_for_good_may_be_executed_again_if_somebody_wants_that(wish: str) -> None:
    office = Office()
    office.fails_for_good()
    if wish == "restart":
        office.commit(Restart(instances=(INSTANCE,), reason="asked for", evidence=()))
    else:
        office.commit(Quarantine(instance=INSTANCE, epoch=3, reason="fatal", evidence=()))
        office.commit(Pardon(instance=INSTANCE, asked_by="b"))
    office.append(given("b"))


def test_a_worker_that_starts_what_is_in_quarantine_is_caught() -> None:
    office = Office()
    office.commit(given("b"), Quarantine(instance=INSTANCE, epoch=4, reason="fatal", evidence=()))
    with pytest.raises(PromiseBroken, match="in quarantine"):
        office.observer.operators.start(office.watch, office.order(epoch=4))


def test_two_that_are_to_be_apart_on_one_worker_are_caught() -> None:
    office = Office(anti_affinity=APART_WORKER)
    office.append(given("c", SECOND))
    with pytest.raises(PromiseBroken, match=promises.APART):
        office.append(given("a", SECOND))


def test_two_that_are_to_be_apart_are_caught_before_either_is_committed() -> None:
    office = Office(anti_affinity=APART_WORKER)
    with pytest.raises(PromiseBroken, match=promises.APART):
        office.append(given("c"), given("c", SECOND))


def test_two_that_change_their_places_in_one_go_are_apart() -> None:
    office = Office(anti_affinity=APART_WORKER)
    office.append(given("c"), given("a", SECOND))


def test_two_that_are_to_be_apart_in_one_site_are_caught() -> None:
    """All of these are in one."""
    with pytest.raises(PromiseBroken, match=promises.APART):
        Office(anti_affinity=APART_SITE).append(given("b", SECOND))


def test_who_is_gone_keeps_nobody_from_its_place() -> None:
    office = Office(anti_affinity=APART_SITE)
    office.view.held = (member("a", state=MemberState.DEAD), member("b"))
    office.append(given("b", SECOND))


@pytest.mark.parametrize("runs", [(Run("a", 1),), (Run("b", 1), Run("b", 1))])
def test_who_keeps_warm_what_it_runs_or_keeps_it_twice_is_caught(runs: tuple[Run, ...]) -> None:
    with pytest.raises(PromiseBroken, match=promises.WARM):
        Office().commit(SetStandbys(instance=INSTANCE, runs=runs, reason="a place is free"))


def test_a_worker_that_keeps_warm_what_it_is_to_run_is_caught() -> None:
    office = Office()
    office.observer.operators.keep_warm(office.watch, {INSTANCE}, {SECOND})
    with pytest.raises(PromiseBroken, match=promises.WARM):
        office.observer.operators.keep_warm(office.watch, {INSTANCE}, {INSTANCE})


@pytest.mark.parametrize("clock_leaps", [0, 1])
def test_who_says_stalled_of_what_comes_further_is_caught_where_clocks_do_not_leap(clock_leaps: int) -> None:
    office = Office(clock_leaps=clock_leaps)
    office.commit(given("b"))
    office.observer.operators.start(office.watch, office.order(epoch=4))
    office.view.told = (status(InstanceState.STALLED, epoch=4, name="b"),)
    office.clock.run_until(STALL_AFTER_S)
    office.observer.sample()
    office.observer.operators.progress(INSTANCE, 4)
    if clock_leaps:
        office.observer.sample()
        return
    with pytest.raises(PromiseBroken, match=promises.STALLED):
        office.observer.sample()


@pytest.mark.parametrize(("live", "is_homeless"), [("ab", False), ("a", True)])
def test_in_the_end_only_what_has_no_place_apart_may_be_with_nobody(live: str, *, is_homeless: bool) -> None:
    office = Office(anti_affinity=APART_WORKER)
    held = tuple(map(member, live))
    told = (status(InstanceState.RUNNING),)
    views = [FakeView(name, plan=office.plan, is_leader=name == "a", held=held, told=told) for name in live]
    running = {view.run: {INSTANCE: 3} if view.name == "a" else {} for view in views}
    found = disagreements(views, running=running, jobs=("job",), index_min=3)
    assert found == ([] if is_homeless else [f"{SECOND} is assigned to nobody"])
