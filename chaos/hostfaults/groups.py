"""Processes with a quota of CPU or of memory, by a control group of version 1 or 2. Root.

Groups are named `swimstream-PID-…` after who made them. A killed maker leaves his; the next one that is made removes
it, once nobody is in it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from chaos.hostfaults.fault import HostFault, HostFaultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path("/sys/fs/cgroup")
PREFIX = "swimstream-"
PERIOD_US = 100_000
SHARE_MIN = 0.01
MIB = 1 << 20
END_TRIES_MAX = 100
TRY_S = 0.02

_numbers = itertools.count(1)


class Quota(HostFault):
    """Some processes, and what they start from now on, share a limit. Threads count as their process."""

    controller: ClassVar[str]

    def __init__(self, pids: Iterable[int]) -> None:
        """Choose the processes."""
        self._pids = tuple(pids)
        self._group: Path | None = None
        self._former: dict[int, Path] = {}

    def limits(self, version: int) -> Mapping[str, str]:
        """Return which file of the group is given which text, in order."""
        raise NotImplementedError

    def begin(self) -> None:
        """Make the group, and move the processes into it; raise `HostFaultError`."""
        root, version = hierarchy(self.controller)
        _sweep(root)
        group = root / f"{PREFIX}{os.getpid()}-{next(_numbers)}"
        try:
            if version == 2:
                (root / "cgroup.subtree_control").write_text(f"+{self.controller}")
            group.mkdir()
            self._group = group
            for name, text in self.limits(version).items():
                if (group / name).exists():  # not every kernel counts swap
                    (group / name).write_text(text)
            for pid in self._pids:
                self._former[pid] = _group_of(pid, root)
                _move(pid, group)
        except OSError as error:
            raise HostFaultError(f"{root}: no group with a limit of {self.controller}: {error}") from None

    def end(self) -> None:
        """Move the processes back to where they were, with what they have started, and remove the group.

        One that somebody cannot leave, being in the middle of his end, is left to whoever makes the next one.
        """
        if self._group is None:
            return
        somewhere = next(iter(self._former.values()), self._group.parent)
        for _ in range(END_TRIES_MAX):  # who is being moved may start others
            for pid in map(int, (self._group / "cgroup.procs").read_text().split()):
                _move(pid, self._former.get(pid, somewhere))
            with contextlib.suppress(OSError):
                self._group.rmdir()
                break
            time.sleep(TRY_S)
        self._group = None
        self._former = {}


class CpuQuota(Quota):
    """So small a share of one CPU for all of them together, in slices of 100 ms: 0.05 is 5 ms of each."""

    controller = "cpu"

    def __init__(self, pids: Iterable[int], *, share: float) -> None:
        """Choose the processes and their share of one CPU, from 0.01 on; above 1 it is of several."""
        super().__init__(pids)
        assert share >= SHARE_MIN, "the kernel takes no slices below a millisecond"
        self._quota_us = round(share * PERIOD_US)

    def limits(self, version: int) -> Mapping[str, str]:
        """Return the quota."""
        if version == 2:
            return {"cpu.max": f"{self._quota_us} {PERIOD_US}"}
        return {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(self._quota_us)}


class MemoryLimit(Quota):
    """So much memory for all of them together: who needs more is killed. What they had before is not counted."""

    controller = "memory"

    def __init__(self, pids: Iterable[int], *, mib: int) -> None:
        """Choose the processes and their limit."""
        super().__init__(pids)
        self._bytes = mib * MIB

    def limits(self, version: int) -> Mapping[str, str]:
        """Return the limit, without a way out by swapping."""
        if version == 2:
            return {"memory.max": str(self._bytes), "memory.swap.max": "0"}
        return {"memory.limit_in_bytes": str(self._bytes), "memory.memsw.limit_in_bytes": str(self._bytes)}


def hierarchy(controller: str) -> tuple[Path, int]:
    """Return the root of the groups that have this controller, and their version; raise `HostFaultError`."""
    first = ROOT / controller
    if (first / "cgroup.procs").exists():
        root, version = first, 1
    else:
        root = ROOT if (ROOT / "cgroup.controllers").exists() else ROOT / "unified"
        version = 2
        listed = root / "cgroup.controllers"
        if not listed.exists() or controller not in listed.read_text().split():
            raise HostFaultError(f"{ROOT} has no groups with the controller {controller!r}, neither of version 1 nor 2")
    if not os.access(root, os.W_OK):
        raise HostFaultError(f"{root} cannot be written: root is needed, in a container also a writable {ROOT}")
    return root, version


def _move(pid: int, group: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        (group / "cgroup.procs").write_text(str(pid))


def _group_of(pid: int, root: Path) -> Path:
    """Return the group below `root` that a process is in."""
    name = "" if root in (ROOT, ROOT / "unified") else root.name
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return root
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if name in controllers.split(","):
            return root / path.lstrip("/")
    return root


def _sweep(root: Path) -> None:
    """Remove the groups of makers that are dead, if nobody is in them."""
    for group in root.glob(f"{PREFIX}*-*"):
        maker = group.name.removeprefix(PREFIX).partition("-")[0]
        if not Path(f"/proc/{maker}").exists():
            with contextlib.suppress(OSError):
                group.rmdir()
