"""A stall that lasts counts as a failure: dumped by the worker, then executed in place, then elsewhere."""

from __future__ import annotations

import attrs
import pytest

from swimstream.model.changes import Revoke
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE
from swimstream.model.restart import FIXED_DELAY, RestartStrategy
from swimstream.model.status import ErrorClass, InstanceState
from tests.core.recovery.situations import Scene, instance, job, newest, the_assign

AFTER_S = 10.0
GIVEN_UP_AFTER_S = 20.0
AT_ONCE = RestartStrategy(strategy=FIXED_DELAY, delay_s=0.0, in_place=1)


def scene_of(*, guarantee: str = AT_LEAST_ONE, after_s: float = AFTER_S) -> Scene:
    """Return a scene where the one instance runs on one of two workers."""
    made = job(restart=AT_ONCE, instances=guarantee)
    (operator,) = made.operators
    made = attrs.evolve(made, operators=(attrs.evolve(operator, stall_after_s=after_s),))
    scene = Scene(newest("a"), newest("b"), jobs=[made])
    scene.decide()
    scene.decide()
    scene.say(InstanceState.RUNNING)
    assert scene.decide() == []
    return scene


def stall(scene: Scene) -> None:
    scene.say(InstanceState.STALLED, cause="no progress: stands at a.py:3 f")
    assert scene.decide() == []


def test_a_stall_is_left_alone_for_twice_its_time_and_then_executed_again_in_place() -> None:
    scene = scene_of()
    home = scene.plan.assignments[instance()].run
    stall(scene)
    assert scene.recovery.next_deadline() == scene.now + GIVEN_UP_AFTER_S
    assert scene.decide_after(GIVEN_UP_AFTER_S - 0.001) == []
    made = the_assign(scene.decide_after(0.001))
    assert (made.run, made.failures, made.reason) == (home, 1, "failed: no progress: stands at a.py:3 f")


def test_the_next_stall_is_executed_elsewhere() -> None:
    scene = scene_of()
    home = scene.plan.assignments[instance()].run
    for _ in range(2):
        stall(scene)
        made = the_assign(scene.decide_after(GIVEN_UP_AFTER_S))
        scene.say(InstanceState.RUNNING)
        scene.decide()
    assert made.run != home


def test_progress_in_between_ends_the_patience_anew() -> None:
    scene = scene_of()
    stall(scene)
    scene.now += 15.0
    scene.say(InstanceState.RUNNING)
    assert scene.decide() == []
    stall(scene)
    assert scene.decide_after(GIVEN_UP_AFTER_S - 0.001) == []
    the_assign(scene.decide_after(0.001))


@pytest.mark.parametrize("state", [InstanceState.RUNNING, InstanceState.FROZEN])
def test_only_a_stall_counts(state: InstanceState) -> None:
    scene = scene_of()
    scene.say(state)
    assert scene.decide() == []
    assert scene.decide_after(1_000.0) == []


def test_a_stall_of_an_operator_that_sets_no_time_counts_for_nothing() -> None:
    scene = scene_of(after_s=0.0)
    stall(scene)
    assert scene.decide_after(1_000.0) == []


def test_an_at_most_one_copy_is_taken_back_and_its_end_is_waited_for() -> None:
    scene = scene_of(guarantee=AT_MOST_ONE)
    home = scene.plan.assignments[instance()].run
    stall(scene)
    (taken,) = scene.decide_after(GIVEN_UP_AFTER_S)
    assert isinstance(taken, Revoke)
    assert taken.reason == "stalled: no progress: stands at a.py:3 f"
    assert scene.decide() == []
    scene.say(InstanceState.STOPPED)
    assert the_assign(scene.decide()).run != home


def test_a_worker_that_cannot_end_the_old_copy_is_left_at_once_and_the_budget_with_it() -> None:
    """What its host says of the epoch that cannot begin; see `test_stalls.py` of the runtime."""
    scene = scene_of()
    home = scene.plan.assignments[instance()].run
    stall(scene)
    the_assign(scene.decide_after(GIVEN_UP_AFTER_S))
    scene.say(InstanceState.FAILED, cause="an older copy goes on", error=ErrorClass.INFRASTRUCTURE)
    made = the_assign(scene.decide())
    assert (made.run != home, made.failures) == (True, 1)
