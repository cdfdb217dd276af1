"""CBOR items → directives, and the changes that make them. Nothing unknown passes; see `plan_codec.py`."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypedDict

from swimstream.errors import WireError
from swimstream.model.changes import (
    LEVEL_MAX,
    MODES,
    NORMAL,
    REBALANCE_MOVES_MAX,
    RESTARTED_MAX,
    Blame,
    CancelJob,
    Change,
    ClaimProgress,
    DeclareDead,
    Forget,
    KeepReplacement,
    Pardon,
    Proof,
    Quarantine,
    Restart,
    SetPolicy,
    SetStandbys,
    SetWorkerMode,
    UpdateJob,
)
from swimstream.model.directives import (
    CRASHES_KEPT,
    LOST_INSTANCES_MAX,
    LOST_KEPT,
    MODES_KEPT,
    PPM,
    Blamed,
    Claim,
    Conflict,
    Directives,
    Lost,
    Quarantined,
    WorkerMode,
)
from swimstream.model.job import STANDBY_MAX
from swimstream.model.plan import INSTANCES_MAX
from swimstream.model.versions import RETIRED_MAX
from swimstream.wire import checks
from swimstream.wire.change_kinds import ChangeKind
from swimstream.wire.job_reader import read_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.model.identity import InstanceId, Run
    from swimstream.model.job import JobSpec

JOBS_READ_MAX = 1_048_576
"""Of the arrays of jobs, which have no limit of their own: the frame or file bounds them."""


def read_directed_change(item: list[object]) -> Change:
    """Return the change of an item; raise `WireError` otherwise, and for an unknown kind of change."""
    match item:
        case [ChangeKind.UPDATE_JOB, job, base, asked_by, *fresh] if fresh in ([], [True]):
            return UpdateJob(
                job=read_job(job),
                base=checks.integer(base, "UpdateJob.base", low=int(bool(fresh))),
                asked_by=checks.name(asked_by, "UpdateJob.asked_by"),
                fresh=bool(fresh),
            )
        case [ChangeKind.CANCEL_JOB, job, asked_by]:
            return CancelJob(
                job=checks.name(job, "CancelJob.job"), asked_by=checks.name(asked_by, "CancelJob.asked_by")
            )
        case [ChangeKind.FORGET, job, operator, index, epoch, reason]:
            return Forget(
                instance=checks.instance(job, operator, index, "Forget.instance"),
                epoch=checks.integer(epoch, "Forget.epoch"),
                reason=_reason(reason, "Forget.reason"),
            )
        case [ChangeKind.RESTART, instances, reason, evidence]:
            return Restart(
                instances=_instances(instances, "Restart.instances"),
                reason=_reason(reason, "Restart.reason"),
                evidence=checks.evidence(evidence, "Restart.evidence"),
            )
        case [ChangeKind.QUARANTINE, job, operator, index, epoch, reason, evidence]:
            return Quarantine(
                instance=checks.instance(job, operator, index, "Quarantine.instance"),
                epoch=checks.integer(epoch, "Quarantine.epoch"),
                reason=_reason(reason, "Quarantine.reason"),
                evidence=checks.evidence(evidence, "Quarantine.evidence"),
            )
        case [ChangeKind.PARDON, job, operator, index, asked_by]:
            return Pardon(
                instance=checks.instance(job, operator, index, "Pardon.instance"),
                asked_by=checks.name_or_empty(asked_by, "Pardon.asked_by"),
            )
        case [ChangeKind.BLAME, label, boot, instances, reason, proof]:
            return Blame(
                run=checks.run(label, boot, "Blame.run"),
                instances=_instances(instances, "Blame.instances", low=0),
                reason=_reason(reason, "Blame.reason"),
                proof=Proof(checks.integer(proof, "Blame.proof", high=max(Proof))),
            )
        case newer:
            return _read_worker_change(newer)


def _read_worker_change(item: list[object]) -> Change:
    match item:
        case [ChangeKind.SET_WORKER_MODE, label, mode, level, boot, reason, asked_by]:
            return SetWorkerMode(
                name=checks.name(label, "SetWorkerMode.name"),
                mode=_mode(mode, "SetWorkerMode.mode"),
                level=checks.integer(level, "SetWorkerMode.level", high=LEVEL_MAX),
                boot=checks.integer(boot, "SetWorkerMode.boot"),
                reason=_reason(reason, "SetWorkerMode.reason"),
                asked_by=checks.name_or_empty(asked_by, "SetWorkerMode.asked_by"),
            )
        case [ChangeKind.DECLARE_DEAD, label, boot, asked_by]:
            return DeclareDead(
                run=checks.run(label, boot, "DeclareDead.run"),
                asked_by=checks.name(asked_by, "DeclareDead.asked_by"),
            )
        case [ChangeKind.SET_POLICY, moves, asked_by]:
            return SetPolicy(
                rebalance_moves=checks.integer(moves, "SetPolicy.rebalance_moves", high=REBALANCE_MOVES_MAX),
                asked_by=checks.name(asked_by, "SetPolicy.asked_by"),
            )
        case [ChangeKind.SET_STANDBYS, job, operator, index, runs, reason]:
            return SetStandbys(
                instance=checks.instance(job, operator, index, "SetStandbys.instance"),
                runs=_runs(runs, "SetStandbys.runs"),
                reason=_reason(reason, "SetStandbys.reason"),
            )
        case newer:
            return _read_conflict_change(newer)


def _read_conflict_change(item: list[object]) -> Change:
    match item:
        case [ChangeKind.CLAIM_PROGRESS, job, operator, index, epoch, label, boot, progress, checkpoint]:
            return ClaimProgress(
                instance=checks.instance(job, operator, index, "ClaimProgress.instance"),
                epoch=checks.integer(epoch, "ClaimProgress.epoch"),
                run=checks.run(label, boot, "ClaimProgress.run"),
                progress=checks.integer(progress, "ClaimProgress.progress"),
                checkpoint=checks.checkpoint(checkpoint, "ClaimProgress.checkpoint"),
            )
        case [ChangeKind.KEEP_REPLACEMENT, job, operator, index, epoch, reason, evidence]:
            return KeepReplacement(
                instance=checks.instance(job, operator, index, "KeepReplacement.instance"),
                epoch=checks.integer(epoch, "KeepReplacement.epoch"),
                reason=_reason(reason, "KeepReplacement.reason"),
                evidence=checks.evidence(evidence, "KeepReplacement.evidence"),
            )
        case _:
            raise WireError("change: expected one of the known kinds with exactly its fields")


class _Found(TypedDict, total=False):
    versions: dict[str, int]
    cancelled: dict[str, int]
    begun: dict[str, int]
    quarantined: dict[InstanceId, Quarantined]
    blame: dict[InstanceId, Blamed]
    modes: dict[str, WorkerMode]
    lost: dict[str, Lost]
    asserted: dict[str, int]
    standbys: dict[InstanceId, tuple[Run, ...]]
    retired: dict[str, tuple[str, ...]]
    conflicts: dict[InstanceId, Conflict]
    rebalance_moves: int


def read_directives(item: object, jobs: Mapping[str, JobSpec], index_max: int) -> Directives:
    """Return the directives of an item; raise `WireError` otherwise. `jobs` are those of the same plan."""
    if type(item) is not dict or not item:
        raise WireError("Plan.directives: expected a table that is not empty, or the shorter form")
    found: _Found = {}
    for name, value in item.items():
        if not value:
            raise WireError("Plan.directives: expected nothing where there is none")
        match name:
            case "versions":
                found["versions"] = _read_numbers(value, "versions", low=2, high=checks.INT_MAX)
            case "cancelled":
                found["cancelled"] = _read_numbers(value, "cancelled", low=1, high=index_max)
            case "begun":
                found["begun"] = _read_numbers(value, "begun", low=1, high=index_max)
            case "asserted":
                found["asserted"] = _read_numbers(value, "asserted", low=0, high=checks.INT_MAX)
            case "quarantined":
                found["quarantined"] = _read_quarantined(value, index_max)
            case "blame":
                found["blame"] = _read_blame(value)
            case "modes":
                found["modes"] = _read_modes(value, index_max)
            case "lost":
                found["lost"] = _read_lost(value, index_max)
            case "standbys":
                found["standbys"] = _read_standbys(value)
            case "retired":
                found["retired"] = _read_retired(value)
            case "conflicts":
                found["conflicts"] = _read_conflicts(value, index_max)
            case "rebalance_moves":
                moves = checks.integer(value, "Plan.rebalance_moves", low=1, high=REBALANCE_MOVES_MAX)
                found["rebalance_moves"] = moves
            case _:
                raise WireError("Plan.directives: expected none but the known ones")
    per_job = (found.get("versions", {}), found.get("cancelled", {}), found.get("begun", {}))
    for job in itertools.chain(*per_job):
        if job not in jobs:
            raise WireError("Plan.directives: expected names of jobs of the plan")
    return Directives(**found)


def _read_numbers(item: object, field: str, *, low: int, high: int) -> dict[str, int]:
    rows = [checks.exactly(row, field, 2) for row in checks.items(item, field, high=JOBS_READ_MAX)]
    names = [checks.name(row[0], field) for row in rows]
    checks.ascending(names, field)
    return {name: checks.integer(row[1], field, low=low, high=high) for name, row in zip(names, rows, strict=True)}


def _read_quarantined(item: object, index_max: int) -> dict[InstanceId, Quarantined]:
    field = "Plan.quarantined"
    rows = [checks.exactly(row, field, 5) for row in checks.items(item, field, high=INSTANCES_MAX)]
    return {
        instance: Quarantined(index=checks.integer(row[3], field, low=1, high=index_max), reason=_reason(row[4], field))
        for instance, row in zip(_keys(rows, field), rows, strict=True)
    }


def _read_blame(item: object) -> dict[InstanceId, Blamed]:
    field = "Plan.blame"
    rows = [checks.exactly(row, field, 7) for row in checks.items(item, field, high=INSTANCES_MAX)]
    found = {
        instance: Blamed(
            deaths=checks.integer(row[3], field),
            weight_ppm=checks.integer(row[4], field, high=checks.INT_MAX // PPM),
            streak=checks.integer(row[5], field),
            crashes=_runs(row[6], field, high=CRASHES_KEPT),
        )
        for instance, row in zip(_keys(rows, field), rows, strict=True)
    }
    if not all(held.deaths or held.streak for held in found.values()):
        raise WireError(f"{field}: expected a crash of each")
    return found


def _read_lost(item: object, index_max: int) -> dict[str, Lost]:
    field = "Plan.lost"
    rows = [checks.exactly(row, field, 4) for row in checks.items(item, field, high=LOST_KEPT)]
    names = [checks.name(row[0], field) for row in rows]
    checks.ascending(names, field)
    found = {
        name: Lost(
            boot=checks.integer(row[1], field),
            index=checks.integer(row[2], field, low=1, high=index_max),
            instances=_instances(row[3], field, low=0),
        )
        for name, row in zip(names, rows, strict=True)
    }
    if sum(len(held.instances) for held in found.values()) > LOST_INSTANCES_MAX:
        raise WireError(f"{field}: expected at most {LOST_INSTANCES_MAX} instances")
    return found


def _read_modes(item: object, index_max: int) -> dict[str, WorkerMode]:
    field = "Plan.modes"
    rows = [checks.exactly(row, field, 6) for row in checks.items(item, field, high=MODES_KEPT)]
    names = [checks.name(row[0], field) for row in rows]
    checks.ascending(names, field)
    found = {
        name: WorkerMode(
            mode=_mode(row[1], field),
            level=checks.integer(row[2], field, high=LEVEL_MAX),
            boot=checks.integer(row[3], field),
            index=checks.integer(row[4], field, low=1, high=index_max),
            reason=_reason(row[5], field),
        )
        for name, row in zip(names, rows, strict=True)
    }
    if any(held.mode == NORMAL and not held.level for held in found.values()):
        raise WireError(f"{field}: expected none that is as usual")
    return found


def _read_standbys(item: object) -> dict[InstanceId, tuple[Run, ...]]:
    field = "Plan.standbys"
    rows = [checks.exactly(row, field, 4) for row in checks.items(item, field, high=INSTANCES_MAX)]
    found = {instance: _runs(row[3], field) for instance, row in zip(_keys(rows, field), rows, strict=True)}
    if not all(found.values()):
        raise WireError(f"{field}: expected at least one run")
    return found


def _read_conflicts(item: object, index_max: int) -> dict[InstanceId, Conflict]:
    field = "Plan.conflicts"
    read = [checks.one_of_lengths(row, field, 6, 9) for row in checks.items(item, field, high=INSTANCES_MAX)]
    found = {}
    for instance, (row, claim) in zip(_keys([row for row, _ in read], field), read, strict=True):
        run = checks.run(row[3], row[4], field)
        epoch = checks.integer(row[5], field, low=1, high=index_max - 1)
        found[instance] = Conflict(run=run, epoch=epoch, claim=_read_claim(run.name, claim, field))
    return found


def _read_claim(name: str, items: list[object], field: str) -> Claim | None:
    if not items:
        return None
    boot, progress, checkpoint = items
    return Claim(
        run=checks.run(name, boot, field),
        progress=checks.integer(progress, field),
        checkpoint=checks.checkpoint(checkpoint, field),
    )


def _read_retired(item: object) -> dict[str, tuple[str, ...]]:
    field = "Plan.retired"
    rows = [checks.exactly(row, field, 2) for row in checks.items(item, field, high=JOBS_READ_MAX)]
    jobs = [checks.name(row[0], field) for row in rows]
    checks.ascending(jobs, field)
    found = {}
    for job, row in zip(jobs, rows, strict=True):
        operators = [checks.name(each, field) for each in checks.items(row[1], field, high=RETIRED_MAX)]
        checks.ascending(operators, field)
        found[job] = tuple(operators)
    return found


def _keys(rows: list[list[object]], field: str) -> list[InstanceId]:
    keys = [checks.instance(row[0], row[1], row[2], field) for row in rows]
    checks.ascending(keys, field)
    return keys


def _instances(item: object, field: str, *, low: int = 1) -> tuple[InstanceId, ...]:
    rows = [checks.exactly(row, field, 3) for row in checks.items(item, field, low=low, high=RESTARTED_MAX)]
    found = tuple(checks.instance(row[0], row[1], row[2], field) for row in rows)
    checks.unique(found, field)
    return found


def _runs(item: object, field: str, *, high: int = STANDBY_MAX) -> tuple[Run, ...]:
    rows = [checks.exactly(row, field, 2) for row in checks.items(item, field, high=high)]
    found = tuple(checks.run(row[0], row[1], field) for row in rows)
    checks.unique(found, field)
    return found


def _mode(value: object, field: str) -> str:
    if type(value) is not str or value not in MODES:
        raise WireError(f"{field}: expected one of {', '.join(MODES)}")
    return value


def _reason(value: object, field: str) -> str:
    return checks.text(value, field, bytes_max=checks.REASON_BYTES_MAX)
