"""Which addresses the disk remembers, so that a restarted worker finds its cluster when its seeds are gone (Serf)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.config import PEERS_MAX
from swimstream.core.effects import PeersRecord

if TYPE_CHECKING:
    from random import Random

    from swimstream.core.membership.membership import Membership
    from swimstream.core.outbox import Outbox
    from swimstream.model.identity import Address

SAVE_PAUSE_S = 10.0
"""A restart needs one address that still answers, so there is no hurry; and each time costs a write to the disk."""


class Addresses:
    """The live members' addresses, written when they change, at most once per `SAVE_PAUSE_S`; `PEERS_MAX` of them."""

    def __init__(self, membership: Membership, outbox: Outbox, *, rng: Random, saved: tuple[Address, ...]) -> None:
        """Begin with what the disk holds."""
        self._membership = membership
        self._outbox = outbox
        self._rng = rng
        self._written = frozenset(saved)
        self._seen: object = None
        self._check_at = float("inf")

    def start(self, now: float) -> None:
        """Begin to write."""
        self._check_at = now + self._rng.random()

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next."""
        return self._check_at

    def fire_timers(self, now: float) -> None:
        """Write the addresses if others live than were written last. Alone, keep what is written."""
        if self._check_at > now:
            return
        self._check_at = now + SAVE_PAUSE_S
        live = self._membership.table.live()
        if live is self._seen:
            return
        self._seen = live
        addresses = {member.profile.address for member in live if member.run != self._membership.run}
        if not addresses or self._written == addresses:
            return
        others = sorted(addresses, key=_order)
        if len(others) > PEERS_MAX:
            if self._written and self._written <= addresses:
                return
            others = sorted(self._rng.sample(others, PEERS_MAX), key=_order)
        self._written = frozenset(others)
        self._outbox.persist(PeersRecord(tuple(others)))


def _order(address: Address) -> tuple[str, int]:
    """Return the natural order as a plain tuple: comparing those is twenty times faster."""
    return (address.host, address.port)
