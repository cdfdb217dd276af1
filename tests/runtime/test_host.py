"""The host of instances: what it runs, in which order, and what it reports."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import trio

from swimstream.errors import FatalError, InfrastructureError, UsageError, WorkerStopped
from swimstream.model.identity import Address, InstanceId
from swimstream.model.plan import Assignment, Plan
from swimstream.model.status import CAUSE_BYTES_MAX, ErrorClass, InstanceState
from swimstream.runners.causes import cause_of
from swimstream.runners.context import OperatorContext
from swimstream.runners.copy import Copy
from swimstream.runners.ending import FENCED
from swimstream.runners.host import InstanceHost
from swimstream.runners.neighbours import SeenNeighbours
from swimstream.runners.registry import OperatorFunction, Registry
from swimstream.runtime import clock
from swimstream.runtime.reports import REPORT_INTERVAL_S, Report, Reports
from swimstream.runtime.view import WAITS_MAX, View, Views
from tests.runtime.stage import INSTANCE, NEIGHBOUR, RUN, WAIT_S, Stage, serving, start

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.host.end(WAIT_S)


async def forever(_: OperatorContext) -> None:
    await trio.sleep_forever()


def until_cancelled(context: OperatorContext) -> None:
    assert context.wait_cancelled(WAIT_S)


def test_a_function_that_returns_has_finished(stage: Stage) -> None:
    async def short(_: OperatorContext) -> None: ...

    stage.run(short)
    stage.until(InstanceState.FINISHED)
    assert stage.states() == [InstanceState.STARTING, InstanceState.RUNNING, InstanceState.FINISHED]


def test_a_plain_function_runs_in_a_thread_of_its_own(stage: Stage) -> None:
    names: list[str] = []
    stage.run(lambda _: names.append(threading.current_thread().name))
    stage.until(InstanceState.FINISHED)
    assert names == ["job/count[0]#3"]


def test_a_function_that_raises_has_failed_with_its_cause(stage: Stage) -> None:
    async def bad(_: OperatorContext) -> None:
        raise ValueError("no such column")

    stage.run(bad)
    assert stage.until(InstanceState.FAILED).cause == "ValueError: no such column"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FatalError("no such column"), ErrorClass.FATAL),
        (InfrastructureError("the disk is full"), ErrorClass.INFRASTRUCTURE),
        (ValueError("no such column"), ErrorClass.RETRYABLE),
        (ExceptionGroup("", [InfrastructureError("")]), ErrorClass.INFRASTRUCTURE),
        (ExceptionGroup("", [InfrastructureError(""), ValueError("")]), ErrorClass.RETRYABLE),
        (ExceptionGroup("", [ValueError(""), ExceptionGroup("", [FatalError("")])]), ErrorClass.FATAL),
    ],
)
def test_what_a_function_raises_says_what_kind_of_failure_it_is(
    stage: Stage, error: Exception, expected: ErrorClass
) -> None:
    async def bad(_: OperatorContext) -> None:
        raise error

    stage.run(bad)
    assert stage.until(InstanceState.FAILED).error is expected


def test_even_a_system_exit_is_only_a_failure_of_that_instance(stage: Stage) -> None:
    def bad(_: OperatorContext) -> None:
        raise SystemExit(3)

    stage.run(bad)
    assert stage.until(InstanceState.FAILED).cause == "SystemExit: 3"
    stage.host.start(start(4, instance=NEIGHBOUR))
    stage.until(InstanceState.FAILED, epoch=4)


def test_a_cause_is_cut_between_characters() -> None:
    cause = cause_of(ValueError("x" + "ü" * 200))
    assert len(cause.encode()) <= CAUSE_BYTES_MAX
    assert cause.startswith("ValueError: xü")
    assert "�" not in cause


def test_a_kind_that_nobody_registered_has_failed(stage: Stage) -> None:
    stage.host.start(start(3))
    assert stage.until(InstanceState.FAILED).cause == "UsageError: no function is registered for kind 'k'"


@pytest.mark.parametrize("function", [forever, until_cancelled])
def test_a_stopped_instance_ends_as_stopped(stage: Stage, function: OperatorFunction) -> None:
    stage.run(function)
    stage.until(InstanceState.RUNNING)
    stage.stop(3)
    stage.until(InstanceState.STOPPED)
    assert stage.states()[-2:] == [InstanceState.STOPPING, InstanceState.STOPPED]


def test_a_stop_of_another_epoch_is_ignored(stage: Stage) -> None:
    stage.run(forever, epoch=3)
    stage.until(InstanceState.RUNNING, epoch=3)
    stage.stop(2)
    stage.stop(4)
    stage.host.start(start(5, instance=NEIGHBOUR))
    stage.until(InstanceState.RUNNING, epoch=5)
    assert stage.states(3) == [InstanceState.STARTING, InstanceState.RUNNING]


def test_a_newer_epoch_starts_only_after_the_older_copy_has_ended(stage: Stage) -> None:
    order: list[str] = []
    may_end = threading.Event()

    def slow_to_stop(context: OperatorContext) -> None:
        order.append(f"begin {context.epoch}")
        assert context.wait_cancelled(WAIT_S)
        assert may_end.wait(WAIT_S)
        order.append(f"end {context.epoch}")

    stage.run(slow_to_stop, epoch=3)
    stage.until(InstanceState.RUNNING, epoch=3)
    stage.run(slow_to_stop, epoch=5)
    stage.until(InstanceState.STOPPING, epoch=3)
    assert "begin 5" not in order
    may_end.set()
    stage.until(InstanceState.RUNNING, epoch=5)
    stage.stop(5)
    stage.until(InstanceState.STOPPED, epoch=5)
    assert order == ["begin 3", "end 3", "begin 5", "end 5"]


def test_an_older_or_equal_epoch_is_never_started(stage: Stage) -> None:
    stage.run(forever, epoch=5)
    stage.until(InstanceState.RUNNING, epoch=5)
    stage.run(forever, epoch=5)
    stage.run(forever, epoch=4)
    stage.host.start(start(6, instance=NEIGHBOUR))
    stage.until(InstanceState.RUNNING, epoch=6)
    assert stage.states(4) == []
    assert stage.states(5) == [InstanceState.STARTING, InstanceState.RUNNING]


def test_a_context_says_who_it_is_and_what_it_reads_from(stage: Stage) -> None:
    seen: list[OperatorContext] = []
    stage.registry.register("k", seen.append)
    stage.host.start(start(3, resume_from=b"row 7"))
    stage.until(InstanceState.FINISHED)
    context = seen[0]
    assert (context.instance, context.epoch, context.worker) == (INSTANCE, 3, "w1")
    assert context.resume_from == b"row 7"
    assert context.parameters == {"window": 5}
    assert context.inputs == (InstanceId("job", "source", 0), InstanceId("job", "source", 1))


def test_progress_is_coalesced_to_the_newest_and_wakes_the_peer_once() -> None:
    reports, wakes = Reports(), []
    reports.on_first = lambda: wakes.append(1)
    neighbours = SeenNeighbours(Views(View(run=RUN)))
    context = OperatorContext(start(3), worker="w1", reports=reports, neighbours=neighbours)
    for count in range(10_001):
        context.progress(count)
    context.checkpoint(b"here")
    assert [(each.progress, each.checkpoint) for each in reports.take(now=0.0)] == [(10_000, b"here")]
    assert len(wakes) == 1


def test_progress_alone_is_due_once_an_interval_and_a_state_at_once() -> None:
    reports = Reports()
    reports.take(now=100.0)
    reports.put(Report(instance=INSTANCE, epoch=3, progress=1))
    assert reports.due_at() == 100.0 + REPORT_INTERVAL_S
    reports.put(Report(instance=INSTANCE, epoch=3, state=InstanceState.FINISHED))
    assert reports.due_at() < 100.0


def test_progress_that_falls_is_ignored(stage: Stage) -> None:
    def odd(context: OperatorContext) -> None:
        context.progress(9)
        context.progress(3)

    stage.run(odd)
    stage.until(InstanceState.FINISHED)
    assert [each.progress for each in stage.taken if each.progress is not None] == [9]


def test_a_checkpoint_beyond_the_limit_is_refused(stage: Stage) -> None:
    def greedy(context: OperatorContext) -> None:
        context.checkpoint(bytes(65))

    stage.run(greedy)
    assert "expected at most 64 bytes" in (stage.until(InstanceState.FAILED).cause or "")


def test_a_neighbour_is_located_once_its_newest_epoch_serves(stage: Stage) -> None:
    found: list[Address] = []

    async def asking(context: OperatorContext) -> None:
        assert context.locate_now(NEIGHBOUR) is None
        context.checkpoint(b"asked")
        found.append(await context.locate(NEIGHBOUR))

    stage.run(asking)
    stage.until_checkpoint(b"asked")  # it is said to run before its first line
    stage.know(serving(8, 99))
    stage.until(InstanceState.FINISHED)
    assert found == [Address("127.0.0.1", 99)]


def test_an_endpoint_of_an_older_epoch_is_not_an_answer() -> None:
    old = serving(7, 99)
    assigned = Assignment(instance=NEIGHBOUR, run=RUN, epoch=8)
    view = View(run=RUN, plan=Plan(assignments={NEIGHBOUR: assigned}), statuses=(old,))
    assert view.locate(NEIGHBOUR) is None


def test_a_reader_has_finished_when_the_plan_says_so_and_not_before() -> None:
    views = Views(View(run=RUN))
    context = OperatorContext(start(3), worker="w1", reports=Reports(), neighbours=SeenNeighbours(views))
    reply = context.finished(NEIGHBOUR)
    for finished in (False, True):
        assert not reply.is_settled
        held = Assignment(instance=NEIGHBOUR, run=RUN, epoch=8, finished=finished)
        views.publish(View(run=RUN, plan=Plan(assignments={NEIGHBOUR: held})))
    reply.wait(0)


def test_a_wait_that_is_given_up_and_asked_for_again_is_one_wait() -> None:
    views = Views(View(run=RUN))
    context = OperatorContext(start(3), worker="w1", reports=Reports(), neighbours=SeenNeighbours(views))

    async def give_up_again_and_again() -> None:
        for _ in range(WAITS_MAX + 1):
            for question in (context.locate, context.finished, lambda instance: anext(context.watch(instance))):
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await question(NEIGHBOUR)

    trio.run(give_up_again_and_again)
    found = context.locate(NEIGHBOUR)
    assigned = Assignment(instance=NEIGHBOUR, run=RUN, epoch=8)
    views.publish(View(run=RUN, plan=Plan(assignments={NEIGHBOUR: assigned}), statuses=(serving(8, 99),)))
    assert found.wait(0) == Address("127.0.0.1", 99)


def test_a_thread_that_waits_for_a_neighbour_is_released_by_a_stop(stage: Stage) -> None:
    released: list[str] = []

    def asking(context: OperatorContext) -> None:
        reply = context.locate(NEIGHBOUR)
        context.checkpoint(b"asked")
        with pytest.raises(WorkerStopped) as caught:
            reply.wait(WAIT_S)
        released.append(str(caught.value))

    stage.run(asking)
    stage.until_checkpoint(b"asked")
    stage.stop(3)
    stage.until(InstanceState.STOPPED)
    assert released == ["job/count[0] has been asked to stop"]


def test_what_a_wait_raises_because_of_a_stop_is_no_failure_in_the_log(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    def asking(context: OperatorContext) -> None:
        reply = context.locate(NEIGHBOUR)
        context.checkpoint(b"asked")
        reply.wait(WAIT_S)

    stage.run(asking)
    stage.until_checkpoint(b"asked")
    stage.stop(3)
    stage.until(InstanceState.STOPPED)
    assert caplog.messages == []


def test_close_tells_when_every_instance_has_ended(stage: Stage) -> None:
    idle = threading.Event()
    stage.run(forever)
    stage.until(InstanceState.RUNNING)
    stage.host.close(idle.set, grace_s=WAIT_S)
    assert idle.wait(WAIT_S)
    assert stage.states()[-1] is InstanceState.STOPPED


def test_close_does_not_wait_for_ever_for_an_operator_that_ignores_it(stage: Stage) -> None:
    idle, may_end = threading.Event(), threading.Event()

    def stubborn(_: OperatorContext) -> None:
        may_end.wait(WAIT_S)

    stage.run(stubborn)
    stage.until(InstanceState.RUNNING)
    stage.host.close(idle.set, grace_s=0.01)
    assert idle.wait(WAIT_S)
    may_end.set()


def test_what_comes_after_the_close_is_said_to_have_stopped(stage: Stage) -> None:
    """Else the worker, and the leader with it, would take it for starting until its goodbye, and wait for its end."""
    idle, may_end = threading.Event(), threading.Event()

    def slow_to_stop(_: OperatorContext) -> None:
        may_end.wait(WAIT_S)

    stage.run(slow_to_stop, epoch=3)
    stage.until(InstanceState.RUNNING)
    stage.host.close(idle.set, grace_s=WAIT_S)
    stage.host.start(start(5))
    stage.until(InstanceState.STOPPED, epoch=5)
    may_end.set()
    assert idle.wait(WAIT_S)
    assert stage.states(5) == [InstanceState.STOPPED]


def test_a_kind_can_be_registered_once_only() -> None:
    registry = Registry()
    registry.register("k", forever)
    with pytest.raises(UsageError, match="kind: 'k' is registered already, to forever"):
        registry.register("k", until_cancelled)


def test_what_is_fenced_is_not_started_once_its_fence_is_past(stage: Stage) -> None:
    called: list[int] = []

    def note(context: OperatorContext) -> None:
        called.append(context.epoch)

    stage.run(note, fence_at=clock.now())
    assert stage.until(InstanceState.STOPPED).cause == FENCED
    assert called == []


def test_a_fence_that_is_past_is_not_moved_and_one_that_is_not_is() -> None:
    """Between the fence and the end that it brings, a renewal may come in."""
    host = InstanceHost(Registry(), worker="w1", reports=Reports(), views=lambda: Views(View(run=RUN)))
    now = clock.now()
    for instance, fence_at in ((INSTANCE, now), (NEIGHBOUR, now + WAIT_S)):
        context = OperatorContext(
            start(3, instance=instance),
            worker="w1",
            reports=Reports(),
            neighbours=SeenNeighbours(Views(View(run=RUN))),
        )
        host._running[instance] = Copy(context, fence_at=fence_at)
    host._renew(now + 2 * WAIT_S)
    assert [copy.fence_at for copy in host._running.values()] == [now, now + 2 * WAIT_S]
