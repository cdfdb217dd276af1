"""The runner of an attached process: what it orders, what it makes of reports, and what it can prove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing

from swimstream.core.effects import RenewFence, StartInstance, StopInstance
from swimstream.errors import UsageError
from swimstream.model.plan import Assignment, Plan
from swimstream.model.status import NOBODYS_FAULT, WORKER_CRASHED, ErrorClass, InstanceState
from swimstream.runners.attached import GONE, AttachedRunner
from swimstream.runtime.control_lines import Over
from swimstream.runtime.reports import Report, Reports
from swimstream.runtime.ticks import Ticks
from swimstream.runtime.view import View, Views
from tests.runtime.stage import COUNT, INSTANCE, JOB, NEIGHBOUR, RUN, serving, start

if TYPE_CHECKING:
    from collections.abc import Callable

HANG_S = 60.0


class Time:
    """A clock that the test moves."""

    at = 1_000.0

    def now(self) -> float:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += seconds


TIME = Time()


@pytest.fixture(autouse=True)
def _time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swimstream.runners.attached.clock", TIME)


class FakeProcess:
    """An attached process, as far as the kernel tells of it."""

    def __init__(self, *, provable: bool = True) -> None:
        self.is_provable = provable
        self.is_dead = False
        self.kills = 0
        self.died = trio.Event()

    async def wait_dead(self) -> None:
        await self.died.wait()

    def die(self) -> None:
        self.is_dead = True
        self.died.set()

    def how_it_ended(self) -> str:
        return "was killed by SIGSEGV"

    def kill(self) -> None:
        self.kills += 1
        if self.is_provable:
            self.die()


class FakeAttachment:
    """Takes orders at once."""

    def __init__(self, process: FakeProcess) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.held: list[Callable[[], dict[str, Any] | None]] | None = None
        """Where orders wait to be written, if they do."""

    def post(self, act: Callable[[], None]) -> bool:
        act()
        return True

    def put(self, order: Callable[[], dict[str, Any] | None]) -> None:
        if self.held is not None:
            self.held.append(order)
            return
        line = order()
        if line is not None:
            self.lines.append(line)


class Scene:
    """A runner with nobody around."""

    def __init__(self, *, provable: bool = True) -> None:
        self.process = FakeProcess(provable=provable)
        self.attachment = FakeAttachment(self.process)
        self.reports = Reports()
        self.views = Views(View(run=RUN))
        self.runner = AttachedRunner(
            self.attachment,  # type: ignore[arg-type]  # as much of one as a runner needs
            reports=self.reports,
            views=lambda: self.views,
            stop_timeout_s=1.0,
            ticks=Ticks(),
        )
        self.taken: list[Report] = []

    def orders(self) -> list[tuple[str, int]]:
        return [(line["order"], line["epoch"]) for line in self.attachment.lines]

    def states(self, epoch: int = 3) -> list[InstanceState]:
        self.taken += self.reports.take(now=0.0)
        return [each.state for each in self.taken if each.epoch == epoch and each.state is not None]

    def say(self, epoch: int = 3, **fields: object) -> None:
        self.runner.report({"instance": str(INSTANCE), "epoch": epoch, **fields})


def at_most_one(epoch: int, *, left_s: float) -> StartInstance:
    spec = attrs.evolve(COUNT, instances="at-most-one")
    return attrs.evolve(start(epoch), spec=spec, fence_at=TIME.now() + left_s)


async def test_an_order_to_start_tells_all_that_a_copy_needs() -> None:
    scene = Scene()
    scene.runner.start(start(3, resume_from=b"\x00\xff"))
    assert scene.attachment.lines == [
        {
            "order": "start",
            "instance": "job/count[0]",
            "epoch": 3,
            "job": "job",
            "operator": "count",
            "index": 0,
            "kind": "k",
            "parameters": {"window": 5},
            "inputs": ["job/source[0]", "job/source[1]"],
            "outputs": [],
            "resume_from": "00ff",
            "guarantee": "at-least-one",
            "fence_s": None,
        }
    ]
    assert scene.states() == [InstanceState.STARTING]


async def test_a_newer_epoch_is_ordered_only_after_the_older_copy_has_ended() -> None:
    scene = Scene()
    scene.runner.start(start(3))
    scene.say(state="running")
    scene.runner.start(start(5))
    assert scene.orders() == [("start", 3), ("stop", 3)]
    scene.say(state="stopped")
    assert scene.orders() == [("start", 3), ("stop", 3), ("start", 5)]
    assert scene.states(3)[-1] is InstanceState.STOPPED
    assert scene.states(5) == [InstanceState.STARTING]


async def test_an_older_epoch_is_never_ordered_again() -> None:
    scene = Scene()
    scene.runner.start(start(5))
    scene.runner.start(start(3))
    scene.runner.start(start(5))
    assert scene.orders() == [("start", 5)]


async def test_a_copy_that_waits_and_is_stopped_is_never_ordered() -> None:
    scene = Scene()
    scene.runner.start(start(3))
    scene.runner.start(start(5))
    scene.runner.stop(StopInstance(INSTANCE, 5))
    scene.say(state="finished")
    assert ("start", 5) not in scene.orders()
    assert scene.states(5) == [InstanceState.STOPPED]


async def test_a_copy_is_ordered_to_stop_once() -> None:
    scene = Scene()
    scene.runner.start(start(3))
    for epoch in (2, 3, 3, 4):
        scene.runner.stop(StopInstance(INSTANCE, epoch))
    assert scene.orders() == [("start", 3), ("stop", 3)]


async def test_what_crosses_a_stop_does_not_run_again() -> None:
    scene = Scene()
    scene.runner.start(start(3))
    scene.runner.stop(StopInstance(INSTANCE, 3))
    scene.say(state="running", progress=4)
    assert scene.states() == [InstanceState.STARTING, InstanceState.STOPPING]
    assert scene.taken[-1].progress == 4


@pytest.mark.parametrize("state", ["stopped", "finished", "failed"])
async def test_nothing_is_taken_of_a_copy_that_is_over(state: str) -> None:
    scene = Scene()
    scene.runner.start(start(3))
    scene.say(state=state, cause="so it\nis")
    with pytest.raises(Over, match="does not run"):
        scene.say(progress=1)
    assert scene.states()[-1].name.lower() == state
    assert scene.taken[-1].cause == "so it is"


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, "^state: expected at least one of"),
        ({"state": "starting"}, "^state: expected one of running, stopped, finished, failed, got 'starting'"),
        ({"state": 3}, "^state: expected one of"),
        ({"error": "fatal"}, "^error: expected together with state = failed only"),
        ({"state": "failed", "error": "bad"}, "^error: expected one of retryable, fatal, infrastructure, got 'bad'"),
        ({"watermark_ms": -1}, "^watermark_ms: expected an integer"),
        ({"backlog": 1.5}, "^backlog: expected an integer"),
        ({"busy_s": -1}, "^busy_s: expected a number from 0 to 604800, got -1"),
        ({"busy_s": float("nan")}, "^busy_s: expected a number"),
        ({"backpressured": 1}, "^backpressured: expected true or false, got 1"),
        ({"progress": -1}, "^progress: expected an integer"),
        ({"progress": 1.0}, "^progress: expected an integer"),
        ({"progress": True}, "^progress: expected an integer"),
        ({"progress": 2**63}, "^progress: expected an integer"),
        ({"checkpoint": "0"}, "^checkpoint: expected at most 64 bytes"),
        ({"checkpoint": "00 ff"}, "^checkpoint: expected at most 64 bytes"),
        ({"checkpoint": "00" * 65}, "^checkpoint: expected at most 64 bytes"),
        ({"checkpoint": 7}, "^checkpoint: expected at most 64 bytes"),
        ({"endpoint": "localhost"}, "^endpoint: expected 'host:port'"),
        ({"endpoint": "h:0"}, "^endpoint: expected a port"),
        ({"endpoint": "h\n:1"}, "^endpoint: expected 'host:port'"),
        ({"cause": ["x"]}, "^cause: expected text"),
        ({"instance": "job"}, "^instance: expected 'job/operator"),
        ({"instance": None}, "^instance: expected 'job/operator"),
        ({"epoch": "3"}, "^epoch: expected an integer"),
    ],
)
async def test_a_report_with_a_fault_names_the_field_and_changes_nothing(fields: dict[str, object], fault: str) -> None:
    scene = Scene()
    scene.runner.start(start(3))
    scene.states()
    more = {"progress": 7} if fields and "progress" not in fields else {}
    with pytest.raises(UsageError, match=fault):
        scene.runner.report({"instance": str(INSTANCE), "epoch": 3} | more | fields)
    assert scene.reports.take(now=0.0) == []


async def test_a_neighbour_is_found_now_and_waited_for() -> None:
    scene = Scene()
    scene.runner.start(start(3))
    ask = {"instance": str(INSTANCE), "epoch": 3, "neighbour": str(NEIGHBOUR)}
    assert await scene.runner.locate(ask) == {"endpoint": None}
    found: list[object] = []
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            found.append(await scene.runner.locate(ask | {"wait": True, "other_than": "127.0.0.1:1"}))

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        know(scene, port=1)
        await trio.testing.wait_all_tasks_blocked()
        assert found == []
        know(scene, port=2)
    assert found == [{"endpoint": "127.0.0.1:2"}]


def know(scene: Scene, *, port: int) -> None:
    status = serving(1, port)
    assigned = Assignment(instance=status.instance, run=status.run, epoch=1)
    plan = Plan(jobs={"job": JOB}, assignments={status.instance: assigned})
    scene.views.publish(View(run=RUN, plan=plan, statuses=(status,)))


async def test_who_waits_for_a_neighbour_is_told_when_the_copy_is_to_stop() -> None:
    scene = Scene()
    scene.runner.start(start(3))
    told: list[str] = []

    async def wait() -> None:
        try:
            await scene.runner.finished({"instance": str(INSTANCE), "epoch": 3, "neighbour": str(NEIGHBOUR)})
        except Over as error:
            told.append(str(error))

    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            assert told == []
            scene.runner.stop(StopInstance(INSTANCE, 3))
    assert told == ["epoch: 3 of job/count[0] ends: it is to stop, or has ended"]


async def test_a_closed_runner_waits_for_every_copy_and_starts_none() -> None:
    scene, idle = Scene(), trio.Event()
    scene.runner.start(start(3))
    scene.runner.close(idle.set, grace_s=HANG_S)
    scene.runner.start(start(5))
    assert scene.states(5) == [InstanceState.STOPPED]
    assert not idle.is_set()
    scene.say(state="stopped")
    assert idle.is_set()


async def test_a_closed_runner_does_not_wait_longer_than_its_grace(autojump_clock: trio.testing.MockClock) -> None:
    scene, idle = Scene(), trio.Event()
    scene.runner.start(start(3))
    scene.runner.close(idle.set, grace_s=2.0)
    await idle.wait()
    assert trio.current_time() == pytest.approx(2.0)


# --- what must not run twice ----------------------------------------------------------------------


async def test_what_is_left_of_a_fence_is_told_rounded_down() -> None:
    scene = Scene()
    scene.runner.start(at_most_one(3, left_s=5.0009))
    (line,) = scene.attachment.lines
    assert line["fence_s"] == 5.0
    assert line["guarantee"] == "at-most-one"


async def test_what_is_left_of_a_fence_is_computed_when_the_line_is_written() -> None:
    scene = Scene()
    scene.runner.start(at_most_one(3, left_s=5.0))
    held: list[Callable[[], dict[str, Any] | None]] = []
    scene.attachment.held = held
    scene.runner.renew(RenewFence(TIME.now() + 6.0))
    TIME.pass_s(0.5)
    scene.runner.renew(RenewFence(TIME.now() + 7.0))
    (write,) = held
    TIME.pass_s(0.5)
    line = write()
    assert line is not None
    assert line["fences"][0]["fence_s"] == 6.5, "the newest fence, less what has passed since it was told"


async def test_a_copy_that_was_stopped_for_want_of_a_quorum_starts_again_under_the_same_epoch() -> None:
    scene = Scene()
    scene.runner.start(at_most_one(3, left_s=5.0))
    scene.runner.stop(StopInstance(INSTANCE, 3))
    scene.say(state="stopped")
    scene.runner.start(at_most_one(3, left_s=5.0))
    assert scene.orders() == [("start", 3), ("stop", 3), ("start", 3)]
    scene.say(state="running")
    assert scene.states()[-1] is InstanceState.RUNNING


async def test_a_renewal_moves_every_fence_but_that_of_a_copy_that_is_to_stop() -> None:
    scene = Scene()
    scene.runner.start(at_most_one(3, left_s=5.0))
    scene.runner.start(attrs.evolve(at_most_one(4, left_s=5.0), instance=NEIGHBOUR))
    scene.runner.stop(StopInstance(INSTANCE, 3))
    scene.runner.renew(RenewFence(TIME.now() + 50.0))
    line = scene.attachment.lines[-1]
    assert [(each["instance"], each["epoch"]) for each in line["fences"]] == [(str(NEIGHBOUR), 4)]
    assert line["fences"][0]["fence_s"] == 50.0


async def test_a_fence_that_is_past_is_not_moved() -> None:
    scene = Scene()
    scene.runner.start(at_most_one(3, left_s=5.0))
    TIME.pass_s(5.0)
    scene.runner.renew(RenewFence(TIME.now() + 50.0))
    assert [line["order"] for line in scene.attachment.lines] == ["start"]


async def test_a_copy_whose_fence_is_past_is_never_ordered() -> None:
    scene = Scene()
    scene.runner.start(at_most_one(3, left_s=-1.0))
    assert scene.attachment.lines == []
    assert scene.states() == [InstanceState.STARTING, InstanceState.STOPPED]


async def test_a_process_that_holds_a_copy_past_its_fence_is_killed() -> None:
    scene = Scene()
    scene.runner.start(at_most_one(3, left_s=5.0))
    TIME.pass_s(5.0)
    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.runner.guard)
            await scene.process.died.wait()
            nursery.cancel_scope.cancel()
    assert scene.reports.fences_missed == 0


async def test_a_process_that_has_said_in_time_that_a_copy_has_ended_lives(
    autojump_clock: trio.testing.MockClock,
) -> None:
    scene = Scene()
    scene.runner.start(at_most_one(3, left_s=5.0))
    scene.runner.start(attrs.evolve(start(4), instance=NEIGHBOUR))
    scene.say(state="stopped")
    TIME.pass_s(6.0)
    with trio.move_on_after(1.0):
        await scene.runner.guard()
    assert scene.process.kills == 0


async def test_a_process_that_nobody_knows_is_told_to_stop_and_the_miss_is_counted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    scene = Scene(provable=False)
    scene.runner.start(at_most_one(3, left_s=5.0))
    TIME.pass_s(5.0)
    with trio.move_on_after(1.0):
        await scene.runner.guard()
    assert (scene.process.kills, scene.reports.fences_missed) == (0, 1)
    assert scene.orders() == [("start", 3), ("stop", 3)]


@pytest.mark.parametrize("provable", [True, False])
async def test_of_a_process_that_hangs_up_and_lives_on_what_is_not_fenced_has_failed_by_nobodys_fault(
    *, provable: bool, autojump_clock: trio.testing.MockClock
) -> None:
    scene = Scene(provable=provable)
    scene.runner.start(start(3))
    await scene.runner.lost()
    assert scene.states()[-1] is InstanceState.FAILED
    assert (scene.taken[-1].cause, scene.taken[-1].error) == (GONE, ErrorClass.INFRASTRUCTURE)
    assert GONE.startswith(NOBODYS_FAULT)


async def test_of_a_process_that_is_dead_a_moment_after_it_has_hung_up_its_end_is_told_like_a_crash() -> None:
    scene = Scene()
    scene.runner.start(start(3))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.runner.lost)
        await trio.testing.wait_all_tasks_blocked()
        scene.process.die()
    assert scene.states()[-1] is InstanceState.FAILED
    assert scene.taken[-1].cause == f"{WORKER_CRASHED}was killed by SIGSEGV"
    assert scene.taken[-1].error is ErrorClass.INFRASTRUCTURE


async def test_a_fenced_copy_has_ended_once_the_process_is_dead() -> None:
    scene = Scene()
    scene.runner.start(at_most_one(3, left_s=HANG_S))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.runner.lost)
        await trio.testing.wait_all_tasks_blocked()
        assert scene.states() == [InstanceState.STARTING], "it may still run"
        scene.process.die()
    assert scene.states()[-1] is InstanceState.FAILED
    assert scene.taken[-1].cause == f"{WORKER_CRASHED}was killed by SIGSEGV"


async def test_a_process_that_hangs_up_and_lives_on_is_killed_at_its_fence() -> None:
    scene = Scene()
    scene.runner.start(at_most_one(3, left_s=5.0))
    TIME.pass_s(5.0)
    with trio.fail_after(HANG_S):
        await scene.runner.lost()
    assert scene.process.kills >= 1
    assert scene.states()[-1] is InstanceState.FAILED


async def test_of_a_process_that_nobody_knows_no_end_is_told() -> None:
    scene = Scene(provable=False)
    scene.runner.start(at_most_one(3, left_s=HANG_S))
    await scene.runner.lost()
    assert scene.states() == [InstanceState.STARTING], "so the leader waits until its fence is over"


async def test_a_peer_that_ends_leaves_no_fenced_copy_behind() -> None:
    scene = Scene()
    scene.runner.start(at_most_one(3, left_s=HANG_S))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.runner.lost)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert scene.process.kills == 1
