"""One worker of the cluster whose leaders are killed: it reports what it learns, and submits jobs as it is told.

Reports: those of `chaos.reporter`, `answered` (job: a submission is in the plan here), `refused` (job, error), `rtt`
(all round trips known here).
Orders: `submit JOB`, `load S` (a small job every S seconds from now on; 0: no more), `rtt`.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.peers.node import die_with_parent
from chaos.reporter import report, report_all
from swimstream import Worker
from swimstream.errors import SwimstreamError
from swimstream.model.job import JobSpec, OperatorSpec

if TYPE_CHECKING:
    from swimstream import OperatorContext

BUSY, SHORT = "busy", "short"
TICK_S = 0.05
SUBMIT_S_MAX = 60.0


def busy(ctx: OperatorContext) -> None:
    """Make progress all the time."""
    count = 0
    while not ctx.wait_cancelled(TICK_S):
        count += 1
        ctx.progress(count)


def short(ctx: OperatorContext) -> None:
    """Be done at once."""
    ctx.progress(1)


def small_job(name: str) -> JobSpec:
    """Return a job of one instance that ends at once."""
    return JobSpec(name=name, operators=(OperatorSpec(name="only", kind=SHORT),))


def busy_job(instances: int) -> JobSpec:
    """Return the job that makes progress as long as the cluster lives."""
    return JobSpec(name="progress", operators=(OperatorSpec(name="all", kind=BUSY, parallelism=instances),))


class Orders:
    """Follows the lines on stdin, on a thread of its own; ends the process, as a crash would, when stdin ends."""

    def __init__(self, worker: Worker, boot: int) -> None:
        """Build for a worker that has started."""
        self._worker = worker
        self._boot = boot
        self._load_every_s = 0.0
        self._load = threading.Event()

    def start(self) -> None:
        """Begin to follow."""
        threading.Thread(target=self._follow, name="orders", daemon=True).start()
        threading.Thread(target=self._submit_all_the_time, name="load", daemon=True).start()

    def _follow(self) -> None:
        for line in sys.stdin:
            match line.split():
                case ["submit", name]:
                    self._submit(small_job(name))
                case ["submit-progress", instances]:
                    self._submit(busy_job(int(instances)))
                case ["load", every_s]:
                    self._load_every_s = float(every_s)
                    self._load.set()
                case ["rtt"]:
                    others = [member.run.name for member in self._worker.members()]
                    known = [self._worker.rtt_s(name) for name in others if name != self._worker.run.name]
                    report("rtt", values=[value for value in known if value is not None])
                case words:
                    raise ValueError(f"expected an order, got {words}")
        os._exit(0)

    def _submit(self, job: JobSpec) -> None:
        reply = self._worker.submit(job)
        reply.on_settled(job.name, lambda: report("answered", job=job.name, error=_error_of(reply.outcome)))

    def _submit_all_the_time(self) -> None:
        count = 0
        self._load.wait()
        pause = threading.Event()
        while self._load_every_s:
            count += 1
            name = f"load-{self._worker.run.name}-{self._boot}-{count}"
            try:
                self._worker.submit(small_job(name)).wait(SUBMIT_S_MAX)
            except (SwimstreamError, TimeoutError) as error:
                report("refused", job=name, error=str(error))
            pause.wait(self._load_every_s)


def _error_of(outcome: object) -> str:
    return str(outcome) if isinstance(outcome, BaseException) else ""


def main() -> None:
    """Join, and report until stdin ends."""
    die_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--bind", required=True)
    parser.add_argument("--seed", action="append", default=[])
    parser.add_argument("--expect", type=int, required=True)
    parser.add_argument("--preset", required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    told = parser.parse_args()
    worker = Worker(
        name=told.name,
        bind=told.bind,
        seeds=told.seed,
        expect=told.expect,
        preset=told.preset,
        state_dir=told.state_dir,
        site="here",
    )
    worker.register(BUSY, busy)
    worker.register(SHORT, short)
    worker.start()
    report_all(worker, start_orders=Orders(worker, worker.run.boot).start)


if __name__ == "__main__":
    main()
