"""Whole clusters under hazards: poison, a lost site, a worker that flaps; the leader may die in the midst of it."""

from __future__ import annotations

import math
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import pytest

from swimstream.model.changes import NORMAL, QUARANTINED
from swimstream.model.identity import InstanceId
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.status import InstanceState
from swimstream.simulator.clients import Clients
from swimstream.simulator.faults import Faults
from swimstream.simulator.operators import KIND
from swimstream.simulator.scenarios import Scenario
from swimstream.simulator.world import World

if TYPE_CHECKING:
    from swimstream.simulator.hosts import Host
    from swimstream.simulator.life import Life

POISON = InstanceId("job", "poison", 0)
STEP_S = 0.25
EARLY = Faults(window_s=(1.0, 2.0))
"""No faults, but their window: the job is submitted in it."""
leader_deaths = pytest.mark.parametrize("leader_dies", [False, True], ids=["leader-lives", "leader-dies"])


class Town:
    """A world without chance faults, in which one job runs; the test does the rest."""

    def __init__(self, *operators: OperatorSpec, nodes: int, sites: int = 1) -> None:
        self.job = JobSpec(name="job", operators=operators)
        self.world = World(Scenario(nodes=nodes, seed=7, faults=EARLY, jobs=0, sites=sites), ())
        self.world.observer.gentle_from = math.inf  # the test cuts links that the world knows nothing of
        for host in self.world.hosts:
            self.world.start(host)
        self.world.clients = Clients(self.world, {"job": self.job}, rng=self.world.random("submit"))
        self.world.clients.arm(self.world.random("arm"))
        self.wait_until_all_run()

    def pass_time(self, for_s: float) -> None:
        self.world.clock.run_until(self.world.clock.now + for_s)

    def wait_until_all_run(self, *, but: tuple[InstanceId, ...] = ()) -> None:
        wanted = [each for each in self.job.instances() if each not in but]
        for _ in range(400):
            self.pass_time(STEP_S)
            if set(wanted) <= set(self.running()):
                return
        raise AssertionError(f"not running: {set(wanted) - set(self.running())}")

    def running(self) -> dict[InstanceId, Life]:
        """Return where the copies of the plan's epochs run."""
        plan = self.world.plan()
        return {
            copy.instance: life
            for life in self.world.lives()
            for copy in life.bench.copies.values()
            if copy.running
            and copy.instance in plan.assignments
            and plan.assignments[copy.instance].epoch == copy.epoch
        }

    def leader(self) -> Life | None:
        return next((life for life in self.world.lives() if life.node.is_leader), None)

    def crash(self, life: Life, *, back_s: float) -> None:
        host = next(host for host in self.world.hosts if host.life is life)
        life.crash(silent=False, effects_left=0)
        self.world.clock.after(back_s, partial(self._start, host))

    def crash_leader(self) -> None:
        leader = self.leader()
        if leader is not None:
            self.crash(leader, back_s=2.0)

    def quarantined(self) -> set[InstanceId]:
        return set(self.world.plan().directives.quarantined)

    def _start(self, host: Host) -> None:
        self.world.start(host)


@leader_deaths
def test_a_poison_operator_is_convicted_and_nobody_else(*, leader_dies: bool) -> None:
    """It takes its worker down each time it has run for a while; every worker comes back."""
    innocents = OperatorSpec(name="innocent", kind=KIND, parallelism=6)
    town = Town(innocents, OperatorSpec(name="poison", kind=KIND), nodes=7)
    crashes = 0
    while POISON not in town.quarantined():
        assert crashes < 12, "it is never convicted"
        town.pass_time(STEP_S)
        life = town.running().get(POISON)
        if life is not None and life.bench.copies[POISON].ticks >= 2:
            town.crash(life, back_s=2.5)
            crashes += 1
            if leader_dies and crashes == 3:
                town.crash_leader()
    town.wait_until_all_run(but=(POISON,))
    town.pass_time(3.0)
    assert town.quarantined() == {POISON}
    assert POISON not in town.running()
    assert crashes >= 4


@leader_deaths
def test_a_site_that_is_cut_off_and_comes_back_has_lost_nothing(*, leader_dies: bool) -> None:
    town = Town(OperatorSpec(name="work", kind=KIND, parallelism=9), nodes=9, sites=3)
    leader = town.leader()
    assert leader is not None
    own_site = next(host.site for host in town.world.hosts if host.life is leader)
    lost = [host.name for host in town.world.hosts if host.site == max({"site-1", "site-2"} - {own_site})]
    others = [host.name for host in town.world.hosts if host.name not in lost]
    before = {held.instance: held.epoch for held in town.world.plan().assignments.values() if held.run.name in lost}
    cut = [*product(lost, others), *product(others, lost)]
    town.world.network.cut(cut)
    town.pass_time(3.0)
    if leader_dies:
        town.crash_leader()
    town.pass_time(1.5)
    town.world.network.mend(cut)
    town.pass_time(12.0)
    town.wait_until_all_run()
    plan = town.world.plan()
    assert len(before) == 3
    assert {each: plan.assignments[each].epoch for each in before} == before
    assert not any(decision.what.startswith(f"evict {name}") for decision in plan.decisions for name in lost)


def test_what_a_lost_site_ran_runs_elsewhere_when_it_stays_away_though_the_leader_dies() -> None:
    town = Town(OperatorSpec(name="work", kind=KIND, parallelism=9), nodes=9, sites=3)
    leader = town.leader()
    assert leader is not None
    own_site = next(host.site for host in town.world.hosts if host.life is leader)
    site = max({"site-1", "site-2"} - {own_site})
    for host in town.world.hosts:
        if host.site == site and host.life is not None:
            host.life.crash(silent=True, effects_left=0)
    town.pass_time(4.0)
    town.crash_leader()
    town.wait_until_all_run()
    assert town.quarantined() == set()


def test_a_worker_that_flaps_is_given_nothing_for_a_while_though_the_leader_dies() -> None:
    town = Town(OperatorSpec(name="work", kind=KIND, parallelism=5), nodes=5)
    leader = town.leader()
    assert leader is not None
    host = next(host for host in town.world.hosts if host.life is not leader)
    modes = []
    for _ in range(4):
        if host.life is not None:
            town.crash(host.life, back_s=1.0)
        for _ in range(14):
            town.pass_time(STEP_S)
            modes.append(town.world.plan().directives.mode_of(host.worker))
        if QUARANTINED in modes:
            break
    assert modes[-1] == QUARANTINED
    town.crash_leader()
    town.wait_until_all_run()
    assert town.world.plan().directives.mode_of(host.worker) == QUARANTINED
    town.pass_time(20.0)
    assert town.world.plan().directives.mode_of(host.worker) == NORMAL
    assert town.world.plan().directives.modes[host.worker].level == 1
    told = [life.node.statuses() for life in town.world.lives()]
    assert all(each.state is InstanceState.RUNNING for statuses in told for each in statuses)
