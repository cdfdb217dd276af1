"""A process that runs one instance in a process of its own, tells that one's pid, and waits to be killed."""

from __future__ import annotations

import sys
import threading

from swimstream.runners.registry import IN_PROCESS
from tests.runtime.process_operators import tells_pid
from tests.runtime.stage import Stage

if __name__ == "__main__":
    stage = Stage()
    stage.run(tells_pid, isolation=IN_PROCESS)
    sys.stdout.write(stage.until_checkpoint().decode() + "\n")
    sys.stdout.flush()
    threading.Event().wait()
