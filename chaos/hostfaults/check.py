"""Does each fault of a host do what it says? Measured on processes of our own, some 15 s altogether."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from chaos.conformance.checks import Check
from chaos.hostfaults.fault import HostFaultError
from chaos.hostfaults.groups import CpuQuota, MemoryLimit
from chaos.hostfaults.mask import CalendarJump, FailingSync, FullDisk, Mask, NoNames, SlowDisk
from chaos.hostfaults.packets import TCP, UDP, Dropped, longer_than
from chaos.hostfaults.pause import Pause
from chaos.net.spaces import LabError, Spaces, inside, ip
from chaos.orderly import end_orderly_on
from chaos.peers.peer import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANSWER_S_MAX = 60.0
SPAN_S = 2.0
"""How long what is measured over time is measured."""
JUMP_S = 3600.0
DELAY_MS = 100
LIMIT_MIB = 64
MTU = 1280
UDP_HEADERS_OCTETS = 28
WAIT_S = 0.5
"""For a packet that does not come."""
SUBJECT = "chaos.hostfaults.subject"


class Subject:
    """A process that does what it is told, one order a line, and answers in JSON (see `subject.py`)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Wrap it."""
        self.process = process
        self.pid = process.pid

    def ask(self, order: str) -> dict[str, float | str]:
        """Give an order and wait for the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        answer: dict[str, float | str] = json.loads(self.process.stdout.readline())
        return answer

    def number(self, order: str) -> float:
        """Return the answer's only number."""
        return float(self.ask(order)["value"])

    def word(self, order: str) -> str:
        """Return the answer's only word."""
        return str(self.ask(order)["value"])


@contextmanager
def subject(**environment: str) -> Iterator[Subject]:
    """Start a subject; it is killed at the end."""
    with subprocess.Popen(  # noqa: S603  # our own module
        [sys.executable, "-m", SUBJECT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    ) as process:
        try:
            started = Subject(process)
            started.ask("hello")
            yield started
        finally:
            process.kill()


@contextmanager
def masked() -> Iterator[tuple[Mask, Subject]]:
    """Start a subject that wears a mask; its orders of files are of a directory that the mask covers."""
    with (
        tempfile.TemporaryDirectory(prefix="swimstream-disk-") as disk,
        Mask(below=Path(disk)) as mask,
        subject(**mask.environment, SUBJECT_DISK=disk) as one,
    ):
        yield mask, one


def pause() -> list[Check]:
    """It has no CPU time while it is stopped, and goes on afterwards."""
    with subject() as one:
        with Pause([one.pid]):
            before = _cpu_s(one.pid)
            time.sleep(0.5)
            used_s = _cpu_s(one.pid) - before
            state = _state(one.pid)
        one.ask("hello")
    return [_is("pause", "is stopped", state == "T"), _about("pause", "CPU time while stopped (s)", used_s, 0.0, 0.0)]


def cpu_quota(share: float = 0.2) -> list[Check]:
    """A process that would take a whole CPU gets its share, and not more."""
    with subject() as one:
        one.ask("burn")
        with CpuQuota([one.pid], share=share):
            time.sleep(0.2)
            before, began_at = _cpu_s(one.pid), time.monotonic()
            time.sleep(SPAN_S)
            used = (_cpu_s(one.pid) - before) / (time.monotonic() - began_at)
            throttled = _is("CPU quota", "gets some", used > 0)
    # Less is what a busy machine makes of any share; more is what the quota must not let through.
    return [
        throttled,
        Check(
            case="CPU quota",
            what="share of a CPU, beyond its own",
            value=max(0.0, used - share),
            expected=0.0,
            tolerance=0.05,
        ),
    ]


def memory_limit() -> list[Check]:
    """Who takes half of it lives, who takes twice as much is killed by the kernel."""
    with subject() as modest, subject() as greedy:
        with MemoryLimit([modest.pid], mib=LIMIT_MIB):
            modest.ask(f"take {LIMIT_MIB // 2}")
        with MemoryLimit([greedy.pid], mib=LIMIT_MIB):
            try:
                greedy.ask(f"take {2 * LIMIT_MIB}")
            except (json.JSONDecodeError, BrokenPipeError):
                status = greedy.process.wait(ANSWER_S_MAX)
            else:
                status = 0
        lives = modest.process.poll() is None
    return [
        _is("memory limit", "half of it is given", lives),
        _is("memory limit", "twice as much is death", status == -signal.SIGKILL),
    ]


def full_disk() -> list[Check]:
    """Writes fail with "no space left", also SQLite's; afterwards they do not."""
    with masked() as (mask, one):
        before = one.word("write")
        with FullDisk(mask):
            during, database = one.word("write"), one.word("commit")
        after = one.word("write")
    return [
        _is("full disk", "fine before", before == "ok"),
        _is("full disk", "ENOSPC", during == "ENOSPC"),
        _is("full disk", "SQLite: disk is full", "full" in database),
        _is("full disk", "fine after", after == "ok"),
    ]


def failing_sync() -> list[Check]:
    """Syncs fail with an I/O error, also SQLite's; writes do not."""
    with masked() as (mask, one):
        before = one.word("sync")
        with FailingSync(mask):
            during, written, database = one.word("sync"), one.word("write"), one.word("commit")
        after = one.word("sync")
    return [
        _is("failing sync", "fine before", before == "ok"),
        _is("failing sync", "EIO", during == "EIO"),
        _is("failing sync", "writes are fine", written == "ok"),
        _is("failing sync", "SQLite: disk I/O error", "I/O error" in database),
        _is("failing sync", "fine after", after == "ok"),
    ]


def slow_disk() -> list[Check]:
    """A sync takes as much longer as is said, at least."""
    with masked() as (mask, one), SlowDisk(mask, delay_ms=DELAY_MS):
        during = one.number("sync-ms")
    return [
        Check(
            case="slow disk",
            what="sync (ms), short of it",
            value=max(0.0, DELAY_MS - during),
            expected=0.0,
            tolerance=0.0,
        )
    ]


def calendar_jump() -> list[Check]:
    """The calendar is ahead by that much, or behind; clocks that measure are right."""
    with masked() as (mask, one):
        found = []
        for jump_s in (JUMP_S, -JUMP_S):
            with CalendarJump(mask, jump_s=jump_s):
                ahead_s = one.number("calendar") - time.time()
                monotonic_s = one.number("monotonic") - time.monotonic()
            found += [
                _about("calendar", f"jump by {jump_s:+.0f} s (s)", ahead_s, jump_s, 30.0),
                _about("calendar", "CLOCK_MONOTONIC (s)", monotonic_s, 0.0, 30.0),
            ]
        found.append(_about("calendar", "afterwards (s)", one.number("calendar") - time.time(), 0.0, 30.0))
    return found


def no_names() -> list[Check]:
    """Names are not found, addresses are."""
    with masked() as (mask, one):
        before = one.word("look-up localhost")
        with NoNames(mask):
            during, address = one.word("look-up localhost"), one.word("look-up 127.0.0.1")
    return [
        _is("no names", "found before", before == "ok"),
        _is("no names", "EAI_AGAIN", during == "EAI_AGAIN"),
        _is("no names", "addresses are found", address == "ok"),
    ]


def packets() -> list[Check]:
    """In a namespace, from itself to itself: one sort does not arrive, the others do, and nobody is told."""
    found = []
    try:
        with Spaces(hosts=1) as spaces:
            (space,) = spaces.names
            ip("-n", space, "link", "set", "lo", "up")
            found += _arrivals("no packets dropped", space, short=True, long=True, connects=True)
            with Dropped(space, UDP):
                found += _arrivals("no UDP", space, short=False, long=False, connects=True)
            with Dropped(space, TCP):
                found += _arrivals("no TCP", space, short=True, long=True, connects=False)
            with Dropped(space, longer_than(MTU)):
                found += _arrivals(f"MTU {MTU}", space, short=True, long=False, connects=True)
            with Dropped(space, UDP, sources=["192.0.2.1"]):
                found += _arrivals("no UDP of somebody else", space, short=True, long=True, connects=True)
            found += _arrivals("afterwards", space, short=True, long=True, connects=True)
    except LabError as error:
        raise HostFaultError(str(error)) from None
    return found


def _arrivals(case: str, space: str, *, short: bool, long: bool, connects: bool) -> list[Check]:
    """Check which datagrams arrive, as long as the MTU or one octet longer, and whether a connection comes about."""
    with inside(space):
        taker, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        listener, caller = (socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(2))
    with taker, sender, listener, caller:
        for each in (taker, caller):
            each.settimeout(WAIT_S)
        taker.bind(("127.0.0.1", 0))
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        arrived = []
        for octets in (MTU, MTU + 1):
            sender.sendto(bytes(octets - UDP_HEADERS_OCTETS), taker.getsockname())
            arrived.append(_happens(lambda: taker.recv(MTU + 1)))
        called = _happens(lambda: caller.connect(listener.getsockname()))
    return [
        _is(case, f"{MTU} octets {'arrive' if short else 'do not'}", arrived[0] == short),
        _is(case, f"{MTU + 1} octets {'arrive' if long else 'do not'}", arrived[1] == long),
        _is(case, f"TCP {'connects' if connects else 'does not'}", called == connects),
    ]


def _happens(act: Callable[[], object]) -> bool:
    try:
        act()
    except TimeoutError:
        return False
    return True


CHECKS: dict[str, Callable[[], list[Check]]] = {
    "pause": pause,
    "cpu-quota": cpu_quota,
    "memory-limit": memory_limit,
    "full-disk": full_disk,
    "failing-sync": failing_sync,
    "slow-disk": slow_disk,
    "calendar": calendar_jump,
    "no-names": no_names,
    "packets": packets,
}


def _is(case: str, what: str, value: bool) -> Check:  # noqa: FBT001  # it is the figure
    return Check(case=case, what=what, value=float(value), expected=1.0, tolerance=0.0)


def _about(case: str, what: str, value: float, expected: float, tolerance: float) -> Check:
    return Check(case=case, what=what, value=value, expected=expected, tolerance=tolerance)


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _state(pid: int) -> str:
    return _stat(pid)[0]


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@click.command()
@click.option("--fault", "chosen", multiple=True, type=click.Choice(list(CHECKS)), help="Only these; default: all.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures there.")
def main(*, chosen: tuple[str, ...], json_path: Path | None) -> None:
    """Measure what each fault does. Exit status: 0 all do what they say, 1 one does not, 2 some cannot be had here."""
    end_orderly_on(signal.SIGTERM)
    checks: list[Check] = []
    impossible = {}
    for name in chosen or CHECKS:
        try:
            found = CHECKS[name]()
        except HostFaultError as error:
            impossible[name] = str(error)
            click.echo(f"cannot  {name}: {error}")
            continue
        checks += found
        missed = [f"{check.what} {check.value:.3g} not {check.expected:.3g}" for check in found if not check.is_met]
        click.echo(f"{'MISSED ' if missed else 'met    '} {name}{': ' if missed else ''}{'; '.join(missed)}")
    is_ok = all(check.is_met for check in checks)
    if json_path is not None:
        figures = [{**attrs.asdict(check), "met": check.is_met} for check in checks]
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps({"ok": is_ok, "impossible": impossible, "checks": figures}, indent=2) + "\n")
    sys.exit(0 if is_ok and not impossible else 2 if is_ok else 1)
