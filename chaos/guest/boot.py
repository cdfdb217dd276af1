"""Boots a guest, hands on what its command says while it runs, and sees to its end.

The guest ends with this process, however that ends: the kernel kills it (see `mortal` and `uml_shim.c`), nothing has to
be alive to do so. What it leaves then is the directory `boot` among its artefacts, which the next guest there replaces.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import attrs

from chaos.guest.kernel import GuestError, Kernel, Order, explain
from chaos.guest.qemu import Qemu
from chaos.guest.uml import UserModeLinux

if TYPE_CHECKING:
    from collections.abc import Sequence

KERNELS: tuple[Kernel, ...] = (UserModeLinux(), Qemu())
"""The better first."""

INIT = Path(__file__).with_name("init.sh")
PASSED_ON = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH")
"""Of the environment. The rest may hold what does not belong among artefacts."""
TURN_S = 0.05
KILL_S_MAX = 10.0
CONSOLE_SHOWN_CHARACTERS = 2_000
READ_BYTES = 65_536
SPOILING = set(" \t\n\"'\\,=")
"""What a path on a kernel's command line, or among its mount options, cannot hold."""


@attrs.frozen(kw_only=True)
class Outcome:
    """How it went. Times are seconds since the start of the guest's kernel, and of its process."""

    status: int
    """Of the command; 124: it took too long."""
    release: str
    up_s: float
    """On the guest's own clock: the command is about to start."""
    command_s: float
    total_s: float
    """From outside: until everything has ended."""


def choose(kind: str) -> Kernel:
    """Return the kernel of that name, or the best one that can be booted here for `auto`; raise `GuestError`."""
    lacking = []
    for kernel in KERNELS:
        if kind not in (kernel.name, "auto"):
            continue
        needs = kernel.missing()
        if not needs:
            return kernel
        lacking.append(f"{kernel.name}: {explain(needs)}")
    raise GuestError("no guest can be booted\n" + "\n".join(f"  {line}" for line in lacking))


def boot(kernel: Kernel, order: Order, *, out: BinaryIO, err: BinaryIO) -> Outcome:
    """Run the order's command in a guest; its output goes to `out` and `err` as it comes, and is kept beside `boot`.

    Blocks until the guest has ended; raise `GuestError` if it did not come up, or took longer than it may.
    """
    _lay_out(kernel, order)
    kernel.prepare(order)
    began_at = time.monotonic()
    with contextlib.ExitStack() as stack:
        files = [order.out / "stdout.log", order.out / "stderr.log"]
        written = [stack.enter_context(file.open("wb")) for file in files]
        read = [stack.enter_context(file.open("rb")) for file in files]
        console = stack.enter_context((order.boot / "console").open("wb"))
        streams = (written[0].fileno(), written[1].fileno())
        process = subprocess.Popen(  # noqa: S603  # our own command line
            kernel.command(order, streams=streams),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            pass_fds=streams,
            process_group=0,
        )
        stack.callback(_end, process)
        deadline = began_at + order.timeout_s + kernel.boot_s_max
        while (has_ended := process.poll() is not None) or time.monotonic() < deadline:
            for source, to in zip(read, (out, err), strict=True):
                _hand_on(source, to)
            if has_ended:
                return _outcome(order, total_s=time.monotonic() - began_at)
            time.sleep(TURN_S)
    raise GuestError(
        f"the guest did not end within {order.timeout_s + kernel.boot_s_max:.0f} s and was killed{_last_words(order)}"
    )


def _lay_out(kernel: Kernel, order: Order) -> None:
    """Write down what the guest's first process reads."""
    if SPOILING & set(str(order.out)):
        raise GuestError(
            f"{order.out}: expected a path without white space, quotes, commas and =; a kernel must read it"
        )
    if order.boot.exists():
        shutil.rmtree(order.boot)
    order.boot.mkdir(parents=True)
    settings = {
        "KIND": kernel.name,
        "OUT": str(order.out),
        "MODULES": str(kernel.modules()),
        "TIMEOUT_S": str(order.timeout_s),
        "STDOUT": kernel.lines[0],
        "STDERR": kernel.lines[1],
    }
    (order.boot / "settings").write_text("".join(f"{name}={shlex.quote(text)}\n" for name, text in settings.items()))
    (order.boot / "command").write_text(script(order.command, directory=order.directory, environment=dict(os.environ)))
    shutil.copy(INIT, order.boot / "init.sh")
    (order.boot / "init.sh").chmod(0o755)


def script(command: Sequence[str], *, directory: Path, environment: dict[str, str]) -> str:
    """Return a shell script that runs the command where and as it would run here, but plainly, as into a file."""
    passed = {name: environment[name] for name in PASSED_ON if name in environment}
    # The output is a serial line inside, which programs take for somebody's terminal.
    lines = [f"export {name}={shlex.quote(text)}" for name, text in {**passed, "TERM": "dumb", "NO_COLOR": "1"}.items()]
    return "\n".join([*lines, f"cd {shlex.quote(str(directory))} || exit 126", f"exec {shlex.join(command)}", ""])


def _outcome(order: Order, *, total_s: float) -> Outcome:
    try:
        release, up_s = (order.boot / "up").read_text().split()
        status, ended_s = (order.boot / "status").read_text().split()
    except (FileNotFoundError, ValueError):
        raise GuestError(f"the guest ended without a word of the command's{_last_words(order)}") from None
    return Outcome(
        status=int(status),
        release=release,
        up_s=float(up_s),
        command_s=float(ended_s) - float(up_s),
        total_s=total_s,
    )


def _last_words(order: Order) -> str:
    text = (order.boot / "console").read_text(errors="replace").strip()
    return f"; its console ({order.boot / 'console'}) ends with\n{text[-CONSOLE_SHOWN_CHARACTERS:]}"


def _hand_on(source: BinaryIO, to: BinaryIO) -> None:
    while data := source.read(READ_BYTES):
        to.write(data)
    to.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the guest if it is still there, with the processes that it traces."""
    if process.poll() is None:
        process.kill()
        process.wait(KILL_S_MAX)
