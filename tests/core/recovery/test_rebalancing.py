"""What moves to a worker that has joined: little at a time, of what may, and only while all is well."""

from __future__ import annotations

import attrs
import pytest

from swimstream.core.recovery.rebalancing import REASON
from swimstream.model.changes import CORDONED, DRAINING, NORMAL, SetPolicy, SubmitJob
from swimstream.model.job import AT_MOST_ONE, PINNED, SCOPE_INSTANCE, SCOPE_REGION
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState
from tests.core.recovery.lively import Lively, pipeline
from tests.core.recovery.situations import assigns, instance, job, newest


def crowded(
    *,
    moves: int = 2,
    instances: str = "at-least-one",
    prefer_site: str = "",
    count: int = 12,
    failover: str = SCOPE_INSTANCE,
) -> Lively:
    """Return two busy workers and a third one that has just joined."""
    wanted = job(parallelism=count, instances=instances, prefer_site=prefer_site)
    operators = tuple(attrs.evolve(each, failover=failover) for each in wanted.operators)
    here = Lively(newest("a"), newest("b"), jobs=[attrs.evolve(wanted, operators=operators)])
    here.settle()
    if moves:
        here.commit(SetPolicy(rebalance_moves=moves, asked_by="t"))
        assert here.settle() == []
    here.put(newest("c", site="new"))
    return here


def held_by(here: Lively) -> list[int]:
    return [len(here.on(name)) for name in "abc"]


def test_nothing_moves_unless_somebody_wants_it() -> None:
    assert crowded(moves=0).settle() == []


def test_so_many_move_at_a_time_and_the_next_ones_when_these_run() -> None:
    here = crowded(moves=2)
    made = assigns(here.decide())
    assert [(each.run.name, each.handover, each.reason) for each in made] == [("c", True, REASON)] * 2
    assert here.decide() == []
    for each in made:
        here.say(InstanceState.STARTING, which=each.instance)
    assert here.decide() == []
    for each in made:
        here.say(InstanceState.RUNNING, which=each.instance)
    assert len(assigns(here.decide())) > 0


def test_what_others_restart_with_does_not_move() -> None:
    here = crowded(failover=SCOPE_REGION)
    assert here.settle() == []


def test_it_comes_to_rest_with_shares_that_differ_little() -> None:
    here = crowded()
    here.settle()
    assert max(held_by(here)) - min(held_by(here)) <= 2
    assert here.settle() == []


def test_a_small_difference_moves_nothing() -> None:
    here = Lively(newest("a"), newest("b"), jobs=[job(parallelism=9)])
    here.commit(SetPolicy(rebalance_moves=9, asked_by="t"))
    here.settle()
    assert [len(here.on("a")), len(here.on("b"))] == [5, 4]


def test_shares_that_differ_by_less_than_half_of_the_mean_are_left_alone() -> None:
    here = Lively(newest("a"), newest("b"), jobs=[job(f"j{n}") for n in range(10)])
    here.settle()
    here.set_mode("b", CORDONED)
    here.commit(SubmitJob(job=job("other", parallelism=2, instances=PINNED)))
    here.settle()
    here.set_mode("b", NORMAL)
    here.commit(SetPolicy(rebalance_moves=9, asked_by="t"))
    here.settle()
    assert [len(here.on("a")), len(here.on("b"))] == [7, 5]


def test_who_gives_keeps_no_less_than_who_takes() -> None:
    here = Lively(newest("a"), jobs=[pipeline("wide", parallelism=1, slots=6), job()])
    here.settle()
    here.put(newest("b"))
    here.commit(SetPolicy(rebalance_moves=1, asked_by="t"))
    here.settle()
    assert len(here.on("b")) == 1, "one of six slots; the other one and the small one stay"
    assert here.settle() == []


def test_one_instance_alone_is_not_passed_to_and_fro() -> None:
    here = crowded(count=1)
    assert here.settle() == []


@pytest.mark.parametrize("instances", [AT_MOST_ONE, PINNED])
def test_what_would_stand_still_for_it_does_not_move(instances: str) -> None:
    assert crowded(instances=instances).settle() == []


def test_what_is_where_it_wants_to_be_does_not_move() -> None:
    assert crowded(prefer_site="default").settle() == []


@pytest.mark.parametrize("state", [InstanceState.STARTING, InstanceState.STALLED, InstanceState.FAILED])
def test_nothing_moves_while_something_does_not_run(state: InstanceState) -> None:
    here = crowded()
    here.say(state, which=instance(3))
    assert assigns(here.decide()) == []


def test_nothing_moves_while_something_has_no_place() -> None:
    here = crowded()
    here.commit(SubmitJob(job=job("other", kind="unknown")))
    assert assigns(here.settle()) == []


def test_nothing_moves_while_a_worker_is_suspected() -> None:
    here = crowded()
    here.becomes("b", MemberState.SUSPECT)
    assert assigns(here.decide()) == []


def test_nothing_moves_while_a_worker_drains() -> None:
    here = crowded()
    here.set_mode("c", DRAINING)
    assert assigns(here.settle()) == []


def test_a_cordoned_worker_neither_gives_nor_takes() -> None:
    here = crowded()
    here.set_mode("c", CORDONED)
    assert assigns(here.settle()) == []


def test_a_new_leader_goes_on_with_it() -> None:
    here = crowded()
    here.leader_dies = True
    here.settle()
    assert min(held_by(here)) >= 3
