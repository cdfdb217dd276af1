"""The kernel's timer that ends a process at its deadline, whatever the process does by then."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
import trio

from swimstream.model.status import InstanceState
from swimstream.runners import child, fence, supervisor
from swimstream.runners.context import OperatorContext
from swimstream.runners.ending import FENCED, Ending
from swimstream.runners.frames import UNTIL
from swimstream.runners.neighbours import SeenNeighbours
from swimstream.runners.place import place_of
from swimstream.runners.process import Child
from swimstream.runners.registry import InProcess
from swimstream.runners.supervisor import Deadline
from swimstream.runtime import clock
from swimstream.runtime.reports import Reports
from swimstream.runtime.view import View, Views
from tests.runtime import process_operators as operators
from tests.runtime.stage import RUN, WAIT_S, start

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="such timers are Linux's")

ROOT = Path(__file__).parent.parent.parent
HEAD = """
import sys, time
from swimstream.runners.fence import KernelFence, WatchdogFence, arm
from swimstream.runtime import clock
"""
ARMED = (
    HEAD
    + """
fence = arm(clock.now() + float(sys.argv[1]))
print("armed", flush=True)
time.sleep(1000)
"""
)
STILL = (
    HEAD
    + """
import os, signal
fence = arm(clock.now() + 0.5)
os.kill(os.getpid(), signal.SIGSTOP)
print("goes on", flush=True)
"""
)
RENEWED = (
    HEAD
    + """
first = clock.now() + 3.0  # so long until the next line, even on a busy machine
fence = {kind}(first)
fence.renew(first + 1000)
while clock.now() < first + 0.1:
    time.sleep(0.01)
print("alive", flush=True)
"""
)
ORPHANED = (
    HEAD
    + """
import socket
from swimstream.runners import child
ours, workers = socket.socketpair()
ours.sendall(b"unread")  # what makes the kernel reset the connection once the other end is closed
workers.close()
child._move(KernelFence(clock.now() + 1000.0), ours)
print("over", flush=True)
"""
)


def run(script: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_a_deadline_that_is_over_kills_before_the_next_step() -> None:
    with run(ARMED, "-1") as process:
        told, _ = process.communicate(timeout=WAIT_S)
    assert (told, process.returncode) == ("", -signal.SIGKILL)


def test_a_process_that_is_stopped_dies_at_its_deadline_and_needs_not_be_continued() -> None:
    with run(STILL) as process:
        try:
            assert process.wait(WAIT_S) == -signal.SIGKILL
        finally:
            process.kill()
        assert process.stdout is not None
        assert process.stdout.read() == ""


@pytest.mark.parametrize("kind", ["KernelFence", "WatchdogFence"])
def test_a_renewed_process_lives_past_its_first_deadline(kind: str) -> None:
    with run(RENEWED.format(kind=kind)) as process:
        told, _ = process.communicate(timeout=WAIT_S)
    assert (told, process.returncode) == ("alive\n", 0)


def test_the_watchdog_kills_too_where_nothing_better_is() -> None:
    with run(ARMED.replace("arm(", "WatchdogFence("), "0.05") as process:
        assert process.wait(WAIT_S) == -signal.SIGKILL


def test_no_handler_and_no_mask_stands_in_its_way() -> None:
    block = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
    with run(block + ARMED, "0.05") as process:
        assert process.wait(WAIT_S) == -signal.SIGKILL


def test_linux_enforces_it() -> None:
    assert fence.is_kernel_enforced()


def test_without_a_timer_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no silent fall back to the weaker watchdog."""

    class NoTimers:
        def timer_create(self, *_: object) -> int:
            ctypes.set_errno(11)
            return -1

    monkeypatch.setattr(fence, "_library_with_timers", NoTimers)
    with pytest.raises(OSError, match=r"timer_create: .*; without it no at-most-one instance can run here"):
        fence.arm(clock.now() + 1_000)


async def test_a_process_that_still_starts_at_its_deadline_never_calls_the_function(tmp_path: Path) -> None:
    file = tmp_path / "stamps"
    effect = start(3, fence_at=clock.now() - 1, resume_from=str(file).encode())
    neighbours = SeenNeighbours(Views(View(run=RUN)))
    context = OperatorContext(effect, worker="w1", reports=Reports(), neighbours=neighbours)
    what = InProcess(place=place_of(operators.stamps, field="kind"))
    child = Child(effect, what, context, neighbours, grace_s=WAIT_S)
    with trio.fail_after(WAIT_S):
        ending = await child.run(trio.CancelScope(), on_running=lambda: pytest.fail("it is said to run"))
    assert ending == Ending(InstanceState.STOPPED, FENCED)
    assert not file.exists()


def test_a_process_whose_worker_is_gone_already_ends_itself() -> None:
    orphan = "from swimstream.runners.child import die_with\ndie_with(2**22 + 1)\nprint('lives')"
    with run(orphan) as process:
        told, _ = process.communicate(timeout=WAIT_S)
    assert (told, process.returncode) == ("", -signal.SIGKILL)


def test_a_worker_that_dies_with_confirmations_unread_leaves_no_traceback() -> None:
    with run(ORPHANED) as process:
        told, _ = process.communicate(timeout=WAIT_S)
    assert (told, process.returncode) == ("over\n", 0)


def armed_by_child(until: float, renewals: socket.socket) -> float:
    """Return the deadline that the process of an operator begins with."""
    with patch.object(child, "arm") as arm, patch("swimstream.runners.child.threading.Thread"):
        child._fence(until, renewals)
    return float(arm.call_args.args[0])


def armed_by_supervisor(until: float, renewals: socket.socket) -> float:
    with patch.object(supervisor, "arm") as arm:
        Deadline(until, renewals, early_s=0.0)
    return float(arm.call_args.args[0])


@pytest.mark.parametrize("armed", [armed_by_child, armed_by_supervisor])
def test_a_process_that_starts_slowly_begins_with_the_newest_deadline_it_was_told(
    armed: Callable[[float, socket.socket], float],
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert armed(5.0, theirs) == 5.0
        for until in (6.0, 7.0):
            ours.sendall(UNTIL.pack(until))
        assert armed(5.0, theirs) == 7.0
        assert ours.recv(100) == UNTIL.pack(6.0) + UNTIL.pack(7.0), "confirmed, since they are in force"
        ours.close()
        assert armed(5.0, theirs) == 5.0, "a worker that is gone has told nothing"
