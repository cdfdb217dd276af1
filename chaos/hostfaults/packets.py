"""Packets that a host in a namespace never gets, by their sort: UDP while TCP works, TCP, those that are too long.

They are dropped where they arrive, so nobody is told: a rule at the sender's own end would say EPERM. To have a host
without UDP, let it and all others drop each other's. By nftables, or by iptables where the kernel has no nftables for
IP (user-mode-linux). Root. The rules are in the namespace, and go with it.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import attrs

from chaos.hostfaults.fault import HostFault, HostFaultError
from chaos.net.spaces import LabError, tool

if TYPE_CHECKING:
    from collections.abc import Sequence

INSTALL = "apt-get install --no-install-recommends nftables iptables"
OCTETS_MIN, OCTETS_MAX = 576, 65_534
TABLES = {4: "iptables-legacy", 6: "ip6tables-legacy"}


@attrs.frozen(kw_only=True)
class Sort:
    """A sort of packets, as nftables and iptables tell it from others."""

    name: str
    """A word."""
    nft: str
    iptables: tuple[str, ...]


UDP = Sort(name="udp", nft="meta l4proto udp", iptables=("-p", "udp"))
TCP = Sort(name="tcp", nft="meta l4proto tcp", iptables=("-p", "tcp"))


def longer_than(octets: int) -> Sort:
    """Return those of more octets than a path carries, IP's header counted: its MTU, of which nobody is told."""
    assert OCTETS_MIN <= octets <= OCTETS_MAX
    return Sort(
        name="long", nft=f"meta length > {octets}", iptables=("-m", "length", "--length", f"{octets + 1}:65535")
    )


class Dropped(HostFault):
    """Packets of one sort that arrive at a host are dropped, of some senders or of all. One of each sort a host."""

    def __init__(self, space: str, sort: Sort, *, sources: Sequence[str] = ()) -> None:
        """Choose the namespace, the sort, and the addresses of its senders; none: whoever sends them."""
        self._space = space
        self._sort = sort
        self._sources = tuple(sources)
        self._uses_nft = False
        self._has_begun = False

    def begin(self) -> None:
        """Have them dropped; raise `HostFaultError`."""
        self._uses_nft = _has_nft(self._space)
        self._has_begun = True
        if self._uses_nft:
            self._run("nft", "-f", "-", lines=nft_lines(self._sort, self._sources))
        else:
            for words in iptables_words("-I", self._sort, self._sources):
                self._run(*words)

    def end(self) -> None:
        """Let them through."""
        if not self._has_begun:
            return
        self._has_begun = False
        if self._uses_nft:
            self._run("nft", "delete", "table", "inet", table_name(self._sort))
        else:
            for words in iptables_words("-D", self._sort, self._sources):
                self._run(*words)

    def _run(self, *words: str, lines: Sequence[str] = ()) -> None:
        try:
            tool("ip", "netns", "exec", self._space, *words, lines=lines)
        except LabError as error:
            raise HostFaultError(f"{error}; {INSTALL}") from None


def table_name(sort: Sort) -> str:
    """Return the name of our own table."""
    return f"swimstream_{sort.name}"


def nft_lines(sort: Sort, sources: Sequence[str]) -> list[str]:
    """Return what `nft -f` reads: a table of our own, with a rule for each sender, or one for all."""
    senders = [f"ip{'6' if _version(source) == 6 else ''} saddr {source} " for source in sources] or [""]
    rules = "; ".join(f"{sender}{sort.nft} drop" for sender in senders)
    return [f"table inet {table_name(sort)} {{ chain arriving {{ type filter hook input priority 0; {rules}; }}; }}"]


def iptables_words(verb: str, sort: Sort, sources: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the commands that insert (`-I`) or delete (`-D`) the same rules."""
    senders: list[tuple[str, ...]] = [(TABLES[_version(source)], "-s", source) for source in sources]
    senders = senders or [(name,) for name in TABLES.values()]
    return [(name, verb, "INPUT", *sender, *sort.iptables, "-j", "DROP") for name, *sender in senders]


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version


def _has_nft(space: str) -> bool:
    """Try nftables' family for IP there: kernels have it or not, whatever the program can do."""
    try:
        tool("ip", "netns", "exec", space, "nft", "add table inet swimstream_try; delete table inet swimstream_try")
    except LabError:
        return False
    return True
