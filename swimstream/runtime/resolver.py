"""Seeds by host name: looked up at the start and again whenever the node tries them, since pods and VMs move.

The node names a seed as its user wrote it; the driver turns that into an IP literal at the last moment. Only
names that the user gave are ever looked up: a host name that came by network is refused.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

import attrs
import trio

from swimstream.model.identity import Address
from swimstream.runtime.udp import is_literal

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

LOOKUP_TIMEOUT_S = 5.0
REFRESH_S = 5.0
ADDRESSES_MAX = 64


@attrs.define
class _Entry:
    addresses: tuple[Address, ...] = ()
    asked_at: float = float("-inf")
    turn: int = 0
    warned: bool = False


class Resolver:
    """What the seeds' names mean at present. Peer's thread only."""

    def __init__(self, seeds: Iterable[Address], *, family: socket.AddressFamily, own: Address) -> None:
        """Build for the names among `seeds`; results of another `family` and `own` itself are left out."""
        self._entries = {seed: _Entry() for seed in seeds if not is_literal(seed.host)}
        self._family = family
        self._own = own
        self._nursery: trio.Nursery | None = None

    async def resolve_all(self) -> None:
        """Look every name up once, side by side; a name without an address is logged and tried again later."""
        async with trio.open_nursery() as nursery:
            for seed in self._entries:
                nursery.start_soon(self._refresh, seed)

    def refresh_in(self, nursery: trio.Nursery) -> None:
        """Use `nursery` for look-ups that later calls of `resolve` make necessary."""
        self._nursery = nursery

    def resolve(self, address: Address) -> Address | None:
        """Return an address to send to, another one each time if the name has several; None if there is none now."""
        if is_literal(address.host):
            return address
        entry = self._entries.get(address)
        if entry is None:
            return None
        if self._nursery is not None and trio.current_time() - entry.asked_at >= REFRESH_S:
            entry.asked_at = trio.current_time()
            self._nursery.start_soon(self._refresh, address)
        if not entry.addresses:
            return None
        entry.turn = (entry.turn + 1) % len(entry.addresses)
        return entry.addresses[entry.turn]

    async def _refresh(self, seed: Address) -> None:
        entry = self._entries[seed]
        entry.asked_at = trio.current_time()
        found: tuple[Address, ...] = ()
        why = f"no answer within {LOOKUP_TIMEOUT_S} s"
        with trio.move_on_after(LOOKUP_TIMEOUT_S):
            try:
                found = await trio.to_thread.run_sync(self._look_up, seed, abandon_on_cancel=True)
                why = "no usable address"
            except (OSError, UnicodeError) as error:
                why = str(error)
        if found:
            entry.addresses, entry.warned = found, False
        elif not entry.warned:
            entry.warned = True
            log.warning("seed cannot be resolved, will be tried again seed=%s why=%s", seed, why)

    def _look_up(self, seed: Address) -> tuple[Address, ...]:
        infos = socket.getaddrinfo(seed.host, seed.port, family=self._family, type=socket.SOCK_DGRAM)
        addresses = sorted({Address(str(info[4][0]), seed.port) for info in infos} - {self._own})
        return tuple(addresses[:ADDRESSES_MAX])
