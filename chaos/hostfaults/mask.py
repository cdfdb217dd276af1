"""A process's disk, calendar and names gone wrong while it runs, without root: a library loaded into it (`mask.c`).

The process has to be started with `environment`; from then on every `Mask…` fault on it begins and ends at once. Its
children inherit the mask. Not masked: statically linked programs, and stdio inside the C library.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from chaos.hostfaults.fault import HostFault, HostFaultError

if TYPE_CHECKING:
    from typing import Self

SOURCE = Path(__file__).with_name("mask.c")
LAYOUT = struct.Struct("=qiiii")
COMPILE_S_MAX = 60.0
NS = 1_000_000_000
JUMP_S_MAX = 1e9


@attrs.frozen(kw_only=True)
class Wrong:
    """What is wrong, as `mask.c` lays it out."""

    calendar_ns: int = 0
    write_error: int = 0
    sync_error: int = 0
    delay_ms: int = 0
    names_fail: int = 0


class Mask:
    """One mask: the library, and the file that says what is wrong. Use it in a `with` block around its processes."""

    def __init__(self, *, below: Path) -> None:
        """Prepare; faults of the disk will be of regular files below that directory."""
        self._below = below.resolve()
        self._scratch: Path | None = None
        self._wrong = Wrong()

    def __enter__(self) -> Self:
        """Compile the library; raise `HostFaultError`."""
        if shutil.which("gcc") is None:
            raise HostFaultError("gcc is missing: apt-get install --no-install-recommends gcc libc6-dev")
        self._scratch = Path(tempfile.mkdtemp(prefix="swimstream-mask-"))
        command = ["gcc", "-O2", "-fPIC", "-shared", "-o", str(self._scratch / "mask.so"), str(SOURCE)]
        done = subprocess.run(  # noqa: S603  # a fixed command
            command, capture_output=True, check=False, timeout=COMPILE_S_MAX
        )
        if done.returncode != 0:
            shutil.rmtree(self._scratch)
            raise HostFaultError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")
        (self._scratch / "wrong").write_bytes(LAYOUT.pack(*attrs.astuple(self._wrong)))
        return self

    def __exit__(self, *_: object) -> None:
        """Remove library and file; processes that are left keep what they have mapped."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch)

    @property
    def environment(self) -> dict[str, str]:
        """Return what to add to the environment of a process that is to wear it."""
        assert self._scratch is not None
        return {
            "LD_PRELOAD": str(self._scratch / "mask.so"),
            "SWIMSTREAM_MASK": str(self._scratch / "wrong"),
            "SWIMSTREAM_MASK_BELOW": str(self._below),
        }

    def change(self, **fields: int) -> None:
        """Have some fields of `Wrong` be so from now on. One thread."""
        assert self._scratch is not None
        self._wrong = attrs.evolve(self._wrong, **fields)
        file = os.open(self._scratch / "wrong", os.O_WRONLY)
        try:
            os.pwrite(file, LAYOUT.pack(*attrs.astuple(self._wrong)), 0)
        finally:
            os.close(file)


class _Masked(HostFault):
    """Fields of the mask that are wrong for a while, and zero before and after."""

    def __init__(self, mask: Mask, **fields: int) -> None:
        self._mask = mask
        self._fields = fields

    def begin(self) -> None:
        """Have them be wrong."""
        self._mask.change(**self._fields)

    def end(self) -> None:
        """Have them be right."""
        self._mask.change(**dict.fromkeys(self._fields, 0))


class FullDisk(_Masked):
    """Every write fails with ENOSPC."""

    def __init__(self, mask: Mask) -> None:
        """Choose whose disk."""
        super().__init__(mask, write_error=errno.ENOSPC)


class FailingSync(_Masked):
    """Every fsync and fdatasync fails with EIO; writes do not."""

    def __init__(self, mask: Mask) -> None:
        """Choose whose disk."""
        super().__init__(mask, sync_error=errno.EIO)


class SlowDisk(_Masked):
    """Every write and every sync takes so much longer."""

    def __init__(self, mask: Mask, *, delay_ms: int) -> None:
        """Choose whose disk, and 1 ms or more."""
        assert delay_ms >= 1
        super().__init__(mask, delay_ms=delay_ms)


class CalendarJump(_Masked):
    """CLOCK_REALTIME is ahead, or behind, and jumps back at the end. Clocks that measure time are right."""

    def __init__(self, mask: Mask, *, jump_s: float) -> None:
        """Choose whose calendar, and how far: up to thirty years."""
        assert -JUMP_S_MAX <= jump_s <= JUMP_S_MAX
        super().__init__(mask, calendar_ns=round(jump_s * NS))


class NoNames(_Masked):
    """Names of hosts cannot be looked up: "temporary failure in name resolution". Addresses can."""

    def __init__(self, mask: Mask) -> None:
        """Choose whose."""
        super().__init__(mask, names_fail=1)
