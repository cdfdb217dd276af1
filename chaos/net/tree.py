"""What `tc` must do at one sender, sans I/O: which netem stands where, and which packets are led to it.

The interface has an `htb` that shapes nothing. Its default class is everybody's; a receiver for whom there is a fault
of its own gets a class and filters. Two things about netem decide the rest:

- `change` keeps what it is not told and loses no packet, but no word takes a table of delays back. Then another netem
  takes the place, and what the first one held is lost.
- Linux since 2025, maintained older ones included, refuses a netem that duplicates beside any other of the same
  interface. So what duplicates stands on an interface of its own (`ifb`), to which filters redirect: what comes back
  from there passes the same filters once more, which then only say the class.
"""

from __future__ import annotations

import attrs

from chaos.net.curves import UNIFORM
from chaos.net.fault import NO_FAULT, Fault
from chaos.net.spaces import HOSTS_MAX, address, address6

UNSHAPED = "htb rate 100gbit quantum 60000"
EVERYBODY, DONE = 0xFFF, 0xFFE
"""Numbers of classes; a receiver's is its own plus one."""


@attrs.frozen
class Orders:
    """Lines for `ip -batch`, and then for `tc -batch`."""

    ip: list[str]
    tc: list[str]


@attrs.frozen(kw_only=True)
class _Stand:
    """One netem, where it stands."""

    where: str
    """As `tc qdisc` has it: an interface and a parent."""
    handle: int
    fault: Fault
    is_used: bool
    """Whether packets are led there. One that is not used is kept: it may still hold some."""


class Tree:
    """The netems of one sender, as they will be once all orders are obeyed."""

    def __init__(self, interface: str, *, mtu: int) -> None:
        """Begin with none; `begin` says what must be there."""
        self._interface = interface
        self._mtu = mtu
        self._stands: dict[tuple[int, bool], _Stand] = {}

    def begin(self) -> list[str]:
        """Return the lines for `tc` that come before all others."""
        return [
            f"qdisc add dev {self._interface} root handle 1: htb default {EVERYBODY:x}",
            *(f"class add dev {self._interface} parent 1: classid 1:{each:x} {UNSHAPED}" for each in (EVERYBODY, DONE)),
        ]

    def set(self, dst: int | None, fault: Fault | None) -> Orders:
        """Return what makes this the fault to `dst`, None: to everybody without one of its own."""
        number = EVERYBODY if dst is None else dst + 1
        if fault is None and dst is None:
            # The default class has no filter that could be taken away.
            plain = self._stands.get((number, False))
            orders = Orders([], self._release(dst, doubles=True))
            if plain is not None:
                orders.tc.extend(self._place(number, NO_FAULT, doubles=False).tc)
            return orders
        if fault is None:
            return Orders([], [*self._release(dst, doubles=True), *self._release(dst, doubles=False)])
        doubles = fault.duplicate > 0
        orders = self._place(number, fault, doubles=doubles)
        # The new filters first, so that no packet gets by in between.
        orders.tc.extend(self._lead(dst, doubles=doubles))
        orders.tc.extend(self._release(dst, doubles=not doubles))
        return orders

    def _place(self, number: int, fault: Fault, *, doubles: bool) -> Orders:
        """Return what makes the netem there, or changes it."""
        stand = self._stands.get((number, doubles))
        name = f"double{number:x}"
        where = f"{name} root" if doubles else f"{self._interface} parent 1:{number:x}"
        orders = Orders([], [])
        if stand is None:
            handle, verb, is_used = 2 * number + 2, "add", number == EVERYBODY and not doubles
            if doubles:
                orders.ip.append(f"link add {name} mtu {self._mtu} txqueuelen 1000 type ifb")
                orders.ip.append(f"link set {name} addrgenmode none up")
            elif number != EVERYBODY:
                orders.tc.append(f"class add dev {self._interface} parent 1: classid 1:{number:x} {UNSHAPED}")
        else:
            sticks = stand.fault.distribution not in (UNIFORM, fault.distribution)
            handle, verb = (stand.handle ^ 1, "replace") if sticks else (stand.handle, "change")
            is_used = stand.is_used
        orders.tc.append(f"qdisc {verb} dev {where} handle {handle:x}: netem {fault.words()}")
        self._stands[number, doubles] = _Stand(where=where, handle=handle, fault=fault, is_used=is_used)
        return orders

    def _lead(self, dst: int | None, *, doubles: bool) -> list[str]:
        """Return the filters that lead packets to that netem, unless they are there."""
        number = EVERYBODY if dst is None else dst + 1
        stand = self._stands[number, doubles]
        if stand.is_used:
            return []
        self._stands[number, doubles] = attrs.evolve(stand, is_used=True)
        then = f"flowid 1:{number:x}"
        if doubles:
            then = f"flowid 1:{DONE:x} action mirred egress redirect dev double{number:x}"
        ipv4, ipv6 = _priorities(dst, doubles=doubles)
        to4, to6 = ("u32 0 0", "u32 0 0")
        if dst is not None:
            to4, to6 = f"ip dst {address(dst)}/32", f"ip6 dst {address6(dst)}/128"
        head = f"filter add dev {self._interface} parent 1:"
        return [
            f"{head} protocol ip prio {ipv4} u32 match {to4} {then}",
            f"{head} protocol ipv6 prio {ipv6} u32 match {to6} {then}",
        ]

    def _release(self, dst: int | None, *, doubles: bool) -> list[str]:
        """Return what takes the filters away that lead there, if there are any."""
        number = EVERYBODY if dst is None else dst + 1
        stand = self._stands.get((number, doubles))
        if stand is None or not stand.is_used or (dst is None and not doubles):
            return []
        self._stands[number, doubles] = attrs.evolve(stand, is_used=False)
        head = f"filter del dev {self._interface} parent 1:"
        return [f"{head} prio {priority}" for priority in _priorities(dst, doubles=doubles)]


def _priorities(dst: int | None, *, doubles: bool) -> tuple[int, int]:
    """Return the priorities of two filters: no others have them, so they name these. The lower goes first."""
    first = 4 * (HOSTS_MAX if dst is None else dst) + (1 if doubles else 3)
    return first, first + 1
