"""A worker that joins a cluster with a large plan has all of it within two probe rounds.

The first two of the three sorts of worlds are bounds, seed by seed. Where a twentieth of all packets is lost, the one
whose rounds last a quarter of a second is slower: a connection whose first packet is lost takes a second by itself.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from swimstream.config import LAN, LOCAL
from swimstream.core.effects import SnapshotRecord, VoteRecord
from swimstream.model.changes import Seat
from swimstream.model.history import Decision
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.plan import Assignment, Plan
from swimstream.simulator.disks import Disk
from swimstream.simulator.faults import Faults
from swimstream.simulator.network import Links
from swimstream.simulator.scenarios import Scenario
from swimstream.simulator.world import World

if TYPE_CHECKING:
    from swimstream.config import Timing

FOUNDERS = 3
MEMORY = 5
PER_JOB = 1_000
SETTLED_S = 20.0
STEP_S = 0.01
PATIENCE_ROUNDS = 40


@cache
def plan_of(instances: int) -> Plan:
    """Return the plan of a cluster whose instances have finished, so that nobody runs any."""
    jobs: dict[str, JobSpec] = {}
    assignments = {}
    for number in range(instances):
        instance = InstanceId(f"job-{number // PER_JOB}", "op", number % PER_JOB)
        operator = OperatorSpec(name="op", kind="map", parallelism=PER_JOB)
        jobs[instance.job] = JobSpec(name=instance.job, operators=(operator,))
        run = Run(f"w{number % FOUNDERS:02d}", 1_750_000_000_000)
        assignments[instance] = Assignment(
            instance=instance, run=run, epoch=number + 1, finished=True, resume_from=bytes(16)
        )
    return Plan(
        index=instances,
        term=1,
        cluster_id=7,
        council=tuple(Seat(f"w{number:02d}", MEMORY) for number in range(FOUNDERS)),
        jobs=jobs,
        assignments=assignments,
        decisions=history(instances)[-256:],
    )


def history(count: int) -> tuple[Decision, ...]:
    return tuple(Decision(index=index, term=1, what=f"decision {index}", reason="") for index in range(1, count + 1))


def rounds_until_known(instances: int, timing: Timing, *, loss: float, seed: int) -> float:
    """Return how many probe intervals pass from when a newcomer knows others until it has the plan."""
    scenario = Scenario(
        nodes=FOUNDERS + 1, seed=seed, timing=timing, links=Links(loss=loss), jobs=0, faults=Faults(late_joins=1)
    )
    world = World(scenario, ())
    world.observer._plan_judge.decisions += history(instances)
    *founders, late = world.hosts
    for host in founders:
        host.disk = Disk(voter=MEMORY)
        host.disk.write(VoteRecord(1, ""))
        host.disk.write(SnapshotRecord(plan_of(instances), keeps_tail=False))
        world.start(host)
    world.clock.run_until(SETTLED_S)
    world.start(late)
    joined_at = 0.0
    while world.clock.now < SETTLED_S + PATIENCE_ROUNDS * timing.probe_interval_s:
        world.clock.run_until(world.clock.now + STEP_S)
        assert late.life is not None
        if not joined_at and len(late.life.node.members()) > 1:
            joined_at = world.clock.now
        if late.life.node.plan.assignments.keys() >= plan_of(instances).assignments.keys():
            return (world.clock.now - joined_at) / timing.probe_interval_s
    raise AssertionError(f"no whole plan within {PATIENCE_ROUNDS} rounds")


@pytest.mark.parametrize(("instances", "worlds"), [(1_000, 12), (20_000, 1)])
@pytest.mark.parametrize("timing", [LAN, LOCAL], ids=["lan", "local"])
def test_a_newcomer_has_the_whole_plan_within_two_probe_rounds(timing: Timing, instances: int, worlds: int) -> None:
    assert max(rounds_until_known(instances, timing, loss=0.0, seed=seed) for seed in range(worlds)) < 2


@pytest.mark.parametrize(("instances", "worlds"), [(1_000, 20), (20_000, 2)])
def test_with_a_twentieth_lost_it_still_takes_less_than_two(instances: int, worlds: int) -> None:
    assert max(rounds_until_known(instances, LAN, loss=0.05, seed=seed) for seed in range(worlds)) < 2


@pytest.mark.parametrize(("instances", "worlds"), [(1_000, 20), (20_000, 2)])
def test_with_a_twentieth_lost_and_short_rounds_it_takes_a_second(instances: int, worlds: int) -> None:
    """At the 90th percentile."""
    taken = sorted(rounds_until_known(instances, LOCAL, loss=0.05, seed=seed) for seed in range(worlds))
    assert taken[int(0.9 * (worlds - 1))] * LOCAL.probe_interval_s < 1
