"""What an operator says of its input and its steps, and where it stands when it makes no progress."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from swimstream.core.effects import DumpStack
from swimstream.errors import UsageError
from swimstream.model.report import Report
from swimstream.model.status import ErrorClass, InstanceState
from swimstream.runners.context import OperatorContext
from swimstream.runners.host import UNENDED
from swimstream.runners.neighbours import SeenNeighbours
from swimstream.runners.registry import IN_PROCESS, IN_WORKER
from swimstream.runners.stacks import Whereabouts
from swimstream.runtime import clock
from swimstream.runtime.reports import Reports
from swimstream.runtime.view import View, Views
from tests.runtime import process_operators as operators
from tests.runtime.stage import INSTANCE, RUN, WAIT_S, Stage, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swimstream.runners.registry import OperatorFunction


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.host.end(WAIT_S)


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def ctx(reports: Reports) -> OperatorContext:
    return OperatorContext(start(3), worker="w1", reports=reports, neighbours=SeenNeighbours(Views(View(run=RUN))))


def said(reports: Reports) -> Report:
    """Return all that was said, in one."""
    (report,) = reports.take(now=0.0)
    return report


def stands_in(stage: Stage, function: str) -> str:
    """Ask where the instance stands, again until it has got to `function`; return what is reported of it."""
    give_up_at = clock.now() + WAIT_S
    cause = ""
    while not cause.endswith(f" {function}"):
        assert clock.now() < give_up_at, cause
        stage.taken.clear()
        stage.host.dump(DumpStack(INSTANCE, 3))
        cause = str(stage.until(InstanceState.STALLED).cause)
    return cause


# --- what is said ---------------------------------------------------------------------------------


def test_watermark_backlog_and_backpressure_go_in_one_report(ctx: OperatorContext, reports: Reports) -> None:
    ctx.watermark(17)
    ctx.backlog(5)
    ctx.backpressured(is_waiting=True)
    report = said(reports)
    assert (report.watermark_ms, report.backlog, report.backpressured) == (17, 5, True)


def test_a_watermark_that_falls_is_ignored(ctx: OperatorContext, reports: Reports) -> None:
    ctx.watermark(17)
    ctx.watermark(9)
    assert said(reports).watermark_ms == 17


def test_what_is_said_again_costs_no_report(ctx: OperatorContext, reports: Reports) -> None:
    for _ in range(1_000):
        ctx.backlog(5)
        ctx.backpressured(is_waiting=True)
    assert reports.coalesced == 1


def test_a_step_is_declared_in_seconds_from_now(ctx: OperatorContext, reports: Reports) -> None:
    before = clock.now()
    ctx.busy(30)
    until = said(reports).busy_until
    assert until is not None
    assert before + 30 <= until <= clock.now() + 30


@pytest.mark.parametrize("value", [-1, 2**63, 1.5, True, "7", None])
def test_a_count_that_is_none_is_refused(ctx: OperatorContext, reports: Reports, value: int) -> None:
    with pytest.raises(UsageError, match="time_ms: expected an integer"):
        ctx.watermark(value)
    with pytest.raises(UsageError, match="count: expected an integer"):
        ctx.backlog(value)
    assert reports.take(now=0.0) == []


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, 1e9, True, "7"])
def test_a_step_of_no_sensible_length_is_refused(ctx: OperatorContext, value: float) -> None:
    with pytest.raises(UsageError, match="seconds: expected a number from 0"):
        ctx.busy(value)


@pytest.mark.parametrize("value", [0, 1, "yes", None])
def test_backpressure_is_a_matter_of_yes_or_no(ctx: OperatorContext, value: bool) -> None:  # noqa: FBT001  # data
    with pytest.raises(UsageError, match="is_waiting: expected True or False"):
        ctx.backpressured(value)


def test_of_many_threads_the_highest_watermark_is_told_last(ctx: OperatorContext, reports: Reports) -> None:
    def climb(first: int) -> None:
        for time_ms in range(first, 2_000, 4):
            ctx.watermark(time_ms)

    threads = [threading.Thread(target=climb, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert said(reports).watermark_ms == 1_999


def test_an_instance_in_a_process_of_its_own_says_the_same(stage: Stage) -> None:
    stage.run(operators.tells_load, isolation=IN_PROCESS)
    stage.until_checkpoint(b"told")
    told = Report(instance=INSTANCE, epoch=3)
    for each in stage.taken:
        told = each.after(told)
    assert (told.watermark_ms, told.backlog, told.backpressured) == (17, 5, True)
    assert told.busy_until is not None
    assert told.busy_until > clock.now() + 500


# --- where it stands ------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", [IN_WORKER, IN_PROCESS])
@pytest.mark.parametrize("function", [operators.stuck, operators.stuck_async], ids=["thread", "task"])
def test_the_cause_names_the_innermost_line_of_its_own(
    stage: Stage, function: OperatorFunction, isolation: str
) -> None:
    stage.run(function, isolation=isolation)
    stage.until_checkpoint(b"stuck")
    where = "_wait_in_vain" if function is operators.stuck else "_sleep_in_vain"
    assert stands_in(stage, where).startswith("no progress: stands at process_operators.py:")


def test_a_task_that_holds_up_its_loop_is_found_where_the_loop_is(stage: Stage) -> None:
    """Nobody could ask the loop."""
    may_end = threading.Event()

    async def holds_up(ctx: OperatorContext) -> None:
        ctx.checkpoint(b"stuck")
        assert may_end.wait(WAIT_S)
        await trio.lowlevel.checkpoint()

    stage.run(holds_up)
    stage.until_checkpoint(b"stuck")
    try:
        stands_in(stage, "holds_up")
    finally:
        may_end.set()


def test_a_task_that_waits_for_others_in_a_nursery_is_found_where_the_last_of_them_is(stage: Stage) -> None:
    async def innermost() -> None:
        await trio.sleep_forever()

    async def waits(ctx: OperatorContext) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(innermost)
            await trio.testing.wait_all_tasks_blocked()
            ctx.checkpoint(b"stuck")

    stage.run(waits)
    stage.until_checkpoint(b"stuck")
    stands_in(stage, "innermost")


def test_the_whole_stack_is_logged(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.run(operators.stuck)
    stage.until_checkpoint(b"stuck")
    stands_in(stage, "_wait_in_vain")
    assert "operator makes no progress instance=job/count[0] epoch=3" in caplog.text
    assert "in stuck\n    _wait_in_vain(ctx)" in caplog.text


def test_of_another_epoch_nothing_is_said(stage: Stage) -> None:
    stage.run(operators.stuck)
    stage.until_checkpoint(b"stuck")
    stage.host.dump(DumpStack(INSTANCE, 2))
    stage.stop(3)
    stage.until(InstanceState.STOPPED)
    assert InstanceState.STALLED not in stage.states()


def test_before_it_has_begun_it_stands_nowhere() -> None:
    assert Whereabouts().look() is None


# --- what does not end ----------------------------------------------------------------------------


def _that_waits_for(may_end: threading.Event) -> OperatorFunction:
    """Return an operator that does not stop when asked."""

    def waits(_: OperatorContext) -> None:
        may_end.wait(WAIT_S)

    return waits


def test_a_newer_epoch_is_turned_down_while_an_older_copy_cannot_be_ended() -> None:
    """So that it is executed elsewhere; it would wait for ever here."""
    stage = Stage(stop_timeout_s=0.01)
    may_end = threading.Event()
    stage.run(_that_waits_for(may_end), epoch=3)
    stage.until(InstanceState.RUNNING)
    try:
        for epoch in (4, 5):
            stage.host.start(start(epoch))
            report = stage.until(InstanceState.FAILED, epoch=epoch)
            assert report.error is ErrorClass.INFRASTRUCTURE
            assert report.cause == f"an older copy {UNENDED}"
    finally:
        may_end.set()
        stage.host.end(WAIT_S)
    assert InstanceState.RUNNING not in stage.states(4)


def test_a_newer_epoch_of_an_at_most_one_instance_is_never_turned_down() -> None:
    """Its end would be taken for the end of the copy that goes on."""
    stage = Stage(stop_timeout_s=0.01)
    may_end = threading.Event()
    stage.run(_that_waits_for(may_end), epoch=3)
    stage.until(InstanceState.RUNNING)
    stage.host.start(start(4, fence_at=clock.now() + WAIT_S))
    stage.until_cause(UNENDED)
    may_end.set()
    stage.until(InstanceState.RUNNING, epoch=4)
    stage.host.end(WAIT_S)
    assert InstanceState.FAILED not in stage.states(4)
