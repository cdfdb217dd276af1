"""Fields of what applications say, and of coordinates and evidence: values → CBOR items and back.

A coordinate travels as eleven half-precision floats in milliseconds (its error without unit): 22 bytes on every ack,
exact to a twentieth of a per cent, which is far below the noise of what they are measured from.
"""

from __future__ import annotations

import functools
import math
import struct
from typing import TYPE_CHECKING, assert_never

from swimstream.errors import WireError
from swimstream.model.coordinate import DIMENSIONS, Coordinate
from swimstream.model.member import Evidence
from swimstream.model.talk import (
    PATIENCE_MS_MAX,
    PAYLOAD_BYTES_MAX,
    QUERY_NAMES_MAX,
    SHORT_PAYLOAD_BYTES_MAX,
    TAG_VALUE_BYTES_MAX,
    Question,
)
from swimstream.wire import checks
from swimstream.wire.kinds import Kind
from swimstream.wire.messages import Broadcast, Letter, LetterReceipt, Query, QueryReply, Spoken, SyncCheck, TagUpdate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swimstream.model.identity import Run

COORDINATES_KEPT = 256
"""Coordinates whose encoding is remembered: in a process of one node, its own."""
BROADCASTS_MAX = 512
"""Broadcasts that a digest may name."""

Talk = Spoken | QueryReply | Letter | LetterReceipt | SyncCheck

_COORDINATE = struct.Struct(f"<{DIMENSIONS + 3}e")
_HALF_MAX = 65_504.0
_MS = 1_000.0
_COUNT_MAX = 31
_DATAGRAM_REFUSED, _STREAM_REFUSED = 1 << 10, 1 << 11


# --- values → items -------------------------------------------------------------------------------


def talk_fields(message: Talk) -> list[object]:
    """Return the items of a message."""
    match message:
        case TagUpdate(run=run):
            value = [] if message.value is None else [message.value]
            return [Kind.TAG_UPDATE, run.name, run.boot, message.version, message.key, value]
        case Broadcast(origin=run):
            place = (message.number, message.time)
            return [Kind.BROADCAST, run.name, run.boot, *place, message.topic, message.payload]
        case Query(question=question):
            asked = [list(question.names), list(question.tag or ())]
            who = (question.origin.name, question.origin.boot, question.number)
            return [Kind.QUERY, *who, question.patience_ms, question.topic, question.payload, *asked]
        case QueryReply():
            return [Kind.QUERY_REPLY, message.number, message.payload]
        case Letter(to=run):
            return [Kind.LETTER, run.name, run.boot, message.number, message.topic, message.payload]
        case LetterReceipt():
            return [Kind.LETTER_RECEIPT, message.number]
        case SyncCheck():
            return [Kind.SYNC_CHECK, message.digest, *([True] if message.with_progress else [])]
        case _:
            assert_never(message)


@functools.lru_cache(maxsize=COORDINATES_KEPT)
def coordinate_item(coordinate: Coordinate) -> bytes:
    """Return a coordinate, rounded to half precision; what is out of range is cut. It rides on many acks unchanged."""
    seconds = (*coordinate.vector, coordinate.height_s, coordinate.adjustment_s)
    values = (*(value * _MS for value in seconds), coordinate.error)
    return _COORDINATE.pack(*(max(-_HALF_MAX, min(_HALF_MAX, value)) for value in values))


def evidence_item(evidence: Evidence) -> int:
    """Return what an accuser saw as one small number."""
    counts = min(evidence.relays, _COUNT_MAX) | min(evidence.nacks, _COUNT_MAX) << 5
    return counts | evidence.datagram_refused * _DATAGRAM_REFUSED | evidence.stream_refused * _STREAM_REFUSED


# --- items → values -------------------------------------------------------------------------------


def read_coordinate(item: object, field: str) -> Coordinate:
    """Return the coordinate of an item."""
    if type(item) is not bytes or len(item) != _COORDINATE.size:
        raise WireError(f"{field}: expected {_COORDINATE.size} bytes")
    *seconds, error = _COORDINATE.unpack(item)
    values = [value / _MS for value in seconds]
    if not math.isfinite(sum(values)) or not 0 <= error < _HALF_MAX or values[DIMENSIONS] < 0:
        raise WireError(f"{field}: expected finite numbers, and a height and an error that are not negative")
    return Coordinate(
        vector=tuple(values[:DIMENSIONS]), height_s=values[DIMENSIONS], adjustment_s=values[DIMENSIONS + 1], error=error
    )


def read_evidence(item: object, field: str) -> Evidence:
    """Return what an accuser saw. Higher bits are for later versions."""
    bits = checks.integer(item, field)
    return Evidence(
        relays=bits & _COUNT_MAX,
        nacks=bits >> 5 & _COUNT_MAX,
        datagram_refused=bool(bits & _DATAGRAM_REFUSED),
        stream_refused=bool(bits & _STREAM_REFUSED),
    )


def broadcast_id_items(ids: tuple[tuple[Run, int], ...]) -> list[list[object]]:
    """Return origins and numbers of broadcasts as items."""
    return [[run.name, run.boot, number] for run, number in ids]


def read_broadcast_ids(item: object, field: str) -> tuple[tuple[Run, int], ...]:
    """Return origins and numbers of broadcasts, none twice."""
    ids = tuple(
        (checks.run(name, boot, field), checks.integer(number, field))
        for name, boot, number, *_ in (
            checks.record(each, field, length=3) for each in checks.items(item, field, high=BROADCASTS_MAX)
        )
    )
    checks.unique(ids, field)
    return ids


def _read_tag_update(item: list[object]) -> TagUpdate:
    value = checks.items(item[5], "TagUpdate.value", high=1)
    return TagUpdate(
        run=checks.run(item[1], item[2], "TagUpdate.run"),
        version=checks.integer(item[3], "TagUpdate.version"),
        key=checks.name(item[4], "TagUpdate.key"),
        value=checks.text(value[0], "TagUpdate.value", bytes_max=TAG_VALUE_BYTES_MAX) if value else None,
    )


def _read_broadcast(item: list[object]) -> Broadcast:
    return Broadcast(
        origin=checks.run(item[1], item[2], "Broadcast.origin"),
        number=checks.integer(item[3], "Broadcast.number"),
        time=checks.integer(item[4], "Broadcast.time"),
        topic=checks.topic(item[5], "Broadcast.topic"),
        payload=checks.payload(item[6], "Broadcast.payload", bytes_max=SHORT_PAYLOAD_BYTES_MAX),
    )


def _read_query(item: list[object]) -> Query:
    tag = checks.items(item[8], "Query.tag", high=2)
    if len(tag) == 1:
        raise WireError("Query.tag: expected a key and a value, or nothing")
    return Query(
        question=Question(
            origin=checks.run(item[1], item[2], "Query.origin"),
            number=checks.integer(item[3], "Query.number"),
            patience_ms=checks.integer(item[4], "Query.patience_ms", high=PATIENCE_MS_MAX),
            topic=checks.topic(item[5], "Query.topic"),
            payload=checks.payload(item[6], "Query.payload", bytes_max=SHORT_PAYLOAD_BYTES_MAX),
            names=checks.names(item[7], "Query.names", high=QUERY_NAMES_MAX),
            tag=(
                checks.name(tag[0], "Query.tag"),
                checks.text(tag[1], "Query.tag", bytes_max=TAG_VALUE_BYTES_MAX),
            )
            if tag
            else None,
        )
    )


def _read_query_reply(item: list[object]) -> QueryReply:
    return QueryReply(
        number=checks.integer(item[1], "QueryReply.number"),
        payload=checks.payload(item[2], "QueryReply.payload", bytes_max=PAYLOAD_BYTES_MAX),
    )


def _read_letter(item: list[object]) -> Letter:
    return Letter(
        to=checks.run(item[1], item[2], "Letter.to"),
        number=checks.integer(item[3], "Letter.number"),
        topic=checks.topic(item[4], "Letter.topic"),
        payload=checks.payload(item[5], "Letter.payload", bytes_max=PAYLOAD_BYTES_MAX),
    )


def _read_letter_receipt(item: list[object]) -> LetterReceipt:
    return LetterReceipt(number=checks.integer(item[1], "LetterReceipt.number"))


def _read_sync_check(item: list[object]) -> SyncCheck:
    return SyncCheck(
        digest=checks.integer(item[1], "SyncCheck.digest", high=checks.HASH_MAX),
        with_progress=len(item) > 2 and checks.boolean(item[2], "SyncCheck.with_progress"),
    )


READERS: Mapping[int, tuple[int, Callable[[list[object]], Talk]]] = {
    Kind.TAG_UPDATE: (6, _read_tag_update),
    Kind.BROADCAST: (7, _read_broadcast),
    Kind.QUERY: (9, _read_query),
    Kind.QUERY_REPLY: (3, _read_query_reply),
    Kind.LETTER: (6, _read_letter),
    Kind.LETTER_RECEIPT: (2, _read_letter_receipt),
    Kind.SYNC_CHECK: (2, _read_sync_check),
}
"""Kind → (length of the array at least, how to read it)."""
