"""Real workers with real sockets in one process: the whole library, as a user meets it."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from swimstream.core.node import Node
from swimstream.errors import JoinFailed, UsageError, WorkerStopped
from swimstream.events import Decided, InstanceChanged, LeaderChanged, MemberChanged
from swimstream.model.identity import Address, InstanceId
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState
from swimstream.runtime.control_client import ControlClient
from swimstream.runtime.replies import Found
from swimstream.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from swimstream.runners.context import OperatorContext
    from swimstream.runtime.view import View

WAIT_S = 90.0
"""Only what hangs takes so long."""
SHORT = JobSpec(name="short", operators=(OperatorSpec(name="o", kind="return", parallelism=4),))
LONG = JobSpec(name="long", operators=(OperatorSpec(name="o", kind="wait", parallelism=6),))


def return_at_once(_: OperatorContext) -> None: ...


def wait(context: OperatorContext) -> None:
    context.checkpoint(f"epoch {context.epoch}".encode())
    context.wait_cancelled(WAIT_S)


def build(name: str, *, expect: int = 1, seeds: tuple[Worker, ...] = ()) -> Worker:
    worker = Worker(
        name=name, expect=expect, preset="local", seeds=[str(each.address) for each in seeds], join_timeout_s=WAIT_S
    )
    worker.register("return", return_at_once)
    worker.register("wait", wait)
    return worker


def until_view(worker: Worker, condition: Callable[[View], bool]) -> None:
    """Wait until a view of the worker satisfies `condition`."""
    worker._running().views.when(lambda view: Found(None) if condition(view) else None).wait(WAIT_S)


@pytest.fixture
def three() -> Iterator[list[Worker]]:
    first = build("a", expect=3)
    first.start()
    workers = [first]
    for name in "bc":
        workers.append(build(name, expect=3, seeds=(first,)))
        workers[-1].start()
    for worker in workers:  # all of them: who has not heard of the founding cannot elect another leader
        until_view(worker, lambda view: bool(view.mark.leader) and view.plan.index > 1)
    yield workers
    for worker in reversed(workers):
        worker.stop(leave=False)


def test_a_lone_worker_is_a_cluster_of_one() -> None:
    with build("a") as worker:
        worker.submit(SHORT).wait(WAIT_S)
        worker.finished("short").wait(WAIT_S)
        assert worker.leader() == "a"
        assert [member.run for member in worker.members()] == [worker.run]


def test_three_workers_agree_on_a_leader_and_finish_a_job(three: list[Worker]) -> None:
    three[2].submit(SHORT).wait(WAIT_S)
    for worker in three:
        worker.finished("short").wait(WAIT_S)
    leader = three[0].leader()
    for worker in three:  # one of them may hear of a new leader a little later
        until_view(worker, lambda view: view.mark.leader == leader)
    assert len({worker.plan().cluster_id for worker in three}) == 1


def test_instances_of_a_worker_that_dies_go_on_elsewhere_from_their_checkpoint(three: list[Worker]) -> None:
    leader = three[0].leader()
    victim = next(worker for worker in three if worker.config.name != leader)
    witness = next(worker for worker in three if worker is not victim)
    witness.submit(LONG).wait(WAIT_S)
    until_view(witness, lambda view: all_running(view) and all(status.checkpoint for status in view.statuses))
    lost = [held for held in witness.plan().assignments.values() if held.run == victim.run]
    assert lost
    victim.stop(leave=False)
    until_view(witness, lambda view: all_running(view, without=victim.config.name))
    for held in lost:
        now_held = witness.plan().assignments[held.instance]
        assert now_held.epoch > held.epoch
        assert now_held.resume_from == f"epoch {held.epoch}".encode()


def test_a_worker_that_leaves_is_not_taken_for_dead(three: list[Worker]) -> None:
    leader = three[0].leader()
    leaver = next(worker for worker in three if worker.config.name != leader)
    witness = next(worker for worker in three if worker is not leaver)
    with witness.events() as events:
        leaver.leave().wait(WAIT_S)
        leaver.stopped().wait(WAIT_S)
        states = []
        while MemberState.LEFT not in states:
            event = events.take(WAIT_S)
            if isinstance(event, MemberChanged) and event.member.run == leaver.run:
                states.append(event.member.state)
    assert MemberState.DEAD not in states  # suspected it may be, if nobody here ran for a while


def test_the_death_of_the_leader_brings_another(three: list[Worker]) -> None:
    old = next(worker for worker in three if worker.config.name == worker.leader())
    witness = next(worker for worker in three if worker is not old)
    old.stop(leave=False)
    until_view(witness, lambda view: view.mark.leader not in ("", old.config.name))


def all_running(view: View, *, without: str = "") -> bool:
    plan = view.plan
    if "long" not in plan.jobs or len(plan.assignments) < 6:
        return False
    for instance, held in plan.assignments.items():
        status = view.status_by_instance.get(instance)
        if held.run.name == without or status is None:
            return False
        if status.epoch != held.epoch or status.state is not InstanceState.RUNNING:
            return False
    return True


def test_a_name_that_is_taken_by_a_live_worker_is_refused() -> None:
    with build("a") as first:
        second = build("a", seeds=(first,))
        with pytest.raises(JoinFailed, match="a"):
            second.start()
        with pytest.raises(UsageError, match="has stopped; expected a new one"):
            second.start()
        first.submit(SHORT).wait(WAIT_S)


def test_a_refusal_that_comes_late_stops_the_worker_with_its_reason() -> None:
    with build("a") as first:
        second = Worker(name="a", preset="local", seeds=[str(first.address)], join_timeout_s=0)
        with suppress(JoinFailed):  # from here, if the answer was quicker than no time at all
            second.start()
        with pytest.raises(JoinFailed):
            second.stopped().wait(WAIT_S)
        with pytest.raises(JoinFailed):
            second.stop()


def test_a_seed_may_be_a_host_name() -> None:
    with build("a", expect=2) as first:
        second = Worker(name="b", expect=2, preset="local", seeds=[f"localhost:{first.address.port}"])
        with second:
            until_view(second, lambda view: len(view.members) == 2)


def test_a_seed_that_cannot_be_resolved_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(name="b", seeds=["nowhere.invalid:7946"], preset="local", join_timeout_s=0)
    with caplog.at_level(logging.WARNING), worker:
        assert "seed cannot be resolved" in caplog.text


def test_an_unanswered_join_is_warned_of_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    lonely = Worker(name="b", seeds=["127.0.0.1:1"], preset="local", join_timeout_s=0)
    with caplog.at_level(logging.WARNING), lonely:
        assert "no seed has answered" in caplog.text


def test_a_refused_job_changes_nothing() -> None:
    with build("a") as worker:
        with pytest.raises(UsageError, match=r"operators\[0\].parallelism"):
            worker.submit(attrs.evolve(SHORT, operators=(OperatorSpec(name="o", kind="k", parallelism=0),)))
        worker.submit(SHORT).wait(WAIT_S)
        with pytest.raises(UsageError, match="short"):
            worker.submit(attrs.evolve(LONG, name="short")).wait(WAIT_S)


async def test_the_same_from_trio() -> None:
    async with build("a") as worker:
        with worker.events() as events:
            await worker.submit(SHORT)
            await worker.finished("short")
            assert worker.leader() == "a"
            with pytest.raises(UsageError, match="await reply"):
                worker.finished("another").wait(0)
            assert isinstance(await anext(events), MemberChanged | LeaderChanged | Decided | InstanceChanged)


def test_the_same_from_asyncio() -> None:
    async def main() -> None:
        async with build("a") as worker:
            await asyncio.wait_for(submit_and_wait(worker), WAIT_S)

    async def submit_and_wait(worker: Worker) -> None:
        await worker.submit(SHORT)
        await worker.finished("short")

    asyncio.run(main())


async def test_a_cancelled_start_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    worker = Worker(name="b", seeds=["127.0.0.1:1"])
    with trio.move_on_after(0.05) as scope:
        async with worker:
            pass
    assert scope.cancelled_caught
    assert not [each for each in threading.enumerate() if each.name.startswith("swimstream-") and each not in before]


def test_an_operator_finds_its_neighbour() -> None:
    found: list[Address] = []
    job = JobSpec(
        name="pair",
        operators=(
            OperatorSpec(name="source", kind="serve"),
            OperatorSpec(name="sink", kind="ask", inputs=("source",)),
        ),
    )
    worker = build("a")

    @worker.operator("serve")
    async def serve(context: OperatorContext) -> None:
        context.publish(Address("127.0.0.1", 4_242))
        await trio.sleep_forever()

    @worker.operator("ask")
    async def ask(context: OperatorContext) -> None:
        assert context.inputs == (InstanceId("pair", "source", 0),)
        found.append(await context.locate(context.inputs[0]))

    with worker:
        worker.submit(job).wait(WAIT_S)
        sink = InstanceId("pair", "sink", 0)
        until_view(worker, lambda view: sink in view.plan.assignments and view.plan.assignments[sink].finished)
    assert found == [Address("127.0.0.1", 4_242)]


def test_a_bug_of_our_own_stops_the_worker_and_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object, **__: object) -> None:
        raise AssertionError("a bug")

    worker = build("a")
    worker.start()
    never = worker.finished("never")
    monkeypatch.setattr(Node, "submit", bug)
    with pytest.raises(WorkerStopped, match="the peer crashed: AssertionError: a bug"):
        worker.submit(SHORT).wait(WAIT_S)
    with pytest.raises(WorkerStopped):
        never.wait(WAIT_S)
    with pytest.raises(WorkerStopped, match="the peer crashed: AssertionError: a bug"):
        worker.stop()


def test_commands_before_the_start_are_refused() -> None:
    with pytest.raises(WorkerStopped, match="worker a has not been started"):
        build("a").submit(SHORT)


def test_commands_after_the_end_are_refused_but_the_last_view_stays() -> None:
    worker = build("a")
    with worker:
        until_view(worker, lambda view: view.mark.leader == "a")
    with pytest.raises(WorkerStopped):
        worker.submit(SHORT).wait(WAIT_S)
    assert worker.plan().cluster_id


def test_a_kind_cannot_be_registered_after_the_start() -> None:
    with build("a") as worker, pytest.raises(UsageError, match="before the worker starts"):
        worker.register("late", wait)


def test_the_plan_survives_a_restart_of_everybody(tmp_path: Path) -> None:
    def life() -> Worker:
        worker = Worker(name="a", preset="local", state_dir=tmp_path / "state")
        worker.register("return", return_at_once)
        return worker

    with life() as worker:
        worker.submit(SHORT).wait(WAIT_S)
        worker.finished("short").wait(WAIT_S)
        before = worker.run
    with life() as worker:
        worker.finished("short").wait(WAIT_S)
        assert worker.run.boot > before.boot


def test_the_control_port_of_a_worker_takes_a_job_and_a_goodbye(tmp_path: Path) -> None:
    worker = Worker(name="a", preset="local", control=tmp_path / "a.sock")
    worker.register("return", return_at_once)
    with worker:
        until_view(worker, lambda view: view.mark.leader == "a")
        with ControlClient(tmp_path / "a.sock") as client:
            client.ask("submit", job=attrs.asdict(SHORT))
            worker.finished("short").wait(WAIT_S)
            assert client.ask("leader")["leader"]["name"] == "a"
            assert {row["state"] for row in client.ask("operators")["operators"]} == {"finished"}
            assert client.ask("leave") == {"ok": True}
        worker.stopped().wait(WAIT_S)


def test_events_begin_where_the_views_end() -> None:
    with build("a") as worker:
        until_view(worker, lambda view: view.mark.leader == "a")
        worker.submit(SHORT).wait(WAIT_S)  # the news of a view are told just after it
        with worker.events() as events:
            assert not [event for event in events.drain() if isinstance(event, LeaderChanged)]
