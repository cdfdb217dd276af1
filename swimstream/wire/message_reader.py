"""CBOR items → messages: what each field of each kind may hold. A new kind of message enters the table at the end.

Newer peers may append fields to a message, but not to what it carries of the plan (see `plan_codec.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from swimstream.config import MEMBERS_MAX
from swimstream.errors import WireError
from swimstream.model.member import CAPACITY_MAX, EXPECT_MAX, KINDS_MAX, NOTHING_SEEN, MemberState, Profile
from swimstream.model.status import CAUSE_BYTES_MAX, ErrorClass, InstanceState, InstanceStatus
from swimstream.wire import checks, council_codec, talk_codec
from swimstream.wire.kinds import Kind
from swimstream.wire.messages import (
    Accusation,
    Ack,
    Alive,
    DigestEntry,
    Message,
    Nack,
    Ping,
    PingRequest,
    StatusUpdate,
    SyncDigest,
    SyncWant,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONDITIONS: Mapping[InstanceState, int] = {InstanceState.STALLED: 1, InstanceState.FROZEN: 2}
"""Ways of running that older peers do not know: they are told RUNNING, and newer ones this number as well."""


def read_message(item: object) -> Message | None:
    """Return the message of an item, or `None` if its kind is unknown; raise `WireError` if it is not sound."""
    fields = checks.record(item, "message", length=1)
    kind = checks.integer(fields[0], "message.kind")
    known = _READERS.get(kind)
    if known is None:
        return None
    length, read = known
    if len(fields) < length:
        raise WireError(f"message of kind {kind}: expected {length} items or more, got {len(fields)}")
    return read(fields)


def _read_ping(item: list[object]) -> Ping:
    return Ping(
        seq=checks.integer(item[1], "Ping.seq"),
        target=checks.run(item[2], item[3], "Ping.target"),
        mark=council_codec.read_mark(item[4], item[5], item[6], "Ping.mark"),
    )


def _read_ack(item: list[object]) -> Ack:
    # Nothing stands in the place of a coordinate only where a beacon follows.
    has_place = len(item) > 5 and not (item[5] == b"" and len(item) > 6)
    return Ack(
        seq=checks.integer(item[1], "Ack.seq"),
        mark=council_codec.read_mark(item[2], item[3], item[4], "Ack.mark"),
        coordinate=talk_codec.read_coordinate(item[5], "Ack.coordinate") if has_place else None,
        beacon=council_codec.read_beacon(item, 6, "Ack.beacon"),
    )


def _read_ping_request(item: list[object]) -> PingRequest:
    return PingRequest(
        seq=checks.integer(item[1], "PingRequest.seq"),
        target=checks.run(item[2], item[3], "PingRequest.target"),
        address=checks.address(item[4], item[5], "PingRequest.address"),
    )


def _read_nack(item: list[object]) -> Nack:
    return Nack(seq=checks.integer(item[1], "Nack.seq"))


def _read_alive(item: list[object]) -> Alive:
    return Alive(
        run=checks.run(item[1], item[2], "Alive.run"),
        incarnation=checks.integer(item[3], "Alive.incarnation"),
        profile=Profile(
            address=checks.address(item[4], item[5], "Alive.address"),
            site=checks.name(item[6], "Alive.site"),
            kinds=checks.names(item[7], "Alive.kinds", high=KINDS_MAX),
            capacity=checks.integer(item[8], "Alive.capacity", high=CAPACITY_MAX),
            expect=checks.integer(item[9], "Alive.expect", low=1, high=EXPECT_MAX),
            voter=checks.integer(item[10], "Alive.voter"),
            speaks=checks.integer(item[11], "Alive.speaks", low=1) if len(item) > 11 else 1,
        ),
    )


def _read_accusation(item: list[object]) -> Accusation:
    return Accusation(
        run=checks.run(item[1], item[2], "Accusation.run"),
        incarnation=checks.integer(item[3], "Accusation.incarnation"),
        state=checks.member_state(item[4], "Accusation.state", low=MemberState.SUSPECT),
        accuser=checks.name(item[5], "Accusation.accuser"),
        evidence=talk_codec.read_evidence(item[6], "Accusation.evidence") if len(item) > 6 else NOTHING_SEEN,
    )


def _read_status_update(item: list[object]) -> StatusUpdate:
    told = checks.integer(item[8], "Status.state", low=InstanceState.STARTING, high=InstanceState.ISOLATED)
    state, later = _read_later_status(item, InstanceState(told))
    return StatusUpdate(
        status=InstanceStatus(
            instance=checks.instance(item[1], item[2], item[3], "Status.instance"),
            epoch=checks.integer(item[4], "Status.epoch"),
            run=checks.run(item[5], item[6], "Status.run"),
            seq=checks.integer(item[7], "Status.seq"),
            state=state,
            since_ms=checks.integer(item[9], "Status.since_ms"),
            progress=checks.integer(item[10], "Status.progress"),
            checkpoint=checks.checkpoint(item[11], "Status.checkpoint"),
            endpoint=checks.endpoint(item[12], "Status.endpoint"),
            cause=checks.text(item[13], "Status.cause", bytes_max=CAUSE_BYTES_MAX),
            **later,
        )
    )


class _LaterStatus(TypedDict, total=False):
    error: ErrorClass
    watermark_ms: int | None
    backlog: int | None


def _read_later_status(item: list[object], state: InstanceState) -> tuple[InstanceState, _LaterStatus]:
    """Return what a newer worker says beyond the first fourteen items, and the state in the light of that."""
    if len(item) < 18:
        return state, {}
    condition = checks.integer(item[14], "Status.condition")
    if state is InstanceState.RUNNING:  # one that is not known yet is some way of running
        state = next((each for each, number in CONDITIONS.items() if number == condition), state)
    error = checks.integer(item[15], "Status.error")
    watermark_ms = checks.integer(item[16], "Status.watermark_ms", low=-1)
    backlog = checks.integer(item[17], "Status.backlog", low=-1)
    return state, {
        "error": ErrorClass(error) if error in set(ErrorClass) else ErrorClass.RETRYABLE,
        "watermark_ms": None if watermark_ms < 0 else watermark_ms,
        "backlog": None if backlog < 0 else backlog,
    }


def _read_sync_digest(item: list[object]) -> SyncDigest:
    entries = tuple(_read_digest_entry(each) for each in checks.items(item[1], "SyncDigest.entries", high=MEMBERS_MAX))
    checks.unique(tuple(entry.run.name for entry in entries), "SyncDigest.entries")
    heard = talk_codec.read_broadcast_ids(item[2], "SyncDigest.broadcasts") if len(item) > 2 else ()
    return SyncDigest(entries=entries, broadcasts=heard)


def _read_digest_entry(item: object) -> DigestEntry:
    name, boot, incarnation, state, statuses, *_ = checks.record(item, "DigestEntry", length=5)
    return DigestEntry(
        run=checks.run(name, boot, "DigestEntry.run"),
        incarnation=checks.integer(incarnation, "DigestEntry.incarnation"),
        state=checks.member_state(state, "DigestEntry.state"),
        statuses=checks.integer(statuses, "DigestEntry.statuses", high=checks.HASH_MAX),
    )


def _read_sync_want(item: list[object]) -> SyncWant:
    return SyncWant(
        names=checks.names(item[1], "SyncWant.names", high=MEMBERS_MAX),
        broadcasts=talk_codec.read_broadcast_ids(item[2], "SyncWant.broadcasts") if len(item) > 2 else (),
    )


_READERS: Mapping[int, tuple[int, Callable[[list[object]], Message]]] = {
    Kind.PING: (7, _read_ping),
    Kind.ACK: (5, _read_ack),
    Kind.PING_REQUEST: (6, _read_ping_request),
    Kind.NACK: (2, _read_nack),
    Kind.ALIVE: (11, _read_alive),
    Kind.ACCUSATION: (6, _read_accusation),
    Kind.STATUS_UPDATE: (14, _read_status_update),
    Kind.SYNC_DIGEST: (2, _read_sync_digest),
    Kind.SYNC_WANT: (2, _read_sync_want),
    **council_codec.READERS,
    **talk_codec.READERS,
}
"""Kind → (length of the array at least, how to read it)."""
