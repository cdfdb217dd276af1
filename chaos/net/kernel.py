"""The lab of the kernel's own netem: hosts on a bridge, and at each a class and a netem for each receiver.

A sender has an `htb` that shapes nothing; its default class is for everybody. A receiver for whom there is a fault of
its own has a class and a filter beside it. Addresses of the link layer are told to all, since faults would befall ARP.
"""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import attrs

from chaos.net.fault import NO_FAULT, Fault
from chaos.net.hosts import INTERFACE, MTU_USUAL, HostLab, configuration
from chaos.net.spaces import LabError, Spaces, address, address6, ip, tool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from chaos.net.lab import Change

BRIDGE = "bridge"
UNSHAPED = "htb rate 100gbit quantum 60000"
EVERYBODY = 0xFFF
"""Number of the default class; those of receivers are theirs plus one."""


def why_no_netem() -> str:
    """Return why there is no netem here, by trying it in a namespace of our own; empty if there is."""
    missing = [name for name in ("ip", "tc") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} are missing: apt install iproute2"
    try:
        with Spaces(hosts=1) as spaces:
            tool("tc", "-n", spaces.names[0], "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
    except LabError as error:
        return str(error)
    return ""


@attrs.frozen
class _Leaf:
    """The netem of one class: its handle, and the fault that it has now."""

    handle: int
    fault: Fault
    is_used: bool
    """Whether packets get there. A leaf that is not is kept for what it still holds."""


class NetemLab(HostLab):
    """Hosts between which the kernel carries the packets, through its own netem."""

    backend = "netem"

    def __init__(self, *, hosts: int, mtu: int = MTU_USUAL) -> None:
        """Prepare `hosts`. What befalls which packet the kernel draws itself."""
        super().__init__(hosts=hosts, mtu=mtu, more=[BRIDGE])
        self._leaves: list[dict[int, _Leaf]] = [{} for _ in range(hosts)]
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
            for each in json.loads(tool("tc", "-n", name, "-s", "-j", "qdisc", "show", "dev", INTERFACE)):
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
            self._tc(host, [
                f"qdisc add dev {INTERFACE} root handle 1: htb default {EVERYBODY:x}",
                f"class add dev {INTERFACE} parent 1: classid 1:{EVERYBODY:x} {UNSHAPED}",
            ])  # fmt: skip

    def _mac(self, name: str) -> str:
        return str(json.loads(ip("-j", "-n", name, "link", "show", INTERFACE))[0]["address"])

    def _tc(self, host: int, lines: Sequence[str]) -> None:
        tool("tc", "-n", self._spaces.names[host], "-batch", "-", lines=lines)

    def _apply(self, changes: Sequence[Change]) -> None:
        lines: dict[int, list[str]] = {}
        for change in changes:
            lines.setdefault(change.src, []).extend(self._orders(change))
        for host, orders in lines.items():
            if orders:
                self._tc(host, orders)

    def _orders(self, change: Change) -> list[str]:
        """Return what `tc` must do; the leaf is taken to be as it will be."""
        leaves = self._leaves[change.src]
        number = EVERYBODY if change.dst is None else change.dst + 1
        leaf = leaves.get(number)
        if leaf is None and change.fault is None:
            return []
        orders = []
        # Nobody's filter leads to a receiver's class any more: its packets go the way of everybody's.
        if leaf is not None and leaf.is_used and change.fault is None and change.dst is not None:
            leaves[number] = attrs.evolve(leaf, is_used=False)
            return [f"filter del dev {INTERFACE} parent 1: prio {prio}" for prio in _priorities(change.dst)]
        if leaf is not None and not leaf.is_used and change.fault is None:
            return []
        fault = change.fault or NO_FAULT
        if leaf is None and change.dst is not None:
            orders.append(f"class add dev {INTERFACE} parent 1: classid 1:{number:x} {UNSHAPED}")
        handle, verb = _handle(number, leaf, fault)
        orders.append(f"qdisc {verb} dev {INTERFACE} parent 1:{number:x} handle {handle:x}: netem {fault.words()}")
        if change.dst is not None and (leaf is None or not leaf.is_used):
            orders += _filters(change.dst, number)
        leaves[number] = _Leaf(handle, fault, is_used=True)
        return orders


def _handle(number: int, leaf: _Leaf | None, fault: Fault) -> tuple[int, str]:
    """Return the handle of a class's netem from now on, and what to do.

    No word takes a table of delays back, so another curve needs another netem: it loses what the first one held.
    """
    if leaf is None:
        return 2 * number + 2, "add"
    if leaf.fault.distribution in ("uniform", fault.distribution):
        return leaf.handle, "change"
    return leaf.handle ^ 1, "replace"


def _filters(dst: int, number: int) -> list[str]:
    """Return what leads the packets for a host into its class, by IPv4 and IPv6."""
    ipv4, ipv6 = _priorities(dst)
    head = f"filter add dev {INTERFACE} parent 1:"
    return [
        f"{head} protocol ip prio {ipv4} u32 match ip dst {address(dst)}/32 flowid 1:{number:x}",
        f"{head} protocol ipv6 prio {ipv6} u32 match ip6 dst {address6(dst)}/128 flowid 1:{number:x}",
    ]


def _priorities(dst: int) -> tuple[int, int]:
    """Return the priorities of a host's two filters: no other filter has them, so they name it."""
    return 2 * dst + 1, 2 * dst + 2
