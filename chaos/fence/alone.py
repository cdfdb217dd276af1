"""The fence alone: a host renews its operator without a cluster; both are paused past the deadline, then continued.

`python -m chaos.fence.alone PARENT DIRECTORY L` is the process that is paused. It writes down each deadline before it
hands it out, so that the judge knows the last one for sure.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.fence.judge import Trial, Verdict, judge, read_executions
from chaos.fence.operators import KIND, prepare, tokens, write
from chaos.fence.processes import Handle, end, pause, running, start, until
from swimstream.core.effects import RenewFence, StartInstance
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import AT_MOST_ONE, OperatorSpec
from swimstream.runners.child import die_with
from swimstream.runners.host import InstanceHost
from swimstream.runners.registry import IN_PROCESS, Registry
from swimstream.runtime import clock
from swimstream.runtime.reports import Reports
from swimstream.runtime.view import View, Views

if TYPE_CHECKING:
    from collections.abc import Callable

START_S = 60.0
PAST_S = 0.3
RENEWALS = 4
"""So many in one L."""
DEADLINES = "deadlines"


def try_alone(trials: int, *, isolation_s: float, directory: Path, say: Callable[[str], None]) -> Verdict:
    """Pause a fenced operator past its deadline so many times; each trial has a host of its own."""
    verdicts = []
    for number in range(1, trials + 1):
        with tempfile.TemporaryDirectory(dir=directory) as each:
            verdict = _try_once(Path(each), isolation_s=isolation_s, log=directory / "alone.log")
        verdicts.append(verdict)
        say(f"alone {number}/{trials}: {verdict.late} attempts after the deadline")
    return Verdict(
        trials=len(verdicts),
        late=sum(each.late for each in verdicts),
        overlaps=sum(each.overlaps for each in verdicts),
        stale=sum(each.stale for each in verdicts),
        refusals=sum(each.refusals for each in verdicts),
    )


def _try_once(directory: Path, *, isolation_s: float, log: Path) -> Verdict:
    prepare(directory)
    process = start("chaos.fence.alone", str(directory), repr(isolation_s), log=log)
    try:
        execution = until(lambda: running(directory), what="the operator writes", timeout_s=START_S)
        with Handle(process.pid) as worker, Handle(execution.pid) as operator:
            paused = pause(worker, operator)
            deadline = max(float(line) for line in (directory / DEADLINES).read_text().splitlines())
            time.sleep(max(0.0, deadline + PAST_S - clock.now()))
            paused.go_on()
            operator.wait(PAST_S)
        trial = Trial(epoch=execution.epoch, pid=execution.pid, stopped_at=paused.at, deadline=deadline)
    finally:
        end(process)
    return judge([trial], read_executions(directory), tokens(directory))


def main() -> None:
    """Run the operator and renew it for ever."""
    parent, directory, isolation = sys.argv[1:]
    die_with(int(parent))
    isolation_s = float(isolation)
    registry, reports = Registry(), Reports()
    registry.register(KIND, write, isolation=IN_PROCESS)
    views = Views(View(run=Run("alone", 1)))
    host = InstanceHost(registry, worker="alone", reports=reports, views=lambda: views)
    host.launch()
    deadlines = os.open(Path(directory) / DEADLINES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def draw() -> float:
        deadline = clock.now() + isolation_s
        os.write(deadlines, f"{deadline!r}\n".encode())
        return deadline

    spec = OperatorSpec(name="writer", kind=KIND, instances=AT_MOST_ONE, parameters={"directory": directory})
    instance = InstanceId("fence", "writer", 0)
    host.start(
        StartInstance(
            instance=instance, epoch=1, spec=spec, inputs=(), outputs=(), resume_from=b"", fence_at=draw()
        )
    )  # fmt: skip
    while True:
        time.sleep(isolation_s / RENEWALS)
        host.renew(RenewFence(draw()))


if __name__ == "__main__":
    main()
