"""Real workers: one that leaves hands over first what it runs, and one that nobody could relieve leaves at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import trio

from swimstream import JobSpec, OperatorSpec, Worker
from swimstream.runtime.replies import Found

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream import OperatorContext
    from swimstream.runtime.view import View

HANG_S = 60.0
JOB = JobSpec(name="job", operators=(OperatorSpec(name="op", kind="wait", parallelism=4),))


class Account:
    """How many copies of each instance run, in whatever worker; `gaps` counts the moments without one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, int] = {}
        self.gaps = 0

    async def run(self, ctx: OperatorContext) -> None:
        which = str(ctx.instance)
        with self._lock:
            self._running[which] = self._running.get(which, 0) + 1
        try:
            await trio.sleep_forever()
        finally:
            with self._lock:
                self._running[which] -= 1
                self.gaps += not self._running[which]


def made(name: str, account: Account, *seeds: str) -> Worker:
    worker = Worker(name=name, preset="local", seeds=seeds, drain_timeout_s=HANG_S)
    worker.register("wait", account.run)
    return worker


def until(worker: Worker, reached: Callable[[View], bool]) -> None:
    worker._running().views.when(lambda view: Found(None) if reached(view) else None).wait(HANG_S)


def is_known(name: str) -> Callable[[View], bool]:
    return lambda view: any(member.run.name == name and not member.state.is_gone for member in view.members)


def runs_on(names: set[str]) -> Callable[[View], bool]:
    """Return whether all instances run, on just these workers."""

    def look(view: View) -> bool:
        statuses = [view.status_by_instance.get(which) for which in JOB.instances()]
        up = [each for each in statuses if each is not None and each.state.is_up]
        assigned = [held for held in view.plan.assignments.values() if any(each.is_of(held) for each in up)]
        return len(assigned) == len(statuses) and {held.run.name for held in assigned} == names

    return look


def test_a_worker_that_leaves_hands_over_what_it_runs_without_a_gap() -> None:
    account = Account()
    first = made("a", account)
    with first:
        second = made("b", account, str(first.address))
        with second:
            until(first, is_known("b"))
            first.submit(JOB).wait(HANG_S)
            until(first, runs_on({"a", "b"}))
            second.leave().wait(HANG_S)
            assert account.gaps == 0
            assert {held.run.name for held in first.plan().assignments.values()} == {"a"}
        told = [each.reason for each in first.plan().decisions]
        assert "b is leaving" in told


def test_a_worker_alone_leaves_without_waiting_for_anybody() -> None:
    account = Account()
    worker = made("a", account)
    with worker:
        worker.submit(JOB).wait(HANG_S)
        until(worker, runs_on({"a"}))
        worker.leave().wait(HANG_S / 2)
    assert account.gaps == 4
