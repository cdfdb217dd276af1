"""The history of the plan: one line for each entry, in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.model.changes import (
    Assign,
    Blame,
    CancelJob,
    ChangeCouncil,
    Conclude,
    DeclareDead,
    Entry,
    Evict,
    Forget,
    Found,
    Hold,
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
from swimstream.model.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swimstream.model.identity import InstanceId

SHOWN_MAX = 3
RAN_WELL = "it has run well for long"


@attrs.frozen(kw_only=True)
class Decision:
    """One line of the history that every live worker can show."""

    index: int
    term: int
    what: str
    reason: str
    evidence: tuple[str, ...] = ()


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
            what = f"accept job {job.name}"
        case Assign() as made:
            what = f"{_assign(made.instance)}{made.run}"
            reason, evidence = made.reason, made.evidence
        case Evict() as gone:
            what = f"evict {gone.run}"
            reason, evidence = gone.reason, gone.evidence
        case Conclude() as done:
            what = f"conclude {done.instance}"
            reason = f"finished in epoch {done.epoch}"
        case Hold(run=run):
            what = f"hold {run}"
            reason, evidence = entry.change.reason, entry.change.evidence
        case Release(run=run):
            what, reason = f"release {run}", entry.change.reason
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


def assigned_to(decisions: Iterable[Decision], instance: InstanceId) -> tuple[str, ...]:
    """Return the names of the workers that `instance` was given to, oldest first, as far as the history reaches."""
    words = _assign(instance)
    given = [each.what.removeprefix(words) for each in decisions if each.what.startswith(words)]
    return tuple(text.rpartition("@")[0] or text for text in given)


def _assign(instance: InstanceId) -> str:
    return f"assign {instance} to "


def _describe_directive(
    change: LaterChange,
) -> tuple[str, str, tuple[str, ...]]:
    match change:
        case UpdateJob(job=job):
            what = f"begin job {job.name} anew" if change.fresh else f"update job {job.name}"
            return what, f"asked for at {change.asked_by}", ()
        case CancelJob(job=name):
            return f"cancel job {name}", f"asked for at {change.asked_by}", ()
        case Forget():
            return f"forget {change.instance}", change.reason, ()
        case Restart(instances=instances):
            return f"restart {_some(instances)}", change.reason, change.evidence
        case Quarantine():
            return f"quarantine {change.instance}", change.reason, change.evidence
        case Pardon():
            return f"pardon {change.instance}", f"asked for at {change.asked_by}" if change.asked_by else RAN_WELL, ()
        case Blame():
            return _describe_blame(change), change.reason, ()
        case SetWorkerMode(name=name):
            what = f"{name}: {change.mode}" if change.mode else f"{name} is given instances as usual"
            return what, change.reason, (f"asked for at {change.asked_by}",) if change.asked_by else ()
        case DeclareDead():
            return f"declare {change.run} dead", f"declared by a person at {change.asked_by}", ()
        case SetPolicy():
            moves = change.rebalance_moves
            what = f"rebalance, {counted(moves, 'instance')} at a time" if moves else "do not rebalance"
            return what, f"asked for at {change.asked_by}", ()
        case SetStandbys():
            runs = ", ".join(map(str, change.runs)) or "nobody"
            return f"keep {change.instance} warm on {runs}", change.reason, ()


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
