"""The command: run something in a guest, as if it ran here."""

from __future__ import annotations

import compileall
import signal
import sys
from pathlib import Path

import click

from chaos.guest.boot import KERNELS, boot, choose
from chaos.guest.cpus import pick
from chaos.guest.kernel import GuestError, Order
from chaos.orderly import end_orderly_on
from chaos.peers.peer import ROOT

NO_GUEST_STATUS = 125
MEMORY_MB = 2048
MEMORY_MB_MIN, MEMORY_MB_MAX = 64, 1 << 20
SOURCES = ("swimstream", "chaos", "tests", "examples")


def megabytes(_context: click.Context, _parameter: click.Parameter, text: str) -> int:
    """Return how many megabytes `2048`, `2048M` or `2G` are."""
    digits, factor = (text[:-1], {"M": 1, "G": 1024}[text[-1]]) if text[-1:] in ("M", "G") else (text, 1)
    if not digits.isdecimal() or not MEMORY_MB_MIN <= int(digits) * factor <= MEMORY_MB_MAX:
        raise click.BadParameter(f"{text!r}: expected 64M to 1024G")
    return int(digits) * factor


def compile_sources() -> None:
    """Compile our modules here: what the guest compiles itself is lost with it, and it has one CPU."""
    for directory in SOURCES:
        compileall.compile_dir(ROOT / directory, quiet=2)


def run_guest(
    command: tuple[str, ...], *, out: Path, kind: str, memory_mb: int, timeout_s: int, cpu: int | None = None
) -> int:
    """Run a command in a guest, in the present directory; say how it went and return the exit status."""
    try:
        kernel = choose(kind)
        compile_sources()
        order = Order(
            command=command,
            directory=Path.cwd(),
            out=out.resolve(),
            memory_mb=memory_mb,
            timeout_s=timeout_s,
            cpu=pick() if cpu is None and kernel.wants_one_cpu else cpu,
        )
        outcome = boot(kernel, order, out=sys.stdout.buffer, err=sys.stderr.buffer)
    except GuestError as error:
        click.echo(f"guest: {error}", err=True)
        return NO_GUEST_STATUS
    cpu_name = "any CPU" if order.cpu is None else f"CPU {order.cpu}"
    click.echo(
        f"guest: {kernel.name} {outcome.release} on {cpu_name}, up after {outcome.up_s:.1f} s, command "
        f"{outcome.command_s:.1f} s, altogether {outcome.total_s:.1f} s, status {outcome.status}; {order.out}",
        err=True,
    )
    return outcome.status


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--kind", default="auto", show_default=True, type=click.Choice(["auto", *(each.name for each in KERNELS)])
)
@click.option(
    "--memory", "memory_mb", default=f"{MEMORY_MB}M", show_default=True, callback=megabytes, help="Taken as it is used."
)
@click.option("--cpu", type=click.IntRange(0), help="The one to run on. [default: the least busy]")
@click.option(
    "--timeout", "timeout_s", default=600, show_default=True, type=click.IntRange(1), help="Of the command, s."
)
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="/run/out in the guest.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def main(*, kind: str, memory_mb: int, cpu: int | None, timeout_s: int, out: Path, command: tuple[str, ...]) -> None:
    """Run COMMAND as root of a throw-away guest kernel, here, on this very file system.

    Whatever it writes is lost, except below /run/out. Exit status: the command's; 124 if it took longer than the
    time-out, 125 if no guest could be booted.
    """
    end_orderly_on(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    sys.exit(run_guest(command, out=out, kind=kind, memory_mb=memory_mb, timeout_s=timeout_s, cpu=cpu))
