"""Messages ⇄ bytes. Hostile input ends here: what comes out of `decode_packet_untrusted` is within every limit.

A packet is the version byte, then a CBOR sequence (RFC 8742): the header `[cluster_id, name, boot]`, then one array
`[kind, field, ...]` for each message. Fields stand flat and in the order of `_fields`: an array inside an
array costs more than the fields it holds. A message is encoded once and spliced into every packet that carries it.

Old and new peers talk: unknown kinds are skipped and counted, and fields after the known ones are ignored. A
changed meaning takes a new kind; only a changed frame takes a new version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.config import FRAME_BYTES_MAX
from swimstream.errors import WireError
from swimstream.model.status import (
    CAUSE_BYTES_MAX,
    CHECKPOINT_BYTES_MAX,
    ENDPOINT_PATTERN,
    InstanceState,
    InstanceStatus,
)
from swimstream.wire import checks
from swimstream.wire.cbor import decode_sequence_untrusted, encode_item
from swimstream.wire.council_codec import beacon_items, council_fields
from swimstream.wire.kinds import Kind
from swimstream.wire.message_reader import CONDITIONS, read_message
from swimstream.wire.messages import (
    Accusation,
    Ack,
    Alive,
    Broadcast,
    DigestEntry,
    Header,
    Letter,
    LetterReceipt,
    Message,
    Nack,
    Packet,
    Ping,
    PingRequest,
    Query,
    QueryReply,
    StatusUpdate,
    SyncCheck,
    SyncDigest,
    SyncWant,
    TagUpdate,
)
from swimstream.wire.talk_codec import broadcast_id_items, coordinate_item, evidence_item, talk_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

WIRE_VERSION = 1
MESSAGES_MAX = 65_536
"""Messages in a packet, those of unknown kind included."""

_VERSION_BYTE = bytes([WIRE_VERSION])


# --- values → bytes -------------------------------------------------------------------------------


def encode_header(header: Header) -> bytes:
    """Return the start of a packet, version byte included; a packet is this and its fragments, nothing more."""
    return _VERSION_BYTE + encode_item([header.cluster_id, header.sender.name, header.sender.boot])


def encode_message(message: Message) -> bytes:
    """Return the fragment of one message, to be spliced into any number of packets."""
    return encode_item(_fields(message))


def encode_packet(header: Header, fragments: Iterable[bytes]) -> bytes:
    """Return the packet of fragments made by `encode_message`."""
    return encode_header(header) + b"".join(fragments)


def _fields(message: Message) -> list[object]:
    match message:
        case Ping(target=run, mark=mark):
            return [Kind.PING, message.seq, run.name, run.boot, mark.term, mark.leader, mark.index]
        case Ack(mark=mark):
            return [Kind.ACK, message.seq, mark.term, mark.leader, mark.index, *_ack_place(message)]
        case PingRequest(target=run, address=address):
            return [Kind.PING_REQUEST, message.seq, run.name, run.boot, address.host, address.port]
        case Nack():
            return [Kind.NACK, message.seq]
        case Alive():
            return _alive_fields(message)
        case Accusation(run=run):
            seen = evidence_item(message.evidence)
            claim = (run.name, run.boot, message.incarnation, int(message.state), message.accuser)
            return [Kind.ACCUSATION, *claim, *([seen] if seen else [])]
        case StatusUpdate():
            return _status_fields(message.status)
        case SyncDigest():
            heard = [broadcast_id_items(message.broadcasts)] if message.broadcasts else []
            return [Kind.SYNC_DIGEST, [_digest_item(entry) for entry in message.entries], *heard]
        case SyncWant():
            wanted = [broadcast_id_items(message.broadcasts)] if message.broadcasts else []
            return [Kind.SYNC_WANT, list(message.names), *wanted]
        case TagUpdate() | Broadcast() | Query() | QueryReply() | Letter() | LetterReceipt() | SyncCheck():
            return talk_fields(message)
        case _:
            return council_fields(message)


def _ack_place(ack: Ack) -> tuple[object, ...]:
    place = b"" if ack.coordinate is None else coordinate_item(ack.coordinate)
    if ack.beacon is not None:
        return (place, *beacon_items(ack.beacon))
    return (place,) if place else ()


def _alive_fields(alive: Alive) -> list[object]:
    run, profile = alive.run, alive.profile
    return [
        *(Kind.ALIVE, run.name, run.boot, alive.incarnation, profile.address.host, profile.address.port),
        *(profile.site, list(profile.kinds), profile.capacity, profile.expect, profile.voter),
        *([profile.speaks] if profile.speaks > 1 else []),
    ]


def _status_fields(status: InstanceStatus) -> list[object]:
    # Peers refuse the whole packet for one field that is too long, so it must be cut before it comes here.
    assert len(status.checkpoint) <= CHECKPOINT_BYTES_MAX, "the checkpoint is bounded when it is reported"
    assert len(status.cause.encode()) <= CAUSE_BYTES_MAX, "the cause is cut when it is reported"
    assert ENDPOINT_PATTERN.fullmatch(status.endpoint), "the endpoint is checked when it is reported"
    instance, run = status.instance, status.run
    return [
        *(Kind.STATUS_UPDATE, instance.job, instance.operator, instance.index, status.epoch, run.name, run.boot),
        *(
            status.seq,
            int(InstanceState.RUNNING if status.state in CONDITIONS else status.state),
            status.since_ms,
            status.progress,
        ),
        *(status.checkpoint, status.endpoint, status.cause),
        *_later_status_fields(status),
    ]


def _later_status_fields(status: InstanceStatus) -> tuple[int, ...]:
    """Return what older peers skip, or nothing if it says nothing; -1 stands for what is not told."""
    told = (
        CONDITIONS.get(status.state, 0),
        int(status.error),
        -1 if status.watermark_ms is None else status.watermark_ms,
        -1 if status.backlog is None else status.backlog,
    )
    return () if told == (0, 0, -1, -1) else told


def _digest_item(entry: DigestEntry) -> list[object]:
    return [entry.run.name, entry.run.boot, entry.incarnation, int(entry.state), entry.statuses]


# --- bytes → values -------------------------------------------------------------------------------


def decode_packet_untrusted(data: bytes) -> Packet:
    """Return the packet that a datagram or a frame holds; raise `WireError` if any part of it is not sound."""
    if not 1 <= len(data) <= FRAME_BYTES_MAX:
        raise WireError(f"packet: expected 1 to {FRAME_BYTES_MAX} bytes, got {len(data)}")
    if data[0] != WIRE_VERSION:
        raise WireError(f"version: expected {WIRE_VERSION}, got {data[0]}")
    sequence = decode_sequence_untrusted(data, start=1, items_max=1 + MESSAGES_MAX)
    cluster_id, name, boot, *_ = checks.record(next(sequence, None), "Header", length=3)
    header = Header(
        checks.integer(cluster_id, "Header.cluster_id", high=checks.HASH_MAX),
        checks.run(name, boot, "Header.sender"),
    )
    messages: list[Message] = []
    skipped = 0
    for item in sequence:
        message = read_message(item)
        if message is None:
            skipped += 1
        else:
            messages.append(message)
    return Packet(header=header, messages=tuple(messages), skipped=skipped)
