"""One worker in a network namespace of its own. It waits for its cable, then joins and reports what it learns.

Reports: `up` (the process is there), those of `chaos.reporter`, `answered` (the job is in the plan here). Orders: `go`
(the cable is in), `submit FILE` (the job that beats into the file).
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from typing import TYPE_CHECKING

from chaos.minority.lab import take_address
from chaos.minority.operators import LEAST, ONCE, least, once
from chaos.peers.node import die_with_parent
from chaos.reporter import report, report_all
from swimstream import Worker
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, JobSpec, OperatorSpec

if TYPE_CHECKING:
    from pathlib import Path


def beating_job(path: Path | str, instances: int) -> JobSpec:
    """Return a job with so many instances of each guarantee."""
    parameters = {"beats": str(path)}
    return JobSpec(
        name="beats",
        operators=(
            OperatorSpec(name=ONCE, kind=ONCE, parallelism=instances, parameters=parameters, instances=AT_MOST_ONE),
            OperatorSpec(name=LEAST, kind=LEAST, parallelism=instances, parameters=parameters, instances=AT_LEAST_ONE),
        ),
    )


def follow(worker: Worker, instances: int) -> None:
    """Follow orders; end the process, as a crash would, when stdin ends."""
    for line in sys.stdin:
        match line.split():
            case ["submit", path]:
                worker.submit(beating_job(path, instances)).wait(60.0)
                report("answered", job="beats", error="")
            case words:
                raise ValueError(f"expected an order, got {words}")
    os._exit(0)


def main() -> None:
    """Join once the cable is in, and report until stdin ends."""
    die_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--expect", type=int, required=True)
    parser.add_argument("--seed", action="append", default=[])
    parser.add_argument("--preset", required=True)
    told = parser.parse_args()
    report("up")
    assert sys.stdin.readline().split() == ["go"]
    worker = Worker(
        name=f"w{told.number}",
        bind=take_address(told.number),
        seeds=told.seed,
        expect=told.expect,
        preset=told.preset,
        insecure_plaintext=True,
    )
    worker.register(ONCE, once)
    worker.register(LEAST, least)
    worker.start()
    orders = threading.Thread(target=follow, args=(worker, told.expect), name="orders", daemon=True)
    report_all(worker, start_orders=orders.start)


if __name__ == "__main__":
    main()
