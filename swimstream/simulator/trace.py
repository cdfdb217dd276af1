"""What happened, one line per event: a bounded ring to read after a failure, and a digest over all of it.

The digest takes in every event of a run, so that two runs are equal bit for bit if their digests are.
Packets are kept as bytes and decoded only when somebody reads the ring: decoding each would double the cost.
"""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from typing import TYPE_CHECKING

import attrs

from swimstream.core.effects import (
    Effect,
    EntriesRecord,
    Notify,
    OpenStream,
    Persist,
    SendFrame,
    SnapshotRecord,
    StartInstance,
)
from swimstream.errors import WireError
from swimstream.wire.codec import decode_packet_untrusted

if TYPE_CHECKING:
    from swimstream.model.changes import Entry

LINES_KEPT = 4_000
EVENT_CHARS_MAX = 300
MESSAGE_CHARS_MAX = 160
_STAMP = struct.Struct("<d")


@attrs.frozen
class _Line:
    at: float
    who: str
    what: str
    payload: bytes


class Trace:
    """The record of one world."""

    def __init__(self) -> None:
        """Start empty."""
        self.lines_noted = 0
        self._ring: deque[_Line] = deque(maxlen=LINES_KEPT)
        self._digest = hashlib.blake2b(digest_size=16)

    def note(self, at: float, who: str, what: str, payload: bytes = b"") -> None:
        """Keep one event: virtual time (seconds), whom it happened to, what, and the bytes of a packet if it is one."""
        self.lines_noted += 1
        self._digest.update(_STAMP.pack(at) + f"{who}\0{what}\0{len(payload)}\0".encode() + payload)
        self._ring.append(_Line(at, who, what, payload))

    def digest(self) -> str:
        """Return the hex digest over every event so far."""
        return self._digest.hexdigest()

    def render(self, *, lines: int = 200) -> str:
        """Return the newest `lines` events as text, packets decoded."""
        newest = list(self._ring)[-lines:]
        return "\n".join(f"{line.at:10.4f} {line.who:<8} {line.what}{_describe(line.payload)}" for line in newest)


def _describe(payload: bytes) -> str:
    if not payload:
        return ""
    try:
        packet = decode_packet_untrusted(payload)
    except WireError as error:
        return f" {len(payload)} B, unreadable: {error}"
    texts = [str(message) for message in packet.messages]
    short = [text if len(text) <= MESSAGE_CHARS_MAX else text[:MESSAGE_CHARS_MAX] + "…" for text in texts]
    return f" {len(payload)} B " + " | ".join(short)


def words_of(effect: Effect) -> str:
    """Return an effect in short; plans and frames are too long for a line."""
    match effect:
        case OpenStream():
            words = f"→ opens stream {effect.stream} to {effect.to}, {len(effect.frame)} B"
        case SendFrame():
            words = f"→ stream {effect.stream}, {len(effect.frame)} B"
        case Persist(record=EntriesRecord() as record):
            words = f"persists entries from {record.first}: {', '.join(_entry(entry) for entry in record.entries)}"
        case Persist(record=SnapshotRecord(plan=plan)):
            words = f"persists the plan at {plan.index}"
        case StartInstance():
            words = f"starts {effect.instance} in epoch {effect.epoch} from {effect.resume_from!r}"
        case Notify():
            words = f"tells {str(effect.event)[:EVENT_CHARS_MAX]}"
        case _:
            words = str(effect)
    return words


def _entry(entry: Entry) -> str:
    return f"{entry.index}/{entry.term} {type(entry.change).__name__}"
