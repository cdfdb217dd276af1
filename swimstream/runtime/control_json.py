"""What the control port says, as JSON: the names of the fields are its interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from swimstream.core.job_status import RETIRED
from swimstream.events import (
    BroadcastReceived,
    Decided,
    Event,
    EventsLost,
    ForeignCluster,
    InstanceChanged,
    IsolationChanged,
    LeaderChanged,
    MemberChanged,
    MemberForgotten,
    MessageReceived,
    NameConflict,
    QueryReceived,
    Superseded,
    TagsChanged,
)
from swimstream.model.status import InstanceState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.core.job_status import InstanceStanding, JobStatus
    from swimstream.model.history import Decision
    from swimstream.model.identity import Run
    from swimstream.model.job import JobSpec
    from swimstream.model.member import Evidence, Member
    from swimstream.model.status import InstanceStatus
    from swimstream.runtime.view import View

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
JsonTable = dict[str, Json]


def member_json(member: Member, *, now: float) -> JsonTable:
    """Return a member; `for_s` is how long it has been in its state, as seen by this peer."""
    profile = member.profile
    return {
        "name": member.run.name,
        "boot": member.run.boot,
        "state": member.state.name.lower(),
        "incarnation": member.incarnation,
        "for_s": round(max(0.0, now - member.since), 3),
        "address": str(profile.address),
        "site": profile.site,
        "kinds": list(profile.kinds),
        "capacity": profile.capacity,
        "accusers": list(member.accusers),
        "evidence": [f"{who}: {_seen(member.evidence_of(who))}" for who in member.accusers],
    }


def _seen(evidence: Evidence) -> str:
    """Return in words what an accuser saw."""
    words = ["datagram refused" if evidence.datagram_refused else "no ack in time"]
    if evidence.relays:
        words += [f"{_count(evidence.relays, 'relay')} asked", _count(evidence.nacks, "nack")]
    if evidence.stream_refused:
        words.append("stream refused")
    return ", ".join(words)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def status_json(status: InstanceStatus) -> JsonTable:
    """Return what a worker says of an instance; a checkpoint is hexadecimal.

    `error` says what kind of failure it is if it has FAILED. `watermark_ms` and `backlog` are null if it tells none.
    """
    return {
        "instance": str(status.instance),
        "epoch": status.epoch,
        "worker": status.run.name,
        "boot": status.run.boot,
        "state": status.state.name.lower(),
        "since_ms": status.since_ms,
        "progress": status.progress,
        "checkpoint": status.checkpoint.hex(),
        "endpoint": status.endpoint,
        "cause": status.cause,
        "error": status.error.name.lower() if status.state is InstanceState.FAILED else "",
        "watermark_ms": status.watermark_ms,
        "backlog": status.backlog,
    }


def decision_json(decision: Decision) -> JsonTable:
    """Return one line of history."""
    return {
        "index": decision.index,
        "term": decision.term,
        "what": decision.what,
        "reason": decision.reason,
        "evidence": list(decision.evidence),
    }


def jobs_json(view: View) -> list[Json]:
    """Return every job of the plan by name: how it stands."""
    return [job_json(view, status) for status in view.jobs.values()]


def job_json(view: View, status: JobStatus) -> JsonTable:
    """Return how one job stands, without its instances."""
    return {
        "name": status.name,
        "state": status.state.value,
        "version": status.version,
        "counts": dict(status.counts),
        "why": status.why,
        "operators": [spec.name for spec in view.plan.jobs[status.name].operators],
        "finished": view.plan.is_finished(status.name),
    }


def operators_json(view: View) -> list[Json]:
    """Return every instance of every job: where the plan has it, and what is said of it.

    `state` and `cause` are those of `core/job_status.py`. `held`: its run may not renew its authority; `stopped_at` is
    the index of the entry that stops this assignment, `revoked` that of its revocation; 0 if there is none.
    """
    return [
        _operator_json(view, standing, view.plan.jobs[name])
        for name, job in view.jobs.items()
        for standing in job.instances
        if standing.state != RETIRED
    ]


def _operator_json(view: View, standing: InstanceStanding, job: JobSpec) -> JsonTable:
    instance = standing.instance
    spec = job.operator(instance.operator)
    held = view.plan.assignments.get(instance)
    stopped_at = view.plan.stop_index(held) if held and not held.finished else 0
    row: JsonTable = {
        "instance": str(instance),
        "job": instance.job,
        "operator": instance.operator,
        "index": instance.index,
        "kind": spec.kind,
        "inputs": list(spec.inputs),
        "guarantee": spec.instances,
        "hold_for_s": spec.hold_for_s,
        "worker": held.run.name if held else "",
        "boot": held.run.boot if held else 0,
        "epoch": held.epoch if held else 0,
        "failures": held.failures if held else 0,
        "finished": held.finished if held else False,
        "held": held is not None and not held.finished and view.plan.is_held(held.run),
        "revoked": held.revoked if held else 0,
        "stopped_at": stopped_at,
        "since_ms": 0,
        "progress": 0,
        "checkpoint": held.resume_from.hex() if held else "",
        "endpoint": "",
        "error": "",
        "watermark_ms": None,
        "backlog": None,
        "standbys": list(standing.standbys),
    }
    status = view.status_by_instance.get(instance)
    if held is not None and status is not None and status.epoch == held.epoch:
        said = status_json(status)
        keys = ("since_ms", "progress", "checkpoint", "endpoint", "error", "watermark_ms", "backlog")
        row |= {key: said[key] for key in keys}
    return row | {"state": standing.state, "cause": standing.why}


def authority_json(view: View, *, now: float) -> JsonTable:
    """Return what this worker can prove of a quorum at `now`; times in seconds, null and 0 while there is none."""
    age_s = view.authority_age_s(now)
    return {
        "isolated": view.is_isolated,
        "age_s": None if age_s is None else round(age_s, 3),
        "lasts_s": view.plan.isolation_ms / 1_000,
        "drift": view.plan.drift_ppm / 1_000_000,
    }


def leader_json(view: View) -> JsonTable:
    """Return who decides, or did last; an empty name means that no leader is known here. `state`: of that worker."""
    states = {member.run.name: member.state.name.lower() for member in view.members}
    return {
        "name": view.mark.leader,
        "state": states.get(view.mark.leader, "unknown"),
        "term": view.mark.term,
        "index": view.plan.index,
        "cluster_id": view.plan.cluster_id,
        "council": [seat.name for seat in view.plan.council],
    }


def counters_json(counters: Mapping[str, int]) -> JsonTable:
    """Return the counters by name."""
    return {name: counters[name] for name in sorted(counters)}


def event_json(event: Event | EventsLost, *, now: float) -> JsonTable:
    """Return one event; `event` names its kind."""
    row: JsonTable
    match event:
        case MemberChanged(member=member):
            row = {"event": "member", "member": member_json(member, now=now)}
        case InstanceChanged(status=status):
            row = {"event": "instance", "instance": status_json(status)}
        case LeaderChanged(name=name, term=term):
            row = {"event": "leader", "name": name, "term": term}
        case Decided(decision=decision):
            row = {"event": "decision", "decision": decision_json(decision)}
        case IsolationChanged(is_isolated=is_isolated, age_s=age_s):
            row = {"event": "isolation", "is_isolated": is_isolated, "age_s": age_s if age_s < float("inf") else None}
        case Superseded(by=by, address=address):
            row = {"event": "superseded", "by": str(by), "address": str(address)}
        case ForeignCluster(peer=peer, cluster_id=cluster_id):
            row = {"event": "foreign_cluster", "peer": str(peer), "cluster_id": cluster_id}
        case MemberForgotten(run=run):
            row = {"event": "forgotten", "run": str(run)}
        case NameConflict(run=run):
            row = {"event": "name_conflict", "run": str(run)}
        case TagsChanged() | BroadcastReceived() | MessageReceived() | QueryReceived():
            row = _talk_json(event)
        case EventsLost(count=count):
            row = {"event": "events_lost", "count": count}
        case _:
            assert_never(event)
    return row


def _talk_json(event: TagsChanged | BroadcastReceived | MessageReceived | QueryReceived) -> JsonTable:
    """Return what an application has said; payloads in hexadecimal."""
    match event:
        case TagsChanged(run=run, tags=tags):
            return {"event": "tags", "run": str(run), "tags": dict(tags)}
        case BroadcastReceived(origin=run, time=time):
            said: JsonTable = {"topic": event.topic, "payload": event.payload.hex()}
            return {"event": "broadcast", "origin": str(run), "time": time, **said}
        case MessageReceived(sender=run):
            return {"event": "message", "sender": str(run), "topic": event.topic, "payload": event.payload.hex()}
        case QueryReceived(question=question):
            said = {"topic": question.topic, "payload": question.payload.hex()}
            return {"event": "query", "origin": str(question.origin), "number": question.number, **said}


def worker_json(run: Run, *, address: str, site: str, version: str, protocol: int) -> JsonTable:
    """Return who answers."""
    return {
        "name": run.name,
        "boot": run.boot,
        "address": address,
        "site": site,
        "version": version,
        "protocol": protocol,
    }
