"""An operator that is stuck is found out by its worker's peer, wherever that runs, and nothing is asked of itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.status import InstanceState, InstanceStatus
from swimstream.runtime.replies import Found
from swimstream.worker import Worker
from swimstream.worker_config import PEER_ISOLATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.runners.context import OperatorContext
    from swimstream.runtime.view import View

WAIT_S = 60.0
JOB = JobSpec(name="job", operators=(OperatorSpec(name="fold", kind="fold", stall_after_s=5.0),))


class Fold:
    """An operator with input that is stuck in its own code until it is let go; then it makes progress once."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()

    def run(self, ctx: OperatorContext) -> None:
        ctx.backlog(12)
        ctx.progress(1)
        assert self.may_go_on.wait(WAIT_S)
        ctx.progress(2)
        ctx.backlog(0)
        ctx.wait_cancelled(WAIT_S)


def until_told(worker: Worker, is_so: Callable[[InstanceStatus], bool]) -> InstanceStatus:
    """Return the status of the one instance once it is so."""

    def look(view: View) -> Found[InstanceStatus] | None:
        return next((Found(each) for each in view.statuses if is_so(each)), None)

    return worker._running().views.when(look).wait(WAIT_S)


@pytest.mark.parametrize("isolation", PEER_ISOLATIONS)
def test_it_is_stalled_with_the_place_where_it_stands_and_runs_again_when_it_goes_on(isolation: str) -> None:
    fold = Fold()
    worker = Worker(name="w1", expect=1, preset="local", isolation=isolation)
    worker.register("fold", fold.run)
    with worker:
        worker.submit(JOB).wait(WAIT_S)
        stalled = until_told(worker, lambda told: told.state is InstanceState.STALLED and "stands at" in told.cause)
        fold.may_go_on.set()
        again = until_told(worker, lambda told: told.state is InstanceState.RUNNING and told.progress == 2)
    assert stalled.cause.startswith("no progress: stands at test_stalled_operator.py:")
    assert stalled.cause.endswith(" run")
    assert (stalled.progress, stalled.backlog) == (1, 12)
    assert (again.cause, again.epoch) == ("", stalled.epoch)
