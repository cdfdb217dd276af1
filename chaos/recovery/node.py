"""One worker of the cluster whose members are killed: it reports what it learns, and commands jobs as it is told.

Reports: those of `chaos.reporter`. Orders: `submit JOB FILE INSTANCES` (the job that beats into the file),
`cancel JOB`, `lead NAME`.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path

from chaos.peers.node import die_with_parent
from chaos.recovery.operators import LEAST, ONCE, beat
from chaos.reporter import report_all
from swimstream import Worker
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, JobSpec, OperatorSpec

COMMAND_S_MAX = 60.0


def beating_job(name: str, path: str, instances: int) -> JobSpec:
    """Return a job with so many instances of each guarantee."""
    parameters = {"beats": path}
    return JobSpec(
        name=name,
        operators=(
            OperatorSpec(name=LEAST, kind=LEAST, parallelism=instances, parameters=parameters, instances=AT_LEAST_ONE),
            OperatorSpec(name=ONCE, kind=ONCE, parallelism=instances, parameters=parameters, instances=AT_MOST_ONE),
        ),
    )


def follow(worker: Worker) -> None:
    """Follow orders; end the process, as a crash would, when stdin ends."""
    for line in sys.stdin:
        match line.split():
            case ["submit", name, path, instances]:
                worker.submit(beating_job(name, path, int(instances))).wait(COMMAND_S_MAX)
            case ["cancel", name]:
                worker.cancel(name).wait(COMMAND_S_MAX)
            case ["lead", name]:
                worker.transfer_leadership(name).wait(COMMAND_S_MAX)
            case words:
                raise ValueError(f"expected an order, got {words}")
    os._exit(0)


def main() -> None:
    """Join, and report until stdin ends."""
    die_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--bind", required=True)
    parser.add_argument("--seed", action="append", default=[])
    parser.add_argument("--expect", type=int, required=True)
    parser.add_argument("--preset", required=True)
    parser.add_argument("--isolation", required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    told = parser.parse_args()
    worker = Worker(
        name=told.name,
        bind=told.bind,
        seeds=told.seed,
        expect=told.expect,
        preset=told.preset,
        isolation=told.isolation,
        state_dir=told.state_dir,
    )
    worker.register(LEAST, beat)
    worker.register(ONCE, beat, isolation="process")
    worker.start()
    orders = threading.Thread(target=follow, args=(worker,), name="orders", daemon=True)
    report_all(worker, start_orders=orders.start)


if __name__ == "__main__":
    main()
