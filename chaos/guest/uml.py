"""User-mode-linux: a kernel that is a process. Boots in 2 s, computes at full speed, and needs neither root nor KVM."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

from chaos.guest.kernel import TOOLS_OF_ANY, GuestError, Kernel, Need, Order, missing_tools, mortal

SHIM_SOURCE = Path(__file__).with_name("uml_shim.c")
COMPILE_S_MAX = 60.0
NAME = "uml"


class UserModeLinux(Kernel):
    """Debian's `user-mode-linux`, with `uml_shim.c` loaded into it."""

    name = "uml"
    boot_s_max = 60.0
    wants_one_cpu = True
    lines: ClassVar[tuple[str, str]] = ("/dev/tty1", "/dev/tty2")

    def missing(self) -> list[Need]:
        """Return what this machine lacks for it."""
        if platform.machine() != "x86_64":
            return [Need("an x86-64 processor", "user-mode-linux:amd64")]
        tools = {"linux.uml": "user-mode-linux", "gcc": "gcc", **TOOLS_OF_ANY}
        headers = [] if Path("/usr/include/sched.h").exists() else [Need("the C library's headers", "libc6-dev")]
        return missing_tools(tools) + headers

    def modules(self) -> Path:
        """Return the directory of its modules."""
        return Path("/usr/lib/uml/modules")

    def prepare(self, order: Order) -> None:
        """Compile the shim, which takes 0.1 s."""
        command = ["gcc", "-O2", "-fPIC", "-shared", "-o", str(_shim(order)), str(SHIM_SOURCE)]
        done = subprocess.run(  # noqa: S603  # a fixed command
            command, capture_output=True, check=False, timeout=COMPILE_S_MAX
        )
        if done.returncode != 0:
            raise GuestError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")

    def command(self, order: Order, *, streams: tuple[int, int]) -> list[str]:
        """Return the command line."""
        environment = [f"LD_PRELOAD={_shim(order)}", f"TMPDIR={memory_directory(order.memory_mb)}"]
        consoles = [
            "con=null",
            "con0=null,fd:1",
            *(f"con{number}=null,fd:{fd}" for number, fd in enumerate(streams, 1)),
        ]
        return [
            *mortal(order), "env", *environment, "linux.uml",
            "rootfstype=hostfs", "rootflags=/", "ro", f"mem={order.memory_mb}M",
            f"uml_dir={order.boot}", f"umid={NAME}", *consoles, "quiet", f"init={order.boot}/init.sh",
        ]  # fmt: skip


def memory_directory(memory_mb: int) -> str:
    """Return where the guest's memory can lie, a nameless file that programs are run from; raise `GuestError`.

    The kernel would take /dev/shm, which in a container is often too small, or not to be executed from.
    """
    for directory in ("/dev/shm", tempfile.gettempdir(), "/var/tmp"):  # noqa: S108  # the file has no name there
        try:
            room = os.statvfs(directory)
        except OSError:
            continue
        if not room.f_flag & os.ST_NOEXEC and room.f_bavail * room.f_frsize >= memory_mb << 20:
            return directory
    raise GuestError(
        f"no place for {memory_mb} MB of memory in /dev/shm, /tmp or /var/tmp: mounted noexec, or too full"
    )


def _shim(order: Order) -> Path:
    return order.boot / "uml_shim.so"
