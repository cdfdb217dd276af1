"""CBOR items → jobs, log entries and plans: what each field may hold. Nothing unknown passes; see `plan_codec.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from swimstream.config import DRIFT_PPM_MAX, FRAME_BYTES_MAX, ISOLATION_MS_MAX
from swimstream.errors import WireError
from swimstream.model.changes import (
    COUNCIL_SIZES,
    SEATS_MAX,
    Assign,
    Change,
    ChangeCouncil,
    Conclude,
    Entry,
    Evict,
    Found,
    Hold,
    Noop,
    RecoverCouncil,
    Release,
    ResizeCouncil,
    Revoke,
    Seat,
    SetAuthority,
    SubmitJob,
)
from swimstream.model.directives import NO_DIRECTIVES
from swimstream.model.history import Decision
from swimstream.model.plan import DECISIONS_KEPT, Assignment, Plan
from swimstream.wire import checks
from swimstream.wire.cbor import decode_item_untrusted
from swimstream.wire.change_kinds import ChangeKind
from swimstream.wire.directive_reader import read_directed_change, read_directives
from swimstream.wire.job_reader import read_job

if TYPE_CHECKING:
    from swimstream.model.identity import Run

STORED_BYTES_MAX = 16 * FRAME_BYTES_MAX
"""A plan on disk may be larger than one that can be sent."""


def decode_entry_untrusted(data: bytes) -> Entry:
    """Return the log entry that `data` holds; raise `WireError` otherwise."""
    _check_size(data)
    return read_entry(decode_item_untrusted(data))


def decode_plan_untrusted(data: bytes) -> Plan:
    """Return the plan that `data` holds; raise `WireError` otherwise."""
    _check_size(data)
    return read_plan(decode_item_untrusted(data))


def _check_size(data: bytes) -> None:
    if len(data) > STORED_BYTES_MAX:
        raise WireError(f"size: expected at most {STORED_BYTES_MAX} bytes, got {len(data)}")


def read_change(item: object) -> Change:
    """Return the change of an item; raise `WireError` otherwise, and for an unknown kind of change."""
    kind, *fields = checks.record(item, "change", length=1)
    match [checks.integer(kind, "change.kind"), *fields]:  # checked first: True would match 1
        case [ChangeKind.FOUND, cluster_id, council]:
            return Found(
                cluster_id=checks.integer(cluster_id, "Found.cluster_id", low=1, high=checks.HASH_MAX),
                council=_read_founding_council(council),
            )
        case [ChangeKind.NOOP]:
            return Noop()
        case [ChangeKind.SUBMIT_JOB, job]:
            return SubmitJob(job=read_job(job))
        case [ChangeKind.ASSIGN, *fields] if len(fields) in (9, 10):
            return _read_assign(fields)
        case [ChangeKind.EVICT, label, boot, reason, evidence]:
            return Evict(
                run=checks.run(label, boot, "Evict.run"),
                reason=checks.text(reason, "Evict.reason", bytes_max=checks.REASON_BYTES_MAX),
                evidence=checks.evidence(evidence, "Evict.evidence"),
            )
        case [ChangeKind.CONCLUDE, job, operator, index, epoch]:
            return Conclude(
                instance=checks.instance(job, operator, index, "Conclude.instance"),
                epoch=checks.integer(epoch, "Conclude.epoch"),
            )
        case newer:
            return _read_authority_change(newer)


def _read_assign(fields: list[object]) -> Assign:
    job, operator, index, label, boot, failures, resume_from, reason, evidence, *handover = fields
    if handover not in ([], [True]):
        raise WireError("Assign.handover: expected true, or the shorter form")
    return Assign(
        instance=checks.instance(job, operator, index, "Assign.instance"),
        run=checks.run(label, boot, "Assign.run"),
        failures=checks.integer(failures, "Assign.failures"),
        resume_from=checks.checkpoint(resume_from, "Assign.resume_from"),
        reason=checks.text(reason, "Assign.reason", bytes_max=checks.REASON_BYTES_MAX),
        evidence=checks.evidence(evidence, "Assign.evidence"),
        handover=bool(handover),
    )


def _read_authority_change(item: list[object]) -> Change:
    match item:
        case [ChangeKind.HOLD, label, boot, reason, evidence]:
            return Hold(
                run=checks.run(label, boot, "Hold.run"),
                reason=checks.text(reason, "Hold.reason", bytes_max=checks.REASON_BYTES_MAX),
                evidence=checks.evidence(evidence, "Hold.evidence"),
            )
        case [ChangeKind.RELEASE, label, boot, reason]:
            return Release(
                run=checks.run(label, boot, "Release.run"),
                reason=checks.text(reason, "Release.reason", bytes_max=checks.REASON_BYTES_MAX),
            )
        case [ChangeKind.REVOKE, job, operator, index, epoch, reason]:
            return Revoke(
                instance=checks.instance(job, operator, index, "Revoke.instance"),
                epoch=checks.integer(epoch, "Revoke.epoch"),
                reason=checks.text(reason, "Revoke.reason", bytes_max=checks.REASON_BYTES_MAX),
            )
        case [ChangeKind.SET_AUTHORITY, isolation_ms, drift_ppm]:
            return SetAuthority(
                isolation_ms=checks.integer(isolation_ms, "SetAuthority.isolation_ms", low=1, high=ISOLATION_MS_MAX),
                drift_ppm=checks.integer(drift_ppm, "SetAuthority.drift_ppm", high=DRIFT_PPM_MAX),
            )
        case [ChangeKind.CHANGE_COUNCIL, council, reason, evidence]:
            return ChangeCouncil(
                council=_read_council(council, "ChangeCouncil.council", low=1),
                reason=checks.text(reason, "ChangeCouncil.reason", bytes_max=checks.REASON_BYTES_MAX),
                evidence=checks.evidence(evidence, "ChangeCouncil.evidence"),
            )
        case [ChangeKind.RESIZE_COUNCIL, seats, asked_by]:
            return ResizeCouncil(
                seats=read_size(seats, "ResizeCouncil.seats"),
                asked_by=checks.name(asked_by, "ResizeCouncil.asked_by"),
            )
        case [ChangeKind.RECOVER_COUNCIL, council, lost, asked_by]:
            return RecoverCouncil(
                council=_read_council(council, "RecoverCouncil.council", low=1),
                lost=tuple(
                    checks.name(each, "RecoverCouncil.lost")  # a name may have had two seats
                    for each in checks.items(lost, "RecoverCouncil.lost", high=SEATS_MAX)
                ),
                asked_by=checks.name(asked_by, "RecoverCouncil.asked_by"),
            )
        case newer:
            return read_directed_change(newer)


def read_entry(item: object) -> Entry:
    """Return the log entry of an item; raise `WireError` otherwise."""
    index, term, change = checks.exactly(item, "Entry", 3)
    entry = Entry(
        index=checks.integer(index, "Entry.index", low=1),
        term=checks.integer(term, "Entry.term"),
        change=read_change(change),
    )
    if isinstance(entry.change, Found) and entry.index != 1:
        raise WireError(f"Entry.change: expected the founding only at index 1, got {entry.index}")
    return entry


def read_plan(item: object) -> Plan:
    """Return the plan of an item; raise `WireError` otherwise."""
    fields, newer = checks.one_of_lengths(item, "Plan", 8, 12, 13)
    index, term, cluster_id, council, jobs, assignments, evicted, decisions = fields
    mark = checks.integer(index, "Plan.index")
    # Arrays without a limit of their own are bounded by the size of the frame or file.
    specs = [read_job(each) for each in checks.items(jobs, "Plan.jobs", high=STORED_BYTES_MAX)]
    held = [
        _read_assignment(each, mark) for each in checks.items(assignments, "Plan.assignments", high=STORED_BYTES_MAX)
    ]
    gone = [_read_evicted(each) for each in checks.items(evicted, "Plan.evicted", high=STORED_BYTES_MAX)]
    checks.ascending([spec.name for spec in specs], "Plan.jobs")
    checks.ascending([each.instance for each in held], "Plan.assignments")
    checks.ascending([each.name for each in gone], "Plan.evicted")
    jobs_by_name = {spec.name: spec for spec in specs}
    for each in held:
        job = jobs_by_name.get(each.instance.job)
        if job is None or not (job.has(each.instance) or each.revoked):
            raise WireError(f"Plan.assignments: {each.instance} belongs to no job of the plan")
    return Plan(
        index=mark,
        term=checks.integer(term, "Plan.term"),
        cluster_id=checks.integer(cluster_id, "Plan.cluster_id", high=checks.HASH_MAX),
        council=_read_council(council, "Plan.council", low=0),
        jobs=jobs_by_name,
        assignments={each.instance: each for each in held},
        evicted={each.name: each.boot for each in gone},
        decisions=tuple(
            _read_decision(each) for each in checks.items(decisions, "Plan.decisions", high=DECISIONS_KEPT)
        ),
        **_read_authority(newer[:4], mark, may_be_nothing=len(newer) > 4),
        directives=read_directives(newer[4], jobs_by_name, mark) if len(newer) > 4 else NO_DIRECTIVES,
    )


class _Authority(TypedDict, total=False):
    seats_wanted: int
    isolation_ms: int
    drift_ppm: int
    stops: dict[Run, int]


def _read_authority(items: list[object], index_max: int, *, may_be_nothing: bool) -> _Authority:
    """Return the fields that a plan has beyond the first eight."""
    if not items:
        return {}
    seats_wanted, isolation_ms, drift_ppm, stops = items
    lasts_ms = checks.integer(isolation_ms, "Plan.isolation_ms", high=ISOLATION_MS_MAX)
    read = [_read_stop(each, index_max) for each in checks.items(stops, "Plan.stops", high=STORED_BYTES_MAX)]
    checks.ascending([run for run, _ in read], "Plan.stops")
    if not (seats_wanted or lasts_ms or read or may_be_nothing):
        raise WireError("Plan: expected the shorter form, since nothing stands in the longer one")
    return {
        # No size of its own choice: it may be that of a council that was being changed when it was put aside.
        "seats_wanted": checks.integer(seats_wanted, "Plan.seats_wanted", high=SEATS_MAX),
        "isolation_ms": lasts_ms,
        "drift_ppm": checks.integer(drift_ppm, "Plan.drift_ppm", high=DRIFT_PPM_MAX if lasts_ms else 0),
        "stops": dict(read),
    }


def _read_stop(item: object, index_max: int) -> tuple[Run, int]:
    label, boot, index = checks.exactly(item, "Plan.stops", 3)
    return checks.run(label, boot, "Plan.stops"), checks.integer(index, "Plan.stops", low=1, high=index_max)


def _read_evicted(item: object) -> Run:
    label, boot = checks.exactly(item, "Plan.evicted", 2)
    return checks.run(label, boot, "Plan.evicted")


def _read_assignment(item: object, index_max: int) -> Assignment:
    fields, newer = checks.one_of_lengths(item, "Assignment", 9, 10, 11, 12, 14, 15)
    job, operator, index, label, boot, epoch, failures, resume_from, finished = fields
    given_at = checks.integer(epoch, "Assignment.epoch", high=index_max)
    return Assignment(
        instance=checks.instance(job, operator, index, "Assignment.instance"),
        run=checks.run(label, boot, "Assignment.run"),
        epoch=given_at,
        failures=checks.integer(failures, "Assignment.failures"),
        resume_from=checks.checkpoint(resume_from, "Assignment.resume_from"),
        finished=checks.boolean(finished, "Assignment.finished"),
        **_read_later(newer, given_at, index_max),
    )


class _Later(TypedDict, total=False):
    revoked: int
    stale: int
    superseded: bool
    former_run: Run
    former_epoch: int


def _read_later(items: list[object], given_at: int, index_max: int) -> _Later:
    """Return the fields that an assignment has beyond the first nine."""

    def later(value: object, field: str, *, or_none: bool) -> int:
        index = checks.integer(value, field, high=index_max)
        if index <= given_at and not (or_none and index == 0):
            raise WireError(f"{field}: expected an index above the epoch, {given_at}, got {index}")
        return index

    if not items:
        return {}
    is_superseded = len(items) in (3, 6)
    if is_superseded and items.pop() is not True:
        raise WireError("Assignment.superseded: expected true, or the shorter form")
    read: _Later = {"revoked": later(items[0], "Assignment.revoked", or_none=len(items) > 1)}
    if len(items) > 1:
        read["stale"] = later(items[1], "Assignment.stale", or_none=len(items) > 2 and not is_superseded)
        read["superseded"] = is_superseded
    if len(items) > 2:
        if read["revoked"]:
            raise WireError("Assignment.former_run: expected none of what was revoked")
        read["former_run"] = checks.run(items[2], items[3], "Assignment.former_run")
        read["former_epoch"] = checks.integer(items[4], "Assignment.former_epoch", high=given_at - 1)
    return read


def _read_decision(item: object) -> Decision:
    index, term, what, reason, evidence = checks.exactly(item, "Decision", 5)
    return Decision(
        index=checks.integer(index, "Decision.index", low=1),
        term=checks.integer(term, "Decision.term"),
        what=checks.text(what, "Decision.what", bytes_max=checks.REASON_BYTES_MAX),
        reason=checks.text(reason, "Decision.reason", bytes_max=checks.REASON_BYTES_MAX),
        evidence=checks.evidence(evidence, "Decision.evidence"),
    )


def _read_council(item: object, field: str, *, low: int) -> tuple[Seat, ...]:
    """Return a council. A name may come twice: who lost its memory gets a new seat before the old one goes."""
    council = tuple(_read_seat(each, field) for each in checks.items(item, field, low=low, high=SEATS_MAX))
    checks.unique(council, field)
    return council


def _read_founding_council(item: object) -> tuple[Seat, ...]:
    council = _read_council(item, "Found.council", low=1)
    checks.unique(tuple(seat.name for seat in council), "Found.council")
    if len(council) > max(COUNCIL_SIZES):
        raise WireError(f"Found.council: expected at most {max(COUNCIL_SIZES)} seats, got {len(council)}")
    return council


def read_size(item: object, field: str, *, or_none: bool = False) -> int:
    """Return a number of seats that a council may be wanted to have, or 0 if that may stand there."""
    seats = checks.integer(item, field)
    if seats not in COUNCIL_SIZES and not (or_none and seats == 0):
        raise WireError(f"{field}: expected one of {', '.join(map(str, COUNCIL_SIZES))}, got {seats}")
    return seats


def _read_seat(item: object, field: str) -> Seat:
    label, voter = checks.exactly(item, field, 2)
    return Seat(checks.name(label, field), checks.integer(voter, field))
