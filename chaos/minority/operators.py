"""Operators that leave a line in a file as long as they run: `once` is run at most once, `least` at least once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from chaos.crew import now
from swimstream import operator

if TYPE_CHECKING:
    from swimstream import OperatorContext

ONCE, LEAST = "once", "least"
BEAT_S = 0.02


def beat(ctx: OperatorContext) -> None:
    """Write the time on CLOCK_BOOTTIME, instance, epoch and worker, again and again.

    One short write at the end of the file each time: lines of several processes do not mix.
    """
    path = str(ctx.parameters["beats"])
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while not ctx.wait_cancelled(BEAT_S):
            line = f"{now():.6f} {ctx.instance.operator} {ctx.instance.index} {ctx.epoch} {ctx.worker}\n"
            os.write(file, line.encode())
    finally:
        os.close(file)


@operator(ONCE)
def once(ctx: OperatorContext) -> None:
    """Beat at most once."""
    beat(ctx)


@operator(LEAST)
def least(ctx: OperatorContext) -> None:
    """Beat at least once."""
    beat(ctx)
