"""What all workers of one process would find out alike, found out once: decoded news, encoded news, plans.

A thousand workers read the same 4,000 statuses a dozen times each, and follow the same log. To decode a fragment, to
encode a value and to apply entries to a plan are pure functions, and what they return is immutable: so a worker of the
simulated city takes what another one has already found. Nothing goes from worker to worker by this way: packets stay
packets, with all their bytes; only the library's answers to equal questions are remembered.

For measurements of what workers do and send, not of how much time one takes for it.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from swimstream.core import outbox, reception
from swimstream.core.council import log
from swimstream.core.status import table
from swimstream.model.plan import Plan
from swimstream.wire.codec import decode_packet_untrusted, encode_message
from swimstream.wire.council_messages import PlanEntries
from swimstream.wire.kinds import Kind
from swimstream.wire.messages import Packet, StatusUpdate
from swimstream.wire.plan_codec import encode_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from swimstream.core.outbox import Outbox
    from swimstream.model.changes import Entry
    from swimstream.model.identity import Address
    from swimstream.model.status import InstanceStatus
    from swimstream.wire.messages import Message
    from swimstream.wire.seal import Envelope

NEWS = frozenset({Kind.ALIVE, Kind.ACCUSATION, Kind.STATUS_UPDATE, Kind.PLAN_ENTRIES})
"""Kinds of which many are told the same bytes."""
ARRAY, LONG = 0x80, 0x98
"""An array of fewer than 24 items begins with the sum of `ARRAY` and their number (RFC 8949 §3.1), then its kind."""
PLANS_KEPT = 256

_advance, _lasting_hash, _hash = Plan.advance, table._lasting_hash, table._hash  # noqa: SLF001  # what is remembered
_wrap = outbox.Outbox._wrap  # noqa: SLF001  # as above


class Parcel(bytes):
    """The bytes of a packet, and where they were joined. What the network damages is plain bytes again."""

    header: bytes
    fragments: tuple[bytes, ...]


def wrap(sender: Outbox, envelope: Envelope, fragments: Iterable[bytes], to: Address | None = None) -> bytes:
    """Return the very bytes that `Outbox._wrap` returns, as a parcel."""
    joined = tuple(fragments)
    parcel = Parcel(_wrap(sender, envelope, joined, to))
    parcel.header, parcel.fragments = sender._header, joined  # noqa: SLF001  # they are what is joined
    return parcel


class Sharing:
    """What was found out so far; grows with every value that is new."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._messages: dict[bytes, Message] = {}
        self._hashes: dict[bytes, int] = {}
        # by identity of what it is of, which is kept, so that no other value gets the same identity
        self._statuses: dict[int, tuple[InstanceStatus, bytes]] = {}
        self._lasting: dict[int, tuple[InstanceStatus, int]] = {}
        self._encoded: dict[int, tuple[Entry, bytes]] = {}
        self._given: dict[tuple[int, ...], tuple[tuple[Entry, ...], bytes]] = {}
        self._entries: dict[int, Entry] = {}
        self._plans: dict[int, Plan] = {}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have every node of this process share until the end of the block."""

        def advance(plan: Plan, entries: Iterable[Entry]) -> Plan:
            return self.advance(plan, tuple(entries))

        with ExitStack() as stack:
            for place, name, shared in (
                (outbox.Outbox, "_wrap", wrap),
                (outbox, "encode_message", self.encode),
                (reception, "decode_packet_untrusted", self.decode),
                (table, "encode_message", self.encode),
                (table, "_lasting_hash", self.lasting_hash),
                (table, "_hash", self.hash_of),
                (log, "encode_entry", self.encode_entry),
                (Plan, "advance", advance),
            ):
                stack.enter_context(patch.object(place, name, shared))
            yield

    # --- bytes ------------------------------------------------------------------------------------

    def decode(self, data: bytes) -> Packet:
        """Return what `decode_packet_untrusted` returns."""
        if not isinstance(data, Parcel):
            return decode_packet_untrusted(data)
        known = [self._messages.get(each) for each in data.fragments]
        new = [each for each, message in zip(data.fragments, known, strict=True) if message is None]
        packet = decode_packet_untrusted(data.header + b"".join(new))
        if packet.skipped or len(packet.messages) != len(new):
            return decode_packet_untrusted(data)
        for fragment, message in zip(new, packet.messages, strict=True):
            if ARRAY <= fragment[0] < LONG and fragment[1] in NEWS:
                self._messages[fragment] = message
        read = iter(packet.messages)
        messages = tuple(next(read) if message is None else message for message in known)
        return Packet(header=packet.header, messages=messages, skipped=0)

    def encode(self, message: Message) -> bytes:
        """Return what `encode_message` returns."""
        match message:
            case StatusUpdate(status=status):
                told = self._statuses.get(id(status))
                if told is None:
                    told = self._statuses[id(status)] = (status, encode_message(message))
                return told[1]
            case PlanEntries(entries=entries):
                key = tuple(map(id, entries))
                given = self._given.get(key)
                if given is None:
                    given = self._given[key] = (entries, encode_message(message))
                return given[1]
            case _:
                return encode_message(message)

    def encode_entry(self, entry: Entry) -> bytes:
        """Return what `encode_entry` returns."""
        found = self._encoded.get(id(entry))
        if found is None:
            found = self._encoded[id(entry)] = (entry, encode_entry(entry))
        return found[1]

    # --- values -----------------------------------------------------------------------------------

    def lasting_hash(self, status: InstanceStatus) -> int:
        """Return what the table's function of this name returns."""
        found = self._lasting.get(id(status))
        if found is None:
            found = self._lasting[id(status)] = (status, _lasting_hash(status))
        return found[1]

    def hash_of(self, fragment: bytes) -> int:
        """Return what the table's `_hash` returns."""
        found = self._hashes.get(fragment)
        if found is None:
            found = self._hashes[fragment] = _hash(fragment)
        return found

    def advance(self, plan: Plan, entries: tuple[Entry, ...]) -> Plan:
        """Return what `Plan.advance` returns: the plan to which somebody has come from this one by equal entries."""
        is_known = bool(entries) and self._plans.setdefault(plan.index, plan) is plan
        if not is_known or not all(self._is_known(each) for each in entries):
            return _advance(plan, entries)
        made = self._plans.get(entries[-1].index)
        if made is None:
            made = self._plans[entries[-1].index] = _advance(plan, entries)
            if len(self._plans) > PLANS_KEPT:
                del self._plans[min(self._plans)]
        return made

    def _is_known(self, entry: Entry) -> bool:
        known = self._entries.setdefault(entry.index, entry)
        return known is entry or known == entry
