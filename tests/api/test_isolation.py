"""A worker is the same to its user wherever its peer runs."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.cli.worker import _build
from swimstream.errors import DeliveryFailed, JoinFailed, UsageError, WorkerStopped
from swimstream.events import Decided, InstanceChanged, MemberChanged, MessageReceived, QueryReceived
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState
from swimstream.runtime.peer_process import PeerProcess
from swimstream.runtime.replies import Found
from swimstream.worker import Worker
from swimstream.worker_config import PEER_ISOLATIONS, PROCESS, WorkerConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from swimstream.runners.context import OperatorContext
    from swimstream.runtime.view import View

WAIT_S = 60.0
SHORT = JobSpec(name="short", operators=(OperatorSpec(name="o", kind="return", parallelism=3),))
LONG = JobSpec(name="long", operators=(OperatorSpec(name="o", kind="wait", parallelism=3),))

both = pytest.mark.parametrize("isolation", PEER_ISOLATIONS)


def count(context: OperatorContext) -> None:
    context.progress(41)
    context.progress(42)
    context.checkpoint(b"row 42")


def wait(context: OperatorContext) -> None:
    context.wait_cancelled(WAIT_S)


def build(name: str, isolation: str, *, expect: int = 1, seeds: tuple[Worker, ...] = (), **more: str) -> Worker:
    worker = Worker(
        name=name,
        expect=expect,
        preset="local",
        seeds=[str(each.address) for each in seeds],
        isolation=isolation,
        **more,  # type: ignore[arg-type]  # paths and addresses
    )
    worker.register("return", count)
    worker.register("wait", wait)
    return worker


def until_view(worker: Worker, condition: Callable[[View], bool]) -> None:
    worker._running().views.when(lambda view: Found(None) if condition(view) else None).wait(WAIT_S)


def are_running(view: View) -> bool:
    return [each.state for each in view.statuses] == [InstanceState.RUNNING] * 3


def peer_pid(worker: Worker) -> int:
    peer = worker._running()
    assert isinstance(peer, PeerProcess)
    return peer.pid


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@both
def test_a_job_is_finished_and_what_its_instances_said_is_known(isolation: str) -> None:
    with build("a", isolation) as worker, worker.events() as events:
        worker.submit(SHORT).wait(WAIT_S)
        worker.finished("short").wait(WAIT_S)
        assert {(each.state, each.progress, each.checkpoint) for each in worker.statuses()} == {
            (InstanceState.FINISHED, 42, b"row 42")
        }
        assert {MemberChanged, Decided, InstanceChanged} >= {type(each) for each in events.drain()} > {Decided}
        assert (worker.leader(), worker.members()[0].run) == ("a", worker.run)
        assert {"datagrams_sent", "freezes", "events_dropped"} <= set(worker.counters())


@both
def test_it_is_the_same_from_asyncio(isolation: str) -> None:
    async def main() -> None:
        async with build("a", isolation) as worker:
            await asyncio.wait_for(submit_and_wait(worker), WAIT_S)

    async def submit_and_wait(worker: Worker) -> None:
        await worker.submit(SHORT)
        await worker.finished("short")

    asyncio.run(main())


@both
def test_workers_speak_and_one_that_leaves_is_not_taken_for_dead(isolation: str) -> None:
    with build("a", isolation, expect=2) as first, first.events() as heard:
        second = build("b", isolation, expect=2, seeds=(first,))
        second.start()
        until_view(first, lambda view: len(view.members) == 2)
        second.send("a", "greeting", b"x" * 60_000).wait(WAIT_S)
        with pytest.raises(DeliveryFailed):
            second.send("nobody", "greeting").wait(WAIT_S)
        with second.events() as asked:
            answers = first.query("how", names=["b"], patience_s=WAIT_S)
            question = next(each for each in asked if isinstance(each, QueryReceived)).question
            second.answer(question, b"well").wait(WAIT_S)
        assert answers.wait(WAIT_S).answers == {"b": b"well"}
        second.leave().wait(WAIT_S)
        second.stopped().wait(WAIT_S)
        until_view(first, lambda view: {each.state for each in view.members} >= {MemberState.LEFT})
        news = heard.drain()
    assert [len(each.payload) for each in news if isinstance(each, MessageReceived)] == [60_000]
    assert MemberState.DEAD not in {each.member.state for each in news if isinstance(each, MemberChanged)}


@both
def test_a_name_that_is_taken_a_bad_address_and_a_bad_job_are_refused(isolation: str) -> None:
    with build("a", isolation) as first:
        with pytest.raises(JoinFailed, match="a"):
            build("a", isolation, seeds=(first,)).start()
        with pytest.raises(UsageError, match=r"^bind: .*is not an address of this host"):
            Worker(name="b", isolation=isolation, bind="192.0.2.1:0", insecure_plaintext=True).start()
        with pytest.raises(UsageError, match=r"operators\[0\].parallelism"):
            first.submit(attrs.evolve(SHORT, operators=(OperatorSpec(name="o", kind="k", parallelism=0),)))
        first.submit(SHORT).wait(WAIT_S)
        with pytest.raises(UsageError, match="short"):
            first.submit(attrs.evolve(LONG, name="short")).wait(WAIT_S)


@both
def test_the_plan_survives_a_restart(isolation: str, tmp_path: Path) -> None:
    with build("a", isolation, state_dir=str(tmp_path / "state")) as worker:
        worker.submit(SHORT).wait(WAIT_S)
        worker.finished("short").wait(WAIT_S)
        before = worker.run
    with build("a", isolation, state_dir=str(tmp_path / "state")) as worker:
        worker.finished("short").wait(WAIT_S)
        assert worker.run.boot > before.boot
        worker.submit(LONG).wait(WAIT_S)


def test_a_stop_without_a_goodbye_ends_the_process_of_the_peer() -> None:
    worker = build("a", PROCESS)
    worker.start()
    pid = peer_pid(worker)
    assert is_there(pid)
    worker.stop(leave=False)
    assert not is_there(pid)


def test_the_end_of_the_peer_ends_the_worker_and_its_operators_with_the_cause() -> None:
    ended = threading.Event()
    worker = Worker(name="a", preset="local", isolation=PROCESS)

    @worker.operator("wait")
    def note_the_end(context: OperatorContext) -> None:
        context.wait_cancelled(WAIT_S)
        ended.set()

    worker.start()
    worker.submit(LONG).wait(WAIT_S)
    until_view(worker, are_running)
    os.kill(peer_pid(worker), signal.SIGKILL)
    with pytest.raises(WorkerStopped, match="the peer crashed: its process was killed by SIGKILL"):
        worker.stopped().wait(WAIT_S)
    assert ended.wait(WAIT_S)
    with pytest.raises(WorkerStopped):
        worker.submit(SHORT).wait(WAIT_S)
    with pytest.raises(WorkerStopped, match="SIGKILL"):
        worker.stop()


def test_signals_to_a_whole_group_do_not_end_the_peer() -> None:
    with build("a", PROCESS) as worker:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(peer_pid(worker), number)
        worker.submit(SHORT).wait(WAIT_S)
        worker.finished("short").wait(WAIT_S)


def test_what_the_peer_logs_is_logged_in_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(name="b", seeds=["nowhere.invalid:7946"], preset="local", join_timeout_s=0, isolation=PROCESS)
    logged = threading.Event()

    class Notice(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "seed cannot be resolved" in record.getMessage():
                logged.set()

    logger, handler = logging.getLogger("swimstream.runtime.resolver"), Notice()
    logger.addHandler(handler)
    try:
        with worker:
            assert logged.wait(WAIT_S)
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("written", "asked", "found"),
    [("", None, "process"), ('isolation = "thread"', None, "thread"), ('isolation = "process"', "thread", "thread")],
)
def test_the_command_runs_the_peer_apart_unless_told_otherwise(
    tmp_path: Path, written: str, asked: str | None, found: str
) -> None:
    (tmp_path / "w.toml").write_text(f'name = "a"\n{written}\n')
    made = _build(tmp_path / "w.toml", name=None, bind=None, control=None, logs=None, commands=(), isolation=asked)
    assert made.config.isolation == found


@pytest.mark.parametrize(
    ("field", "value"), [("isolation", "fork"), ("isolation", 1), ("frozen_after_s", 0), ("frozen_after_s", "1")]
)
def test_a_bad_isolation_is_refused(field: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"^{field}: expected"):
        WorkerConfig(name="a", **{field: value})  # type: ignore[arg-type]  # the point of it
