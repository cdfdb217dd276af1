"""Operators that leave a line in a file when they begin and as long as they run: what they do, not what is said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from chaos.crew import now

if TYPE_CHECKING:
    from swimstream import OperatorContext

LEAST, ONCE = "least", "once"
BEAT_S = 0.25


def beat(ctx: OperatorContext) -> None:
    """Write the time on CLOCK_BOOTTIME, instance, epoch and worker, at once and then again and again.

    One short write at the end of the file each time: lines of several processes do not mix.
    """
    file = os.open(str(ctx.parameters["beats"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while True:
            os.write(file, f"{now():.6f} {ctx.instance} {ctx.epoch} {ctx.worker}\n".encode())
            if ctx.wait_cancelled(BEAT_S):
                return
    finally:
        os.close(file)
