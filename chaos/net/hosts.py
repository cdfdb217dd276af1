"""What labs of real hosts share: each host is a network namespace with an interface `eth0` and addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.net.lab import Lab
from chaos.net.spaces import HOSTS_MAX, Spaces, address, address6, inside, ip
from swimstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

MTU_MIN, MTU_MAX, MTU_USUAL = 1_280, 9_000, 1_500
"""Below 1,280 there is no IPv6."""
INTERFACE = "eth0"


class HostLab(Lab):
    """A lab whose hosts processes can run in: by `command`, or by `inside` for sockets of one's own."""

    def __init__(self, *, hosts: int, mtu: int = MTU_USUAL, more: Sequence[str] = ()) -> None:
        """Prepare `hosts` (1 to 250) whose interfaces take packets of up to `mtu` bytes (1,280 to 9,000)."""
        super().__init__(hosts=hosts)
        if not 1 <= hosts <= HOSTS_MAX:
            raise UsageError(f"hosts: expected 1 to {HOSTS_MAX}, got {hosts}")
        self._mtu = _checked_mtu(mtu)
        self._spaces = Spaces(hosts=hosts, more=more)

    def address(self, host: int) -> str:
        """Return its IPv4 address."""
        return address(host)

    def address6(self, host: int) -> str:
        """Return its IPv6 address."""
        return address6(host)

    def netns(self, host: int) -> str:
        """Return the name of its namespace, as `ip netns` knows it."""
        return self._spaces.names[host]

    def command(self, host: int, words: Sequence[str]) -> list[str]:
        """Return the command that runs these words on a host, as the very process that is started.

        It ends with the lab at the latest.
        """
        return ["nsenter", f"--net=/run/netns/{self.netns(host)}", "--", *words]

    def inside(self, host: int) -> AbstractContextManager[None]:
        """Have the calling thread be on a host: sockets made in the block belong there. Do not await in it."""
        return inside(self.netns(host))

    def set_mtu(self, host: int, mtu: int) -> None:
        """Have a host send packets of at most `mtu` bytes (1,280 to 9,000) from now on."""
        ip("-n", self.netns(host), "link", "set", INTERFACE, "mtu", str(_checked_mtu(mtu)))


def _checked_mtu(mtu: int) -> int:
    if not MTU_MIN <= mtu <= MTU_MAX:
        raise UsageError(f"mtu: expected {MTU_MIN} to {MTU_MAX} bytes, got {mtu}")
    return mtu


def configuration(host: int, mtu: int) -> list[str]:
    """Return what `ip -batch` must do inside a host's namespace once its interface is there."""
    return [
        "link set lo up",
        # Neither looks for routers nor takes a second to find out whether the address is free.
        f"link set {INTERFACE} mtu {mtu} addrgenmode none",
        f"link set {INTERFACE} txqueuelen 1000 up",
        f"addr add {address(host)}/16 dev {INTERFACE}",
        f"addr add {address6(host)}/64 dev {INTERFACE} nodad",
    ]
