"""`python -m chaos.freeze.worker PARENT SEED ISOLATION HOLDS HOLD_S PAUSE_S`: the worker that freezes.

One operator keeps the GIL for HOLD_S at a time in a C call, as native code may do, and writes down each time on
standard output; HOLDS 0: never. Others compute in pure Python all the while; one more does nothing, in a process
of its own.
"""

from __future__ import annotations

import ctypes
import json
import sys
import threading
import time
from typing import TYPE_CHECKING

from swimstream import Worker
from swimstream.runners.child import die_with
from swimstream.runtime import clock

if TYPE_CHECKING:
    from swimstream import OperatorContext

NAME = "frozen"
FROZEN_AFTER_S = 1.0
LONG_S = 86_400.0


def apart(context: OperatorContext) -> None:
    """Do nothing, in a process of its own."""
    context.wait_cancelled(LONG_S)


def busy(context: OperatorContext) -> None:
    """Compute."""
    while not context.cancelled:
        sum(range(10_000))


class Holder:
    """Keeps the GIL so many times."""

    def __init__(self, *, holds: int, hold_s: float, pause_s: float) -> None:
        """Begin only with the operator."""
        self._holds = holds
        self._hold_s = hold_s
        self._pause_s = pause_s

    def hold(self, context: OperatorContext) -> None:
        """Keep it, pause, and say at last that it is done."""
        library = ctypes.PyDLL(None)
        for _ in range(self._holds):
            time.sleep(self._pause_s)
            began_at = clock.now()
            library.usleep(ctypes.c_uint(int(self._hold_s * 1e6)))
            _say(held=[began_at, clock.now()])
        _say(done=True)
        context.wait_cancelled(LONG_S)


def _say(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run until killed."""
    parent, seed, isolation, holds, hold_s, pause_s = sys.argv[1:]
    die_with(int(parent))
    worker = Worker(name=NAME, seeds=[seed], expect=3, preset="lan", isolation=isolation, frozen_after_s=FROZEN_AFTER_S)
    worker.register("hold", Holder(holds=int(holds), hold_s=float(hold_s), pause_s=float(pause_s)).hold)
    worker.register("busy", busy)
    worker.register("apart", apart, isolation="process")
    worker.start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
