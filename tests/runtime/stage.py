"""A host of instances without a peer, and small things to run on it."""

from __future__ import annotations

import select
import threading
from typing import TYPE_CHECKING

from swimstream.core.effects import RenewFence, StartInstance, StopInstance
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.plan import Assignment, Plan
from swimstream.model.status import InstanceState, InstanceStatus
from swimstream.runners.host import InstanceHost
from swimstream.runners.registry import IN_WORKER, TRIO, OperatorFunction, Registry
from swimstream.runtime.reports import Report, Reports
from swimstream.runtime.view import View, Views

if TYPE_CHECKING:
    from swimstream.runners.command import Command
    from swimstream.runners.logs import Logs

WAIT_S = 60.0
"""Only what hangs takes so long: on a machine that is busy with other things a process may start in 10 s."""
SOURCE = OperatorSpec(name="source", kind="source", parallelism=2)
COUNT = OperatorSpec(name="count", kind="k", inputs=("source",), parameters={"window": 5})
JOB = JobSpec(name="job", operators=(SOURCE, COUNT))
INSTANCE = InstanceId("job", "count", 0)
NEIGHBOUR = InstanceId("job", "source", 1)
RUN = Run("w1", 1)


class Stage:
    """A host without a peer: the test takes the reports itself."""

    def __init__(self, *, stop_timeout_s: float = WAIT_S, logs: Logs | None = None) -> None:
        self.reports = Reports()
        self.arrived = threading.Condition()
        self.reports.on_first = self._notice
        self.taken: list[Report] = []
        self.views = Views(View(run=RUN, plan=Plan(jobs={"job": JOB})))
        self.registry = Registry()
        self.host = InstanceHost(
            self.registry,
            worker="w1",
            reports=self.reports,
            views=lambda: self.views,
            stop_timeout_s=stop_timeout_s,
            logs=logs,
        )
        self.host.launch()

    def run(
        self,
        function: OperatorFunction | Command,
        *,
        epoch: int = 3,
        isolation: str = IN_WORKER,
        loop: str = TRIO,
        fence_at: float | None = None,
        resume_from: bytes = b"",
    ) -> None:
        if self.registry.find("k") is None:
            self.registry.register("k", function, isolation=isolation, loop=loop)
        self.host.start(start(epoch, fence_at=fence_at, resume_from=resume_from))

    def renew(self, until: float) -> None:
        self.host.renew(RenewFence(until))

    def fence(self, until: float) -> None:
        """Bring the deadline of what runs nearer, and return once its processes have armed it.

        No leader does so. A test does, so that it need not bet on how long the start takes.
        """
        done = threading.Event()
        children = [copy.child for copy in self.host._running.values() if copy.child is not None]

        def move() -> None:
            for copy in self.host._running.values():
                copy.fence_at = until
                if copy.child is not None:
                    copy.child.renew(until)
            done.set()

        assert self.host._thread.post(move)
        assert done.wait(WAIT_S)
        for child in children:
            heard = child._armed_until == until  # at once, if the machine has let the process run first
            assert heard or select.select([child._fence], [], [], WAIT_S)[0], "not confirmed"

    def stop(self, epoch: int) -> None:
        self.host.stop(StopInstance(INSTANCE, epoch))

    def states(self, epoch: int = 3) -> list[InstanceState]:
        self._take()
        return [each.state for each in self.taken if each.epoch == epoch and each.state is not None]

    def until(self, state: InstanceState, *, epoch: int = 3, cause: str | None = None) -> Report:
        """Return the first report of `state`, or of that cause, waiting for it."""

        def found() -> list[Report]:
            self._take()
            told = [each for each in self.taken if each.epoch == epoch and each.state is state]
            return [each for each in told if cause is None or each.cause == cause]

        with self.arrived:
            assert self.arrived.wait_for(found, WAIT_S), self.states(epoch)
        return found()[0]

    def until_cause(self, cause: str) -> None:
        """Wait until that is reported of some epoch."""

        def is_told() -> bool:
            self._take()
            return any(each.cause == cause for each in self.taken)

        with self.arrived:
            assert self.arrived.wait_for(is_told, WAIT_S), self.taken

    def until_checkpoint(self, wanted: bytes = b"", *, epoch: int = 3) -> bytes:
        """Return the first checkpoint, or wait for a wanted one."""

        def found() -> list[bytes]:
            self._take()
            told = [each.checkpoint for each in self.taken if each.epoch == epoch and each.checkpoint is not None]
            return [each for each in told if not wanted or each == wanted]

        with self.arrived:
            assert self.arrived.wait_for(found, WAIT_S), self.states(epoch)
        return found()[0]

    def know(self, status: InstanceStatus) -> None:
        assigned = Assignment(instance=status.instance, run=status.run, epoch=status.epoch)
        plan = Plan(jobs={"job": JOB}, assignments={status.instance: assigned})
        self.views.publish(View(run=RUN, plan=plan, statuses=(status,)))

    def _take(self) -> None:
        self.taken += self.reports.take(now=0.0)

    def _notice(self) -> None:
        with self.arrived:
            self.arrived.notify_all()


def start(
    epoch: int, *, instance: InstanceId = INSTANCE, resume_from: bytes = b"", fence_at: float | None = None
) -> StartInstance:
    inputs = JOB.inputs_of("count")
    return StartInstance(
        instance=instance,
        epoch=epoch,
        spec=COUNT,
        inputs=inputs,
        outputs=JOB.outputs_of("count"),
        resume_from=resume_from,
        fence_at=fence_at,
    )


def serving(epoch: int, port: int) -> InstanceStatus:
    return InstanceStatus(
        instance=NEIGHBOUR, epoch=epoch, run=RUN, seq=1, state=InstanceState.RUNNING, since_ms=0,
        endpoint=f"127.0.0.1:{port}",
    )  # fmt: skip
