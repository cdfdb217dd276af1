"""Fields of the council's messages: values → CBOR items and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, assert_never

from swimstream.errors import WireError
from swimstream.model.changes import Command, Entry, SubmitJob
from swimstream.model.member import EXPECT_MAX
from swimstream.model.plan import PlanMark
from swimstream.wire import checks
from swimstream.wire.council_messages import (
    ERROR_BYTES_MAX,
    Append,
    AppendReply,
    AuthorityReply,
    AuthorityRequest,
    Beacon,
    ChangeRequest,
    CouncilMessage,
    CouncilRequest,
    FoundReply,
    FoundRequest,
    PiecePull,
    PlanEntries,
    PlanPull,
    Propose,
    ProposeReply,
    Snapshot,
    SnapshotPiece,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from swimstream.wire.directive_codec import directed_change_item
from swimstream.wire.directive_reader import read_directed_change
from swimstream.wire.job_codec import job_item
from swimstream.wire.job_reader import read_job
from swimstream.wire.kinds import Kind
from swimstream.wire.plan_codec import entry_item, plan_item
from swimstream.wire.plan_reader import STORED_BYTES_MAX, read_entry, read_plan, read_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swimstream.model.identity import Run

ENTRIES_MAX = 65_536
"""Log entries in a message."""
HEARTBEAT_MS_MAX = 240_000
"""Slowest pace of a leader that is believed, since voters set their patience by it: the slowest that can be
configured, stretched fourfold."""
PIECE_BYTES_MAX = 1024 * 1024
"""Largest piece of a snapshot that is read; what is sent is smaller."""


# --- values → items -------------------------------------------------------------------------------


def council_fields(message: CouncilMessage) -> list[object]:
    """Return the items of a message."""
    match message:
        case FoundRequest():
            return [Kind.FOUND_REQUEST, message.round, [[run.name, run.boot] for run in message.runs]]
        case FoundReply():
            return [Kind.FOUND_REPLY, message.round, [[run.name, run.boot] for run in message.runs], message.agrees]
        case VoteRequest(term=term, voter=voter):
            newest = (message.last_index, message.last_term)
            return [Kind.VOTE_REQUEST, term, voter, *newest, message.pre, *([True] if message.transfer else [])]
        case VoteReply(term=term, voter=voter):
            return [Kind.VOTE_REPLY, term, voter, message.granted, message.pre]
        case Append(term=term, voter=voter):
            place = (message.round, message.prev_index, message.prev_term, message.commit)
            entries = [entry_item(entry) for entry in message.entries]
            return [Kind.APPEND, term, voter, *place, entries, *_pace_items(message)]
        case AppendReply(term=term, voter=voter):
            agreed = (message.round, message.success, message.index)
            return [Kind.APPEND_REPLY, term, voter, *agreed, *([message.token] if message.token else [])]
        case TimeoutNow():
            return [Kind.TIMEOUT_NOW, message.term]
        case AuthorityRequest():
            return [Kind.AUTHORITY_REQUEST, message.nonce]
        case AuthorityReply(mark=mark):
            known = beacon_items(message.beacon) if message.beacon is not None else ()
            return [Kind.AUTHORITY_REPLY, message.nonce, mark.term, mark.leader, mark.index, *known]
        case _:
            return _plan_fields(message)


def _plan_fields(
    message: Snapshot
    | SnapshotPiece
    | PiecePull
    | PlanPull
    | PlanEntries
    | Propose
    | CouncilRequest
    | ChangeRequest
    | ProposeReply,
) -> list[object]:
    match message:
        case Snapshot(term=term, voter=voter):
            return [Kind.SNAPSHOT, term, voter, message.round, plan_item(message.plan)]
        case SnapshotPiece(term=term, voter=voter):
            place = (message.round, message.index, message.offset, message.total)
            return [Kind.SNAPSHOT_PIECE, term, voter, *place, message.data]
        case PiecePull():
            return [Kind.PIECE_PULL, message.index, message.offset, message.round]
        case PlanPull():
            return [Kind.PLAN_PULL, message.index]
        case PlanEntries():
            return [Kind.PLAN_ENTRIES, [entry_item(entry) for entry in message.entries]]
        case Propose():
            return [Kind.PROPOSE, message.request, job_item(message.change.job)]
        case CouncilRequest():
            return [Kind.COUNCIL_REQUEST, message.request, message.seats, message.leader]
        case ChangeRequest():
            return [Kind.CHANGE_REQUEST, message.request, directed_change_item(message.change)]
        case ProposeReply():
            return [Kind.PROPOSE_REPLY, message.request, message.error, *([message.index] if message.index else [])]
        case _:
            assert_never(message)


def _pace_items(append: Append) -> tuple[object, ...]:
    if append.beacon is not None:
        return (append.heartbeat_ms, append.echo, *beacon_items(append.beacon))
    return (append.heartbeat_ms, append.echo) if append.heartbeat_ms or append.echo else ()


def beacon_items(beacon: Beacon) -> tuple[int, int, int]:
    """Return the last items of a message that carries a beacon."""
    return (beacon.term, beacon.index, beacon.age_ms)


# --- items → values -------------------------------------------------------------------------------


def read_beacon(item: list[object], first: int, field: str) -> Beacon | None:
    """Return the beacon that stands from `first` on in the items of a message, or None if nothing stands there.

    Its age has no bound: the older a beacon, the less it proves.
    """
    found = item[first : first + 3]
    if not found:
        return None
    term, index, age_ms = checks.items(found, field, low=3, high=3)
    return Beacon(
        term=checks.integer(term, field),
        index=checks.integer(index, field),
        age_ms=checks.integer(age_ms, field),
    )


def read_mark(term: object, leader: object, index: object, field: str) -> PlanMark:
    """Return how far somebody's plan has come."""
    return PlanMark(
        term=checks.integer(term, field), leader=checks.name_or_empty(leader, field), index=checks.integer(index, field)
    )


def _read_runs(item: object, field: str) -> tuple[Run, ...]:
    runs = tuple(
        checks.run(name, boot, field)
        for name, boot, *_ in (
            checks.record(each, field, length=2) for each in checks.items(item, field, low=1, high=EXPECT_MAX)
        )
    )
    checks.unique(tuple(run.name for run in runs), field)
    return runs


def _read_found_request(item: list[object]) -> FoundRequest:
    return FoundRequest(
        round=checks.integer(item[1], "FoundRequest.round"), runs=_read_runs(item[2], "FoundRequest.runs")
    )


def _read_found_reply(item: list[object]) -> FoundReply:
    return FoundReply(
        round=checks.integer(item[1], "FoundReply.round"),
        runs=_read_runs(item[2], "FoundReply.runs"),
        agrees=checks.boolean(item[3], "FoundReply.agrees"),
    )


def _read_vote_request(item: list[object]) -> VoteRequest:
    return VoteRequest(
        term=checks.integer(item[1], "VoteRequest.term"),
        voter=checks.integer(item[2], "VoteRequest.voter"),
        last_index=checks.integer(item[3], "VoteRequest.last_index"),
        last_term=checks.integer(item[4], "VoteRequest.last_term"),
        pre=checks.boolean(item[5], "VoteRequest.pre"),
        transfer=checks.boolean(item[6], "VoteRequest.transfer") if len(item) > 6 else False,
    )


def _read_vote_reply(item: list[object]) -> VoteReply:
    return VoteReply(
        term=checks.integer(item[1], "VoteReply.term"),
        voter=checks.integer(item[2], "VoteReply.voter"),
        granted=checks.boolean(item[3], "VoteReply.granted"),
        pre=checks.boolean(item[4], "VoteReply.pre"),
    )


def _read_append(item: list[object]) -> Append:
    prev_index = checks.integer(item[4], "Append.prev_index")
    prev_term = checks.integer(item[5], "Append.prev_term")
    return Append(
        term=checks.integer(item[1], "Append.term"),
        voter=checks.integer(item[2], "Append.voter"),
        round=checks.integer(item[3], "Append.round"),
        prev_index=prev_index,
        prev_term=prev_term,
        commit=checks.integer(item[6], "Append.commit"),
        entries=_read_entries(item[7], "Append.entries", after=(prev_index, prev_term)),
        **_read_pace(item[8:]),
    )


class _Pace(TypedDict, total=False):
    heartbeat_ms: int
    echo: int
    beacon: Beacon | None


def _read_pace(items: list[object]) -> _Pace:
    """Return the fields that an Append has beyond the first eight: two, or two and a beacon."""
    if not items:
        return {}
    heartbeat_ms, echo = checks.items(items[:2], "Append.heartbeat_ms and echo", low=2, high=2)
    return {
        "heartbeat_ms": checks.integer(heartbeat_ms, "Append.heartbeat_ms", high=HEARTBEAT_MS_MAX),
        "echo": checks.integer(echo, "Append.echo"),
        "beacon": read_beacon(items, 2, "Append.beacon"),
    }


def _read_entries(item: object, field: str, *, after: tuple[int, int] | None = None) -> tuple[Entry, ...]:
    """Return entries that follow each other, and `after` (index, term) if given, without a gap."""
    entries = tuple(read_entry(each) for each in checks.items(item, field, high=ENTRIES_MAX))
    for entry in entries:
        if after is not None and not (entry.index == after[0] + 1 and entry.term >= after[1]):
            raise WireError(f"{field}: expected rising indices without a gap and terms that never fall")
        after = (entry.index, entry.term)
    return entries


def _read_append_reply(item: list[object]) -> AppendReply:
    return AppendReply(
        term=checks.integer(item[1], "AppendReply.term"),
        voter=checks.integer(item[2], "AppendReply.voter"),
        round=checks.integer(item[3], "AppendReply.round"),
        success=checks.boolean(item[4], "AppendReply.success"),
        index=checks.integer(item[5], "AppendReply.index"),
        token=checks.integer(item[6], "AppendReply.token") if len(item) > 6 else 0,
    )


def _read_snapshot(item: list[object]) -> Snapshot:
    return Snapshot(
        term=checks.integer(item[1], "Snapshot.term"),
        voter=checks.integer(item[2], "Snapshot.voter"),
        round=checks.integer(item[3], "Snapshot.round"),
        plan=read_plan(item[4]),
    )


def _read_plan_pull(item: list[object]) -> PlanPull:
    return PlanPull(index=checks.integer(item[1], "PlanPull.index"))


def _read_plan_entries(item: list[object]) -> PlanEntries:
    return PlanEntries(entries=_read_entries(item[1], "PlanEntries.entries"))


def _read_propose(item: list[object]) -> Propose:
    return Propose(request=checks.integer(item[1], "Propose.request"), change=SubmitJob(job=read_job(item[2])))


def _read_snapshot_piece(item: list[object]) -> SnapshotPiece:
    total = checks.integer(item[6], "SnapshotPiece.total", low=1, high=STORED_BYTES_MAX)
    data = checks.payload(item[7], "SnapshotPiece.data", bytes_max=PIECE_BYTES_MAX)
    offset = checks.integer(item[5], "SnapshotPiece.offset", high=total)
    if not 1 <= len(data) <= total - offset:
        raise WireError(f"SnapshotPiece.data: expected 1 to {total - offset} bytes, got {len(data)}")
    return SnapshotPiece(
        term=checks.integer(item[1], "SnapshotPiece.term"),
        voter=checks.integer(item[2], "SnapshotPiece.voter"),
        round=checks.integer(item[3], "SnapshotPiece.round"),
        index=checks.integer(item[4], "SnapshotPiece.index", low=1),
        offset=offset,
        total=total,
        data=data,
    )


def _read_piece_pull(item: list[object]) -> PiecePull:
    return PiecePull(
        index=checks.integer(item[1], "PiecePull.index"),
        offset=checks.integer(item[2], "PiecePull.offset", high=STORED_BYTES_MAX),
        round=checks.integer(item[3], "PiecePull.round"),
    )


def _read_timeout_now(item: list[object]) -> TimeoutNow:
    return TimeoutNow(term=checks.integer(item[1], "TimeoutNow.term"))


def _read_authority_request(item: list[object]) -> AuthorityRequest:
    return AuthorityRequest(nonce=checks.integer(item[1], "AuthorityRequest.nonce"))


def _read_authority_reply(item: list[object]) -> AuthorityReply:
    return AuthorityReply(
        nonce=checks.integer(item[1], "AuthorityReply.nonce"),
        mark=read_mark(item[2], item[3], item[4], "AuthorityReply.mark"),
        beacon=read_beacon(item, 5, "AuthorityReply.beacon"),
    )


def _read_council_request(item: list[object]) -> CouncilRequest:
    seats = read_size(item[2], "CouncilRequest.seats", or_none=True)
    leader = checks.name_or_empty(item[3], "CouncilRequest.leader")
    if bool(seats) == bool(leader):
        raise WireError("CouncilRequest: expected either seats or leader")
    return CouncilRequest(
        request=checks.integer(item[1], "CouncilRequest.request"),
        seats=seats,
        leader=leader,
    )


def _read_propose_reply(item: list[object]) -> ProposeReply:
    return ProposeReply(
        request=checks.integer(item[1], "ProposeReply.request"),
        error=checks.text(item[2], "ProposeReply.error", bytes_max=ERROR_BYTES_MAX),
        index=checks.integer(item[3], "ProposeReply.index") if len(item) > 3 else 0,
    )


def _read_change_request(item: list[object]) -> ChangeRequest:
    change = read_directed_change(checks.record(item[2], "ChangeRequest.change", length=1))
    if not isinstance(change, Command):
        raise WireError("ChangeRequest.change: expected one that may be asked for")
    return ChangeRequest(request=checks.integer(item[1], "ChangeRequest.request"), change=change)


READERS: Mapping[int, tuple[int, Callable[[list[object]], CouncilMessage]]] = {
    Kind.FOUND_REQUEST: (3, _read_found_request),
    Kind.FOUND_REPLY: (4, _read_found_reply),
    Kind.VOTE_REQUEST: (6, _read_vote_request),
    Kind.VOTE_REPLY: (5, _read_vote_reply),
    Kind.APPEND: (8, _read_append),
    Kind.APPEND_REPLY: (6, _read_append_reply),
    Kind.SNAPSHOT: (5, _read_snapshot),
    Kind.PLAN_PULL: (2, _read_plan_pull),
    Kind.PLAN_ENTRIES: (2, _read_plan_entries),
    Kind.PROPOSE: (3, _read_propose),
    Kind.PROPOSE_REPLY: (3, _read_propose_reply),
    Kind.SNAPSHOT_PIECE: (8, _read_snapshot_piece),
    Kind.PIECE_PULL: (4, _read_piece_pull),
    Kind.TIMEOUT_NOW: (2, _read_timeout_now),
    Kind.AUTHORITY_REQUEST: (2, _read_authority_request),
    Kind.AUTHORITY_REPLY: (5, _read_authority_reply),
    Kind.COUNCIL_REQUEST: (4, _read_council_request),
    Kind.CHANGE_REQUEST: (3, _read_change_request),
}
"""Kind → (length of the array at least, how to read it)."""
