"""What a node may hold, beside what it holds. Looks inside on purpose: no public face tells the size of every table."""
# ruff: noqa: SLF001  # see above

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core import reception
from swimstream.core.membership import detector, gossip, membership, probing, sync
from swimstream.core.node import FOREVER
from swimstream.core.status import table as statuses
from swimstream.wire import seal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.core.node import Node

TIGHT = 24


def tighten() -> None:
    """Lower every bound to `TIGHT`, for this process: what happens at a bound should happen often."""
    membership.MEMBERS_MAX = TIGHT  # type: ignore[attr-defined]  # imported there
    detector.MEMBERS_MAX = TIGHT  # type: ignore[attr-defined]  # likewise
    gossip.SUBJECTS_MAX = TIGHT
    probing.RELAYS_MAX = TIGHT
    sync.SYNCS_MAX = TIGHT
    statuses.STATUSES_MAX = TIGHT  # type: ignore[attr-defined]  # likewise
    reception.FOREIGNERS_TOLD_MAX = TIGHT
    seal.PREFIXES_MAX = TIGHT


def tables(node: Node) -> Mapping[str, tuple[int, int]]:
    """Return the size of each table, and its bound at present."""
    rooms = node._rooms
    held, prober = rooms.membership, rooms.detector
    members_max = membership.MEMBERS_MAX  # type: ignore[attr-defined]  # as `tighten` has left it
    statuses_max = statuses.STATUSES_MAX  # type: ignore[attr-defined]  # likewise
    found = {
        "members": (len(held.table), members_max),
        "ring": (len(held.ring._names), members_max),
        "suspicions": (len(held._suspicions._open), members_max),
        "tombstones": (len(held._tombstones), members_max),
        "acquainted": (len(prober._acquainted), members_max),
        "rumours": (len(held.gossip), gossip.SUBJECTS_MAX),
        "errands": (len(prober._errands._errands), probing.RELAYS_MAX),
        "syncs": (len(rooms.syncer._open), sync.SYNCS_MAX),
        "statuses": (len(rooms.statuses.all()), statuses_max),
        "foreigners": (len(node._reception._foreigners), reception.FOREIGNERS_TOLD_MAX),
        "counters": (len(rooms.counters), 128),
    }
    for way, envelope in (("datagrams", rooms.envelopes.datagram), ("frames", rooms.envelopes.frame)):
        if isinstance(envelope, seal.Sealed):
            found[f"windows of {way}"] = (len(envelope._windows), seal.PREFIXES_MAX)
    return found


def overfull(node: Node) -> list[str]:
    """Return what is said of every table that has outgrown its bound; nothing if all is well."""
    return [f"{name}: {size} of at most {bound}" for name, (size, bound) in tables(node).items() if size > bound]


def is_punctual(node: Node) -> bool:
    """Return whether the deadline that a node remembers is the one that it would find if it looked again."""
    return node.next_deadline() in (node._earliest(), FOREVER if node._is_stopped else None)


def state_of(node: Node) -> tuple[object, ...]:
    """Return everything that a stranger must not be able to change. Counters are not part of it."""
    sizes = {name: size for name, (size, _) in tables(node).items() if name != "counters"}
    return (
        *(node.run, node.members(), node.statuses(), node.plan, node.mark, node.is_leader),
        *(node.next_deadline(), sizes),
    )
