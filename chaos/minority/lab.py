"""A network of our own, in namespaces: one for each worker, all on one bridge. A cut moves some to another bridge.

Nothing is filtered and nothing needs a module: a frame has simply no way. Root is not needed where Linux lets users
make namespaces. Namespaces end with the processes in them, so nothing is left behind, however the end comes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BRIDGES = ("whole", "apart")
NETWORK = "10.99.0"
PORT = 7946
TRY_S_MAX = 10.0


class LabError(Exception):
    """This machine does not let us make the network; the message says what is missing."""


def enter(arguments: Sequence[str]) -> None:
    """Start this program again in a network namespace of its own. Does not return; raise `LabError`."""
    missing = [tool for tool in ("unshare", "ip") if shutil.which(tool) is None]
    if missing or sys.platform != "linux":
        raise LabError(f"Linux with {' and '.join(missing) or 'namespaces'} is needed: apt install util-linux iproute2")
    for way in ([], ["--user", "--map-root-user"]):
        command = ["unshare", *way, "--net"]
        bridge = ["ip", "link", "add", "try", "type", "bridge"]
        tried = subprocess.run(  # noqa: S603  # a fixed command
            [*command, *bridge], capture_output=True, check=False, timeout=TRY_S_MAX
        )
        if tried.returncode == 0:
            os.execvp(command[0], [*command, *arguments])  # noqa: S606  # this very program
    why = tried.stderr.decode(errors="replace").strip()
    raise LabError(f"neither root nor a user namespace lets us make a bridge ({why})")


def make_bridges() -> None:
    """Make the two bridges, in this process's own network namespace."""
    ip("link", "set", "lo", "up")
    for bridge in BRIDGES:
        ip("link", "add", bridge, "type", "bridge", "forward_delay", "0", "stp_state", "0")
        ip("link", "set", bridge, "up")


def plug_in(number: int, pid: int) -> None:
    """Give the namespace of process `pid` a cable to the whole; the process itself does the rest by `take_address`."""
    ip("link", "add", f"cable{number}", "type", "veth", "peer", "name", f"end{number}", "netns", str(pid))
    ip("link", "set", f"cable{number}", "master", BRIDGES[0], "up")


def take_address(number: int) -> str:
    """Set up this process's own end of its cable; return `host:port` to listen at."""
    ip("link", "set", "lo", "up")
    ip("addr", "add", f"{NETWORK}.{number}/24", "dev", f"end{number}")
    ip("link", "set", f"end{number}", "up")
    return f"{NETWORK}.{number}:{PORT}"


def cut(numbers: Iterable[int]) -> None:
    """Move some workers to the other bridge: they see each other, and nobody else."""
    for number in numbers:
        ip("link", "set", f"cable{number}", "master", BRIDGES[1])


def heal(numbers: Iterable[int]) -> None:
    """Move them back."""
    for number in numbers:
        ip("link", "set", f"cable{number}", "master", BRIDGES[0])


def ip(*words: str) -> None:
    """Run iproute2's `ip`; raise `LabError` with what it said."""
    done = subprocess.run(  # noqa: S603  # words of our own
        ["ip", *words],  # noqa: S607  # wherever the distribution keeps it
        capture_output=True,
        check=False,
        timeout=TRY_S_MAX,
    )
    if done.returncode != 0:
        raise LabError(f"ip {' '.join(words)}: {done.stderr.decode(errors='replace').strip()}")
