"""A warm copy is a process that has imported its module and waits; its promotion is a start without all that."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from swimstream.core.effects import KeepWarm
from swimstream.model.status import InstanceState
from swimstream.runners import process, warm
from swimstream.runners.ending import FENCED
from swimstream.runners.place import Place
from swimstream.runners.registry import InProcess
from swimstream.runtime import clock
from tests.runtime import process_operators as operators
from tests.runtime.stage import INSTANCE, WAIT_S, Stage, start
from tests.runtime.test_logs import Keeper
from tests.runtime.test_process import wait_for_end

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LATE_S = 1_000.0
MODULE = """
import os
def tell(what):
    with open(PIPE, "w") as pipe:
        pipe.write(f"{what} {os.getpid()}\\n")
tell("imported")
def operator(ctx):
    print("hello", ctx.epoch)
    tell("called")
    ctx.checkpoint(b"%d " % ctx.epoch + ctx.resume_from)
    ctx.wait_cancelled(1000)
"""


class Witness:
    """A module that says when it is imported, and when its function is called, and by which process."""

    def __init__(self, directory: Path) -> None:
        pipe = directory / "pipe"
        os.mkfifo(pipe)
        self._pipe = os.open(pipe, os.O_RDWR)
        (directory / "witness.py").write_text(f"PIPE = {str(pipe)!r}\n{MODULE}")
        self.place = Place(module="witness", qualname="operator")

    def hear(self) -> tuple[str, int]:
        """Return what was said next, and by whom."""
        assert self.has_more(WAIT_S), "nothing is said"
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self._pipe, 1)
        what, pid = line.split()
        return what.decode(), int(pid)

    def has_more(self, timeout_s: float = 0.0) -> bool:
        return bool(select.select([self._pipe], [], [], timeout_s)[0])

    def close(self) -> None:
        os.close(self._pipe)


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    made = Witness(tmp_path)
    yield made
    made.close()


@pytest.fixture
def stage(witness: Witness) -> Iterator[Stage]:
    made = staged(witness)
    yield made
    made.host.end(WAIT_S)


def staged(witness: Witness, keeper: Keeper | None = None) -> Stage:
    made = Stage(logs=keeper.logs if keeper is not None else None)
    made.registry._registered["k"] = InProcess(place=witness.place)  # it stands in no module of the test's own
    return made


def keep(stage: Stage, *, kind: str = "k") -> None:
    stage.host.keep_warm(KeepWarm(((INSTANCE, kind),)))


def give_up(stage: Stage) -> None:
    stage.host.keep_warm(KeepWarm(()))


def run(stage: Stage, *, epoch: int = 3, fence_at: float | None = None, resume_from: bytes = b"") -> None:
    stage.host.start(start(epoch, fence_at=fence_at, resume_from=resume_from))


def until_kept(stage: Stage, *, other_than: int = 0) -> int:
    """Return the number of the warm process, when there is one."""
    found: list[int] = []
    while not found:
        asked = threading.Event()

        def look(asked: threading.Event = asked) -> None:
            kept = stage.host._warm._kept.get(INSTANCE)
            if kept is not None and kept.process is not None and kept.process.pid != other_than:
                found.append(kept.process.pid)
            asked.set()

        assert stage.host._thread.post(look)
        assert asked.wait(WAIT_S)
    return found[0]


def until_missed(stage: Stage, pid: int) -> None:
    """Return once the host has seen that the warm process of that number is gone."""
    is_kept: list[bool] = [True]
    while is_kept[-1]:
        asked = threading.Event()

        def look(asked: threading.Event = asked) -> None:
            kept = stage.host._warm._kept.get(INSTANCE)
            is_kept.append(kept is not None and kept.process is not None and kept.process.pid == pid)
            asked.set()

        assert stage.host._thread.post(look)
        assert asked.wait(WAIT_S)


def test_a_warm_copy_has_imported_its_module_and_calls_nothing_before_its_promotion(
    stage: Stage, witness: Witness
) -> None:
    keep(stage)
    what, pid = witness.hear()
    assert (what, pid) == ("imported", until_kept(stage))
    assert not witness.has_more()
    assert not stage.states(), "nobody is told of it"


def test_at_its_promotion_the_same_process_goes_on_under_the_new_epoch(stage: Stage, witness: Witness) -> None:
    keep(stage)
    _, pid = witness.hear()
    run(stage, epoch=7, resume_from=b"row 3")
    assert witness.hear() == ("called", pid)
    assert stage.until_checkpoint(epoch=7) == b"7 row 3"
    assert stage.states(7) == [InstanceState.STARTING, InstanceState.RUNNING]


def test_a_promotion_in_the_midst_of_the_import_takes_over_what_there_is(stage: Stage, witness: Witness) -> None:
    keep(stage)
    pid = until_kept(stage)
    run(stage)
    assert [witness.hear(), witness.hear()] == [("imported", pid), ("called", pid)]


def test_a_script_is_run_once(stage: Stage, witness: Witness, tmp_path: Path) -> None:
    script = str(tmp_path / "witness.py")
    place = Place(module="__main__", qualname="operator", script=script)
    stage.registry._registered["k"] = InProcess(place=place)
    keep(stage)
    _, pid = witness.hear()
    run(stage)
    assert witness.hear() == ("called", pid)


def test_what_was_promoted_is_not_given_up_with_the_list(stage: Stage, witness: Witness) -> None:
    keep(stage)
    _, pid = witness.hear()
    run(stage)
    give_up(stage)
    assert witness.hear() == ("called", pid)
    stage.stop(3)
    assert stage.until(InstanceState.STOPPED).cause is None


def test_a_warm_copy_that_nobody_wants_any_more_ends(stage: Stage, witness: Witness) -> None:
    keep(stage)
    _, pid = witness.hear()
    give_up(stage)
    wait_for_end(pid)
    assert not stage.states()


def test_the_end_of_the_host_ends_it(witness: Witness) -> None:
    stage = staged(witness)
    keep(stage)
    _, pid = witness.hear()
    assert stage.host.end(WAIT_S)
    wait_for_end(pid)


def test_without_a_warm_copy_the_instance_starts_cold(stage: Stage, witness: Witness) -> None:
    keep(stage)
    _, pid = witness.hear()
    os.kill(pid, signal.SIGKILL)
    until_missed(stage, pid)
    run(stage)
    what, other = witness.hear()
    assert what == "imported"
    assert other != pid
    assert witness.hear() == ("called", other)
    stage.until(InstanceState.RUNNING)
    assert stage.states() == [InstanceState.STARTING, InstanceState.RUNNING]


def test_one_that_ends_by_itself_is_begun_again_and_nobody_is_told(
    stage: Stage, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "PAUSE_S", 0.0)
    keep(stage)
    _, pid = witness.hear()
    os.kill(pid, signal.SIGKILL)
    what, other = witness.hear()
    assert what == "imported"
    assert until_kept(stage, other_than=pid) == other
    assert not stage.states()


def test_a_module_that_cannot_be_imported_fails_at_the_start_alone(stage: Stage, witness: Witness) -> None:
    stage.registry._registered["k"] = InProcess(place=Place(module="no_such_module", qualname="f"))
    keep(stage)
    wait_for_end(until_kept(stage))
    assert not stage.states()
    run(stage)
    assert stage.until(InstanceState.FAILED).cause == "ModuleNotFoundError: No module named 'no_such_module'"
    assert not witness.has_more()


def test_its_output_goes_to_the_logs_of_the_epoch_that_it_runs(witness: Witness, tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "logs")
    stage = staged(witness, keeper)
    keep(stage)
    witness.hear()
    run(stage, epoch=5)
    witness.hear()
    stage.stop(5)
    stage.until(InstanceState.STOPPED, epoch=5)
    assert stage.host.end(WAIT_S)
    assert b"hello 5\n" in keeper.ask(tail=1_000).data
    keeper.logs.stop(WAIT_S)


def test_a_kind_that_runs_in_the_worker_needs_nothing_and_starts_as_ever() -> None:
    stage = Stage()
    stage.registry.register("k", operators.short)
    keep(stage)
    run(stage)
    stage.until(InstanceState.FINISHED)
    assert not stage.host._warm._kept
    assert stage.host.end(WAIT_S)


def test_at_its_promotion_the_kernel_is_given_the_fence_of_an_at_most_one_instance(
    stage: Stage, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process.Child, "pass_fence", lambda _: None)  # nobody else kills it
    keep(stage)
    _, pid = witness.hear()
    run(stage, fence_at=clock.now() + LATE_S)
    assert witness.hear() == ("called", pid)
    stage.fence(clock.now() + 0.2)
    assert stage.until(InstanceState.STOPPED).cause == FENCED
    wait_for_end(pid)


def test_a_warm_copy_that_sleeps_through_its_fence_never_calls_the_operator(
    stage: Stage, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process.Child, "pass_fence", lambda _: None)
    keep(stage)
    _, pid = witness.hear()
    os.kill(pid, signal.SIGSTOP)
    fence_at = clock.now() + 1.0
    run(stage, fence_at=fence_at)
    stage.until(InstanceState.STARTING)
    while (left_s := fence_at - clock.now()) > 0:
        threading.Event().wait(left_s)
    os.kill(pid, signal.SIGCONT)
    assert stage.until(InstanceState.STOPPED).cause == FENCED
    assert not witness.has_more()


def test_an_instance_of_another_kind_by_now_is_warmed_anew(stage: Stage, witness: Witness) -> None:
    keep(stage)
    _, pid = witness.hear()
    stage.registry._registered["other"] = InProcess(place=witness.place)
    keep(stage, kind="other")
    wait_for_end(pid)
    what, other = witness.hear()
    assert what == "imported"
    assert until_kept(stage, other_than=pid) == other
