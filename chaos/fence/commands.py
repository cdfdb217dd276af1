"""How late a command's last act comes that ends with its supervisor: `python -m chaos.fence.commands`.

The command notes the time without pause. Its supervisor is stopped (SIGSTOP), so that nothing but the kernel's timer
and PR_SET_PDEATHSIG can end the command; busy processes compete for every core meanwhile.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import trio

from swimstream.core.effects import StartInstance
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import OperatorSpec
from swimstream.runners.command import Command
from swimstream.runners.context import OperatorContext
from swimstream.runners.ending import FENCED
from swimstream.runners.neighbours import SeenNeighbours
from swimstream.runners.process import EARLY_S, Child
from swimstream.runtime import clock
from swimstream.runtime.reports import Reports
from swimstream.runtime.view import View, Views

STAMP = struct.Struct("=d")
STAMPER = """
import mmap, struct, sys, time
with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 8) as page:
    while True:
        struct.pack_into("=d", page, 0, time.clock_gettime(time.CLOCK_BOOTTIME))
"""
BUSY = "while True: pass"
FENCE_S = 5.0
"""Long enough for the process to start on a busy machine."""
LOOK_S = 0.01


async def last_stamp(file: Path, number: int) -> float:
    """Return by how much the last stamp of one command lies behind its deadline, in seconds: negative is before."""
    command = Command(argv=(sys.executable, "-c", STAMPER, str(file)))
    fence_at = clock.now() + FENCE_S
    spec = OperatorSpec(name="stamper", kind="stamper")
    start = StartInstance(
        instance=InstanceId("fence", "stamper", number),
        epoch=1,
        spec=spec,
        inputs=(),
        outputs=(),
        resume_from=b"",
        fence_at=fence_at,
    )
    neighbours = SeenNeighbours(Views(View(run=Run("w1", 1))))
    context = OperatorContext(start, worker="w1", reports=Reports(), neighbours=neighbours)
    child = Child(start, command, context, neighbours, grace_s=FENCE_S)
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), STAMP.size) as page:

        async def stop_supervisor() -> None:
            while not STAMP.unpack_from(page)[0]:  # noqa: ASYNC110  # another process writes it
                await trio.sleep(LOOK_S)
            os.kill(child.pid, signal.SIGSTOP)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_supervisor)
            ending = await child.run(trio.CancelScope(), on_running=lambda: None)
        if ending.cause != FENCED:
            raise click.ClickException(f"expected a command that was fenced, got {ending}")
        (stamp,) = STAMP.unpack_from(page)
    return float(stamp) - fence_at


async def try_all(directory: Path, trials: int, at_a_time: int) -> list[float]:
    """Return what `last_stamp` says of each."""
    found: list[float] = []

    async def one(number: int) -> None:
        file = directory / str(number)
        file.write_bytes(bytes(STAMP.size))
        found.append(await last_stamp(file, number))

    for first in range(0, trials, at_a_time):
        async with trio.open_nursery() as nursery:
            for number in range(first, min(first + at_a_time, trials)):
                nursery.start_soon(one, number)
    return found


@click.command()
@click.option("--trials", default=40, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--at-a-time", default=4, show_default=True, type=click.IntRange(1, 100))
@click.option("--busy", default=8, show_default=True, type=click.IntRange(0, 100), help="Busy processes beside them.")
def main(*, trials: int, at_a_time: int, busy: int) -> None:
    """Print the figures as JSON; status 1 if a command did anything after its deadline."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]  # noqa: S603  # our own text
    try:
        with tempfile.TemporaryDirectory() as directory:
            behind = trio.run(try_all, Path(directory), trials, at_a_time)
    finally:
        for other in others:
            other.kill()
            other.wait()
    timer = [each + EARLY_S / 2 for each in behind]
    click.echo(
        json.dumps(
            {
                "ok": max(behind) < 0,
                "trials": trials,
                "busy": busy,
                "behind_deadline_s_max": max(behind),
                "behind_timer_ms_median": statistics.median(timer) * 1_000,
                "behind_timer_ms_max": max(timer) * 1_000,
                "cpus": os.cpu_count(),
                "load_average": os.getloadavg(),
            }
        )
    )
    sys.exit(0 if max(behind) < 0 else 1)


if __name__ == "__main__":
    main()
