"""What each worker says of itself besides its profile: short texts by key, changed at any time.

Only the owner changes its tags. It counts a version up with every change, so of two records of one key the higher
version wins, and order and repetition do not matter. A removed key stays as a record without a value: else an
older record would bring it back. A later run of the name begins anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from swimstream.errors import UsageError
from swimstream.model.identity import Run
from swimstream.model.talk import TAG_KEYS_MAX, check_tags
from swimstream.wire.codec import encode_message
from swimstream.wire.messages import TagUpdate

if TYPE_CHECKING:
    from collections import Counter


TABLE_BYTES_MAX = 64 * 1024 * 1024
"""Encoded records of all workers together: twice what 8,192 workers may have in use."""
VERSION_JUMP_MAX = 2**20
"""The owner does not rise above a claim about its own tags that is further ahead: one forged packet must not exhaust
the counter."""
NO_TAGS: Mapping[str, str] = MappingProxyType({})


@attrs.define
class _Owner:
    run: Run
    records: dict[str, tuple[TagUpdate, bytes]] = attrs.field(factory=dict)
    hash: int = 0
    tags: Mapping[str, str] = NO_TAGS


class TagTable:
    """The tags of every worker, each record kept encoded.

    At most `TAG_KEYS_MAX` keys a run and `TABLE_BYTES_MAX` in all; `tags_refused` counts the rest.
    """

    def __init__(self, counters: Counter[str]) -> None:
        """Build an empty table."""
        self._counters = counters
        self._owners: dict[str, _Owner] = {}
        self._bytes = 0
        self._all: Mapping[str, Mapping[str, str]] | None = None

    def merge(self, update: TagUpdate) -> bytes | None:
        """Take a record; return it encoded if it was news, else None."""
        owner = self._owners.get(update.run.name)
        if owner is not None and owner.run.boot > update.run.boot:
            return None
        if owner is None or owner.run != update.run:
            self.forget(update.run.name)
            owner = self._owners[update.run.name] = _Owner(update.run)
        held = owner.records.get(update.key)
        if held is not None and _order(update) <= _order(held[0]):
            return None
        fragment = encode_message(update)
        more = len(fragment) - (len(held[1]) if held is not None else 0)
        if (held is None and len(owner.records) >= TAG_KEYS_MAX) or self._bytes + more > TABLE_BYTES_MAX:
            self._counters["tags_refused"] += 1
            return None
        self._bytes += more
        owner.hash ^= _hash(fragment) ^ (_hash(held[1]) if held is not None else 0)
        owner.records[update.key] = (update, fragment)
        self._look_again(owner)
        return fragment

    def begin(self, run: Run) -> bool:
        """Drop what earlier runs of that name had; return whether that takes tags away."""
        owner = self._owners.get(run.name)
        if owner is None or owner.run.boot >= run.boot:
            return False
        self.forget(run.name)
        return bool(owner.tags)

    def forget(self, name: str) -> None:
        """Drop all that is held of a worker."""
        owner = self._owners.pop(name, None)
        if owner is not None:
            self._bytes -= sum(len(fragment) for _, fragment in owner.records.values())
            self._all = None

    def of(self, name: str) -> Mapping[str, str]:
        """Return the tags of a worker, by key."""
        owner = self._owners.get(name)
        return owner.tags if owner is not None else NO_TAGS

    def all(self) -> Mapping[str, Mapping[str, str]]:
        """Return the tags of every worker that has any, by name."""
        if self._all is None:
            owners = self._owners
            self._all = MappingProxyType({name: owners[name].tags for name in sorted(owners) if owners[name].tags})
        return self._all

    def hash_of(self, name: str) -> int:
        """Return a hash over the records of a worker, 0 if none; equal sets have equal hashes."""
        owner = self._owners.get(name)
        return owner.hash if owner is not None else 0

    def fragments_of(self, name: str) -> list[bytes]:
        """Return the encoded records of a worker, sorted by key."""
        owner = self._owners.get(name)
        return [owner.records[key][1] for key in sorted(owner.records)] if owner is not None else []

    def _look_again(self, owner: _Owner) -> None:
        values = ((key, owner.records[key][0].value) for key in sorted(owner.records))
        owner.tags = MappingProxyType({key: value for key, value in values if value is not None})
        self._all = None


class OwnTags:
    """The tags of this worker itself. They outlive the change of its run; the version never falls."""

    def __init__(self, tags: Mapping[str, str]) -> None:
        """Begin with what is configured."""
        self._tags = dict(tags)
        self._said: dict[str, TagUpdate] = {}
        """The newest record of each key that the present run has used."""
        self._version = 0

    def change(self, run: Run, changes: Mapping[str, str | None]) -> list[TagUpdate]:
        """Change some; return what to tell. Raise `UsageError`, with nothing changed, if they become too many."""
        after: dict[str, str | None] = {**self._tags, **changes}
        tags = check_tags("tags", {key: value for key, value in after.items() if value is not None})
        if len(self._said.keys() | tags.keys()) > TAG_KEYS_MAX:
            raise UsageError(
                f"tags: expected at most {TAG_KEYS_MAX} different keys in one life of a worker, removed ones included"
            )
        changed = sorted(key for key in changes if tags.get(key) != self._tags.get(key))
        self._tags = tags
        return [self._tell(run, key) for key in changed]

    def restate(self, run: Run) -> list[TagUpdate]:
        """Return all of them, for a run that nobody has heard of yet."""
        self._said = {}
        return [self._tell(run, key) for key in sorted(self._tags)]

    def correct(self, claim: TagUpdate) -> TagUpdate | None:
        """Return what to tell against a claim about this run's tags that others may believe, or None if none would.

        Somebody made it up. One that is so far ahead that rising above it would use the counter up is left alone.
        """
        said = self._said.get(claim.key)
        if said is not None and _order(claim) <= _order(said):
            return None
        if claim.version - self._version > VERSION_JUMP_MAX or (said is None and len(self._said) >= TAG_KEYS_MAX):
            return None
        self._version = max(self._version, claim.version)
        return self._tell(claim.run, claim.key)

    def _tell(self, run: Run, key: str) -> TagUpdate:
        self._version += 1
        self._said[key] = TagUpdate(run=run, version=self._version, key=key, value=self._tags.get(key))
        return self._said[key]


def _order(update: TagUpdate) -> tuple[int, bool, str]:
    """Return what decides between two records of a key; all but the version only for those that somebody made up."""
    return (update.version, update.value is not None, update.value or "")


def _hash(fragment: bytes) -> int:
    """Return 62 bits, so that the XOR of many stays within what the wire calls an integer."""
    return int.from_bytes(hashlib.blake2b(fragment, digest_size=8).digest()) >> 2
