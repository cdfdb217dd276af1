"""Instances in processes of their own: the same face, and an end that nobody can refuse."""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from swimstream.errors import UsageError
from swimstream.model.plan import Assignment, Plan
from swimstream.model.status import ErrorClass, InstanceState
from swimstream.runners import host, process
from swimstream.runners.ending import Ending, fenced
from swimstream.runners.place import Place, place_of
from swimstream.runners.registry import IN_PROCESS, Registry
from swimstream.runtime import clock
from swimstream.runtime.view import View
from tests.runtime import process_operators as operators
from tests.runtime.stage import NEIGHBOUR, RUN, WAIT_S, Stage, serving, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swimstream.runners.context import OperatorContext
    from swimstream.runners.registry import OperatorFunction

SOON_S = 2.0
"""By then one that runs already has heard of what it is told, however busy the machine is."""
LATE_S = 1_000.0
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.host.end(WAIT_S)


@pytest.fixture
def impatient() -> Iterator[Stage]:
    made = Stage(stop_timeout_s=0.05)
    yield made
    made.host.end(WAIT_S)


def wait_for_end(pid: int) -> None:
    """Return when that process has ended; it need not be ours. One that goes on is killed, and fails the test."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], WAIT_S)[0], f"process {pid} goes on"
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)


@pytest.mark.parametrize("function", [operators.short, operators.short_async])
def test_a_function_that_returns_has_finished(stage: Stage, function: OperatorFunction) -> None:
    stage.run(function, isolation=IN_PROCESS)
    stage.until(InstanceState.FINISHED)
    assert stage.states() == [InstanceState.STARTING, InstanceState.RUNNING, InstanceState.FINISHED]


def test_it_runs_in_a_session_and_group_of_its_own(stage: Stage) -> None:
    stage.run(operators.tells_group, isolation=IN_PROCESS)
    assert stage.until_checkpoint() == b"alone"


def test_it_knows_who_it_is_and_its_reports_arrive(stage: Stage) -> None:
    stage.run(operators.tells_itself, isolation=IN_PROCESS, resume_from=b"row 7")
    stage.until(InstanceState.FINISHED)
    assert json.loads(stage.until_checkpoint()) == ["job/count[0]", 3, "w1", "row 7", 5]
    assert [each.progress for each in stage.taken if each.progress is not None] == [20]
    assert [each.endpoint for each in stage.taken if each.endpoint is not None] == ["127.0.0.1:99"]


def test_reports_arrive_before_the_end_is_told(stage: Stage) -> None:
    stage.run(operators.tells_itself, isolation=IN_PROCESS)
    stage.until(InstanceState.FINISHED)
    told = [each.progress is not None for each in stage.taken]
    assert True in told
    assert told.index(True) < [each.state for each in stage.taken].index(InstanceState.FINISHED)


def test_a_function_that_raises_has_failed_with_its_cause(stage: Stage) -> None:
    stage.run(operators.bad, isolation=IN_PROCESS)
    said = stage.until(InstanceState.FAILED)
    assert (said.cause, said.error) == ("ValueError: no such column", ErrorClass.RETRYABLE)


def test_what_a_function_raises_says_there_too_what_kind_of_failure_it_is(stage: Stage) -> None:
    stage.run(operators.hopeless, isolation=IN_PROCESS)
    said = stage.until(InstanceState.FAILED)
    assert (said.cause, said.error) == ("FatalError: no such column", ErrorClass.FATAL)


def test_a_process_that_dies_by_itself_has_failed_with_its_signal(stage: Stage) -> None:
    stage.run(operators.dies, isolation=IN_PROCESS)
    assert stage.until(InstanceState.FAILED).cause == "its process was ended by SIGUSR1"


def test_a_process_that_exits_before_its_function_returns_has_failed(stage: Stage) -> None:
    stage.run(operators.exits, isolation=IN_PROCESS)
    assert stage.until(InstanceState.FAILED).cause == "its process ended with exit status 0"


def test_a_function_that_is_gone_from_its_module_has_failed(stage: Stage) -> None:
    def gone(_: OperatorContext) -> None: ...

    gone.__qualname__, gone.__module__ = "gone", operators.__name__
    stage.run(gone, isolation=IN_PROCESS)
    assert (stage.until(InstanceState.FAILED).cause or "").startswith("UsageError: function: ")


@pytest.mark.parametrize("function", [operators.tells_pid, operators.tells_pid_async])
def test_a_stopped_instance_ends_as_stopped(stage: Stage, function: OperatorFunction) -> None:
    stage.run(function, isolation=IN_PROCESS)
    stage.until_checkpoint()
    stage.stop(3)
    assert stage.until(InstanceState.STOPPED).cause is None
    assert stage.states()[-2:] == [InstanceState.STOPPING, InstanceState.STOPPED]


def test_one_that_waits_for_a_neighbour_is_released_by_a_stop(stage: Stage) -> None:
    stage.run(operators.asks_for_ever, isolation=IN_PROCESS)
    stage.until_checkpoint(b"asked")
    stage.stop(3)
    assert stage.until(InstanceState.STOPPED).cause == "WorkerStopped: job/count[0] has been asked to stop"


@pytest.mark.parametrize(
    ("function", "by"), [(operators.stubborn, "SIGTERM"), (operators.very_stubborn, "SIGKILL")], ids=["asked", "forced"]
)
def test_one_that_ignores_the_request_is_ended(
    impatient: Stage, function: OperatorFunction, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "SIGTERM":  # a busy machine may need long until the process is dead of it: the next is not to come before
        monkeypatch.setattr(process, "KILL_AFTER_MULT", WAIT_S / 0.05)
    impatient.run(function, isolation=IN_PROCESS)
    impatient.until_checkpoint(b"up")
    impatient.stop(3)
    assert impatient.until(InstanceState.STOPPED).cause == f"ended by {by}: it did not stop when asked"


def test_what_it_has_started_ends_with_it(stage: Stage) -> None:
    stage.run(operators.leaves_a_child, isolation=IN_PROCESS)
    stage.until(InstanceState.FINISHED)
    wait_for_end(int(stage.until_checkpoint()))


def test_close_waits_until_a_process_that_ignores_it_was_killed(
    impatient: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "CLOSE_MULT", WAIT_S / 0.05)  # else it gives up some 12 ms after the kill
    impatient.run(operators.very_stubborn, isolation=IN_PROCESS)
    impatient.until_checkpoint(b"up")
    assert impatient.host.end(0.05)
    assert impatient.states()[-1] is InstanceState.STOPPED


def test_a_newer_epoch_starts_after_the_older_process_has_ended(stage: Stage) -> None:
    stage.run(operators.tells_pid, isolation=IN_PROCESS)
    older = int(stage.until_checkpoint())
    stage.run(operators.tells_pid, epoch=5)
    newer = int(stage.until_checkpoint(epoch=5))
    assert newer != older
    wait_for_end(older)
    assert InstanceState.STOPPED in stage.states(3)


def test_neighbours_are_asked_for_through_the_worker(stage: Stage) -> None:
    stage.run(operators.asks, isolation=IN_PROCESS)
    stage.until_checkpoint(b"asked")
    stage.know(serving(8, 99))
    stage.until_checkpoint(b"127.0.0.1:99")
    stage.know(serving(9, 100))
    stage.until_checkpoint(b"127.0.0.1:100")
    finished = Assignment(instance=NEIGHBOUR, run=RUN, epoch=9, finished=True)
    stage.views.publish(View(run=RUN, plan=Plan(assignments={NEIGHBOUR: finished})))
    stage.until(InstanceState.FINISHED)


@pytest.mark.parametrize("stands_still", [False, True], ids=["running", "stopped"])
def test_it_dies_with_its_worker(stands_still: bool) -> None:  # noqa: FBT001  # a parameter
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.runtime.lone_worker"], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    with worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        if stands_still:
            os.kill(pid, signal.SIGSTOP)
        worker.kill()
    wait_for_end(pid)


def test_a_script_is_found_by_its_file(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import swimstream\n"
        "worker = swimstream.Worker(name='w1', preset='local')\n"
        "@worker.operator('count', isolation='process')\n"
        "def count(ctx):\n"
        "    ctx.checkpoint(__name__.encode())\n"
        "if __name__ == '__main__':\n"
        "    with worker:\n"
        "        spec = swimstream.OperatorSpec(name='count', kind='count')\n"
        "        worker.submit(swimstream.JobSpec(name='j', operators=(spec,))).wait(90)\n"
        "        worker.finished('j').wait(90)\n"
        "        print(worker.statuses()[0].checkpoint.decode())\n"
    )
    told = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (told.stdout, told.stderr) == ("__swimstream_main__\n", "")


class Callable:
    def __call__(self, _: OperatorContext) -> None: ...


@pytest.mark.parametrize("function", [lambda _: None, functools.partial(operators.short), Callable()])
def test_what_another_process_cannot_find_is_refused(function: OperatorFunction) -> None:
    with pytest.raises(UsageError, match="kind 'k': expected a function at the top of a module"):
        Registry().register("k", function, isolation=IN_PROCESS)


def test_a_function_within_a_function_is_refused() -> None:
    def inner(_: OperatorContext) -> None: ...

    with pytest.raises(UsageError, match="expected a function at the top of a module"):
        place_of(inner, field="kind 'k'")


def test_a_function_typed_in_by_hand_is_refused() -> None:
    asked = "from swimstream.runners.place import place_of\ndef f(ctx): ...\nplace_of(f, field='kind')"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    assert "UsageError: kind: expected a function of a module or script, got f" in told.stderr


def test_another_isolation_is_refused() -> None:
    with pytest.raises(UsageError, match="isolation: expected one of worker, process, got 'container'"):
        Registry().register("k", operators.short, isolation="container")


def test_a_place_is_found_again() -> None:
    place = place_of(operators.short, field="kind")
    assert place == Place(module="tests.runtime.process_operators", qualname="short")
    assert place.find() is operators.short


# --- at-most-one: the fence ---------------------------------------------------------------------------------------


def test_one_whose_fence_is_past_is_not_started(stage: Stage) -> None:
    stage.run(operators.tells_pid, isolation=IN_PROCESS, fence_at=clock.now() - 1)
    assert stage.until(InstanceState.STOPPED).cause == "fenced: authority ended"
    assert stage.states() == [InstanceState.STARTING, InstanceState.STOPPED]


def test_one_that_is_not_renewed_is_killed_and_says_so(stage: Stage) -> None:
    stage.run(operators.stubborn, isolation=IN_PROCESS, fence_at=clock.now() + 1.5)
    assert stage.until(InstanceState.STOPPED).cause == "fenced: authority ended"
    assert InstanceState.STOPPING not in stage.states()


def test_the_same_epoch_starts_again_after_its_fence(stage: Stage) -> None:
    stage.run(operators.tells_pid, isolation=IN_PROCESS, fence_at=clock.now() + 0.01)
    stage.until(InstanceState.STOPPED)
    stage.run(operators.tells_pid, fence_at=clock.now() + 1_000)
    stage.until_checkpoint()
    assert stage.states().count(InstanceState.STARTING) == 2


def test_one_that_is_renewed_lives_past_its_first_deadline(stage: Stage) -> None:
    longer = repr(SOON_S + 0.2).encode()
    stage.run(operators.lives_on, isolation=IN_PROCESS, fence_at=clock.now() + LATE_S, resume_from=longer)
    stage.until_checkpoint(b"up")
    first = clock.now() + SOON_S
    stage.fence(first)
    stage.renew(first + LATE_S)
    stage.know(serving(8, 99))
    stage.until(InstanceState.FINISHED)


def test_one_that_holds_the_interpreter_is_killed_though_it_was_renewed(stage: Stage, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    fence_at, path = clock.now() + LATE_S, str(pipe).encode()
    stage.run(operators.holds_the_interpreter, isolation=IN_PROCESS, fence_at=fence_at, resume_from=path)
    stage.until_checkpoint(b"up")
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:  # noqa: PTH123  # not to wait for a writer
        stage.fence(clock.now() + SOON_S)
        stage.know(serving(8, 99))
        assert select.select([opened], [], [], WAIT_S)[0]
        assert opened.read(1) == b"!", "it has the GIL for good"
        stage.renew(clock.now() + LATE_S)
        assert (stage.until(InstanceState.FAILED).cause or "").startswith("fenced: renewals did not reach it in time")


def test_one_that_its_fence_has_killed_while_it_started_has_not_failed_by_itself() -> None:
    assert fenced(5.0, 9.0, armed_until=6.0, has_begun=False) is None, "something else has killed it"
    slow, deaf = (fenced(7.0, 9.0, armed_until=6.0, has_begun=has_begun) for has_begun in (False, True))
    assert slow is not None
    assert (slow.state, slow.error) == (InstanceState.FAILED, ErrorClass.INFRASTRUCTURE)
    assert deaf is not None
    assert (deaf.state, deaf.error) == (InstanceState.FAILED, ErrorClass.RETRYABLE)
    assert fenced(9.0, 9.0, armed_until=6.0, has_begun=False) == Ending(
        InstanceState.STOPPED, "fenced: authority ended"
    )


def test_one_that_was_asked_to_stop_is_renewed_no_more(stage: Stage) -> None:
    stage.run(operators.very_stubborn, isolation=IN_PROCESS, fence_at=clock.now() + LATE_S)
    stage.until_checkpoint(b"up")
    stage.fence(clock.now() + SOON_S)
    stage.stop(3)
    stage.renew(clock.now() + LATE_S)
    assert stage.until(InstanceState.STOPPED).cause == "fenced: authority ended"


def test_one_that_stands_still_past_its_deadline_dies_without_another_step(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "stamps"
    stage.run(operators.stamps, isolation=IN_PROCESS, fence_at=clock.now() + LATE_S, resume_from=str(file).encode())
    pid = int(stage.until_checkpoint())
    fence_at = clock.now() + SOON_S
    stage.fence(fence_at)
    os.kill(pid, signal.SIGSTOP)  # and never SIGCONT
    assert stage.until(InstanceState.STOPPED).cause == "fenced: authority ended"
    assert max(float(line) for line in file.read_text().splitlines()) < fence_at


def test_an_instance_in_the_worker_that_misses_its_fence_is_counted_and_asked_to_stop(stage: Stage) -> None:
    def stubborn(context: OperatorContext) -> None:
        assert context.wait_cancelled(WAIT_S)

    stage.run(stubborn, fence_at=clock.now() + LATE_S)
    stage.until(InstanceState.RUNNING)
    stage.fence(clock.now())
    stage.until(InstanceState.STOPPED)
    assert InstanceState.STOPPING in stage.states()
    assert stage.reports.fences_missed == 1


def test_an_instance_in_the_worker_that_is_renewed_misses_nothing(stage: Stage) -> None:
    first = clock.now() + SOON_S

    def patient(context: OperatorContext) -> None:
        while clock.now() < first + 0.3:
            context.wait_cancelled(0.01)

    stage.run(patient, fence_at=first)
    stage.renew(first + LATE_S)
    stage.until(InstanceState.FINISHED)
    assert stage.reports.fences_missed == 0


def test_an_instance_in_the_worker_that_has_ended_in_time_misses_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "FENCE_LOOK_S", 0.01)
    may_end = threading.Event()

    def short(context: OperatorContext) -> None:
        assert may_end.wait(WAIT_S)
        if context.epoch == 5:  # a watch that still looks at the first one finds its fence past meanwhile
            context.wait_cancelled(0.1)

    stage.run(short, fence_at=clock.now() + LATE_S)
    stage.until(InstanceState.RUNNING)
    (first,) = stage.host._running.values()
    may_end.set()
    stage.until(InstanceState.FINISHED)
    first.fence_at = clock.now()
    stage.host.start(start(5, instance=NEIGHBOUR, fence_at=clock.now() + LATE_S))
    stage.until(InstanceState.FINISHED, epoch=5)
    assert stage.reports.fences_missed == 0
