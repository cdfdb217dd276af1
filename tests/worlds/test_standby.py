"""Whole clusters with standbys: the holder dies, and who kept the instance warm has it, once."""

from __future__ import annotations

import pytest

from swimstream.model.identity import InstanceId
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, OperatorSpec
from swimstream.simulator.operators import KIND
from tests.worlds.test_hazards import STEP_S, Town, leader_deaths

STEPS_MAX = 400


def standbys(town: Town, instance: InstanceId) -> list[str]:
    return [run.name for run in town.world.plan().directives.standbys.get(instance, ())]


@leader_deaths
@pytest.mark.parametrize("instances", [AT_LEAST_ONE, AT_MOST_ONE])
def test_when_the_holder_dies_who_kept_it_warm_runs_it_under_a_higher_epoch(
    instances: str, *, leader_dies: bool
) -> None:
    """That no two copies of an at-most-one instance act is the world's own promise, which it judges all the time."""
    work = OperatorSpec(name="work", kind=KIND, parallelism=3, instances=instances, standby=1)
    town = Town(work, nodes=7, sites=3)
    which = InstanceId("job", "work", 0)
    for _ in range(STEPS_MAX):
        if all(standbys(town, each) for each in town.job.instances()):
            break
        town.pass_time(STEP_S)
    before = town.world.plan().assignments[which]
    (warm,) = standbys(town, which)
    assert warm != before.run.name
    town.crash(town.running()[which], back_s=200.0)
    leader = town.leader()
    if leader_dies and leader is not None and leader.name != warm:
        town.crash_leader()
    town.wait_until_all_run()
    after = town.world.plan().assignments[which]
    assert after.run.name == warm
    assert after.epoch > before.epoch
    for _ in range(STEPS_MAX):
        if standbys(town, which):
            break
        town.pass_time(STEP_S)
    assert standbys(town, which), "and there is another one for the next time"
    assert warm not in standbys(town, which)
