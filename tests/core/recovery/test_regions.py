"""Who restarts together: the failover scope of an operator."""

from __future__ import annotations

import pytest

from swimstream.model.changes import Change, Conclude, Restart
from swimstream.model.identity import InstanceId
from swimstream.model.job import SCOPE_INSTANCE, SCOPE_JOB, SCOPE_REGION, JobSpec, OperatorSpec
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState
from tests.core.recovery.situations import Scene, assigns, member, newest

READ, COUNT, REPORT, ASIDE = (InstanceId("job", name, 0) for name in ("read", "count", "report", "aside"))
LONG_S = 5.0
"""Longer than a first restart is delayed."""


def dataflow(failover: str = SCOPE_REGION) -> JobSpec:
    """Return read → count, then over a blocking edge report; and aside, tied to nothing."""
    return JobSpec(
        name="job",
        operators=(
            OperatorSpec(name="read", kind="map", failover=failover),
            OperatorSpec(name="count", kind="map", inputs=("read",), failover=failover),
            OperatorSpec(name="report", kind="map", inputs=("count",), blocking=("count",), failover=failover),
            OperatorSpec(name="aside", kind="map", failover=failover),
        ),
    )


def running(job: JobSpec) -> Scene:
    """Return a scene of four workers in which all runs that can."""
    scene = Scene(*(newest(name) for name in "abcd"), jobs=[job])
    settle(scene)
    return scene


def settle(scene: Scene) -> list[Change]:
    """Decide until nothing is left to do, each worker taking up what it is given; return all that was decided."""
    made: list[Change] = []
    for _ in range(20):
        changes = scene.decide()
        for each in assigns(changes):
            scene.say(InstanceState.RUNNING, which=each.instance)
        made += changes
        if not changes:
            return made
    raise AssertionError("it never comes to rest")


def fails(scene: Scene, which: InstanceId) -> list[Change]:
    """Let an instance fail, and return all that is decided until the delay of its restart is over and after."""
    scene.say(InstanceState.FAILED, which=which, cause="boom")
    made = settle(scene)
    scene.now += LONG_S
    return made + settle(scene)


def given_out(changes: list[Change]) -> list[InstanceId]:
    return sorted(each.instance for each in assigns(changes))


def test_an_instance_that_fails_restarts_alone_unless_its_job_says_otherwise() -> None:
    assert given_out(fails(running(dataflow(SCOPE_INSTANCE)), READ)) == [READ]


def test_with_it_restarts_whatever_pipelined_edges_tie_to_it() -> None:
    made = fails(running(dataflow()), READ)
    assert given_out(made) == [COUNT, READ]
    (mark,) = [each for each in made if isinstance(each, Restart)]
    assert mark == Restart(instances=(COUNT,), reason="restarts with job/read[0]", evidence=("failed: boom",))


def test_the_mark_is_in_the_log_before_what_causes_it() -> None:
    made = fails(running(dataflow()), READ)
    assert [type(each).__name__ for each in made] == ["Restart", "Assign", "Assign"]


def test_the_whole_job_restarts_if_that_is_the_scope() -> None:
    assert given_out(fails(running(dataflow(SCOPE_JOB)), READ)) == [ASIDE, COUNT, READ]


def test_what_its_dead_worker_had_restarts_the_rest_of_the_region_once() -> None:
    scene = running(dataflow())
    scene.becomes(scene.where(READ), MemberState.DEAD)
    made = settle(scene)
    assert given_out(made).count(COUNT) == 1
    assert given_out(made).count(READ) == 1
    assert not settle(scene)


def test_two_of_a_region_that_fail_together_restart_it_once() -> None:
    scene = running(dataflow())
    scene.say(InstanceState.FAILED, which=COUNT, cause="no input")
    assert given_out(fails(scene, READ)) == [COUNT, READ]


def test_what_has_finished_stays_finished() -> None:
    scene = running(dataflow())
    scene.say(InstanceState.FINISHED, which=COUNT)
    made = fails(scene, READ)
    assert given_out([each for each in made if not isinstance(each, Conclude)]) == [READ, REPORT]
    assert scene.plan.assignments[COUNT].finished


@pytest.mark.parametrize("committed", [1, 2, 3])
def test_a_leader_that_takes_over_restarts_the_rest_once(committed: int) -> None:
    """Whatever part of the restart was committed when the one before it died."""
    scene = running(dataflow())
    scene.say(InstanceState.FAILED, which=READ, cause="boom")
    scene.decide()
    scene.now += LONG_S
    changes = scene.recovery.decide(scene.situation())[:committed]
    scene.commit(*changes)
    for each in assigns(changes):
        scene.say(InstanceState.RUNNING, which=each.instance)
    scene.new_leader()
    made = changes + settle(scene)
    scene.now += LONG_S
    made += settle(scene)
    assert given_out(made).count(READ) == 1
    assert 1 <= given_out(made).count(COUNT) <= 1 + (committed == 1)


def test_a_restart_that_a_person_asks_for_is_one_of_the_whole_scope() -> None:
    scene = running(dataflow())
    scene.commit(Restart(instances=(COUNT,), reason="asked for", evidence=()))
    assert given_out(settle(scene)) == [COUNT, READ]


def test_a_restart_asked_for_of_what_finishes_before_restarts_nobody() -> None:
    scene = running(dataflow())
    scene.commit(Restart(instances=(COUNT,), reason="asked for", evidence=()))
    scene.say(InstanceState.FINISHED, which=COUNT)
    assert given_out(settle(scene)) == [REPORT], "which waited for it"


def test_what_waits_for_its_restart_is_marked_once() -> None:
    scene = running(dataflow())
    scene.commit(Restart(instances=(READ, COUNT), reason="asked for", evidence=()))
    for name in "abcd":
        scene.put(newest(name, kinds=("other",)))
    assert settle(scene) == []


def test_no_scope_restarts_while_an_older_worker_lives() -> None:
    scene = running(dataflow())
    scene.put(member("z"))
    assert given_out(fails(scene, READ)) == [READ]
