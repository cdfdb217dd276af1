"""What of the chaos suite this machine can do, found out by trying, and what to install for the rest.

Everything is tried in network namespaces of our own, so nothing of the machine is changed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from chaos.net.kernel import why_no_netem
from chaos.net.spaces import LabError, Spaces, leftovers, sweep, tool
from chaos.net.tun import TunLab

if TYPE_CHECKING:
    from collections.abc import Callable

TUN = Path("/dev/net/tun")
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "memory", "freezer")
FAKETIME = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib*/faketime/libfaketime.so.1")


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that is there or not."""

    name: str
    wanted_for: str
    why_not: str
    """What was found out; empty: it is there."""
    install: str
    """What brings it. Empty: nothing that can be installed."""

    @property
    def is_there(self) -> bool:
        """Return whether it can be used."""
        return not self.why_not


def examine() -> list[Finding]:
    """Try everything; takes about a second."""
    findings = []
    has_namespaces = True
    for name, wanted_for, find, install in PARTS:
        if name in TRIED_IN_A_NAMESPACE and not has_namespaces:
            finding = Finding(name=name, wanted_for=wanted_for, why_not="not tried: no namespaces", install="")
        else:
            finding = Finding(name=name, wanted_for=wanted_for, why_not=find(), install=install)
        has_namespaces = has_namespaces and (name != "namespaces" or finding.is_there)
        findings.append(finding)
    return findings


def backends(findings: list[Finding]) -> dict[str, str]:
    """Return of each backend why it is not there; empty: it is."""
    why = {finding.name: finding.why_not for finding in findings}
    first = next((why[name] for name in ("root", "ip", "namespaces") if why[name]), "")
    return {"netem": first or why["tc"] or why["sch_netem"], "tun": first or why["/dev/net/tun"], "sim": ""}


def _root() -> str:
    if sys.platform != "linux":
        return f"Linux is needed, this is {sys.platform}"
    return "" if os.geteuid() == 0 else f"this is user {os.geteuid()}, not root: run it by sudo"


def _which(*names: str) -> Callable[[], str]:
    def find() -> str:
        found = any(shutil.which(name) for name in names)
        return "" if found else f"{' or '.join(names)} is not in PATH"

    return find


def _in_a_namespace(*words: str) -> Callable[[], str]:
    def find() -> str:
        try:
            with Spaces(hosts=1) as spaces:
                if words:
                    tool("ip", "netns", "exec", spaces.names[0], *words)
        except (LabError, OSError) as error:
            return str(error)
        return ""

    return find


def _tun() -> str:
    if not TUN.exists():
        return f"{TUN} is missing: modprobe tun, or give the container that device"
    try:
        with TunLab(hosts=1):
            return ""
    except (LabError, OSError) as error:
        return str(error)


def _cgroups_v1() -> str:
    missing = [each for each in CONTROLLERS if not (CGROUPS / each / "cgroup.procs").exists()]
    return f"{CGROUPS} has no {', '.join(missing)} of version 1" if missing else _writable(CGROUPS / "cpu")


def _cgroups_v2() -> str:
    for root in (CGROUPS, CGROUPS / "unified"):
        listed = root / "cgroup.controllers"
        if listed.exists():
            there = listed.read_text().split()
            missing = [each for each in ("cpu", "memory") if each not in there]
            return f"{root} hands out no {' and no '.join(missing)}" if missing else _writable(root)
    return f"{CGROUPS} is not of version 2"


def _writable(path: Path) -> str:
    return "" if os.access(path, os.W_OK) else f"{path} cannot be written: root, or a delegated group, is needed"


def _time_namespaces() -> str:
    return "" if Path("/proc/self/ns/time").exists() else "the kernel has no time namespaces (CONFIG_TIME_NS)"


def _faketime() -> str:
    return "" if any(glob(pattern) for pattern in FAKETIME) else "libfaketime.so.1 is not there"  # noqa: PTH207  # roots


def _matplotlib() -> str:
    return "" if importlib.util.find_spec("matplotlib") else "matplotlib is not installed"


PARTS: tuple[tuple[str, str, Callable[[], str], str], ...] = (
    ("root", "namespaces, and everything in them", _root, ""),
    ("ip", "labs of real hosts", _which("ip"), "apt install iproute2"),
    ("tc", "the netem backend", _which("tc"), "apt install iproute2"),
    ("namespaces", "labs of real hosts", _in_a_namespace(), "a container needs CAP_SYS_ADMIN and CAP_NET_ADMIN"),
    ("sch_netem", "the netem backend", why_no_netem,
     "apt install linux-modules-extra-$(uname -r), modprobe sch_netem; or make chaos-netem, in a guest kernel"),
    ("/dev/net/tun", "the tun backend", _tun, "modprobe tun"),
    ("cgroups v1", "starvation of CPU and memory, one of the two", _cgroups_v1, ""),
    ("cgroups v2", "starvation of CPU and memory, one of the two", _cgroups_v2, ""),
    ("nft", "UDP blocked while TCP works, NAT between sites", _in_a_namespace("nft", "add", "table", "inet", "try"),
     "apt install nftables"),
    ("user-mode-linux", "the guest kernel with netem", _which("linux.uml"), "apt install user-mode-linux"),
    ("qemu", "the guest kernel where user-mode-linux does not work", _which("qemu-system-x86_64"),
     "apt install qemu-system-x86"),
    ("time namespaces", "steps of CLOCK_MONOTONIC and CLOCK_BOOTTIME", _time_namespaces, ""),
    ("libfaketime", "steps of the calendar", _faketime, "apt install libfaketime"),
    ("stress", "CPUs that others use", _which("stress-ng", "stress"), "apt install stress-ng"),
    ("matplotlib", "plots", _matplotlib, "pip install '.[bench]'"),
)  # fmt: skip
"""Name, what it is for, how it is found out, what brings it."""
TRIED_IN_A_NAMESPACE = frozenset({"sch_netem", "/dev/net/tun", "nft"})


@click.command()
@click.option("--json", "as_json", is_flag=True, help="On stdout, for programs.")
@click.option(
    "--clean", "cleans", is_flag=True, help="Remove namespaces whose makers are dead, with what runs in them."
)
def main(*, as_json: bool, cleans: bool) -> None:
    """Say which backends and faults can be had here. Exit status: 0 if a lab of real hosts can, else 1."""
    left = [leftover.name for leftover in leftovers()]
    removed = sweep() if cleans else []
    findings = examine()  # makes namespaces, and so sweeps
    there = backends(findings)
    if as_json:
        told = {
            "backends": {name: {"is_there": not why, "why_not": why} for name, why in there.items()},
            "parts": [{**attrs.asdict(finding), "is_there": finding.is_there} for finding in findings],
            "leftovers": left,
            "removed": removed,
        }
        click.echo(json.dumps(told, indent=2))
    else:
        for name, why in there.items():
            click.echo(f"backend {name:18s} {'yes' if not why else f'no: {why}'}")
        click.echo()
        for finding in findings:
            install = f" -> {finding.install}" if finding.install and not finding.is_there else ""
            answer = "yes" if finding.is_there else f"no: {finding.why_not}{install}"
            click.echo(f"{finding.name:26s} {answer}\n{'':26s} for {finding.wanted_for}")
        for name in left:
            click.echo(f"left over: {name}{' (removed)' if name in removed else ''}")
    sys.exit(0 if not there["netem"] or not there["tun"] else 1)
