"""Have the kernel kill a whole process group when its leader ends, however it ends and whoever stands still.

PR_SET_PDEATHSIG reaches children only, and only those that have asked for it. This reaches all of the group: a pipe
whose writing end the leader alone holds, and whose reading end says SIGKILL to the group when something happens to it
(`F_SETSIG`, `F_SETOWN`, `O_ASYNC`). The end of the leader closes the writing end, and that happens to it. The kernel
sends the signal while the leader exits, so nobody else needs to run. Somebody must hold the reading end: the worker
does, and a command and what it starts, as far as they do not close it.

Linux only. It does not reach what has left the group, or runs as another user.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys

F_SETSIG = 10


def arm_fuse(reading: int, writing: int) -> None:
    """Have the group that this process leads end with it. `writing` is kept from everything that it starts."""
    os.set_inheritable(writing, False)
    os.register_at_fork(after_in_child=lambda: os.close(writing))
    if sys.platform == "linux":
        fcntl.fcntl(reading, F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(reading, fcntl.F_SETOWN, -os.getpid())
        fcntl.fcntl(reading, fcntl.F_SETFL, fcntl.fcntl(reading, fcntl.F_GETFL) | os.O_ASYNC)
