"""Make before break: the former copy goes on until its successor runs, and not for ever."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest

from swimstream.core.status.local import HANDOVER_S_MAX, LocalInstances
from swimstream.model.identity import InstanceId, Run
from swimstream.model.plan import Assignment
from swimstream.model.report import Report
from swimstream.model.status import InstanceState

ME, OTHER, THIRD = Run("a", 1), Run("b", 1), Run("c", 1)
ONE = InstanceId("j", "o", 0)
OURS = Assignment(instance=ONE, run=ME, epoch=1)
HANDED_OVER = Assignment(instance=ONE, run=OTHER, epoch=2, former_run=ME, former_epoch=1)
HANDED_ON = Assignment(instance=ONE, run=THIRD, epoch=3, former_run=OTHER, former_epoch=2)


def running(*, fence_at: float | None = None) -> LocalInstances:
    instances = LocalInstances(status_interval_s=1.0, since_ms=0, counters=Counter(), now=0.0)
    fenced = () if fence_at is None else (ONE,)
    instances.follow_plan(ME, {ONE: OURS}, 0.0, fenced=fenced, fence_at=fence_at)
    instances.report(Report(instance=ONE, epoch=1, state=InstanceState.RUNNING), 0.0)
    return instances


def stopped(instances: LocalInstances, assigned: Assignment | None, *, now: float = 1.0) -> list[int]:
    """Return the epochs that are stopped as the plan comes to say that."""
    plan = {} if assigned is None else {ONE: assigned}
    return [each.epoch for each in instances.follow_plan(ME, plan, now)[1]]


def ended(instances: LocalInstances, *, successor: bool, now: float = 1.0) -> list[int]:
    return [each.epoch for each in instances.end_handovers(lambda _, epoch: successor and epoch == 1, now)]


def test_a_copy_that_is_handed_over_goes_on_until_its_successor_runs() -> None:
    instances = running()
    assert stopped(instances, HANDED_OVER) == []
    assert ended(instances, successor=False) == []
    assert ended(instances, successor=True) == [1]
    assert ended(instances, successor=True) == [], "it is asked to stop once"
    assert stopped(instances, HANDED_OVER) == []


def test_a_copy_that_is_not_handed_over_is_stopped_at_once() -> None:
    moved = attrs.evolve(HANDED_OVER, former_run=None, former_epoch=0)
    assert stopped(running(), moved) == [1]


def test_the_handover_of_another_copy_is_no_reason_to_go_on() -> None:
    assert stopped(running(), HANDED_ON) == [1]


def test_a_copy_that_was_handed_over_goes_on_while_its_successor_is_replaced_by_another() -> None:
    instances = running()
    stopped(instances, HANDED_OVER)
    assert stopped(instances, HANDED_ON) == []
    assert ended(instances, successor=True) == [1]


@pytest.mark.parametrize(
    "assigned",
    [
        None,
        attrs.evolve(HANDED_ON, former_run=None, former_epoch=0),
        attrs.evolve(HANDED_OVER, finished=True),
        attrs.evolve(HANDED_OVER, revoked=9),
    ],
)
def test_a_handover_ends_when_the_plan_says_nothing_of_it_any_more(assigned: Assignment | None) -> None:
    instances = running()
    stopped(instances, HANDED_OVER)
    assert stopped(instances, assigned) == [1]


def test_a_copy_whose_instance_comes_back_here_is_stopped_before_the_new_one_starts() -> None:
    instances = running()
    stopped(instances, HANDED_OVER)
    back = Assignment(instance=ONE, run=ME, epoch=3, former_run=OTHER, former_epoch=2)
    to_start, to_stop, _ = instances.follow_plan(ME, {ONE: back}, 2.0)
    assert ([each.epoch for each in to_stop], [each.epoch for each in to_start]) == ([1], [3])


def test_a_handover_lasts_for_a_stated_time_at_most() -> None:
    instances = running()
    stopped(instances, HANDED_OVER, now=1.0)
    assert instances.next_deadline() <= 1.0 + HANDOVER_S_MAX
    assert ended(instances, successor=False, now=0.9 + HANDOVER_S_MAX) == []
    assert ended(instances, successor=False, now=1.0 + HANDOVER_S_MAX) == [1]
    assert instances.next_deadline() == float("inf")


def test_a_fenced_copy_is_never_kept_on() -> None:
    assert stopped(running(fence_at=100.0), HANDED_OVER) == [1]


def test_a_copy_that_had_not_come_up_is_not_kept_on() -> None:
    instances = LocalInstances(status_interval_s=1.0, since_ms=0, counters=Counter(), now=0.0)
    instances.follow_plan(ME, {ONE: OURS}, 0.0)
    assert stopped(instances, HANDED_OVER) == [1]


def test_whether_something_is_handed_over_is_known_until_it_has_ended() -> None:
    instances = running()
    assert not instances.hands_over
    stopped(instances, HANDED_OVER)
    assert instances.hands_over
    ended(instances, successor=True)
    assert instances.hands_over, "asked to stop, it still runs"
    instances.report(Report(instance=ONE, epoch=1, state=InstanceState.STOPPED), 2.0)
    assert not instances.hands_over
