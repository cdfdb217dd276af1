"""Who stands still, and who was only late to look."""

from __future__ import annotations

import os

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.plan import Plan
from swimstream.model.status import InstanceState, InstanceStatus
from swimstream.runtime import ticks
from swimstream.runtime.reports import Reports
from swimstream.runtime.ticks import LOOKS, FreezeWatch, Pulse, Ticks
from tests.runtime.fake_node import FakeNode

AFTER_S = 1.0
PAUSE_S = AFTER_S / LOOKS
FROZEN = next((state for state in InstanceState if state.name == "FROZEN"), InstanceState.ISOLATED)
JOB = JobSpec(name="job", operators=(OperatorSpec(name="in", kind="inside"), OperatorSpec(name="own", kind="apart")))
INSIDE, APART = InstanceId("job", "in", 0), InstanceId("job", "own", 0)


def pulse(*, shares_fate: bool = False) -> Pulse:
    made = Pulse(frozen_after_s=AFTER_S, shares_fate=shares_fate, now=0.0)
    assert made.look(1, PAUSE_S) == 0
    return made


def looks(made: Pulse, count: int, *, since: float, until: float) -> list[float]:
    """Look in time, and return what was seen."""
    times = int((until - since) / PAUSE_S)
    return [made.look(count, since + number * PAUSE_S) for number in range(1, times + 1)]


@settings(deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=50))
def test_a_loop_that_turns_is_never_frozen(steps: list[int]) -> None:
    made, count = pulse(), 1
    for number, step in enumerate(steps, start=2):
        count += step
        assert made.look(count, number * PAUSE_S) == 0


def test_a_loop_that_stands_still_is_frozen_after_its_time_and_not_before() -> None:
    seen = looks(pulse(), 1, since=PAUSE_S, until=PAUSE_S + 2 * AFTER_S)
    assert [bool(each) for each in seen] == [False] * LOOKS + [True] * LOOKS
    assert seen[-1] == 2 * AFTER_S


def test_it_is_not_frozen_any_more_once_it_turns() -> None:
    made = pulse()
    assert looks(made, 1, since=PAUSE_S, until=PAUSE_S + 2 * AFTER_S)[-1]
    assert made.look(2, 3 * AFTER_S) == 0


def test_a_peer_apart_that_stood_still_itself_accuses_nobody_of_that_time() -> None:
    made = pulse()
    assert made.look(1, 100.0) == 0
    assert [bool(each) for each in looks(made, 1, since=100.0, until=102.0)] == [False] * LOOKS + [True] * LOOKS


@pytest.mark.parametrize("count", [1, 2])
def test_a_peer_on_a_thread_tells_of_the_time_in_which_it_could_not_look(count: int) -> None:
    made = pulse(shares_fate=True)
    assert made.look(count, PAUSE_S + 2.0) == 2.0
    assert made.look(count + 1, 2 * PAUSE_S + 2.0) == 0


def test_a_counter_is_seen_through_a_descriptor_of_its_memory() -> None:
    one = Ticks.shared()
    other = Ticks(os.dup(one.descriptor))
    one.tick()
    one.tick()
    assert other.count == 2
    for each in (one, other):
        each.close_descriptor()


class Rig:
    """A watch over a node that holds an instance in the worker and one apart."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, state: InstanceState = InstanceState.RUNNING) -> None:
        monkeypatch.setattr(ticks, "_FROZEN", FROZEN)
        self.node = FakeNode()
        self.node.known_plan = Plan(jobs={"job": JOB})
        self.node.known_statuses = (self._status(INSIDE, state), self._status(APART, state))
        self.reports = Reports()
        self.watch = FreezeWatch(
            Ticks(), self.reports, frozen_after_s=AFTER_S, shares_fate=False, kinds_apart=frozenset({"apart"})
        )

    def _status(self, instance: InstanceId, state: InstanceState) -> InstanceStatus:
        return InstanceStatus(instance=instance, epoch=3, run=self.node.run, seq=1, state=state, since_ms=0)

    def look(self, frozen_s: float) -> list[tuple[InstanceId, InstanceState | None]]:
        self.watch.look(self.node, frozen_s)
        return [(each.instance, each.state) for each in self.reports.take(now=0.0)]

    def enter(self, state: InstanceState) -> None:
        first, second = self.node.known_statuses
        self.node.known_statuses = (attrs.evolve(first, state=state), second)


@pytest.mark.parametrize("state", [InstanceState.STARTING, InstanceState.RUNNING])
def test_what_runs_in_the_worker_is_frozen_and_then_what_it_was(
    monkeypatch: pytest.MonkeyPatch, state: InstanceState
) -> None:
    rig = Rig(monkeypatch, state=state)
    assert rig.look(1.1) == [(INSIDE, FROZEN)]
    rig.enter(FROZEN)
    assert rig.look(1.4) == []
    assert rig.look(0.0) == [(INSIDE, state)]
    assert (rig.reports.freezes, rig.reports.frozen_s_max) == (1, 1.4)
    rig.enter(state)
    assert rig.look(0.0) == []


def test_the_workers_own_word_stands_above_what_the_instance_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch)
    rig.look(1.1)
    rig.enter(InstanceState.FINISHED)
    assert rig.look(0.0) == []


@pytest.mark.parametrize("state", [InstanceState.STOPPING, InstanceState.FAILED, InstanceState.ISOLATED])
def test_what_does_not_run_does_not_freeze(monkeypatch: pytest.MonkeyPatch, state: InstanceState) -> None:
    assert Rig(monkeypatch, state=state).look(5.0) == []


def test_instances_of_other_runs_are_none_of_our_business(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch)
    rig.node.known_statuses = tuple(attrs.evolve(each, run=Run("other", 1)) for each in rig.node.known_statuses)
    assert rig.look(5.0) == []
