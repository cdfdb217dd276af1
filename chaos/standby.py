"""How long an instance in a process of its own takes to run, cold and warm: `python -m chaos.standby --runs 20`.

From the order to start, as it comes with the assignment, until it is said to be RUNNING. Cold and warm by turns, on one
host. The function's module imports nothing but what every operator's process needs: one that does gains more.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from typing import TYPE_CHECKING

from swimstream.core.effects import KeepWarm, StartInstance, StopInstance
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import OperatorSpec
from swimstream.model.status import InstanceState
from swimstream.runners.host import InstanceHost
from swimstream.runners.registry import IN_PROCESS, Registry
from swimstream.runtime import clock
from swimstream.runtime.reports import Reports
from swimstream.runtime.view import View, Views

if TYPE_CHECKING:
    from swimstream.runners.context import OperatorContext

KIND = "waits"
INSTANCE = InstanceId("standby", "waits", 0)
SPEC = OperatorSpec(name="waits", kind=KIND)
WARM_S = 5.0
"""So long a warm copy has to be ready: longer than an interpreter takes to start on a slow machine."""
HANG_S = 120.0
DAY_S = 86_400.0


def wait(ctx: OperatorContext) -> None:
    """Do nothing until asked to stop."""
    ctx.wait_cancelled(DAY_S)


class Bench:
    """A host without a peer, and what it reports."""

    def __init__(self) -> None:
        """Start it."""
        registry = Registry()
        registry.register(KIND, wait, isolation=IN_PROCESS)
        self._reports = Reports()
        self._heard = threading.Condition()
        self._reports.on_first = self._notice
        self._states: list[tuple[int, InstanceState | None]] = []
        views = Views(View(run=Run("bench", 1)))
        self.host = InstanceHost(registry, worker="bench", reports=self._reports, views=lambda: views)
        self.host.launch()

    def start_s(self, epoch: int, *, is_warm: bool) -> float:
        """Start and stop one execution; return how long it took to run, seconds."""
        if is_warm:
            self.host.keep_warm(KeepWarm(((INSTANCE, KIND),)))
            time.sleep(WARM_S)
        order = StartInstance(instance=INSTANCE, epoch=epoch, spec=SPEC, inputs=(), outputs=(), resume_from=b"")
        begun_at = clock.now()
        self.host.start(order)
        self.host.keep_warm(KeepWarm(()))
        self._wait_for(epoch, InstanceState.RUNNING)
        took_s = clock.now() - begun_at
        self.host.stop(StopInstance(INSTANCE, epoch))
        self._wait_for(epoch, InstanceState.STOPPED)
        return took_s

    def _wait_for(self, epoch: int, state: InstanceState) -> None:
        def is_said() -> bool:
            self._states += [(each.epoch, each.state) for each in self._reports.take(now=clock.now())]
            return (epoch, state) in self._states

        with self._heard:
            if not self._heard.wait_for(is_said, HANG_S):
                raise TimeoutError(f"not {state.name} within {HANG_S:g} s")

    def _notice(self) -> None:
        with self._heard:
            self._heard.notify_all()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time from the order to start until RUNNING, cold and warm by turns.")
    parser.add_argument("--runs", type=int, default=20, help="of each")
    runs = parser.parse_args().runs
    bench = Bench()
    cold, warm = [], []
    for number in range(runs):
        cold.append(bench.start_s(2 * number + 1, is_warm=False))
        warm.append(bench.start_s(2 * number + 2, is_warm=True))
    bench.host.end(HANG_S)
    for name, times in (("cold", cold), ("warm", warm)):
        p50, longest = statistics.median(times) * 1e3, max(times) * 1e3
        sys.stdout.write(f"{name}: p50 {p50:.1f} ms, longest {longest:.1f} ms, {runs} runs\n")
    sys.stdout.write(f"ratio of the medians: {statistics.median(cold) / statistics.median(warm):.0f}\n")


if __name__ == "__main__":
    main()
