"""qemu, every instruction translated: some 20 times slower than user-mode-linux, but Debian's own kernel.

Never with KVM, which on a host that is a guest itself may be there and not work: the kernel then spins for ever.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import ClassVar

from chaos.guest.initramfs import archive, load_order, unpacked
from chaos.guest.kernel import TOOLS_OF_ANY, GuestError, Kernel, Need, Order, missing_tools, mortal

KERNEL_PACKAGE = "linux-image-amd64"
MODULES = Path("/lib/modules")
KERNELS = Path("/boot")
START_SOURCE = Path(__file__).with_name("qemu_start.c")
NEEDED_FOR_THE_ROOT = ("virtio_pci", "9pnet_virtio", "9p")
COMPILE_S_MAX = 60.0
CPUS = 2


class Qemu(Kernel):
    """Debian's kernel in `qemu-system-x86_64`, the root file system by 9p."""

    name = "qemu"
    boot_s_max = 300.0
    wants_one_cpu = False
    lines: ClassVar[tuple[str, str]] = ("/dev/ttyS1", "/dev/ttyS2")

    def missing(self) -> list[Need]:
        """Return what this machine lacks for it."""
        if platform.machine() != "x86_64":
            return [Need("an x86-64 processor", "qemu-system-x86:amd64")]
        tools = {"qemu-system-x86_64": "qemu-system-x86", "gcc": "gcc", **TOOLS_OF_ANY}
        library = [] if list(Path("/usr/lib").glob("**/libc.a")) else [Need("libc.a", "libc6-dev")]
        kernel = [] if kernels() else [Need("a kernel with its modules", KERNEL_PACKAGE)]
        return missing_tools(tools) + library + kernel

    def modules(self) -> Path:
        """Return the directory of its modules."""
        return MODULES

    def prepare(self, order: Order) -> None:
        """Make what the kernel starts from: one program, and the modules that it needs to see the host's files."""
        modules = MODULES / _release(_kernel())
        start = order.boot / "start"
        command = ["gcc", "-O2", "-static", "-o", str(start), str(START_SOURCE)]
        done = subprocess.run(  # noqa: S603  # a fixed command
            command, capture_output=True, check=False, timeout=COMPILE_S_MAX
        )
        if done.returncode != 0:
            raise GuestError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")
        files = {"init": start.read_bytes()}
        paths = load_order((modules / "modules.dep").read_text(), NEEDED_FOR_THE_ROOT)
        files |= {f"{number}.ko": unpacked(modules / path) for number, path in enumerate(paths)}
        (order.boot / "initramfs").write_bytes(archive(files))

    def command(self, order: Order, *, streams: tuple[int, int]) -> list[str]:
        """Return the command line."""
        serial = [word for fd in streams for word in ("-serial", f"file:/proc/self/fd/{fd}")]
        return [
            *mortal(order), "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(CPUS if order.cpu is None else 1),
            "-m", str(order.memory_mb),
            "-kernel", str(_kernel()), "-initrd", str(order.boot / "initramfs"),
            "-append", f"console=ttyS0 quiet panic=-1 mitigations=off start={order.boot}/init.sh",
            *_share("root", Path("/"), "readonly=on"), *_share("out", order.out),
            "-serial", "stdio", *serial,
        ]  # fmt: skip


def _share(tag: str, path: Path, *options: str) -> list[str]:
    local = ",".join(["local", f"id={tag}", f"path={path}", "security_model=none", "multidevs=remap", *options])
    return ["-fsdev", local, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]


def kernels() -> list[Path]:
    """Return the kernels whose modules are here and that we may read, the one that was installed last at the end."""
    found = [kernel for kernel in KERNELS.glob("vmlinuz-*") if (MODULES / _release(kernel) / "modules.dep").exists()]
    return sorted((kernel for kernel in found if os.access(kernel, os.R_OK)), key=lambda kernel: kernel.stat().st_mtime)


def _kernel() -> Path:
    return kernels()[-1]


def _release(kernel: Path) -> str:
    return kernel.name.removeprefix("vmlinuz-")
