"""Peers that hold the same come to the same hash, so that a sync costs one small datagram."""

from __future__ import annotations

from swimstream.model.report import Report
from swimstream.model.status import InstanceState
from tests.core.town import Town, job


def town_where_a_worker_finished_and_died() -> Town:
    town = Town("abcd")
    town.run_until_led()
    town.submit("a", job(parallelism=6))
    town.run_for(10.0)
    late = town["d"]
    (done,) = (each for each in late.started if str(each.instance) in late.running)
    late.node.report(Report(instance=done.instance, epoch=done.epoch, state=InstanceState.FINISHED), now=town.now)
    town.run_for(5.0)
    town.crash("d")
    town.run_for(60.0)
    return town


def agreements(town: Town, name: str, *, seconds: float) -> int:
    before = town.node(name).counters().get("syncs_in_agreement", 0)
    town.run_for(seconds)
    return town.node(name).counters().get("syncs_in_agreement", 0) - before


def test_a_newcomer_agrees_with_those_who_remember_a_dead_worker_that_finished_its_part() -> None:
    town = town_where_a_worker_finished_and_died()
    town.settle_in("e")
    town.run_for(60.0)
    assert agreements(town, "e", seconds=120.0) > 0


def test_a_newcomer_learns_what_became_of_instances_on_a_worker_that_is_forgotten() -> None:
    town = town_where_a_worker_finished_and_died()
    for name in "abc":
        town.node(name)._rooms.membership._forget("d")
    town.settle_in("e")
    town.run_for(60.0)
    assert town.node("e").statuses() == town.node("a").statuses()
    assert agreements(town, "e", seconds=120.0) > 0
