"""An at-most-one instance that is given away too soon is caught, whether or not two copies would have run."""

from __future__ import annotations

import pytest

from swimstream.config import LOCAL
from swimstream.core.effects import EntriesRecord
from swimstream.model.changes import Change, Entry, Evict, Hold, Noop, Release, Revoke, SetAuthority, SubmitJob
from swimstream.model.identity import Run
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, JobSpec, OperatorSpec
from swimstream.model.plan import Plan
from swimstream.model.status import InstanceState
from swimstream.simulator import promises
from swimstream.simulator.clock import Clock
from swimstream.simulator.faults import Faults
from swimstream.simulator.observer import Observer
from swimstream.simulator.promises import PromiseBroken
from tests.worlds.views import FOUNDED, INSTANCE, FakeView, assign, status

SEAT = FOUNDED.council[1]
LASTS_S = 4.0 / 0.99
HOLD = Hold(run=Run("a", 1), reason="suspected", evidence=())
RELEASE = Release(run=Run("a", 1), reason="it answered")
EVICT = Evict(run=Run("a", 1), reason="dead", evidence=())
REVOKE = Revoke(instance=INSTANCE, epoch=4, reason="was not taken up in time")


class Office:
    """Leader b of term 1, which follows a plan that grows; the instance is with a in epoch 4 of it."""

    def __init__(self, instances: str = AT_MOST_ONE) -> None:
        spec = OperatorSpec(name="source", kind="work", instances=instances)
        job = JobSpec(name="job", operators=(spec,))
        self.clock = Clock()
        self.observer = Observer(seed=1, gentle=False, clock=self.clock, timing=LOCAL, faults=Faults())
        self.view = FakeView("b", leader="b", is_leader=True)
        self.watch = self.observer.begin(self.view)
        authority = SetAuthority(isolation_ms=4_000, drift_ppm=10_000)
        self.plan = Plan()
        self.commit(FOUNDED, authority, SubmitJob(job=job), assign("a"), at=0.0)

    def commit(self, *changes: Change, at: float) -> None:
        self.clock.run_until(at)
        first, term = self.plan.index + 1, self.view.term
        entries = [Entry(index=first + number, term=term, change=change) for number, change in enumerate(changes)]
        self.view.plan = self.plan = self.plan.advance(entries)
        self.observer.step(self.watch)

    def gives_away(self, *, at: float) -> None:
        self.clock.run_until(at)
        index = self.plan.index + 1
        entry = Entry(index=index, term=self.view.term, change=assign("b"))
        self.observer.write(self.watch, SEAT, EntriesRecord(index, (entry,)))

    def is_elected_again(self, *, at: float) -> None:
        self.clock.run_until(at)
        self.view.term += 1
        self.observer.step(self.watch)


@pytest.mark.parametrize("stop", [HOLD, EVICT, REVOKE])
def test_a_move_is_allowed_when_the_slowest_clock_has_shown_l_since_the_stop(stop: Change) -> None:
    office = Office()
    office.commit(stop, at=10.0)
    office.gives_away(at=10.0 + LASTS_S)


@pytest.mark.parametrize("stop", [HOLD, EVICT, REVOKE])
def test_a_move_without_the_factor_for_drift_is_caught(stop: Change) -> None:
    """Nobody need have a slow clock just now."""
    office = Office()
    office.commit(stop, at=10.0)
    with pytest.raises(PromiseBroken, match=promises.AT_MOST_ONE):
        office.gives_away(at=10.0 + 4.0)


def test_a_move_that_nothing_has_stopped_is_caught() -> None:
    with pytest.raises(PromiseBroken, match="nothing has stopped a@1"):
        Office().gives_away(at=100.0)


def test_a_move_that_counts_from_a_hold_that_was_released_is_caught() -> None:
    office = Office()
    office.commit(HOLD, at=10.0)
    office.commit(RELEASE, at=11.0)
    office.commit(HOLD, at=12.0)
    with pytest.raises(PromiseBroken, match="its stop at 7 counts from 12"):
        office.gives_away(at=10.0 + LASTS_S)


def test_a_hold_that_became_an_eviction_counts_from_the_hold() -> None:
    office = Office()
    office.commit(HOLD, at=10.0)
    office.commit(EVICT, at=13.0)
    office.gives_away(at=10.0 + LASTS_S)


@pytest.mark.parametrize("state", [InstanceState.STOPPED, InstanceState.FAILED])
def test_an_end_that_was_reported_makes_the_wait_needless(state: InstanceState) -> None:
    office = Office()
    office.view.told = (status(state, epoch=4),)
    office.gives_away(at=1.0)


def test_being_isolated_is_no_end() -> None:
    office = Office()
    office.view.told = (status(InstanceState.ISOLATED, epoch=4),)
    with pytest.raises(PromiseBroken, match=promises.AT_MOST_ONE):
        office.gives_away(at=1.0)


def test_the_end_of_another_epoch_is_no_end_of_this_one() -> None:
    office = Office()
    office.view.told = (status(InstanceState.STOPPED, epoch=3),)
    with pytest.raises(PromiseBroken, match=promises.AT_MOST_ONE):
        office.gives_away(at=1.0)


def test_a_new_leader_may_count_a_stop_that_it_inherited_from_its_election() -> None:
    """Though nobody knew it committed before: whoever gave its vote acked no older leader any more."""
    office = Office()
    office.is_elected_again(at=9.0)
    plan = office.plan.advance([Entry(index=5, term=1, change=HOLD), Entry(index=6, term=2, change=Noop())])
    office.clock.run_until(10.0)
    office.view.plan = office.plan = plan
    office.observer.step(office.watch)
    office.gives_away(at=9.0 + LASTS_S)


def test_a_new_leader_that_counts_a_stop_of_its_own_from_its_election_is_caught() -> None:
    office = Office()
    office.is_elected_again(at=9.0)
    office.commit(HOLD, at=10.0)
    with pytest.raises(PromiseBroken, match=promises.AT_MOST_ONE):
        office.gives_away(at=9.0 + LASTS_S)


def test_an_at_least_one_instance_moves_at_once() -> None:
    Office(AT_LEAST_ONE).gives_away(at=1.0)
