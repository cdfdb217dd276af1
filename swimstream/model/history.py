"""The history of the plan: one line for each entry, in words for people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from swimstream.model.changes import (
    Assign,
    Blame,
    CancelJob,
    ChangeCouncil,
    ClaimProgress,
    Conclude,
    DeclareDead,
    Entry,
    Evict,
    Forget,
    Found,
    Hold,
    KeepReplacement,
    LaterChange,
    Noop,
    Pardon,
    Proof,
    Quarantine,
    RecoverCouncil,
    Release,
    ResizeCouncil,
    Restart,
    Revoke,
    Seat,
    SetAuthority,
    SetPolicy,
    SetStandbys,
    SetWorkerMode,
    SubmitJob,
    UpdateJob,
)
from swimstream.model.identity import INSTANCE_PATTERN, NAME_PATTERN, InstanceId, Run
from swimstream.model.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN_MAX = 3
RAN_WELL = "it has run well for long"
ACCEPT, UPDATE, CANCEL, BEGIN = "accept", "update", "cancel", "begin"
EVICT, HOLD, RELEASE, DECLARE = "evict", "hold", "release", "declare"
ASSIGN, QUARANTINE = "assign", "quarantine"
"""How lines begin that are told apart; see `subject_of`."""
_RUN = re.compile(rf"(?P<name>{NAME_PATTERN.pattern})@(?P<boot>[0-9]{{1,19}})")


@attrs.frozen(kw_only=True)
class Decision:
    """One line of the history that every live worker can show."""

    index: int
    term: int
    what: str
    reason: str
    evidence: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Subject:
    """What a line of the history is about, as values."""

    deed: str
    """`ASSIGN` and the like; the first word of any other line."""
    job: str = ""
    instances: tuple[InstanceId, ...] = ()
    """Those that are named: of many the first `SHOWN_MAX`."""
    run: Run | None = None
    """The first one that is named."""


def subject_of(decision: Decision) -> Subject:
    """Return what a line is about.

    Lines are what is kept and sent, in a form that older versions can read, so the values have to come out of them.
    That is done here, beside what writes them, and nowhere else.
    """
    deed, *words = decision.what.replace(",", " ").split() or [""]
    return Subject(
        deed=deed,
        job=words[1] if words[:1] == ["job"] and len(words) > 1 else "",
        instances=tuple(InstanceId.parse(word) for word in words if INSTANCE_PATTERN.fullmatch(word)),
        run=next((Run(found["name"], int(found["boot"])) for found in map(_RUN.fullmatch, words) if found), None),
    )


def hosts_of(decisions: Iterable[Decision], instance: InstanceId) -> tuple[str, ...]:
    """Return the names of the workers that `instance` was given to, oldest first, as far as the history reaches."""
    subjects = (subject_of(each) for each in decisions)
    given = (each for each in subjects if each.deed == ASSIGN and instance in each.instances)
    return tuple(each.run.name for each in given if each.run is not None)


def describe(entry: Entry) -> Decision:
    """Return the line of history for one entry."""
    reason = ""
    evidence: tuple[str, ...] = ()
    match entry.change:
        case Found(council=council):
            what = f"found the cluster; council: {_names(council)}"
        case Noop():
            what = "a new leader takes over"
        case SubmitJob(job=job):
            what = f"{ACCEPT} job {job.name}"
        case Assign() as made:
            what = f"{ASSIGN} {made.instance} to {made.run}"
            reason, evidence = made.reason, made.evidence
        case Evict() as gone:
            what = f"{EVICT} {gone.run}"
            reason, evidence = gone.reason, gone.evidence
        case Conclude() as done:
            what = f"conclude {done.instance}"
            reason = f"finished in epoch {done.epoch}"
        case Hold(run=run):
            what = f"{HOLD} {run}"
            reason, evidence = entry.change.reason, entry.change.evidence
        case Release(run=run):
            what, reason = f"{RELEASE} {run}", entry.change.reason
        case Revoke() as taken:
            what, reason = f"revoke {taken.instance} in epoch {taken.epoch}", taken.reason
        case SetAuthority() | ChangeCouncil() | ResizeCouncil() | RecoverCouncil() as change:
            what, reason, evidence = _describe_for_cluster(change)
        case change:
            what, reason, evidence = _describe_directive(change)
    return Decision(index=entry.index, term=entry.term, what=what, reason=reason, evidence=evidence)


def _describe_for_cluster(
    change: SetAuthority | ChangeCouncil | ResizeCouncil | RecoverCouncil,
) -> tuple[str, str, tuple[str, ...]]:
    match change:
        case SetAuthority():
            return f"authority lasts {change.isolation_ms} ms, clocks drift {change.drift_ppm} ppm at most", "", ()
        case ChangeCouncil():
            return f"council: {_names(change.council)}", change.reason, change.evidence
        case ResizeCouncil():
            return f"the council shall have {counted(change.seats, 'seat')}", f"asked for at {change.asked_by}", ()
        case RecoverCouncil():
            what = f"council put in the place of one that is lost: {_names(change.council)}"
            lost = tuple(f"declared lost: {name}" for name in change.lost)
            return what, f"declared by a person at {change.asked_by}", lost


def _describe_directive(
    change: LaterChange,
) -> tuple[str, str, tuple[str, ...]]:
    match change:
        case UpdateJob(job=job):
            what = f"{BEGIN} job {job.name} anew" if change.fresh else f"{UPDATE} job {job.name}"
            return what, f"asked for at {change.asked_by}", ()
        case CancelJob(job=name):
            return f"{CANCEL} job {name}", f"asked for at {change.asked_by}", ()
        case Forget():
            return f"forget {change.instance}", change.reason, ()
        case Restart(instances=instances):
            return f"restart {_some(instances)}", change.reason, change.evidence
        case Quarantine():
            return f"{QUARANTINE} {change.instance}", change.reason, change.evidence
        case Pardon():
            return f"pardon {change.instance}", f"asked for at {change.asked_by}" if change.asked_by else RAN_WELL, ()
        case Blame():
            return _describe_blame(change), change.reason, ()
        case SetWorkerMode(name=name):
            what = f"{name}: {change.mode}" if change.mode else f"{name} is given instances as usual"
            return what, change.reason, (f"asked for at {change.asked_by}",) if change.asked_by else ()
        case DeclareDead():
            return f"{DECLARE} {change.run} dead", f"declared by a person at {change.asked_by}", ()
        case SetPolicy():
            moves = change.rebalance_moves
            what = f"rebalance, {counted(moves, 'instance')} at a time" if moves else "do not rebalance"
            return what, f"asked for at {change.asked_by}", ()
        case SetStandbys():
            runs = ", ".join(map(str, change.runs)) or "nobody"
            return f"keep {change.instance} warm on {runs}", change.reason, ()
        case ClaimProgress(run=run):
            what = f"{run} tells of its copy of {change.instance} in epoch {change.epoch}"
            return what, f"it had come to {change.progress}", ()
        case KeepReplacement():
            return f"keep the replacement of {change.instance}", change.reason, change.evidence


def _describe_blame(change: Blame) -> str:
    some = _some(change.instances) or "nobody"
    match change.proof:
        case Proof.NONE:
            return f"note who ran on {change.run}: {some}"
        case Proof.ENDED:
            return f"blame for the end of {change.run}: {some}"
        case Proof.CRASHED:
            return f"blame for the crash of {change.run}: {some}"


def _some(instances: tuple[InstanceId, ...]) -> str:
    """Return the first few, and how many more there are: a line of history is short."""
    shown = ", ".join(map(str, instances[:SHOWN_MAX]))
    return f"{shown} and {len(instances) - SHOWN_MAX} more" if len(instances) > SHOWN_MAX else shown


def _names(council: tuple[Seat, ...]) -> str:
    return ", ".join(seat.name for seat in council)
