"""Directives, and the changes that make them → CBOR items; `directive_reader.py` reads them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from swimstream.model.changes import (
    Blame,
    CancelJob,
    ClaimProgress,
    DeclareDead,
    Forget,
    KeepReplacement,
    LaterChange,
    Pardon,
    Quarantine,
    Restart,
    SetPolicy,
    SetStandbys,
    SetWorkerMode,
    UpdateJob,
)
from swimstream.wire.change_kinds import ChangeKind
from swimstream.wire.job_codec import job_item

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swimstream.model.directives import Conflict, Directives
    from swimstream.model.identity import InstanceId, Run


def directed_change_item(change: LaterChange) -> list[object]:
    """Return the item of a change: its kind, then its fields."""
    match change:
        case UpdateJob():
            fresh = [True] if change.fresh else []
            return [ChangeKind.UPDATE_JOB, job_item(change.job), change.base, change.asked_by, *fresh]
        case CancelJob():
            return [ChangeKind.CANCEL_JOB, change.job, change.asked_by]
        case Forget():
            return [ChangeKind.FORGET, *_place(change.instance), change.epoch, change.reason]
        case Restart():
            return [ChangeKind.RESTART, _places(change.instances), change.reason, list(change.evidence)]
        case Quarantine():
            told = (change.epoch, change.reason, list(change.evidence))
            return [ChangeKind.QUARANTINE, *_place(change.instance), *told]
        case Pardon():
            return [ChangeKind.PARDON, *_place(change.instance), change.asked_by]
        case Blame(run=run):
            blamed = _places(change.instances)
            return [ChangeKind.BLAME, run.name, run.boot, blamed, change.reason, int(change.proof)]
        case SetWorkerMode():
            mode = (change.name, change.mode, change.level, change.boot)
            return [ChangeKind.SET_WORKER_MODE, *mode, change.reason, change.asked_by]
        case DeclareDead(run=run):
            return [ChangeKind.DECLARE_DEAD, run.name, run.boot, change.asked_by]
        case SetPolicy():
            return [ChangeKind.SET_POLICY, change.rebalance_moves, change.asked_by]
        case SetStandbys():
            return [ChangeKind.SET_STANDBYS, *_place(change.instance), _runs(change.runs), change.reason]
        case ClaimProgress(run=run):
            claimed = (run.name, run.boot, change.progress, change.checkpoint)
            return [ChangeKind.CLAIM_PROGRESS, *_place(change.instance), change.epoch, *claimed]
        case KeepReplacement():
            told = (change.epoch, change.reason, list(change.evidence))
            return [ChangeKind.KEEP_REPLACEMENT, *_place(change.instance), *told]
        case _:
            assert_never(change)


def directives_item(directives: Directives) -> dict[str, object]:
    """Return the directives by name, without those that are empty. Each is an array that rises by its key."""
    found: dict[str, object] = {
        "versions": [[job, directives.versions[job]] for job in sorted(directives.versions)],
        "cancelled": [[job, directives.cancelled[job]] for job in sorted(directives.cancelled)],
        "begun": [[job, directives.begun[job]] for job in sorted(directives.begun)],
        "quarantined": [
            [*_place(each), directives.quarantined[each].index, directives.quarantined[each].reason]
            for each in sorted(directives.quarantined)
        ],
        "blame": [
            [*_place(each), held.deaths, held.weight_ppm, held.streak, _runs(held.crashes)]
            for each, held in sorted(directives.blame.items())
        ],
        "modes": [
            [name, held.mode, held.level, held.boot, held.index, held.reason]
            for name, held in sorted(directives.modes.items())
        ],
        "lost": [
            [name, held.boot, held.index, _places(held.instances)] for name, held in sorted(directives.lost.items())
        ],
        "asserted": [[name, directives.asserted[name]] for name in sorted(directives.asserted)],
        "standbys": [[*_place(each), _runs(directives.standbys[each])] for each in sorted(directives.standbys)],
        "retired": [[job, list(directives.retired[job])] for job in sorted(directives.retired)],
        "conflicts": [_conflict_item(each, held) for each, held in sorted(directives.conflicts.items())],
        "rebalance_moves": directives.rebalance_moves,
    }
    return {name: value for name, value in found.items() if value}


def _conflict_item(instance: InstanceId, held: Conflict) -> list[object]:
    about = [*_place(instance), held.run.name, held.run.boot, held.epoch]
    if held.claim is None:
        return about
    claim = held.claim
    return [*about, claim.run.boot, claim.progress, claim.checkpoint]


def _place(instance: InstanceId) -> tuple[str, str, int]:
    return (instance.job, instance.operator, instance.index)


def _places(instances: Iterable[InstanceId]) -> list[list[object]]:
    return [list(_place(each)) for each in instances]


def _runs(runs: Iterable[Run]) -> list[list[object]]:
    return [[run.name, run.boot] for run in runs]
