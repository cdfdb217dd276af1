"""Real workers: what is drained goes on in the very process that was kept warm for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from swimstream.model.identity import InstanceId
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, JobSpec, OperatorSpec
from swimstream.worker import Worker
from tests.api.test_workers import WAIT_S, until_view
from tests.runtime.process_operators import number, tells_pid

if TYPE_CHECKING:
    from swimstream.runtime.view import View

WHICH = InstanceId("job", "op", 0)


def until_kept(worker: Worker) -> int:
    """Return the number of the process that is kept warm on `worker`, when there is one."""
    host = worker._host
    assert host is not None
    found: list[int] = []
    while not found:
        asked = threading.Event()

        def look(asked: threading.Event = asked) -> None:
            found.extend(each.process.pid for each in host._warm._kept.values() if each.process is not None)
            asked.set()

        assert host._thread.post(look)
        assert asked.wait(WAIT_S)
    return found[0]


@pytest.mark.parametrize(("instances", "isolation"), [(AT_LEAST_ONE, "process"), (AT_MOST_ONE, "thread")])
def test_what_is_drained_goes_on_in_the_process_that_was_kept_warm(instances: str, isolation: str) -> None:
    workers: dict[str, Worker] = {}
    try:
        for name in "ab":
            seeds = [str(each.address) for each in workers.values()]
            worker = Worker(
                name=name, expect=2, preset="local", seeds=seeds, join_timeout_s=WAIT_S, isolation=isolation
            )
            worker.register("tells", tells_pid, isolation="process")
            worker.start()
            workers[name] = worker
        spec = OperatorSpec(name="op", kind="tells", instances=instances, standby=1)
        workers["a"].submit(JobSpec(name="job", operators=(spec,))).wait(WAIT_S)
        for worker in workers.values():
            until_view(worker, lambda view: bool(view.plan.directives.standbys))
        plan = workers["a"].plan()
        holder, (warm,) = plan.assignments[WHICH].run.name, plan.directives.standbys[WHICH]
        assert {holder, warm.name} == {"a", "b"}
        pid = until_kept(workers[warm.name])
        until_view(workers[holder], lambda view: any(status.state.is_up for status in view.statuses))
        workers[warm.name].drain(holder).wait(WAIT_S)

        def has_moved(view: View) -> bool:
            return any(each.run == warm and each.checkpoint == number(pid) for each in view.statuses)

        until_view(workers[warm.name], has_moved)
    finally:
        for worker in reversed(workers.values()):
            worker.stop(leave=False)
