"""Network namespaces of our own, a host in each: made, entered, and gone afterwards even if their maker was killed.

A name says who made it: `swimstream-PID-START-LAB-HOST`, with the maker's start in the kernel's clock ticks, so that a
later process of the same number is told from it. A guardian, which outlives its maker, removes the namespaces when the
maker's end of a pipe closes, however that comes about; what a killed guardian leaves, the next lab sweeps. Interfaces
exist only inside of them, so nothing of the machine's own network is ever touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

SPACES = Path("/run/netns")
HOSTS_MAX = 250
TOOL_S_MAX = 60.0
END_S_MAX = 60.0
CLONE_NEWNET = 0x40000000
NAME = re.compile(r"swimstream-(?P<pid>\d+)-(?P<start>\d+)-\d+-\w+")
# Whatever still runs in a namespace was started in it, and ends along with it. One look at all processes is enough:
# `ip netns pids` would take one for each namespace.
REMOVAL = r"""trap "" INT TERM HUP; read -r _
cd /run/netns || exit
pids=$( (ls -i -- "$@"; ls -l /proc/[0-9]*/ns/net) 2>/dev/null | awk '
  NF == 2 { ours["net:[" $1 "]"]; next }
  $NF in ours { split($(NF - 2), path, "/"); print path[3] }')
[ -z "$pids" ] || kill -KILL $pids 2>/dev/null
for space; do echo "netns del $space"; done | ip -force -batch - 2>/dev/null
exit 0"""


class LabError(Exception):
    """This machine does not let us do it, or a tool has refused; the message says which and what it said."""


def address(host: int) -> str:
    """Return the IPv4 address of a host; the network is 10.77.0.0/16."""
    return f"10.77.0.{host + 1}"


def address6(host: int) -> str:
    """Return the IPv6 address of a host; the network is fd77::/64."""
    return f"fd77::{host + 1:x}"


class Spaces:
    """Namespaces of one lab, one a host and perhaps more. Use it in a `with` block."""

    _labs = 0

    def __init__(self, *, hosts: int, more: Sequence[str] = ()) -> None:
        """Choose names; `more` are those of namespaces that are nobody's host."""
        Spaces._labs += 1
        pid = os.getpid()
        maker = f"swimstream-{pid}-{_started(pid)}-{Spaces._labs}"
        self.names = [f"{maker}-{host}" for host in range(hosts)]
        self.more = {each: f"{maker}-{each}" for each in more}
        self._guardian: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Make them, after removing what dead makers have left; raise `LabError`."""
        if os.geteuid() != 0:
            raise LabError(f"network namespaces are root's to make, and this is user {os.geteuid()}: run it by sudo")
        sweep()
        every = [*self.names, *self.more.values()]
        self._guardian = subprocess.Popen(  # noqa: S603  # a fixed script and names of our own
            ["sh", "-c", REMOVAL, "guardian", *every],  # noqa: S607  # wherever it is
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            ip("-batch", "-", lines=[f"netns add {name}" for name in every])
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Remove them, and end what still runs inside."""
        self.close()

    def close(self) -> None:
        """Remove them; may be called again."""
        if self._guardian is None:
            return
        assert self._guardian.stdin is not None
        self._guardian.stdin.close()
        self._guardian.wait(END_S_MAX)
        self._guardian = None


@attrs.frozen
class Leftover:
    """A namespace whose maker is dead."""

    name: str
    pid: int


def leftovers() -> list[Leftover]:
    """Return the namespaces of labs whose makers are dead."""
    found = []
    for path in sorted(SPACES.glob("swimstream-*")):
        told = NAME.fullmatch(path.name)
        if told is not None and _started(int(told["pid"])) != int(told["start"]):
            found.append(Leftover(path.name, int(told["pid"])))
    return found


def sweep() -> list[str]:
    """Remove the namespaces of labs whose makers are dead, with whatever still runs in them; return their names."""
    names = [leftover.name for leftover in leftovers()]
    if names:
        subprocess.run(  # noqa: S603  # a fixed script and names of our own
            ["sh", "-c", REMOVAL, "sweep", *names],  # noqa: S607  # wherever it is
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=END_S_MAX,
        )
    return names


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """Have this thread be in that namespace: sockets made here belong to it for good. Do not await in the block."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(SPACES / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def ip(*words: str, lines: Sequence[str] = ()) -> str:
    """Run iproute2's `ip`, with `lines` for its `-batch -`; return what it said, raise `LabError`."""
    return tool("ip", *words, lines=lines)


def tool(*words: str, lines: Sequence[str] = ()) -> str:
    """Run a command with `lines` as its input; return its output, raise `LabError` with what it complained of."""
    try:
        done = subprocess.run(  # noqa: S603  # words of our own
            words,
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            check=False,
            timeout=TOOL_S_MAX,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{words[0]}: {error}") from error
    if done.returncode != 0:
        raise LabError(f"{' '.join(words)}: {' '.join(done.stderr.split())}")
    return done.stdout


def _enter(space: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns is only there from Python 3.12 on
    if libc.setns(space, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def _started(pid: int) -> int:
    """Return when a process was started, in clock ticks since boot; -1 if there is none (a zombie is none)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    state, *fields = text.rpartition(")")[2].split()  # a name may hold anything, even brackets
    return -1 if state in "ZX" else int(fields[18])
