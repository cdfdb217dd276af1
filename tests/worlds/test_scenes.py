"""Whole clusters in trouble, story by story; and each once more with the leader dying in the midst of it.

All promises are checked at every step. In the usual run each story has one seed for each moment at which the leader
dies; `--seeds 20` lives through so many of each, and `--seed 7` through that one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from swimstream.core.recovery.brakes import HOLD_SUSPICIONS, MOVES_PER_WORKER_S
from swimstream.core.recovery.pending import pending
from swimstream.model.changes import (
    DRAINING,
    LEAVING,
    NORMAL,
    QUARANTINED,
    Assign,
    Blame,
    Evict,
    Hold,
    Quarantine,
    SetWorkerMode,
    UpdateJob,
)
from swimstream.model.identity import InstanceId
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE
from swimstream.simulator.operators import KIND
from swimstream.simulator.wishes import mode_change
from tests.worlds.town import Death, Town, job, operator

if TYPE_CHECKING:
    from swimstream.model.changes import Change

SUSPICION_S = 1.0
"""The shortest one of the pace at which these worlds live."""
FIRST_OF_A_SITE = 1
"""What the first had to be declared dead may be moved at once, if nobody had probed the other one by then."""
CAPACITY = 64
POISON = InstanceId("job", "poison", 0)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each story for each moment of death and seed."""
    seed = metafunc.config.getoption("--seed", default=None)
    count = metafunc.config.getoption("--seeds", default=None)
    cases = []
    for number, death in enumerate(Death):
        seeds = range(count) if count else [number]
        cases += [(death, each) for each in (seeds if seed is None else [seed])]
    metafunc.parametrize(("death", "seed"), cases, ids=[f"{death.value}-{each}" for death, each in cases])


def test_a_poison_operator_is_convicted_and_no_innocent_is(death: Death, seed: int) -> None:
    """It takes its worker down each time it has run for a while; every worker comes back."""
    town = Town(job("job", operator("innocent", 3), operator("poison")), nodes=5, seed=seed, death=death)

    def is_blamed(change: Change) -> bool:
        if isinstance(change, Quarantine):
            return seed % 2 == 1
        return isinstance(change, Blame) and POISON in change.instances and seed % 2 == 0

    town.doom(is_blamed, is_given=lambda order: order.instance == POISON)
    crashes = 0
    while POISON not in town.plan().directives.quarantined:
        assert crashes < 12, "it is never convicted"
        town.pass_time(0.25)
        life = town.running().get(POISON)
        if life is not None and life.bench.copies[POISON].ticks >= 2:
            town.crash(life, back_s=2.5)
            crashes += 1
    town.settle()
    assert set(town.plan().directives.quarantined) == {POISON}
    assert POISON not in town.running()
    assert crashes >= 4
    (convicted,) = town.decisions(f"quarantine {POISON}")
    assert not [order for at, _, order in town.starts if order.instance == POISON and at > town.decided_at(convicted)]
    town.assert_died()


def site_lost(death: Death, seed: int) -> tuple[Town, list[str]]:
    """Return a town of three sites, and the workers of a site in which nobody leads."""
    both = job("job", operator("work", 24), operator("single", 6, instances=AT_MOST_ONE))
    town = Town(both, nodes=6, sites=3, seed=seed, death=death)
    leader = town.leader()
    assert leader is not None
    site = town.rng.choice(sorted({f"site-{number}" for number in range(3)} - {town.host(leader.name).site}))
    return town, [host.name for host in town.world.hosts if host.site == site]


def test_a_site_that_is_back_in_time_has_lost_nothing_and_nothing_was_moved(death: Death, seed: int) -> None:
    town, lost = site_lost(death, seed)
    town.doom(lambda change: isinstance(change, Hold) and change.run.name in lost)
    hosted = {each: held.run.name for each, held in town.plan().assignments.items() if held.run.name in lost}
    before = {each: epoch for each, epoch in town.epochs().items() if each in hosted}
    assert len(before) >= 8
    pairs = town.cut_off(lost)
    town.pass_time(4.5)
    town.world.network.mend(pairs)
    town.settle()
    after = town.epochs()
    moved = [each for each in before if after[each] != before[each]]
    assert len({hosted[each] for each in moved}) <= FIRST_OF_A_SITE
    assert sum(len(town.decisions(f"evict {name}")) for name in lost) <= FIRST_OF_A_SITE
    town.assert_died()


def test_what_a_lost_site_had_is_taken_over_with_the_brakes_on_and_never_twice(death: Death, seed: int) -> None:
    """It comes back when all is done; that nothing runs twice is the world's own promise."""
    town, lost = site_lost(death, seed)
    town.doom(lambda change: isinstance(change, Evict) and change.run.name in lost)
    hosted = {each: held.run.name for each, held in town.plan().assignments.items() if held.run.name in lost}
    cut_at = town.now
    pairs = town.cut_off(lost)
    town.wait_until(lambda: not any(map(town.on, lost)), "all that was lost is with others")
    town.pass_time(2.0)
    assert set(hosted) <= set(town.running())
    made = [(each, made) for each in hosted for made in town.decisions(f"assign {each} to ")]
    moves = [(town.decided_at(move), move.term, hosted[each]) for each, move in made if town.decided_at(move) > cut_at]
    held_until = cut_at + SUSPICION_S * (1 + HOLD_SUSPICIONS)
    assert len({name for at, _, name in moves if at < held_until}) <= FIRST_OF_A_SITE
    live = len(town.world.hosts) - len(lost)
    for at, term, _ in moves:
        at_once = sum(at <= other <= at + 0.1 for other, led, _ in moves if led == term)
        assert at_once <= MOVES_PER_WORKER_S * live + 1
    town.world.network.mend(pairs)
    town.settle()
    town.assert_died()


def test_a_rolling_restart_of_every_worker_disturbs_one_region_at_a_time(death: Death, seed: int) -> None:
    """What runs at least once is not disturbed at all, but by the death of the leader itself."""
    single = [
        job(f"single-{each}", operator("a", instances=AT_MOST_ONE), operator("b", inputs=("a",), instances=AT_MOST_ONE))
        for each in range(3)
    ]
    town = Town(*single, job("many", operator("work", 4)), nodes=4, seed=seed, death=death)
    spared = town.world.hosts[seed % 4].worker
    town.doom(lambda change: isinstance(change, SetWorkerMode) and change.mode == LEAVING and change.name != spared)
    first_boots = {host.name: host.life.run.boot for host in town.world.hosts if host.life is not None}
    for host in town.world.hosts:
        town.withdraw(host, within_s=60.0)
    assert len({each.job for each in town.downs.at_once}) <= 1
    assert len(town.downs.at_once) <= 2
    assert not any(each.job == "many" for each in town.downs.at_once)
    assert all(life.run.boot > first_boots[life.name] for life in town.world.lives())
    assert not any(town.mode_of(host.worker) for host in town.world.hosts)
    town.assert_died()


def test_a_worker_that_flaps_is_given_nothing_until_its_quarantine_is_over(death: Death, seed: int) -> None:
    town = Town(job("job", operator("work", 4)), nodes=4, seed=seed, death=death)
    name = town.follower().name
    host = town.host(name)
    town.doom(
        lambda change: isinstance(change, SetWorkerMode) and change.mode == QUARANTINED,
        is_given=lambda _: town.host(name).starts > 3,
    )
    crashes = 0
    while town.mode_of(name) != QUARANTINED:
        assert crashes < 9, "it is never quarantined"
        if host.life is not None:
            town.crash(host.life, back_s=0.8)
            crashes += 1
        town.pass_time(3.0)
    since = town.plan().directives.modes[name].index
    town.submit(job("meanwhile", operator("work", 4)))
    assert town.mode_of(name) == QUARANTINED
    town.wait_until(lambda: town.mode_of(name) == NORMAL, "it is trusted again")
    town.submit(job("later", operator("work", 8)))
    over = max(made.index for made in town.decisions(f"{name} is given instances as usual"))
    given = [made for made in town.decisions("assign ") if f" to {name}@" in made.what]
    assert not [made for made in given if since < made.index < over]
    assert [made for made in given if made.index > over]
    assert crashes >= 3
    town.assert_died()


def test_a_leader_that_is_drained_leads_no_more_and_what_it_had_goes_on_elsewhere(death: Death, seed: int) -> None:
    both = job("job", operator("work", 6), operator("single", 4, instances=AT_MOST_ONE))
    town = Town(both, nodes=4, seed=seed, death=death)
    former = town.leader()
    assert former is not None
    name = former.name
    assert town.on(name)
    town.doom(lambda change: isinstance(change, SetWorkerMode), is_given=lambda order: order.epoch > before)
    before = town.plan().index
    town.ask(mode_change(name, DRAINING, asked_by="w00"), done=lambda plan: plan.directives.mode_of(name) == DRAINING)
    town.wait_until(lambda: not town.on(name), "it is empty")
    town.settle()
    leader = town.leader()
    assert leader is not None
    assert leader.name != name
    assert not town.on(name)
    assert town.mode_of(name) == DRAINING
    assert not any(each.operator == "work" for each in town.downs.at_once)
    town.assert_died()


def test_a_job_that_is_updated_while_a_worker_fails_runs_as_updated_and_what_was_not_changed_goes_on(
    death: Death, seed: int
) -> None:
    source, sink = operator("source", instances=AT_MOST_ONE), operator("sink", 2, inputs=("stage",))
    town = Town(job("job", source, operator("stage", 3, inputs=("source",)), sink), nodes=5, seed=seed, death=death)
    changed = operator("stage", 3, inputs=("source",), parameters={"changed": "yes"})
    update = UpdateJob(job=job("job", source, changed, sink), base=0, asked_by="w00")
    town.doom(lambda change: isinstance(change, UpdateJob), is_given=lambda order: order.spec == changed)
    before = town.epochs()
    failed = town.running()[InstanceId("job", "stage", 0)]
    town.crash(failed, back_s=6.0)
    town.ask(update, done=lambda plan: plan.version_of("job") > 1)
    town.settle()
    stages = [life.bench.copies[each] for each, life in town.running().items() if each.operator == "stage"]
    assert [copy.spec for copy in stages] == [changed] * 3
    assert town.plan().version_of("job") == 2
    hit = {failed.name, town.victim}
    for each, held in town.plan().assignments.items():
        others = {name for _, name, order in town.starts if order.instance == each and order.epoch == before[each]}
        if each.operator != "stage" and not others & hit:
            assert held.epoch == before[each]
    town.assert_died()


def test_without_capacity_an_instance_waits_and_says_so_and_nobody_is_overloaded(death: Death, seed: int) -> None:
    """Until somebody has room again, which is the worker that failed."""
    town = Town(job("job", operator("work", 8, slots=CAPACITY // 2)), nodes=4, seed=seed, death=death)
    failed = town.follower()
    town.doom(
        lambda change: isinstance(change, Evict) and change.run == failed.run,
        is_given=lambda order: order.epoch > before,
    )
    before = town.plan().index
    town.crash(failed, back_s=20.0)
    town.pass_time(12.0)
    town.wait_until(lambda: len(town.running()) == 6, "all others have as much as they can")
    leader = town.leader()
    assert leader is not None
    why = pending(leader.node.plan, {each.run.name: each for each in leader.node.members()})
    full = f"all 3 live workers that run kind {KIND!r} are full (32 slots are needed)"
    assert list(why.values()) == [full, full]
    assert set(Counter(life.name for life in town.running().values()).values()) == {2}
    town.settle()
    assert Counter(life.name for life in town.running().values()) == {host.name: 2 for host in town.world.hosts}
    town.assert_died()


@pytest.mark.parametrize("instances", [AT_LEAST_ONE, AT_MOST_ONE])
def test_who_kept_an_instance_warm_runs_it_under_a_higher_epoch_when_its_worker_fails(
    instances: str, death: Death, seed: int
) -> None:
    """Though it has the most to do of all; and another one keeps it warm for the next time."""
    kept = job("job", operator("work", 3, instances=instances, standby=1))
    town = Town(kept, nodes=5, sites=5, seed=seed, death=death)
    which = InstanceId("job", "work", 0)
    town.wait_until(lambda: len(town.plan().directives.standbys) == 3, "all are kept warm")
    held = town.plan().assignments[which]
    (warm,) = town.plan().directives.standbys[which]
    assert warm.name != held.run.name
    town.submit(job("more", operator("work", CAPACITY // 4, sites=(town.host(warm.name).site,))))
    failed = town.running()[which]
    town.doom(
        lambda change: isinstance(change, Assign) and change.instance == which,
        is_given=lambda order: order.instance == which,
    )
    town.crash(failed, back_s=60.0)
    town.wait_until(lambda: which in town.running() and town.plan().assignments[which].run != held.run, "it runs again")
    after = town.plan().assignments[which]
    assert after.epoch > held.epoch
    if town.victim != warm.name:
        assert after.run == warm
    town.wait_until(lambda: len(town.plan().directives.standbys) == 3, "all are kept warm again")
    assert after.run not in town.plan().directives.standbys[which]
    town.assert_died()
