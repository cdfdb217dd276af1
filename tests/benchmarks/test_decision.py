"""What the benchmark of a leader's decisions measures is what it says."""

from __future__ import annotations

import pytest

from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE
from tests.benchmarks.decision import Leader


@pytest.mark.parametrize("guarantee", [AT_LEAST_ONE, AT_MOST_ONE])
def test_every_lost_instance_is_moved_in_the_decision_that_is_measured(guarantee: str) -> None:
    leader = Leader(50, 20, guarantee=guarantee)
    held = list(leader.log.plan.assignments.values())
    lost = sorted(leader.members)[:5]
    costs = leader.lose(0.1, guarantee=guarantee)
    assert costs.moved == sum(each.run.name in lost for each in held) > 0
    assert not any(each.run.name in lost for each in leader.log.plan.assignments.values())
