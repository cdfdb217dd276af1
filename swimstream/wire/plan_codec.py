"""Jobs, log entries and plans → CBOR items: what is committed, sent in messages and kept on disk.

`plan_reader.py` reads them back.

Unlike messages, these take no unknown kind of change and no element more than they know: a peer that skipped
part of a committed change would hold another plan under the same index. What is new gets a kind or a length of its
own, used only where there is something new to say, so that older peers read whatever they can understand.
Mappings are arrays sorted by key, so equal plans have equal bytes, and a repeated key cannot hide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from swimstream.model.changes import (
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
from swimstream.wire.cbor import encode_item
from swimstream.wire.change_kinds import ChangeKind
from swimstream.wire.directive_codec import directed_change_item, directives_item
from swimstream.wire.job_codec import job_item

if TYPE_CHECKING:
    from swimstream.model.plan import Assignment, Plan


def encode_entry(entry: Entry) -> bytes:
    """Return the bytes of one log entry; equal entries have equal bytes."""
    return encode_item(entry_item(entry))


def encode_plan(plan: Plan) -> bytes:
    """Return the bytes of a plan; equal plans have equal bytes."""
    return encode_item(plan_item(plan))


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
                *([True] if change.handover else []),
            ]
        case Evict(run=run):
            return [ChangeKind.EVICT, run.name, run.boot, change.reason, list(change.evidence)]
        case Conclude(instance=instance):
            return [ChangeKind.CONCLUDE, instance.job, instance.operator, instance.index, change.epoch]
        case Hold() | Release() | Revoke() | SetAuthority() | ChangeCouncil() | ResizeCouncil() | RecoverCouncil():
            return _authority_change_item(change)
        case _:
            return directed_change_item(change)


def _authority_change_item(
    change: Hold | Release | Revoke | SetAuthority | ChangeCouncil | ResizeCouncil | RecoverCouncil,
) -> list[object]:
    match change:
        case Hold(run=run):
            return [ChangeKind.HOLD, run.name, run.boot, change.reason, list(change.evidence)]
        case Release(run=run):
            return [ChangeKind.RELEASE, run.name, run.boot, change.reason]
        case Revoke(instance=instance):
            place = (instance.job, instance.operator, instance.index)
            return [ChangeKind.REVOKE, *place, change.epoch, change.reason]
        case SetAuthority():
            return [ChangeKind.SET_AUTHORITY, change.isolation_ms, change.drift_ppm]
        case ChangeCouncil():
            council = _council_item(change.council)
            return [ChangeKind.CHANGE_COUNCIL, council, change.reason, list(change.evidence)]
        case ResizeCouncil():
            return [ChangeKind.RESIZE_COUNCIL, change.seats, change.asked_by]
        case RecoverCouncil():
            council = _council_item(change.council)
            return [ChangeKind.RECOVER_COUNCIL, council, list(change.lost), change.asked_by]
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
        *_later_plan_items(plan),
    ]


def _later_plan_items(plan: Plan) -> tuple[object, ...]:
    directives = directives_item(plan.directives)
    if not (plan.seats_wanted or plan.isolation_ms or plan.stops or directives):
        return ()
    stops = [[run.name, run.boot, plan.stops[run]] for run in sorted(plan.stops)]
    authority = (plan.seats_wanted, plan.isolation_ms, plan.drift_ppm, stops)
    return (*authority, directives) if directives else authority


def _council_item(council: tuple[Seat, ...]) -> list[object]:
    return [[seat.name, seat.voter] for seat in council]


def _assignment_item(held: Assignment) -> list[object]:
    instance, run = held.instance, held.run
    return [
        *(instance.job, instance.operator, instance.index, run.name, run.boot),
        *(held.epoch, held.failures, held.resume_from, held.finished),
        *_later_assignment_items(held),
    ]


def _later_assignment_items(held: Assignment) -> tuple[object, ...]:
    superseded = (True,) if held.superseded else ()
    if held.former_run is not None:
        former = held.former_run
        return (held.revoked, held.stale, former.name, former.boot, held.former_epoch, *superseded)
    if held.stale:
        return (held.revoked, held.stale, *superseded)
    return (held.revoked,) if held.revoked else ()
