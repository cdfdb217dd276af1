"""Jobs, log entries and plans ⇄ CBOR items: what is committed, sent in messages and kept on disk.

Unlike messages, these take no unknown kind of change and no element more than they know: a peer that skipped
part of a committed change would hold another plan under the same index. What is new gets a kind of its own.
Mappings are arrays sorted by key, so equal plans have equal bytes, and a repeated key cannot hide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar, assert_never

from swimstream.config import FRAME_BYTES_MAX
from swimstream.errors import UsageError, WireError
from swimstream.model.changes import (
    COUNCIL_SIZES,
    EVIDENCE_ITEMS_MAX,
    Assign,
    Change,
    Conclude,
    Entry,
    Evict,
    Found,
    Noop,
    Seat,
    SubmitJob,
)
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import OPERATORS_MAX, PARALLELISM_MAX, JobSpec, OperatorSpec, Parameter, check_job
from swimstream.model.plan import DECISIONS_KEPT, Assignment, Decision, Plan
from swimstream.wire import checks
from swimstream.wire.cbor import decode_item_untrusted, encode_item

Key = TypeVar("Key", str, InstanceId)

STORED_BYTES_MAX = 16 * FRAME_BYTES_MAX
"""A plan on disk may be larger than one that can be sent."""
REASON_BYTES_MAX = 1_024
"""Limit of a reason, of each item of evidence, and of a line of history."""


class ChangeKind:
    """First item of a change. Numbers are never used again."""

    FOUND = 1
    NOOP = 2
    SUBMIT_JOB = 3
    ASSIGN = 4
    EVICT = 5
    CONCLUDE = 6


def encode_entry(entry: Entry) -> bytes:
    """Return the bytes of one log entry; equal entries have equal bytes."""
    return encode_item(entry_item(entry))


def decode_entry_untrusted(data: bytes) -> Entry:
    """Return the log entry that `data` holds; raise `WireError` otherwise."""
    _check_size(data)
    return read_entry(decode_item_untrusted(data))


def encode_plan(plan: Plan) -> bytes:
    """Return the bytes of a plan; equal plans have equal bytes."""
    return encode_item(plan_item(plan))


def decode_plan_untrusted(data: bytes) -> Plan:
    """Return the plan that `data` holds; raise `WireError` otherwise."""
    _check_size(data)
    return read_plan(decode_item_untrusted(data))


def _check_size(data: bytes) -> None:
    if len(data) > STORED_BYTES_MAX:
        raise WireError(f"size: expected at most {STORED_BYTES_MAX} bytes, got {len(data)}")


# --- values → items -------------------------------------------------------------------------------


def job_item(job: JobSpec) -> list[object]:
    """Return the item of a job that has passed `check_job`."""
    return [
        job.name,
        [
            [
                spec.name,
                spec.kind,
                spec.parallelism,
                list(spec.inputs),
                spec.prefer_site,
                _parameter_item(spec.parameters),
            ]
            for spec in job.operators
        ],
    ]


def _parameter_item(value: Parameter) -> object:
    match value:
        case str() | bool() | int() | float():
            return value
        case Mapping():
            return {key: _parameter_item(inner) for key, inner in value.items()}
        case _:
            return [_parameter_item(inner) for inner in value]


def change_item(change: Change) -> list[object]:
    """Return the item of a change: its kind, then its fields."""
    match change:
        case Found():
            return [ChangeKind.FOUND, change.cluster_id, _council_item(change.council)]
        case Noop():
            return [ChangeKind.NOOP]
        case SubmitJob():
            return [ChangeKind.SUBMIT_JOB, job_item(change.job)]
        case Assign(instance=instance, run=run):
            return [
                *(ChangeKind.ASSIGN, instance.job, instance.operator, instance.index, run.name, run.boot),
                *(change.failures, change.resume_from, change.reason, list(change.evidence)),
            ]
        case Evict(run=run):
            return [ChangeKind.EVICT, run.name, run.boot, change.reason, list(change.evidence)]
        case Conclude(instance=instance):
            return [ChangeKind.CONCLUDE, instance.job, instance.operator, instance.index, change.epoch]
        case _:
            assert_never(change)


def entry_item(entry: Entry) -> list[object]:
    """Return the item of a log entry."""
    return [entry.index, entry.term, change_item(entry.change)]


def plan_item(plan: Plan) -> list[object]:
    """Return the item of a plan."""
    return [
        plan.index,
        plan.term,
        plan.cluster_id,
        _council_item(plan.council),
        [job_item(plan.jobs[label]) for label in sorted(plan.jobs)],
        [_assignment_item(plan.assignments[instance]) for instance in sorted(plan.assignments)],
        [[label, plan.evicted[label]] for label in sorted(plan.evicted)],
        [[line.index, line.term, line.what, line.reason, list(line.evidence)] for line in plan.decisions],
    ]


def _council_item(council: tuple[Seat, ...]) -> list[object]:
    return [[seat.name, seat.voter] for seat in council]


def _assignment_item(held: Assignment) -> list[object]:
    instance, run = held.instance, held.run
    return [
        *(instance.job, instance.operator, instance.index, run.name, run.boot),
        *(held.epoch, held.failures, held.resume_from, held.finished),
    ]


# --- items → values -------------------------------------------------------------------------------


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
    label, kind, parallelism, inputs, site, parameters = _exactly(item, "Operator", 6)
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
    )


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
                council=_read_council(council, "Found.council", low=1),
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
    index, term, cluster_id, council, jobs, assignments, evicted, decisions = _exactly(item, "Plan", 8)
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
    )


def _read_evicted(item: object) -> Run:
    label, boot = _exactly(item, "Plan.evicted", 2)
    return checks.run(label, boot, "Plan.evicted")


def _read_assignment(item: object, index_max: int) -> Assignment:
    job, operator, index, label, boot, epoch, failures, resume_from, finished = _exactly(item, "Assignment", 9)
    return Assignment(
        instance=checks.instance(job, operator, index, "Assignment.instance"),
        run=checks.run(label, boot, "Assignment.run"),
        epoch=checks.integer(epoch, "Assignment.epoch", high=index_max),
        failures=checks.integer(failures, "Assignment.failures"),
        resume_from=checks.checkpoint(resume_from, "Assignment.resume_from"),
        finished=checks.boolean(finished, "Assignment.finished"),
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
    council = tuple(_read_seat(each, field) for each in checks.items(item, field, low=low, high=max(COUNCIL_SIZES)))
    checks.unique(tuple(seat.name for seat in council), field)
    return council


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
