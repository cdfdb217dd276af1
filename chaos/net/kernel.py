"""The lab of the kernel's own netem: hosts on a bridge, and at each what `tree.py` says for every receiver.

Addresses of the link layer are told to all hosts, since faults would befall ARP.
"""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

from chaos.net.hosts import INTERFACE, MTU_USUAL, HostLab, configuration
from chaos.net.spaces import LabError, Spaces, address, address6, ip, tool
from chaos.net.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from chaos.net.lab import Change
    from chaos.net.tree import Orders

BRIDGE = "bridge"


def why_no_netem() -> str:
    """Return why there is no netem here, by trying it in a namespace of our own; empty if there is."""
    missing = [name for name in ("ip", "tc") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} are missing: apt install iproute2"
    try:
        with Spaces(hosts=1) as spaces:
            return _tried(spaces.names[0])
    except LabError as error:
        return str(error)


def _tried(space: str) -> str:
    try:
        tool("tc", "-n", space, "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
    except LabError as error:
        return f"this kernel has no sch_netem: {str(error).partition(': ')[2]}"
    return ""


class NetemLab(HostLab):
    """Hosts between which the kernel carries the packets, through its own netem."""

    backend = "netem"

    def __init__(self, *, hosts: int, mtu: int = MTU_USUAL) -> None:
        """Prepare `hosts`. What befalls which packet the kernel draws itself."""
        super().__init__(hosts=hosts, mtu=mtu, more=[BRIDGE])
        self._trees = [Tree(INTERFACE, mtu=mtu) for _ in range(hosts)]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Make the hosts and the bridge; raise `LabError`."""
        with ExitStack() as stack:
            stack.enter_context(self._spaces)
            self._wire()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the hosts, and with them all that is in them."""
        self._stack.close()

    def counters(self) -> dict[str, int]:
        """Return how many packets all netems have taken, dropped and hold."""
        total = {"packets": 0, "lost": 0, "held": 0}
        for name in self._spaces.names:
            for each in json.loads(tool("tc", "-n", name, "-s", "-j", "qdisc", "show")):
                if each["kind"] == "netem":
                    total["packets"] += each["packets"] + each["drops"]
                    total["lost"] += each["drops"]
                    total["held"] += each["qlen"]
        return total

    def _wire(self) -> None:
        switch = self._spaces.more[BRIDGE]
        lines = ["link add bridge type bridge forward_delay 0 stp_state 0 mcast_snooping 0"]
        lines += [f"link set bridge mtu {self._mtu} addrgenmode none", "link set bridge up"]
        for host, name in enumerate(self._spaces.names):
            lines.append(f"link add port{host} mtu {self._mtu} type veth peer name {INTERFACE} netns {name}")
            lines.append(f"link set port{host} master bridge addrgenmode none")
            lines.append(f"link set port{host} up")
        ip("-n", switch, "-batch", "-", lines=lines)
        for host, name in enumerate(self._spaces.names):
            ip("-n", name, "-batch", "-", lines=configuration(host, self._mtu))
        macs = [self._mac(name) for name in self._spaces.names]
        for host, name in enumerate(self._spaces.names):
            others = [other for other in range(self.hosts) if other != host]
            neighbours = [(to(other), macs[other]) for other in others for to in (address, address6)]
            ip("-n", name, "-batch", "-", lines=[
                f"neigh replace {to} lladdr {mac} dev {INTERFACE} nud permanent" for to, mac in neighbours
            ])  # fmt: skip
            self._tc(host, self._trees[host].begin())

    def _mac(self, name: str) -> str:
        return str(json.loads(ip("-j", "-n", name, "link", "show", INTERFACE))[0]["address"])

    def _tc(self, host: int, lines: Sequence[str]) -> None:
        tool("tc", "-n", self._spaces.names[host], "-batch", "-", lines=lines)

    def _apply(self, changes: Sequence[Change]) -> None:
        orders: dict[int, list[Orders]] = {}
        for change in changes:
            orders.setdefault(change.src, []).append(self._trees[change.src].set(change.dst, change.fault))
        for host, of_host in orders.items():
            links = [line for each in of_host for line in each.ip]
            if links:
                ip("-n", self._spaces.names[host], "-batch", "-", lines=links)
            lines = [line for each in of_host for line in each.tc]
            if lines:
                self._tc(host, lines)
