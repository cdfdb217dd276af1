"""What runs where, in which state, how far it has come: everybody's view of every instance.

Only the worker that holds an epoch writes its status, and `(epoch, seq)` rises with every change, so records
merge like member records: the higher version wins, order and repetition do not matter.

Progress passes, the rest lasts: with many busy instances no two peers ever hold the same progress at one moment. So
there are two hashes of what a worker has written, one over everything and one over what lasts.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import attrs

from swimstream.model.status import STATUSES_MAX, InstanceStatus
from swimstream.wire.codec import encode_message
from swimstream.wire.messages import StatusUpdate

if TYPE_CHECKING:
    from collections import Counter

    from swimstream.model.identity import InstanceId
    from swimstream.model.plan import Assignment


@attrs.frozen
class _Record:
    """A status, its encoded update, and the hash of what of it lasts."""

    status: InstanceStatus
    fragment: bytes
    lasting: int


class StatusTable:
    """At most `STATUSES_MAX` records (`statuses_refused` counts the rest), each kept with its encoded update."""

    def __init__(self, counters: Counter[str]) -> None:
        """Build an empty table."""
        self._counters = counters
        self._records: dict[InstanceId, _Record] = {}
        self._owned: dict[str, set[InstanceId]] = {}
        self._hashes: dict[str, int] = {}
        self._lasting: dict[str, int] = {}
        self.version = 0
        """Rises with every change."""
        self._sorted: tuple[InstanceStatus, ...] | None = None

    def get(self, instance: InstanceId) -> InstanceStatus | None:
        """Return the newest status of an instance."""
        held = self._records.get(instance)
        return held.status if held is not None else None

    def has_ended(self, held: Assignment) -> bool:
        """Return whether the copy of that very assignment is known to have ended for good."""
        status = self.get(held.instance)
        return status is not None and status.is_of(held) and status.state.is_over

    def by_instance(self) -> dict[InstanceId, InstanceStatus]:
        """Return every status, by instance."""
        return {instance: held.status for instance, held in self._records.items()}

    def all(self) -> tuple[InstanceStatus, ...]:
        """Return every status, sorted by instance."""
        if self._sorted is None:
            self._sorted = tuple(self._records[instance].status for instance in sorted(self._records, key=_order))
        return self._sorted

    def merge(self, status: InstanceStatus) -> bytes | None:
        """Take a status; return its encoded update if it was news, else None."""
        held = self._records.get(status.instance)
        if held is not None:
            if status.version <= held.status.version:
                return None
            self._take_from_owner(held)
        elif len(self._records) >= STATUSES_MAX:
            self._counters["statuses_refused"] += 1
            return None
        fragment = encode_message(StatusUpdate(status=status))
        self.version += 1
        self._sorted = None
        record = self._records[status.instance] = _Record(status, fragment, _lasting_hash(status))
        owner = status.run.name
        self._owned.setdefault(owner, set()).add(status.instance)
        self._hashes[owner] = self._hashes.get(owner, 0) ^ _hash(fragment)
        self._lasting[owner] = self._lasting.get(owner, 0) ^ record.lasting
        return fragment

    def forget(self, instance: InstanceId) -> None:
        """Drop what is held of an instance, if anything."""
        held = self._records.pop(instance, None)
        if held is not None:
            self._take_from_owner(held)
            self.version += 1
            self._sorted = None

    def hash_of(self, owner: str) -> int:
        """Return a hash over the statuses that a worker wrote, 0 if none; equal sets have equal hashes."""
        return self._hashes.get(owner, 0)

    def lasting_hash_of(self, owner: str) -> int:
        """Return the same over what lasts: all but how far the instances have come, and how often that was told."""
        return self._lasting.get(owner, 0)

    def owners(self) -> list[str]:
        """Return who has written statuses, sorted."""
        return sorted(self._owned)

    def fragments_of(self, owner: str) -> list[bytes]:
        """Return the encoded statuses that a worker wrote, sorted by instance."""
        return [self._records[instance].fragment for instance in sorted(self._owned.get(owner, ()), key=_order)]

    def _take_from_owner(self, record: _Record) -> None:
        owner = record.status.run.name
        self._owned[owner].discard(record.status.instance)
        self._hashes[owner] ^= _hash(record.fragment)
        self._lasting[owner] ^= record.lasting
        if not self._owned[owner]:
            del self._owned[owner], self._hashes[owner], self._lasting[owner]


def _order(instance: InstanceId) -> tuple[str, str, int]:
    """Return the natural order as a plain tuple: comparing those is twenty times faster."""
    return (instance.job, instance.operator, instance.index)


def _lasting_hash(status: InstanceStatus) -> int:
    place = _order(status.instance)
    words = (status.epoch, status.run.name, status.run.boot, int(status.state), status.since_ms, int(status.error))
    return _hash(repr((place, words, status.checkpoint, status.endpoint, status.cause)).encode())


def _hash(fragment: bytes) -> int:
    """Return 62 bits, so that the XOR of many stays within what the wire calls an integer."""
    return int.from_bytes(hashlib.blake2b(fragment, digest_size=8).digest()) >> 2
