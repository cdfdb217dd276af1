"""CBOR items → jobs, log entries and plans: what each field may hold. Nothing unknown passes; see `plan_codec.py`."""

from __future__ import annotations

import math
from typing import TypedDict, TypeVar

from swimstream.config import DRIFT_PPM_MAX, FRAME_BYTES_MAX, ISOLATION_MS_MAX
from swimstream.errors import UsageError, WireError
from swimstream.model.changes import (
    COUNCIL_SIZES,
    EVIDENCE_ITEMS_MAX,
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
from swimstream.model.history import Decision
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import (
    AT_LEAST_ONE,
    GUARANTEES,
    OPERATORS_MAX,
    PARALLELISM_MAX,
    JobSpec,
    OperatorSpec,
    Parameter,
)
from swimstream.model.job_faults import check_job
from swimstream.model.plan import DECISIONS_KEPT, Assignment, Plan
from swimstream.wire import checks
from swimstream.wire.cbor import decode_item_untrusted
from swimstream.wire.plan_codec import REASON_BYTES_MAX, ChangeKind

Key = TypeVar("Key", str, InstanceId, Run)

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


def read_job(item: object) -> JobSpec:
    """Return the job of an item, well formed; raise `WireError` otherwise."""
    label, operators = _exactly(item, "Job", 2)
    job = JobSpec(
        name=checks.name(label, "Job.name"),
        operators=tuple(
            _read_operator(each) for each in checks.items(operators, "Job.operators", low=1, high=OPERATORS_MAX)
        ),
    )
    known = {spec.name for spec in job.operators}
    for spec in job.operators:
        # Before `check_job`, which names every fault at length: a stranger could make that long indeed.
        if not known.issuperset(spec.inputs):
            raise WireError("Job.inputs: expected names of operators of the job")
    try:
        return check_job(job)
    except UsageError as error:
        raise WireError(f"Job: {str(error)[:200]}") from error


def _read_operator(item: object) -> OperatorSpec:
    (label, kind, parallelism, inputs, site, parameters), newer = _either(item, "Operator", 6, 8)
    if type(parameters) is not dict:
        raise WireError("Operator.parameters: expected a map")
    sources = checks.items(inputs, "Operator.inputs", high=OPERATORS_MAX)
    return OperatorSpec(
        name=checks.name(label, "Operator.name"),
        kind=checks.name(kind, "Operator.kind"),
        parallelism=checks.integer(parallelism, "Operator.parallelism", low=1, high=PARALLELISM_MAX),
        inputs=tuple(checks.name(each, "Operator.inputs") for each in sources),
        prefer_site=checks.name_or_empty(site, "Operator.prefer_site"),
        parameters={_key(key): _read_parameter(value) for key, value in parameters.items()},
        **_read_guarantee(newer),
    )


class _Guarantee(TypedDict, total=False):
    instances: str
    hold_for_s: float


def _read_guarantee(items: list[object]) -> _Guarantee:
    """Return the fields that an operator has beyond the first six; `check_job` looks whether they make sense."""
    if not items:
        return {}
    instances, hold_for_s = items
    if type(hold_for_s) is not float:
        raise WireError(f"Operator.hold_for_s: expected a float, got {type(hold_for_s).__name__}")
    if instances == AT_LEAST_ONE and not hold_for_s:
        raise WireError("Operator: expected the shorter form, since nothing stands in the longer one")
    return {
        "instances": checks.text(instances, "Operator.instances", bytes_max=max(map(len, GUARANTEES))),
        "hold_for_s": hold_for_s,
    }


def _read_parameter(value: object) -> Parameter:
    """Return the canonical form of a parameter: arrays are tuples, tables are dicts, numbers are finite."""
    match value:
        case str() | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case list():
            return tuple(_read_parameter(inner) for inner in value)
        case dict():
            return {_key(key): _read_parameter(inner) for key, inner in value.items()}
        case _:
            raise WireError(f"Operator.parameters: expected JSON-like values, got {type(value).__name__}")


def _key(key: object) -> str:
    if type(key) is not str:
        raise WireError(f"Operator.parameters: expected keys of text, got {type(key).__name__}")
    return key


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
        case [ChangeKind.ASSIGN, job, operator, index, label, boot, failures, resume_from, reason, evidence]:
            return Assign(
                instance=checks.instance(job, operator, index, "Assign.instance"),
                run=checks.run(label, boot, "Assign.run"),
                failures=checks.integer(failures, "Assign.failures"),
                resume_from=checks.checkpoint(resume_from, "Assign.resume_from"),
                reason=checks.text(reason, "Assign.reason", bytes_max=REASON_BYTES_MAX),
                evidence=_read_evidence(evidence, "Assign.evidence"),
            )
        case [ChangeKind.EVICT, label, boot, reason, evidence]:
            return Evict(
                run=checks.run(label, boot, "Evict.run"),
                reason=checks.text(reason, "Evict.reason", bytes_max=REASON_BYTES_MAX),
                evidence=_read_evidence(evidence, "Evict.evidence"),
            )
        case [ChangeKind.CONCLUDE, job, operator, index, epoch]:
            return Conclude(
                instance=checks.instance(job, operator, index, "Conclude.instance"),
                epoch=checks.integer(epoch, "Conclude.epoch"),
            )
        case newer:
            return _read_newer_change(newer)


def _read_newer_change(item: list[object]) -> Change:
    match item:
        case [ChangeKind.HOLD, label, boot, reason, evidence]:
            return Hold(
                run=checks.run(label, boot, "Hold.run"),
                reason=checks.text(reason, "Hold.reason", bytes_max=REASON_BYTES_MAX),
                evidence=_read_evidence(evidence, "Hold.evidence"),
            )
        case [ChangeKind.RELEASE, label, boot, reason]:
            return Release(
                run=checks.run(label, boot, "Release.run"),
                reason=checks.text(reason, "Release.reason", bytes_max=REASON_BYTES_MAX),
            )
        case [ChangeKind.REVOKE, job, operator, index, epoch, reason]:
            return Revoke(
                instance=checks.instance(job, operator, index, "Revoke.instance"),
                epoch=checks.integer(epoch, "Revoke.epoch"),
                reason=checks.text(reason, "Revoke.reason", bytes_max=REASON_BYTES_MAX),
            )
        case [ChangeKind.SET_AUTHORITY, isolation_ms, drift_ppm]:
            return SetAuthority(
                isolation_ms=checks.integer(isolation_ms, "SetAuthority.isolation_ms", low=1, high=ISOLATION_MS_MAX),
                drift_ppm=checks.integer(drift_ppm, "SetAuthority.drift_ppm", high=DRIFT_PPM_MAX),
            )
        case [ChangeKind.CHANGE_COUNCIL, council, reason, evidence]:
            return ChangeCouncil(
                council=_read_council(council, "ChangeCouncil.council", low=1),
                reason=checks.text(reason, "ChangeCouncil.reason", bytes_max=REASON_BYTES_MAX),
                evidence=_read_evidence(evidence, "ChangeCouncil.evidence"),
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
        case _:
            raise WireError("change: expected one of the known kinds with exactly its fields")


def read_entry(item: object) -> Entry:
    """Return the log entry of an item; raise `WireError` otherwise."""
    index, term, change = _exactly(item, "Entry", 3)
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
    fields, newer = _either(item, "Plan", 8, 12)
    index, term, cluster_id, council, jobs, assignments, evicted, decisions = fields
    mark = checks.integer(index, "Plan.index")
    # Arrays without a limit of their own are bounded by the size of the frame or file.
    specs = [read_job(each) for each in checks.items(jobs, "Plan.jobs", high=STORED_BYTES_MAX)]
    held = [
        _read_assignment(each, mark) for each in checks.items(assignments, "Plan.assignments", high=STORED_BYTES_MAX)
    ]
    gone = [_read_evicted(each) for each in checks.items(evicted, "Plan.evicted", high=STORED_BYTES_MAX)]
    _check_ascending([spec.name for spec in specs], "Plan.jobs")
    _check_ascending([each.instance for each in held], "Plan.assignments")
    _check_ascending([each.name for each in gone], "Plan.evicted")
    jobs_by_name = {spec.name: spec for spec in specs}
    for each in held:
        if each.instance.job not in jobs_by_name or not jobs_by_name[each.instance.job].has(each.instance):
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
        **_read_authority(newer, mark),
    )


class _Authority(TypedDict, total=False):
    seats_wanted: int
    isolation_ms: int
    drift_ppm: int
    stops: dict[Run, int]


def _read_authority(items: list[object], index_max: int) -> _Authority:
    """Return the fields that a plan has beyond the first eight."""
    if not items:
        return {}
    seats_wanted, isolation_ms, drift_ppm, stops = items
    lasts_ms = checks.integer(isolation_ms, "Plan.isolation_ms", high=ISOLATION_MS_MAX)
    read = [_read_stop(each, index_max) for each in checks.items(stops, "Plan.stops", high=STORED_BYTES_MAX)]
    _check_ascending([run for run, _ in read], "Plan.stops")
    if not (seats_wanted or lasts_ms or read):
        raise WireError("Plan: expected the shorter form, since nothing stands in the longer one")
    return {
        # No size of its own choice: it may be that of a council that was being changed when it was put aside.
        "seats_wanted": checks.integer(seats_wanted, "Plan.seats_wanted", high=SEATS_MAX),
        "isolation_ms": lasts_ms,
        "drift_ppm": checks.integer(drift_ppm, "Plan.drift_ppm", high=DRIFT_PPM_MAX if lasts_ms else 0),
        "stops": dict(read),
    }


def _read_stop(item: object, index_max: int) -> tuple[Run, int]:
    label, boot, index = _exactly(item, "Plan.stops", 3)
    return checks.run(label, boot, "Plan.stops"), checks.integer(index, "Plan.stops", low=1, high=index_max)


def _read_evicted(item: object) -> Run:
    label, boot = _exactly(item, "Plan.evicted", 2)
    return checks.run(label, boot, "Plan.evicted")


def _read_assignment(item: object, index_max: int) -> Assignment:
    fields, newer = _either(item, "Assignment", 9, 10)
    job, operator, index, label, boot, epoch, failures, resume_from, finished = fields
    given_at = checks.integer(epoch, "Assignment.epoch", high=index_max)
    return Assignment(
        instance=checks.instance(job, operator, index, "Assignment.instance"),
        run=checks.run(label, boot, "Assignment.run"),
        epoch=given_at,
        failures=checks.integer(failures, "Assignment.failures"),
        resume_from=checks.checkpoint(resume_from, "Assignment.resume_from"),
        finished=checks.boolean(finished, "Assignment.finished"),
        revoked=checks.integer(newer[0], "Assignment.revoked", low=given_at + 1, high=index_max) if newer else 0,
    )


def _read_decision(item: object) -> Decision:
    index, term, what, reason, evidence = _exactly(item, "Decision", 5)
    return Decision(
        index=checks.integer(index, "Decision.index", low=1),
        term=checks.integer(term, "Decision.term"),
        what=checks.text(what, "Decision.what", bytes_max=REASON_BYTES_MAX),
        reason=checks.text(reason, "Decision.reason", bytes_max=REASON_BYTES_MAX),
        evidence=_read_evidence(evidence, "Decision.evidence"),
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
    label, voter = _exactly(item, field, 2)
    return Seat(checks.name(label, field), checks.integer(voter, field))


def _read_evidence(item: object, field: str) -> tuple[str, ...]:
    lines = checks.items(item, field, high=EVIDENCE_ITEMS_MAX)
    return tuple(checks.text(line, field, bytes_max=REASON_BYTES_MAX) for line in lines)


def _check_ascending(keys: list[Key], field: str) -> None:
    if keys != sorted(set(keys)):
        raise WireError(f"{field}: expected rising keys, none twice")


def _exactly(item: object, field: str, length: int) -> list[object]:
    return checks.items(item, field, low=length, high=length)


def _either(item: object, field: str, shorter: int, longer: int) -> tuple[list[object], list[object]]:
    """Return the first `shorter` items of an array of one length or the other, and the rest."""
    found = checks.items(item, field, low=shorter, high=longer)
    if len(found) not in (shorter, longer):
        raise WireError(f"{field}: expected an array of {shorter} or {longer} items, got {len(found)}")
    return found[:shorter], found[shorter:]
