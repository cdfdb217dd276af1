"""A process with a worker that a test kills, stops or lets freeze: `crashing_worker NAME SEED ISOLATION`.

It tells its peer's process on the first line, joins as the second of two workers and obeys lines on its standard
input. `freeze` holds the interpreter until the test writes to the pipe that the line names.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from typing import TYPE_CHECKING

from swimstream.events import EventsLost, MessageReceived
from swimstream.runners.registry import IN_PROCESS
from swimstream.runtime.peer_process import PeerProcess
from swimstream.worker import Worker
from tests.runtime.process_operators import clings_to_life, has_a_child, tells_pid

if TYPE_CHECKING:
    from swimstream.runners.context import OperatorContext

LONG_S = 1_000.0


PATIENT = {"isolation_timeout_s": 60.0}
"""However busy the machine is, what runs at most once is not stopped for want of authority."""


def waits(ctx: OperatorContext) -> None:
    ctx.wait_cancelled(LONG_S)


def say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def freeze(pipe: str) -> None:
    """Hold the GIL until the other end of `pipe` is opened, as native code may do."""
    library = ctypes.PyDLL(None)
    sys.setswitchinterval(LONG_S)
    descriptor = library.open(pipe.encode(), os.O_RDONLY)
    sys.setswitchinterval(0.005)
    os.close(descriptor)


def main() -> None:
    name, seed, isolation = sys.argv[1:]
    worker = Worker(
        name=name, seeds=[seed], expect=2, preset="local", timing=PATIENT, isolation=isolation, frozen_after_s=0.4
    )
    worker.register("inside", waits)
    worker.register("apart", tells_pid, isolation=IN_PROCESS)
    worker.register("parent", has_a_child, isolation=IN_PROCESS)
    worker.register("clinging", clings_to_life, isolation=IN_PROCESS)
    worker.start()
    peer = worker._running()
    say(peer.pid if isinstance(peer, PeerProcess) else 0)
    events = worker.events()
    for line in sys.stdin:
        match line.split():
            case ["freeze", pipe]:
                freeze(pipe)
            case ["exit"]:
                os._exit(3)
            case ["events"]:
                news = events.drain()
                lost = sum(each.count for each in news if isinstance(each, EventsLost))
                say(f"{lost} {sum(isinstance(each, MessageReceived) for each in news)}")
            case other:
                raise AssertionError(f"expected a known order, got {other}")
    threading.Event().wait()


if __name__ == "__main__":
    main()
