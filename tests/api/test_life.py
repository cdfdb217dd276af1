"""The life of jobs on real workers: scaled, updated, cancelled, revived, pardoned, from threads, trio and asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from swimstream.core.job_status import JobState
from swimstream.errors import JobCancelled, JobFailed, UsageError
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.restart import RestartStrategy
from tests.api.test_workers import WAIT_S, build, until_view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swimstream.model.identity import InstanceId
    from swimstream.runners.context import OperatorContext
    from swimstream.worker import Worker

JOB = JobSpec(
    name="life",
    operators=(
        OperatorSpec(name="many", kind="wait", parallelism=2),
        OperatorSpec(name="once", kind="wait", instances="at-most-one"),
    ),
)


@pytest.fixture(scope="module")
def three() -> Iterator[list[Worker]]:
    """One cluster for all tests here: each has a job of its own name."""
    workers: list[Worker] = []
    for name in "abc":
        worker = build(name, expect=3, seeds=tuple(workers[:1]))
        worker.register("fail", fail)
        worker.start()
        workers.append(worker)
    for worker in workers:
        until_view(worker, lambda view: bool(view.mark.leader) and view.plan.index > 1)
    yield workers
    for worker in reversed(workers):
        worker.stop(leave=False)


def fail(_: OperatorContext) -> None:
    raise RuntimeError("no such table")


def named(name: str, *, many: int = 2, parameter: int = 0) -> JobSpec:
    first, second = JOB.operators
    changed = attrs.evolve(first, parallelism=many, parameters={"p": parameter})
    return JobSpec(name=name, operators=(changed, second))


def until(worker: Worker, name: str, state: JobState) -> None:
    until_view(worker, lambda view: name in view.jobs and view.jobs[name].state is state)


def epochs(worker: Worker, name: str) -> dict[InstanceId, int]:
    return {each.instance: each.epoch for each in worker.job(name).instances}


def test_an_update_restarts_only_what_has_changed(three: list[Worker]) -> None:
    three[0].submit(named("updated")).wait(WAIT_S)
    until(three[1], "updated", JobState.RUNNING)
    before = epochs(three[1], "updated")
    three[1].update(named("updated", parameter=1), base=1).wait(WAIT_S)
    until(three[1], "updated", JobState.RUNNING)
    after = epochs(three[1], "updated")
    assert {instance.operator for instance in after if after[instance] != before[instance]} == {"many"}
    with pytest.raises(UsageError, match="base: expected version 2"):
        three[2].update(named("updated", parameter=2), base=1).wait(WAIT_S)


def test_scaling_at_two_workers_at_once_loses_neither_wish(three: list[Worker]) -> None:
    three[0].submit(named("scaled")).wait(WAIT_S)
    for worker in three[1:]:
        until_view(worker, lambda view: "scaled" in view.plan.jobs)
    wishes = [three[1].scale("scaled", "many", 4), three[2].scale("scaled", "once", 2)]
    for wish in wishes:
        wish.wait(WAIT_S)
    until_view(three[0], lambda view: view.plan.version_of("scaled") == 3)
    assert [spec.parallelism for spec in three[0].plan().jobs["scaled"].operators] == [4, 2]
    until(three[0], "scaled", JobState.RUNNING)
    assert three[0].job("scaled").counts == {"running": 6}


def test_a_job_is_cancelled_under_trio_and_revived_under_asyncio(three: list[Worker]) -> None:
    three[0].submit(named("revived")).wait(WAIT_S)
    until(three[0], "revived", JobState.RUNNING)

    async def cancel() -> None:
        with trio.fail_after(WAIT_S):
            await three[1].cancel("revived")
            with pytest.raises(JobCancelled):
                await three[1].finished("revived")

    async def revive() -> None:
        async with asyncio.timeout(WAIT_S):
            await three[1].update(named("revived", many=1))

    trio.run(cancel)
    until(three[0], "revived", JobState.CANCELLED)
    asyncio.run(revive())
    until(three[0], "revived", JobState.RUNNING)
    assert three[0].job("revived").counts == {"running": 2}


def test_an_instance_in_quarantine_fails_its_job_until_it_is_pardoned(three: list[Worker]) -> None:
    spec = OperatorSpec(name="o", kind="fail", restart=RestartStrategy(strategy="none"))
    three[0].submit(JobSpec(name="failing", operators=(spec,))).wait(WAIT_S)
    with pytest.raises(JobFailed, match=r"failing/o\[0\] is in quarantine: .*no such table"):
        three[1].finished("failing").wait(WAIT_S)
    until(three[2], "failing", JobState.FAILED)
    epoch = three[2].job("failing").instances[0].epoch
    three[2].pardon("failing/o[0]").wait(WAIT_S)
    until_view(three[2], lambda view: view.jobs["failing"].instances[0].epoch > epoch)


def test_a_restart_gives_new_epochs_to_all_that_it_names(three: list[Worker]) -> None:
    three[0].submit(named("restarted")).wait(WAIT_S)
    until(three[1], "restarted", JobState.RUNNING)
    before = epochs(three[1], "restarted")
    three[1].restart("restarted").wait(WAIT_S)
    until(three[1], "restarted", JobState.RUNNING)
    after = epochs(three[1], "restarted")
    assert all(after[instance] > before[instance] for instance in before)


def test_modes_and_policy_are_in_every_plan_and_hold_for_names(three: list[Worker]) -> None:
    three[0].cordon("b", reason="new disk").wait(WAIT_S)
    three[1].set_rebalancing(2).wait(WAIT_S)
    until_view(three[2], lambda view: view.plan.directives.mode_of("b") == "cordoned")
    until_view(three[2], lambda view: view.plan.directives.rebalance_moves == 2)
    three[2].uncordon("b").wait(WAIT_S)
    three[2].set_rebalancing(0).wait(WAIT_S)
    assert three[2].plan().directives.mode_of("b") == ""
    with pytest.raises(UsageError, match="name: no worker of the name 'x' is known"):
        three[0].cordon("x").wait(WAIT_S)
