"""Golden packets of what came with versions of jobs and directives; `test_golden.py` holds them against their files."""

from __future__ import annotations

from swimstream.model.changes import (
    DRAINING,
    Assign,
    Blame,
    CancelJob,
    Change,
    ClaimProgress,
    DeclareDead,
    Entry,
    Forget,
    KeepReplacement,
    Pardon,
    Proof,
    Quarantine,
    Restart,
    Seat,
    SetPolicy,
    SetStandbys,
    SetWorkerMode,
    SubmitJob,
    UpdateJob,
)
from swimstream.model.directives import Blamed, Claim, Conflict, Directives, Lost, Quarantined, WorkerMode
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.plan import Assignment, Plan
from swimstream.model.restart import RestartStrategy
from swimstream.model.status import ErrorClass, InstanceState, InstanceStatus
from swimstream.wire.council_messages import ChangeRequest, PlanEntries, Propose, ProposeReply, Snapshot
from swimstream.wire.messages import Message, StatusUpdate

A, B, C = Run("worker-a", 1_700_000_000_001), Run("worker-b", 1_700_000_000_002), Run("c.3_x", 2**63 - 1)
WISHFUL = JobSpec(
    name="orders",
    operators=(
        OperatorSpec(name="take", kind="source", parallelism=2, sites=("eu-1", "us-2"), labels={"disk": "schnell"}),
        OperatorSpec(
            name="fold",
            kind="window",
            inputs=("take",),
            blocking=("take",),
            restart=RestartStrategy(strategy="failure-rate", attempts=3, interval_s=90.0, in_place=0),
            failover="region",
            anti_affinity="site",
            slots=2,
            stall_after_s=2.5,
            standby=1,
        ),
        OperatorSpec(name="pay", kind="sink", inputs=("fold",), instances="at-most-one", failover="job"),
    ),
)
TAKE, TAKE_1, FOLD, PAY = (
    InstanceId("orders", name, index) for name, index in (("take", 0), ("take", 1), ("fold", 0), ("pay", 0))
)
CORDON = SetWorkerMode(name="worker-b", mode=DRAINING, level=0, boot=0, reason="new disk", asked_by="worker-a")

CHANGES: tuple[Change, ...] = (
    UpdateJob(job=WISHFUL, base=0, asked_by="worker-a"),
    CancelJob(job="flights", asked_by="c.3_x"),
    Forget(instance=PAY, epoch=301, reason="an update took it away"),
    Restart(instances=(TAKE, TAKE_1), reason="its region", evidence=("fold[0] failed",)),
    Quarantine(instance=FOLD, epoch=321, reason="“kein” Versuch mehr", evidence=("ValueError",)),
    Pardon(instance=FOLD, asked_by=""),
    Blame(run=B, instances=(FOLD, TAKE), reason="who ran there", proof=Proof.NONE),
    CORDON,
    DeclareDead(run=B, asked_by="worker-a"),
    SetPolicy(rebalance_moves=4, asked_by="worker-a"),
    SetStandbys(instance=FOLD, runs=(A, C), reason="two are warm"),
    Assign(
        instance=TAKE,
        run=A,
        failures=0,
        resume_from=b"",
        reason="worker-b drains",
        evidence=(),
        handover=True,
    ),
)

CLAIM = ClaimProgress(instance=TAKE, epoch=352, run=Run("worker-b", B.boot + 1), progress=1_200, checkpoint=b"o:1200")
CONFLICTED = JobSpec(
    name="orders", operators=(OperatorSpec(name="take", kind="source", parallelism=2, on_conflict="furthest-progress"),)
)
CONFLICTS: list[tuple[str, Message]] = [
    ("a worker that was given up tells of its copy", ChangeRequest(request=2**62, change=CLAIM)),
    (
        "entries about a conflict",
        PlanEntries(
            entries=(
                Entry(index=353, term=6, change=SubmitJob(job=CONFLICTED)),
                Entry(index=354, term=6, change=CLAIM),
                Entry(
                    index=355,
                    term=6,
                    change=KeepReplacement(
                        instance=TAKE, epoch=353, reason="furthest-progress: wörker-b at 1200", evidence=("1300",)
                    ),
                ),
            )
        ),
    ),
    (
        "a plan with conflicts",
        Snapshot(
            term=6,
            voter=11,
            round=13,
            plan=Plan(
                index=360,
                term=6,
                cluster_id=0xFEDC_BA98_7654_3210,
                council=(Seat("worker-a", 11),),
                jobs={"orders": CONFLICTED},
                assignments={TAKE: Assignment(instance=TAKE, run=A, epoch=353)},
                directives=Directives(
                    conflicts={
                        TAKE: Conflict(
                            run=B, epoch=352, claim=Claim(run=CLAIM.run, progress=1_200, checkpoint=b"o:1200")
                        ),
                        TAKE_1: Conflict(run=C, epoch=350),
                    }
                ),
            ),
        ),
    ),
]
"""What came with conflicts between two copies."""

ASKED: tuple[str, Message] = ("a worker is to be emptied", ChangeRequest(request=50, change=CORDON))
DIRECTED: list[tuple[str, Message]] = [
    ("a job with wishes", Propose(request=51, change=SubmitJob(job=WISHFUL))),
    ("a job is to be changed", ChangeRequest(request=52, change=UpdateJob(job=WISHFUL, base=2, asked_by="worker-a"))),
    ("it is committed there", ProposeReply(request=52, index=320)),
    (
        "an instance that is stuck",
        StatusUpdate(
            status=InstanceStatus(
                instance=FOLD,
                epoch=321,
                run=B,
                seq=9,
                state=InstanceState.STALLED,
                since_ms=1_700_000_223_456,
                cause="no progress: stands at fold.py:41 f",
                watermark_ms=1_700_000_200_000,
                backlog=12,
            )
        ),
    ),
    (
        "one that its worker's end has ended",
        StatusUpdate(
            status=InstanceStatus(
                instance=TAKE,
                epoch=322,
                run=B,
                seq=10,
                state=InstanceState.FAILED,
                since_ms=1_700_000_223_456,
                cause="worker process was killed by SIGSEGV",
                error=ErrorClass.INFRASTRUCTURE,
            )
        ),
    ),
    (
        "entries about jobs, instances and workers",
        PlanEntries(
            entries=tuple(Entry(index=330 + place, term=6, change=change) for place, change in enumerate(CHANGES))
        ),
    ),
    (
        "a plan with directives",
        Snapshot(
            term=6,
            voter=11,
            round=12,
            plan=Plan(
                index=350,
                term=6,
                cluster_id=0xFEDC_BA98_7654_3210,
                council=(Seat("worker-a", 11),),
                jobs={"orders": WISHFUL},
                assignments={
                    FOLD: Assignment(instance=FOLD, run=B, epoch=321, revoked=334),
                    PAY: Assignment(instance=PAY, run=A, epoch=323, stale=330),
                    TAKE: Assignment(instance=TAKE, run=A, epoch=341, former_run=B, former_epoch=322),
                },
                directives=Directives(
                    versions={"orders": 3},
                    cancelled={"orders": 349},
                    quarantined={FOLD: Quarantined(index=334, reason="its restarts are used up")},
                    blame={FOLD: Blamed(deaths=1, weight_ppm=500_000, streak=2, crashes=(B, C))},
                    modes={"worker-b": WorkerMode(mode=DRAINING, level=0, boot=0, index=337, reason="new disk")},
                    asserted={"worker-b": B.boot},
                    standbys={FOLD: (A, C)},
                    retired={"orders": ("drop", "old")},
                    lost={"worker-b": Lost(boot=B.boot, index=336, instances=(FOLD, TAKE))},
                    rebalance_moves=4,
                ),
            ),
        ),
    ),
]
DIRECTED += CONFLICTS
