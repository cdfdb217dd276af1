"""A worker that crashes or stands still, and its peer, which does neither: real processes, seen by another worker."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from swimstream.errors import UsageError
from swimstream.events import InstanceChanged, MemberChanged
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, JobSpec, OperatorSpec
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState
from swimstream.runtime import peer_child
from swimstream.runtime.replies import Found
from swimstream.worker import Worker
from swimstream.worker_config import PROCESS
from tests.runtime.crashing_worker import PATIENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swimstream.runtime.subscriptions import Subscription
    from swimstream.runtime.view import View

ROOT = Path(__file__).parents[2]
WAIT_S = 60.0
GONE = (MemberState.SUSPECT, MemberState.DEAD)


class Scene:
    """A witness that takes no instances, in this process, and a worker in another one that takes them all."""

    def __init__(self, isolation: str = PROCESS) -> None:
        self.witness = Worker(
            name="witness", preset="local", timing=PATIENT, capacity=0, expect=2, join_timeout_s=WAIT_S
        )
        self.witness.start()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.runtime.crashing_worker", "w", str(self.witness.address), isolation],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.peer = os.pidfd_open(int(self.line())) if isolation == PROCESS else -1
        self.until(lambda view: view.plan.index > 1 and bool(view.mark.leader))

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        if self.peer >= 0:
            try:
                self.until_peer_ends()
            finally:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self.peer, signal.SIGKILL)
                os.close(self.peer)
        self.witness.stop(leave=False)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, condition: Callable[[View], bool]) -> View:
        found = self.witness._running().views.when(lambda view: Found(view) if condition(view) else None)
        return found.wait(WAIT_S)

    def run(self, kind: str, guarantee: str = AT_LEAST_ONE, *, parallelism: int = 3, pipe: str = "") -> View:
        """Have so many instances run on the worker, and return a view that shows it."""
        operator = OperatorSpec(
            name="o", kind=kind, parallelism=parallelism, instances=guarantee, parameters={"pipe": pipe}
        )
        self.witness.submit(JobSpec(name="job", operators=(operator,))).wait(WAIT_S)
        return self.until(lambda view: states(view) == [InstanceState.RUNNING] * parallelism and has_said(view, kind))

    def until_peer_ends(self) -> None:
        assert select.select([self.peer], [], [], WAIT_S)[0], "the peer goes on without its worker"


def states(view: View) -> list[InstanceState]:
    return [each.state for each in view.statuses]


def has_said(view: View, kind: str) -> bool:
    return kind == "inside" or all(each.checkpoint for each in view.statuses)


def member_states(events: Subscription) -> list[MemberState]:
    return [each.member.state for each in events.drain() if isinstance(each, MemberChanged)]


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.close()


def is_there(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def test_the_peer_of_a_killed_worker_tells_its_end_and_why_and_nobody_takes_it_for_silent(scene: Scene) -> None:
    scene.run("inside")
    with scene.witness.events() as events:
        scene.process.kill()
        view = scene.until(lambda view: states(view) == [InstanceState.FAILED] * 3)
        assert {each.cause for each in view.statuses} == {"worker process was killed by SIGKILL"}
        scene.until(lambda view: MemberState.LEFT in {each.state for each in view.members})
        assert not set(GONE) & set(member_states(events))
    scene.until_peer_ends()


def test_an_exit_without_a_goodbye_is_told_with_its_status(scene: Scene) -> None:
    scene.run("inside")
    scene.tell("exit")
    view = scene.until(lambda view: states(view) == [InstanceState.FAILED] * 3)
    assert {each.cause for each in view.statuses} == {"worker process ended with exit status 3 and no goodbye"}


def test_the_processes_of_operators_have_ended_before_their_failure_is_told(scene: Scene) -> None:
    view = scene.run("apart", AT_MOST_ONE)
    pids = [int(each.checkpoint) for each in view.statuses]
    assert all(map(is_there, pids))
    left: list[bool] = []
    with scene.witness.events() as events:
        scene.process.kill()
        while len(left) < len(pids):
            event = events.take(WAIT_S)
            if isinstance(event, InstanceChanged) and event.status.state is InstanceState.FAILED:
                left.append(is_there(int(event.status.checkpoint)))
    assert left == [False] * len(pids)


def test_an_operator_that_outlives_its_worker_is_killed_before_its_failure_is_told(
    scene: Scene, tmp_path: Path
) -> None:
    pipe, held = tmp_path / "pipe", tmp_path / "pipe.held"  # the latter is opened with the interpreter held, for good
    os.mkfifo(pipe)
    os.mkfifo(held)
    view = scene.run("clinging", parallelism=1, pipe=str(pipe))
    for each in (pipe, held):
        os.close(os.open(each, os.O_WRONLY))
    scene.process.kill()
    scene.until(lambda view: states(view) == [InstanceState.FAILED])
    assert not is_there(int(view.statuses[0].checkpoint))


def test_what_an_operators_process_has_started_is_killed_as_well(scene: Scene) -> None:
    view = scene.run("parent", parallelism=1)
    descriptor = os.pidfd_open(int(view.statuses[0].checkpoint))
    try:
        scene.process.kill()
        assert select.select([descriptor], [], [], WAIT_S)[0]
    finally:
        os.close(descriptor)


def test_a_worker_that_stands_still_does_not_hold_up_its_peer(scene: Scene) -> None:
    sent = 40
    scene.process.send_signal(signal.SIGSTOP)
    with scene.witness.events() as events:
        for _ in range(sent):  # more together than the sockets between the two take
            scene.witness.send("w", "topic", b"x" * 60_000).wait(WAIT_S)
        assert not set(GONE) & set(member_states(events))
    scene.process.send_signal(signal.SIGCONT)
    heard = 0
    while heard < sent:
        scene.tell("events")
        lost, count = map(int, scene.line().split())
        heard += lost + count


@pytest.mark.parametrize("kind", ["inside", "apart"])
def test_a_worker_that_holds_its_interpreter_is_frozen_and_not_dead(scene: Scene, tmp_path: Path, kind: str) -> None:
    scene.run(kind)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with scene.witness.events() as events:
        scene.tell(f"freeze {pipe}")
        if kind == "inside":
            view = scene.until(lambda view: states(view) == [InstanceState.FROZEN] * 3)
            assert {each.cause.rpartition(" for ")[0] for each in view.statuses} == {"its worker's loop has not turned"}
        else:
            scene.until(lambda view: view.counters.get("datagrams_sent", 0) > 0)
        scene.witness.send("w", "topic").wait(WAIT_S)
        os.close(os.open(pipe, os.O_WRONLY))
        view = scene.until(lambda view: states(view) == [InstanceState.RUNNING] * 3)
        assert {each.cause for each in view.statuses} == {""}
        news = events.drain()
    seen = {each.member.state for each in news if isinstance(each, MemberChanged)}
    told = {each.status.state for each in news if isinstance(each, InstanceChanged)}
    assert not set(GONE) & seen
    assert told == ({InstanceState.FROZEN, InstanceState.RUNNING} if kind == "inside" else set())


def test_a_port_or_directory_that_a_predecessor_still_holds_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def start(*_: object) -> str:
        tries.append(1)
        if len(tries) < 3:
            raise UsageError("bind: in use") from BlockingIOError(11, "held")
        return "started"

    monkeypatch.setattr(peer_child, "_try_start", start)
    assert peer_child._start(None, None, None) == "started"  # type: ignore[arg-type, comparison-overlap]  # handed on
    assert len(tries) == 3


def test_a_bad_address_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def start(*_: object) -> None:
        tries.append(1)
        raise UsageError("bind: not an address of this host") from OSError(99, "bad")

    monkeypatch.setattr(peer_child, "_try_start", start)
    with pytest.raises(UsageError):
        peer_child._start(None, None, None)  # type: ignore[arg-type]  # handed on
    assert len(tries) == 1


def test_a_worker_with_tags_starts_is_seen_with_them_and_leaves_without_a_fault() -> None:
    worker = Worker(name="w1", preset="local", isolation=PROCESS, tags={"disk": "ssd"}, join_timeout_s=WAIT_S)
    worker.start()
    assert dict(worker.tags("w1")) == {"disk": "ssd"}
    worker.stop()
    worker.stopped().wait(WAIT_S)


def test_a_worker_whose_peer_is_apart_hands_over_and_says_goodbye() -> None:
    with Worker(name="a", preset="local", expect=2, join_timeout_s=WAIT_S) as other:
        leaver = Worker(name="b", seeds=[str(other.address)], preset="local", expect=2, isolation=PROCESS)
        leaver.start()
        leaver.stop()
        left = other._running().views.when(
            lambda view: next(
                (Found(each.state) for each in view.members if each.run.name == "b" and each.state.is_gone), None
            )
        )
        assert left.wait(WAIT_S) is MemberState.LEFT
