"""Async functions that were written for asyncio, in the worker and in processes of their own."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
import trio

from swimstream.errors import UsageError, WorkerStopped
from swimstream.model.identity import InstanceId
from swimstream.model.plan import Assignment, Plan
from swimstream.model.status import InstanceState
from swimstream.runners.registry import ASYNCIO, IN_PROCESS, IN_WORKER, ISOLATIONS, Registry
from swimstream.runtime.view import View
from tests.runtime import process_operators as operators
from tests.runtime.stage import INSTANCE, NEIGHBOUR, RUN, WAIT_S, Stage, serving, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swimstream.runners.context import OperatorContext
    from swimstream.runners.registry import OperatorFunction


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.host.end(WAIT_S)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_function_of_asyncio_runs_to_its_end(stage: Stage, isolation: str) -> None:
    stage.run(operators.sleeps_with_asyncio, loop=ASYNCIO, isolation=isolation)
    stage.until(InstanceState.FINISHED)
    assert stage.states() == [InstanceState.STARTING, InstanceState.RUNNING, InstanceState.FINISHED]


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_stop_cancels_its_task(stage: Stage, isolation: str) -> None:
    stage.run(operators.waits_with_asyncio, loop=ASYNCIO, isolation=isolation)
    stage.until_checkpoint(b"up")
    stage.stop(3)
    assert stage.until(InstanceState.STOPPED).cause is None
    assert stage.until_checkpoint(b"cancelled")


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_neighbours_are_found_and_watched(stage: Stage, isolation: str) -> None:
    stage.run(operators.asks, loop=ASYNCIO, isolation=isolation)
    stage.until_checkpoint(b"asked")
    stage.know(serving(8, 99))
    stage.until_checkpoint(b"127.0.0.1:99")
    stage.know(serving(9, 100))
    stage.until_checkpoint(b"127.0.0.1:100")
    finished = Assignment(instance=NEIGHBOUR, run=RUN, epoch=9, finished=True)
    stage.views.publish(View(run=RUN, plan=Plan(assignments={NEIGHBOUR: finished})))
    stage.until(InstanceState.FINISHED)


def test_one_that_waits_for_a_neighbour_is_released_by_a_stop(stage: Stage) -> None:
    raised: list[BaseException] = []

    async def asks(context: OperatorContext) -> None:
        reply = context.locate(NEIGHBOUR)
        context.checkpoint(b"asked")
        try:
            await reply
        except BaseException as error:
            raised.append(error)
            raise

    stage.run(asks, loop=ASYNCIO)
    stage.until_checkpoint(b"asked")
    stage.stop(3)
    stage.until(InstanceState.STOPPED)
    assert isinstance(raised[0], WorkerStopped | asyncio.CancelledError)


def test_all_in_the_worker_share_a_loop_that_is_not_the_peers_nor_of_the_trio_tasks(stage: Stage) -> None:
    seen: set[tuple[str, int]] = set()

    async def look(_: OperatorContext) -> None:
        assert not trio.lowlevel.in_trio_run()
        seen.add((threading.current_thread().name, id(asyncio.get_running_loop())))

    stage.run(look, loop=ASYNCIO)
    stage.host.start(start(4, instance=NEIGHBOUR))
    stage.until(InstanceState.FINISHED)
    stage.until(InstanceState.FINISHED, epoch=4)
    assert [name for name, _ in seen] == ["swimstream-asyncio-w1"]


@pytest.mark.parametrize("error", [ValueError("no such column"), SystemExit(3), asyncio.CancelledError("of its own")])
def test_what_one_raises_is_its_own_failure_and_ends_no_other(stage: Stage, error: BaseException) -> None:
    async def bad(context: OperatorContext) -> None:
        if context.instance == NEIGHBOUR:
            raise error
        await asyncio.Event().wait()

    stage.run(bad, loop=ASYNCIO)
    stage.host.start(start(4, instance=NEIGHBOUR))
    assert stage.until(InstanceState.FAILED, epoch=4).cause == f"{type(error).__name__}: {error}"
    other = InstanceId("job", "count", 9)
    stage.host.start(start(5, instance=other))
    stage.until(InstanceState.RUNNING, epoch=5)
    assert stage.states()[-1] is InstanceState.RUNNING


def test_one_that_swallows_a_cancellation_is_cancelled_again() -> None:
    stage = Stage(stop_timeout_s=0.02)
    stage.run(operators.swallows_one_cancellation, loop=ASYNCIO)
    stage.until_checkpoint(b"up")
    stage.stop(3)
    stage.until(InstanceState.STOPPED)
    assert stage.host.end(WAIT_S)


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(
    ("function", "loop", "other"),
    [
        (operators.sleeps_with_asyncio, "trio", "asyncio"),
        (operators.awaits_a_future_of_asyncio, "trio", "asyncio"),
        (operators.sleeps_with_trio, "asyncio", "trio"),
    ],
)
def test_one_that_runs_under_the_wrong_loop_is_told_which_to_ask_for(
    stage: Stage, function: OperatorFunction, loop: str, other: str, isolation: str
) -> None:
    stage.run(function, loop=loop, isolation=isolation)
    words = f'UsageError: it awaits {other} but runs under {loop}; register it with loop="{other}"'
    assert stage.until(InstanceState.FAILED).cause == words


def test_a_plain_function_runs_on_no_loop() -> None:
    with pytest.raises(UsageError, match="kind 'k': loop 'asyncio' is for async functions; short is a plain one"):
        Registry().register("k", operators.short, loop=ASYNCIO)


@pytest.mark.parametrize("isolation", [IN_WORKER, IN_PROCESS])
def test_another_loop_is_refused(isolation: str) -> None:
    with pytest.raises(UsageError, match="loop: expected one of trio, asyncio, got 'curio'"):
        Registry().register("k", operators.short_async, loop="curio", isolation=isolation)


# --- what does not stop in the worker -----------------------------------------------------------------------------


def test_a_thread_that_does_not_stop_is_told_to_everybody_and_counted() -> None:
    stage = Stage(stop_timeout_s=0.02)
    may_end = threading.Event()

    def deaf(context: OperatorContext) -> None:
        context.checkpoint(b"up")
        assert may_end.wait(WAIT_S)

    stage.run(deaf)
    stage.until_checkpoint(b"up")
    stage.stop(3)
    told = stage.until(InstanceState.STOPPING, cause="did not stop when asked, and nothing can end it in the worker")
    assert told.instance == INSTANCE
    assert stage.reports.stops_missed == 1
    may_end.set()
    stage.until(InstanceState.STOPPED)
    assert stage.host.end(WAIT_S)
