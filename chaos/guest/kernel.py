"""What a kind of guest is: what it needs, and the command line that boots it."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class GuestError(Exception):
    """There is no guest here, or it did not come up; the message says what is missing."""


@attrs.frozen
class Need:
    """A program or file, and Debian's package that has it."""

    what: str
    package: str


@attrs.frozen(kw_only=True)
class Order:
    """What is to be run. `out` is where its artefacts go; all paths are absolute."""

    command: tuple[str, ...]
    directory: Path
    out: Path
    memory_mb: int
    timeout_s: int
    cpu: int | None = None
    """The one to bind the guest to; None: none."""

    @property
    def boot(self) -> Path:
        """Return the directory that the guest boots from and reports to."""
        return self.out / "boot"


class Kernel(ABC):
    """One way to have another kernel."""

    name: ClassVar[str]
    boot_s_max: ClassVar[float]
    """How long after its command's own limit a guest may take, to boot and to end, on a machine that is busy."""
    wants_one_cpu: ClassVar[bool]
    """Whether it is faster bound to one CPU."""
    lines: ClassVar[tuple[str, str]]
    """The devices inside that are the command's standard output and error."""

    @abstractmethod
    def missing(self) -> list[Need]:
        """Return what this machine lacks for it; nothing: it can be booted."""

    @abstractmethod
    def modules(self) -> Path:
        """Return the directory of its modules, which holds one directory for each release."""

    @abstractmethod
    def prepare(self, order: Order) -> None:
        """Make what has to be made before; raise `GuestError`."""

    @abstractmethod
    def command(self, order: Order, *, streams: tuple[int, int]) -> list[str]:
        """Return the command line. Its output is the guest's console; `streams` are descriptors of what `lines` say."""


def missing_tools(tools: dict[str, str]) -> list[Need]:
    """Return those of some programs that are not on the path or where administrators' programs are."""
    return [Need(tool, package) for tool, package in tools.items() if find_tool(tool) is None]


def find_tool(tool: str) -> str | None:
    """Return where a program is; None if it is not here. Users do not have /usr/sbin on their path."""
    return shutil.which(tool) or shutil.which(tool, path="/usr/local/sbin:/usr/sbin:/sbin")


def apt_line(needs: Iterable[Need]) -> str:
    """Return the command that installs what is missing on Debian."""
    return f"apt-get install --no-install-recommends {' '.join(sorted({need.package for need in needs}))}"


def explain(needs: Sequence[Need]) -> str:
    """Return what is missing, and how to get it."""
    return f"{', '.join(need.what for need in needs)} missing: {apt_line(needs)}"


def mortal(order: Order) -> list[str]:
    """Return what goes before a command that must end with whoever started it, even by SIGKILL, and run on its CPU."""
    bound = [] if order.cpu is None else ["taskset", "--cpu-list", str(order.cpu)]
    return ["setpriv", "--pdeathsig", "KILL", *bound]


TOOLS_OF_ANY = {
    "setpriv": "util-linux",
    "taskset": "util-linux",
    "modprobe": "kmod",
    "ip": "iproute2",
    "tc": "iproute2",
}
