"""Operators with a fence live apart: they go on while their worker stands still, end at the fence, and die with it."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import attrs

from swimstream.core.effects import RenewFence, StartInstance, StopInstance
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, OperatorSpec
from swimstream.model.status import ErrorClass, InstanceState
from swimstream.simulator.clock import Clock
from swimstream.simulator.operators import START_S, Bench, Copy
from tests.worlds.views import INSTANCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.model.identity import InstanceId


class Desk:
    """A process whose clock is the world's, unless it leaps; the test pauses and kills it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.leapt_s = 0.0
        self.is_paused = False
        self.is_dead = False
        self.waiting: list[Callable[[], None]] = []
        self.up: list[int] = []
        self.down: list[tuple[float, int]] = []
        self.said: list[tuple[int, InstanceState]] = []
        self.bench = Bench(self, rng=Random(1))

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        self.clock.after(delay_s, lambda: self.waiting.append(action) if self.is_paused else self._do(action))

    def apart(self, delay_s: float, action: Callable[[], None]) -> None:
        self.clock.after(delay_s, lambda: self._do(action))

    def at_local(self, local: float, action: Callable[[], None]) -> None:
        self.clock.at(local - self.leapt_s, lambda: self._do(action))

    def came_up(self, copy: Copy) -> None:
        self.up.append(copy.epoch)

    def went_down(self, copy: Copy) -> None:
        self.down.append((self.clock.now, copy.epoch))

    def report(
        self,
        instance: InstanceId,
        epoch: int,
        *,
        state: InstanceState | None = None,
        progress: int | None = None,
        checkpoint: bytes | None = None,
        cause: str | None = None,
        error: ErrorClass | None = None,
        backlog: int | None = None,
    ) -> None:
        if state is not None:
            self.said.append((epoch, state))

    def _do(self, action: Callable[[], None]) -> None:
        if not self.is_dead:
            action()

    def resume(self) -> None:
        self.is_paused = False
        while self.waiting:
            self.waiting.pop(0)()

    def start(self, epoch: int, *, fence_at: float | None, instances: str = AT_MOST_ONE) -> None:
        spec = OperatorSpec(name="source", kind="work", instances=instances)
        effect = StartInstance(instance=INSTANCE, epoch=epoch, spec=spec, inputs=(), outputs=(), resume_from=b"")
        self.bench.start(attrs.evolve(effect, fence_at=fence_at))


def test_a_fence_ends_a_copy_at_once_while_its_worker_stands_still() -> None:
    desk = Desk()
    desk.start(3, fence_at=4.0)
    desk.clock.run_until(1.0)
    desk.is_paused = True
    desk.clock.run_until(10.0)
    assert desk.down == [(4.0, 3)]


def test_an_end_by_the_fence_is_reported_once_the_worker_runs_again() -> None:
    desk = Desk()
    desk.start(3, fence_at=4.0)
    desk.clock.run_until(1.0)
    desk.is_paused = True
    desk.clock.run_until(10.0)
    assert (3, InstanceState.STOPPED) not in desk.said
    desk.resume()
    assert desk.said[-1] == (3, InstanceState.STOPPED)


def test_a_copy_that_lives_apart_comes_up_while_its_worker_stands_still() -> None:
    desk = Desk()
    desk.start(3, fence_at=4.0)
    desk.is_paused = True
    desk.clock.run_until(START_S[1])
    assert desk.up == [3]


def test_a_copy_without_a_fence_stands_still_with_its_worker() -> None:
    desk = Desk()
    desk.start(3, fence_at=None, instances=AT_LEAST_ONE)
    desk.is_paused = True
    desk.clock.run_until(10.0)
    assert desk.up == []


def test_a_fence_that_is_renewed_lies_further_off() -> None:
    desk = Desk()
    desk.start(3, fence_at=4.0)
    desk.clock.run_until(2.0)
    desk.bench.renew(RenewFence(6.0))
    desk.clock.run_until(10.0)
    assert desk.down == [(6.0, 3)]


def test_an_earlier_renewal_changes_nothing() -> None:
    desk = Desk()
    desk.start(3, fence_at=4.0)
    desk.bench.renew(RenewFence(2.0))
    desk.clock.run_until(10.0)
    assert desk.down == [(4.0, 3)]


def test_a_copy_that_comes_up_too_late_never_runs() -> None:
    desk = Desk()
    desk.start(3, fence_at=START_S[0] / 2)
    desk.clock.run_until(10.0)
    assert desk.up == []
    assert desk.said == [(3, InstanceState.STOPPED)]


def test_a_clock_that_leaps_brings_the_fence_forward() -> None:
    desk = Desk()
    desk.start(3, fence_at=4.0)
    desk.clock.run_until(1.0)
    desk.leapt_s = 2.5
    desk.bench.clock_leapt()
    desk.clock.run_until(10.0)
    assert desk.down == [(1.5, 3)]


def test_a_copy_that_is_told_to_stop_runs_until_it_has_stopped() -> None:
    desk = Desk()
    desk.start(3, fence_at=100.0)
    desk.clock.run_until(1.0)
    desk.bench.stop(StopInstance(INSTANCE, 3))
    assert desk.down == []
    desk.clock.run_until(10.0)
    assert desk.said[-1] == (3, InstanceState.STOPPED)


def test_a_newer_copy_waits_for_the_end_of_the_older_one() -> None:
    desk = Desk()
    desk.start(3, fence_at=100.0)
    desk.clock.run_until(1.0)
    desk.start(5, fence_at=100.0)
    desk.clock.run_until(10.0)
    assert [epoch for _, epoch in desk.down] == [3]
    assert desk.up == [3, 5]
    assert list(desk.bench.copies.values())[0].epoch == 5  # noqa: RUF015  # a dict's values have no index


def test_a_copy_that_waits_can_be_stopped_before_it_began() -> None:
    desk = Desk()
    desk.start(3, fence_at=100.0)
    desk.clock.run_until(1.0)
    desk.start(5, fence_at=100.0)
    desk.bench.stop(StopInstance(INSTANCE, 5))
    desk.clock.run_until(10.0)
    assert desk.up == [3]
    assert (5, InstanceState.STOPPED) in desk.said


def test_every_copy_dies_with_its_worker() -> None:
    desk = Desk()
    desk.start(3, fence_at=100.0)
    desk.clock.run_until(1.0)
    desk.is_dead = True
    desk.bench.die()
    assert desk.down == [(1.0, 3)]
    assert desk.bench.copies == {}
