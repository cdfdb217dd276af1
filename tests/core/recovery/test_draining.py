"""A worker is emptied region by region; what has no other place stays, and says why."""

from __future__ import annotations

import pytest

from swimstream.core.recovery.pending import pending
from swimstream.model.changes import DRAINING, LEAVING, Revoke, SetWorkerMode
from swimstream.model.identity import Run
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, PINNED
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState
from tests.core.recovery.lively import Lively, pipeline
from tests.core.recovery.situations import ACCEPT_S, assigns, instance, job, newest, the_assign


def scene(*names: str, jobs: int = 2, instances: str = AT_LEAST_ONE, capacity: int = 64) -> Lively:
    made = Lively(
        *(newest(name, capacity=capacity) for name in names),
        jobs=[pipeline(f"j{n}", instances=instances) for n in range(jobs)],
    )
    made.settle()
    assert not made.disturbed()
    return made


def test_what_a_draining_worker_has_moves_elsewhere_and_the_former_copies_go_on() -> None:
    here = scene("a", "b", "c", jobs=1)
    before = {which: here.plan.assignments[which] for which in here.on("a")}
    here.set_mode("a", DRAINING)
    made = assigns(here.decide())
    assert {each.instance for each in made} == set(before)
    assert all(each.handover and each.run.name != "a" and each.reason == "a is draining" for each in made)
    for which, former in before.items():
        held = here.plan.assignments[which]
        assert (held.former_run, held.former_epoch) == (former.run, former.epoch)


def test_one_region_moves_at_a_time() -> None:
    here = scene("a", "b", jobs=3)
    here.set_mode("a", DRAINING)
    moved = []
    while here.on("a"):
        changes = assigns(here.turn())
        moved.append({each.instance.job for each in changes})
        assert len(here.disturbed()) <= 1
    assert [jobs for jobs in moved if jobs] == [{"j0"}, {"j1"}, {"j2"}]


def test_two_draining_workers_disturb_one_region_at_a_time_together() -> None:
    here = scene("a", "b", "c", jobs=4)
    here.set_mode("a", DRAINING)
    here.set_mode("b", DRAINING)
    while here.on("a") or here.on("b"):
        here.turn()
        assert len(here.disturbed()) <= 1
    assert set(here.running().values()) == {"c"}


def test_the_next_region_waits_until_the_former_runs_again_but_not_for_ever() -> None:
    here = scene("a", "b", jobs=2)
    here.set_mode("a", DRAINING)
    assert {each.instance.job for each in assigns(here.decide())} == {"j0"}
    for which in [each for each, held in here.plan.assignments.items() if held.former_run is not None]:
        here.say(InstanceState.STARTING, which=which)
    assert here.decide() == []
    assert here.recovery.waits[here.on("a")[0]].why == "a drains: waits until j0/source and what is tied to it runs"
    assert here.decide_after(ACCEPT_S - 0.1) == []
    assert {each.instance.job for each in assigns(here.decide_after(0.1))} == {"j1"}


def test_a_new_leader_goes_on_where_the_former_one_was() -> None:
    here = scene("a", "b", jobs=3)
    here.set_mode("a", DRAINING)
    here.leader_dies = True
    while here.on("a"):
        here.turn()
        assert len(here.disturbed()) <= 1


def test_what_runs_at_most_once_is_taken_back_and_given_away_once_it_has_ended() -> None:
    here = scene("a", "b", jobs=1, instances=AT_MOST_ONE)
    ours = here.on("a")
    here.set_mode("a", DRAINING)
    made = here.decide()
    assert made == [Revoke(instance=which, epoch=here.epoch(which), reason="a is draining") for which in ours]
    assert here.decide() == [], "not before it has ended"
    for which in ours:
        here.say(InstanceState.STOPPED, which=which)
    after = assigns(here.decide())
    assert {each.instance for each in after} == set(ours)
    assert not any(each.handover for each in after)
    assert {(each.run.name, each.reason) for each in after} == {("b", "a is draining")}


def test_what_runs_at_most_once_is_not_taken_back_when_there_is_no_other_place() -> None:
    here = scene("a", jobs=1, instances=AT_MOST_ONE)
    here.set_mode("a", DRAINING)
    assert here.decide() == []


def test_without_another_place_it_stays_and_is_told_why() -> None:
    here = scene("a", "b", jobs=1, capacity=2)
    here.set_mode("a", DRAINING)
    which = here.on("a")[0]
    assert here.settle() == []
    assert pending(here.plan, here.members, waits=here.recovery.waits)[which] == (
        "a drains, but has to keep it: the only live worker that runs kind 'map' and may have it is full"
    )


def test_it_moves_once_there_is_room() -> None:
    here = scene("a", "b", jobs=1, capacity=2)
    here.set_mode("a", DRAINING)
    here.settle()
    here.put(newest("c"))
    here.settle()
    assert here.on("a") == []


def test_no_capacity_is_pending_with_what_is_missing_until_a_worker_comes() -> None:
    here = Lively(newest("a", capacity=1), jobs=[job(parallelism=2)])
    here.settle()
    waiting = pending(here.plan, here.members)
    assert waiting == {instance(1): "the only live worker that runs kind 'map' is full"}
    here.new_leader()
    here.settle()
    here.put(newest("b"))
    here.settle()
    assert here.running()[instance(1)] == "b"


def test_what_is_pinned_stays() -> None:
    here = Lively(newest("a"), newest("b"), jobs=[job(instances=PINNED)])
    here.settle()
    here.set_mode("a", DRAINING)
    assert here.settle() == []
    assert here.recovery.waits[instance()].why == "a drains, but it is pinned to a"


def test_a_draining_worker_is_given_nothing_new() -> None:
    here = scene("a", "b", jobs=1)
    here.set_mode("a", DRAINING)
    here.settle()
    here.becomes("b", MemberState.DEAD, accusers=("a", "c"))
    here.settle()
    assert here.on("a") == []


def test_a_successor_that_fails_is_replaced_while_the_first_copy_goes_on() -> None:
    here = Lively(newest("a"), newest("b"), newest("c"), jobs=[job()])
    here.settle()
    assert here.where() == "a"
    here.set_mode("a", DRAINING)
    here.decide()
    here.say(InstanceState.FAILED, cause="no")
    here.decide()
    made = the_assign(here.decide_after(60.0))
    assert made.handover


def test_a_successor_is_replaced_without_a_handover_when_the_first_copy_is_gone() -> None:
    here = Lively(newest("a"), newest("b"), newest("c"), jobs=[job()])
    here.settle()
    here.set_mode("a", DRAINING)
    here.decide()
    here.put(newest("a", boot=2))
    here.say(InstanceState.FAILED, cause="no")
    here.decide()
    assert not the_assign(here.decide_after(60.0)).handover


def test_the_mode_of_a_run_that_leaves_ends_with_it() -> None:
    here = scene("a", "b", jobs=1)
    here.set_mode("a", LEAVING, boot=1)
    here.settle()
    assert not here.is_normal("a")
    here.becomes("a", MemberState.LEFT)
    changes = here.settle()
    assert [each for each in changes if isinstance(each, SetWorkerMode)] == [
        SetWorkerMode(name="a", mode="", level=0, boot=0, reason="has left", asked_by="")
    ]
    assert here.is_normal("a")


def test_a_later_run_of_a_worker_that_left_is_given_instances_again() -> None:
    here = scene("a", "b", jobs=1)
    here.set_mode("a", LEAVING, boot=1)
    here.settle()
    here.put(newest("a", boot=2))
    here.becomes("b", MemberState.DEAD, accusers=("a", "c"))
    here.settle()
    assert set(here.running().values()) == {"a"}


@pytest.mark.parametrize("leader_dies", [False, True])
@pytest.mark.parametrize("instances", [AT_LEAST_ONE, AT_MOST_ONE])
def test_a_rolling_restart_of_every_worker_disturbs_one_region_at_a_time(instances: str, leader_dies: bool) -> None:  # noqa: FBT001  # pytest passes it by name
    """Drain, leave, come back: worker after worker; with a new leader every turn, too."""
    here = scene("a", "b", "c", "d", jobs=5, instances=instances)
    here.leader_dies = leader_dies
    for name in ("a", "b", "c", "d"):
        here.set_mode(name, LEAVING, boot=1)
        for _ in range(100):
            here.turn()
            assert len(here.disturbed()) <= 1
            if not here.on(name):
                break
        assert not here.on(name)
        here.becomes(name, MemberState.LEFT)
        assert len(here.disturbed()) <= 1
        here.settle()
        here.put(newest(name, boot=2))
        here.settle()
        assert not here.disturbed()
        assert here.is_normal(name)
    assert all(held.run.boot == 2 for held in here.plan.assignments.values() if held.run.name != "d")


def test_a_worker_that_is_suspected_is_not_emptied_meanwhile() -> None:
    here = scene("a", "b", jobs=1)
    here.set_mode("a", DRAINING)
    here.becomes("a", MemberState.SUSPECT)
    assert here.decide() == []


def test_an_instance_that_is_restarted_for_another_reason_is_left_to_that() -> None:
    here = Lively(newest("a"), newest("b"), jobs=[job()])
    here.settle()
    here.set_mode("a", DRAINING)
    here.say(InstanceState.FAILED, cause="no")
    assert here.decide() == []
    made = the_assign(here.decide_after(60.0))
    assert (made.run, made.handover) == (Run("b", 1), False)


def test_a_worker_that_is_asked_again_to_drain_drains_since_the_first_time() -> None:
    here = scene("a", "b", jobs=1)
    here.set_mode("a", DRAINING)
    since = here.plan.directives.modes["a"].index
    here.set_mode("a", DRAINING)
    assert here.plan.directives.modes["a"].index == since
    here.set_mode("a", LEAVING, boot=1)
    assert here.plan.directives.modes["a"].index > since
