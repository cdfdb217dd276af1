"""What `Worker` offers about jobs and about where they run: what it asks of the leader, and what it refuses itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from unittest.mock import patch

import attrs
import pytest

from swimstream import job_commands
from swimstream.commands import Commands
from swimstream.errors import JobCancelled, JobFailed, UsageError, WorkerStopped
from swimstream.model.changes import (
    CORDONED,
    Assign,
    CancelJob,
    Change,
    Command,
    Conclude,
    DeclareDead,
    Entry,
    Pardon,
    Quarantine,
    Restart,
    SetPolicy,
    SetWorkerMode,
    SubmitJob,
    UpdateJob,
)
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import Member, MemberState, Profile
from swimstream.model.plan import Plan
from swimstream.model.status import InstanceState, InstanceStatus
from swimstream.runtime import control
from swimstream.runtime.replies import Reply
from swimstream.runtime.view import View, Views

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.runtime.thread import PeerThread

WAIT_S = 30.0
HERE = Run("a", 1)
JOB = JobSpec(
    name="j",
    operators=(OperatorSpec(name="read", kind="k", parallelism=2), OperatorSpec(name="write", kind="k")),
)
WRITE = InstanceId("j", "write", 0)


def member(name: str, state: MemberState, *, boot: int = 1) -> Member:
    profile = Profile(address=Address("h", 1))
    return Member(run=Run(name, boot), incarnation=0, state=state, profile=profile, since=0.0)


class Peer:
    """What the commands are handed to."""

    def __init__(self, cluster: Cluster) -> None:
        self.views = cluster.views
        self._cluster = cluster

    def change(self, change: Command) -> Reply[None]:
        return self._cluster.change(change)

    def submit(self, job: JobSpec) -> Reply[None]:
        self._cluster.submitted.append(job)
        reply: Reply[None] = Reply()
        reply.succeed(None)
        return reply


class Cluster(Commands):
    """A worker whose leader grants everything, or what `judge` says; the plan has only what a test decides."""

    def __init__(self) -> None:
        members = (
            member("a", MemberState.ALIVE),
            member("d", MemberState.DEAD, boot=7),
            member("s", MemberState.SUSPECT),
        )
        self.views = Views(View(run=HERE, members=members))
        self.asked: list[Command] = []
        self.submitted: list[JobSpec] = []
        self.judge: Callable[[Command], str] = lambda _: ""
        self.decide(SubmitJob(job=JOB))

    def _running(self) -> PeerThread:
        return cast("PeerThread", Peer(self))

    def change(self, change: Command) -> Reply[None]:
        self.asked.append(change)
        reply: Reply[None] = Reply()
        error = self.judge(change)
        if error:
            reply.fail(UsageError(error))
        else:
            reply.succeed(None)
        return reply

    def decide(self, *changes: Change) -> None:
        plan = self.views.current.plan
        entries = [Entry(index=n, term=1, change=each) for n, each in enumerate(changes, start=plan.index + 1)]
        self.views.publish(attrs.evolve(self.views.current, plan=plan.advance(entries)))

    def give(self, instance: InstanceId, run: Run = HERE) -> int:
        self.decide(Assign(instance=instance, run=run, failures=0, resume_from=b"", reason="", evidence=()))
        return self.plan().index


def with_parallelism(count: int) -> JobSpec:
    first, second = JOB.operators
    return attrs.evolve(JOB, operators=(attrs.evolve(first, parallelism=count), second))


# --- jobs -----------------------------------------------------------------------------------------


def test_a_cancelled_job_is_begun_anew_at_the_version_at_which_it_was_cancelled() -> None:
    cluster = Cluster()
    cluster.decide(UpdateJob(job=with_parallelism(3), base=0, asked_by="x"), CancelJob(job="j", asked_by="x"))
    cluster.submit(JOB, fresh=True).wait(WAIT_S)
    assert cluster.asked == [UpdateJob(job=JOB, base=2, asked_by="a", fresh=True)]
    assert cluster.submitted == []


def test_without_that_wish_or_a_cancellation_a_job_is_merely_submitted() -> None:
    cluster = Cluster()
    cluster.submit(JOB, fresh=True).wait(WAIT_S)
    cluster.decide(CancelJob(job="j", asked_by="x"))
    cluster.submit(JOB).wait(WAIT_S)
    assert (cluster.submitted, cluster.asked) == ([JOB, JOB], [])


def test_an_update_names_the_version_it_was_made_from_and_who_asks() -> None:
    cluster = Cluster()
    cluster.update(JOB).wait(WAIT_S)
    cluster.update(JOB, base=3).wait(WAIT_S)
    assert cluster.asked == [UpdateJob(job=JOB, base=0, asked_by="a"), UpdateJob(job=JOB, base=3, asked_by="a")]


def test_an_update_that_is_malformed_is_refused_before_anybody_is_asked() -> None:
    cluster = Cluster()
    with pytest.raises(UsageError, match=r"operators\[0\].parallelism: expected"):
        cluster.update(with_parallelism(0))
    assert cluster.asked == []


@pytest.mark.parametrize("base", [0, -1, True, "2", 1.0])
def test_a_base_is_a_version(base: object) -> None:
    with pytest.raises(UsageError, match="base: expected a version of the job, from 1 on, or None, got"):
        Cluster().update(JOB, base=cast("int", base))


def test_scaling_changes_one_number_of_the_newest_version() -> None:
    cluster = Cluster()
    cluster.decide(UpdateJob(job=with_parallelism(3), base=0, asked_by="x"))
    cluster.scale("j", "read", 5).wait(WAIT_S)
    assert cluster.asked == [UpdateJob(job=with_parallelism(5), base=2, asked_by="a")]


def test_scaling_is_worked_out_anew_when_the_job_has_changed_meanwhile() -> None:
    cluster = Cluster()
    refused = "base: expected version 2, which the job has come to meanwhile, got 1"
    cluster.judge = lambda change: refused if isinstance(change, UpdateJob) and change.base == 1 else ""
    reply = cluster.scale("j", "write", 4)
    assert not reply.is_settled  # this worker does not know the newer version yet
    cluster.decide(UpdateJob(job=with_parallelism(9), base=0, asked_by="x"))
    reply.wait(WAIT_S)
    made = cluster.asked[-1]
    assert isinstance(made, UpdateJob)
    assert (made.base, [spec.parallelism for spec in made.job.operators]) == (2, [9, 4])


def test_scaling_gives_up_after_so_many_changes_that_came_in_between() -> None:
    cluster = Cluster()

    def judge(change: Command) -> str:
        assert isinstance(change, UpdateJob)
        cluster.decide(UpdateJob(job=with_parallelism(change.base + 10), base=0, asked_by="x"))
        return "base: expected another version"

    cluster.judge = judge
    with patch.object(job_commands, "SCALE_ATTEMPTS_MAX", 3), pytest.raises(UsageError, match="base: expected another"):
        cluster.scale("j", "write", 4).wait(WAIT_S)
    assert len(cluster.asked) == 3


def test_scaling_does_not_revive_a_job_that_was_cancelled_meanwhile() -> None:
    cluster = Cluster()
    cluster.judge = lambda _: "base: the job 'j' was cancelled meanwhile; an update without a base revives it"
    reply = cluster.scale("j", "write", 4)
    cluster.decide(CancelJob(job="j", asked_by="x"))
    with pytest.raises(UsageError, match="job: 'j' was cancelled; an update revives it"):
        reply.wait(WAIT_S)


def test_scaling_fails_with_the_worker() -> None:
    cluster = Cluster()
    cluster.judge = lambda _: "base: expected another version"
    reply = cluster.scale("j", "write", 4)
    with patch.object(cluster, "change", side_effect=WorkerStopped("gone")):
        cluster.views.close()
    with pytest.raises(WorkerStopped, match="gone"):
        reply.wait(WAIT_S)


@pytest.mark.parametrize("parallelism", [0, 1_025, True, "3", 2.0])
def test_a_parallelism_is_refused_at_once(parallelism: object) -> None:
    with pytest.raises(UsageError, match="parallelism: expected an integer from 1 to 1024, got"):
        Cluster().scale("j", "read", cast("int", parallelism))


@pytest.mark.parametrize(
    ("job", "operator", "fault"),
    [
        ("x", "read", r"job: no job is named 'x' \(there are: j\)"),
        ("j", "x", r"operator: the job 'j' has no 'x' \(there are: read, write\)"),
    ],
)
def test_what_is_not_there_cannot_be_scaled(job: str, operator: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        Cluster().scale(job, operator, 2).wait(WAIT_S)


def test_a_cancelled_job_is_not_waited_for_to_finish() -> None:
    cluster = Cluster()
    waiting = cluster.finished("j")
    cluster.cancel("j").wait(WAIT_S)
    assert cluster.asked == [CancelJob(job="j", asked_by="a")]
    cluster.decide(CancelJob(job="j", asked_by="a"))
    for reply in (waiting, cluster.finished("j")):
        with pytest.raises(JobCancelled, match="the job 'j' was cancelled, so it does not finish"):
            reply.wait(WAIT_S)


def test_a_job_with_an_instance_in_quarantine_is_not_waited_for_to_finish() -> None:
    cluster = Cluster()
    waiting = cluster.finished("j")
    epoch = cluster.give(WRITE)
    assert not waiting.is_settled
    cluster.decide(Quarantine(instance=WRITE, epoch=epoch, reason="fatal: no such table", evidence=()))
    with pytest.raises(JobFailed, match=r"j/write\[0\] is in quarantine: fatal: no such table") as caught:
        waiting.wait(WAIT_S)
    assert (caught.value.job, caught.value.instance) == ("j", "j/write[0]")


def test_after_a_pardon_a_job_can_be_waited_for_again() -> None:
    cluster = Cluster()
    cluster.decide(Quarantine(instance=WRITE, epoch=cluster.give(WRITE), reason="", evidence=()))
    cluster.decide(Pardon(instance=WRITE, asked_by="a"))
    waiting = cluster.finished("j")
    for instance in JOB.instances():
        assert not waiting.is_settled
        cluster.decide(Conclude(instance=instance, epoch=cluster.give(instance)))
    waiting.wait(WAIT_S)


def test_a_job_that_nobody_has_submitted_yet_is_waited_for() -> None:
    assert not Cluster().finished("later").is_settled


@pytest.mark.parametrize(
    ("target", "instances"),
    [
        ("j", ["j/read[0]", "j/read[1]", "j/write[0]"]),
        ("j/read", ["j/read[0]", "j/read[1]"]),
        ("j/read[1]", ["j/read[1]"]),
        (WRITE, ["j/write[0]"]),
    ],
)
def test_a_job_an_operator_or_an_instance_is_restarted(target: str | InstanceId, instances: list[str]) -> None:
    cluster = Cluster()
    cluster.restart(target).wait(WAIT_S)
    (asked,) = cluster.asked
    assert isinstance(asked, Restart)
    assert [str(each) for each in asked.instances] == instances
    assert asked.reason == "asked for at a"


def test_what_has_finished_is_left_out_of_a_restart() -> None:
    cluster = Cluster()
    cluster.decide(Conclude(instance=WRITE, epoch=cluster.give(WRITE)))
    cluster.restart("j").wait(WAIT_S)
    (asked,) = cluster.asked
    assert isinstance(asked, Restart)
    assert WRITE not in asked.instances
    with pytest.raises(UsageError, match=r"target: nothing of j/write is executed, so it cannot be restarted"):
        cluster.restart("j/write")


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("x", "job: no job is named 'x'"),
        ("x/read[0]", "job: no job is named 'x'"),
        ("j/x", r"target: the job 'j' has no operator 'x' \(there are: read, write\)"),
        ("j/", r"target: the job 'j' has no operator ''"),
        ("j/read[2]", r"target: nothing of j/read\[2\] is executed"),
        ("j/read[x]", r"target: expected 'job/operator\[index\]'"),
        (7, "target: expected text, got 7"),
    ],
)
def test_a_target_that_is_none_is_refused(target: object, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        Cluster().restart(cast("str", target))


def test_a_restart_of_more_than_one_command_can_name_takes_several_and_is_settled_after_the_last() -> None:
    cluster = Cluster()
    with patch.object(job_commands, "RESTARTED_AT_ONCE", 2):
        cluster.restart("j").wait(WAIT_S)
        assert [len(each.instances) for each in cluster.asked if isinstance(each, Restart)] == [2, 1]
        cluster.judge = lambda change: "no" if isinstance(change, Restart) and len(change.instances) == 1 else ""
        with pytest.raises(UsageError, match="no"):
            cluster.restart("j").wait(WAIT_S)


def test_an_instance_is_pardoned_by_name_or_by_id() -> None:
    cluster = Cluster()
    cluster.pardon("j/write[0]").wait(WAIT_S)
    cluster.pardon(WRITE).wait(WAIT_S)
    assert cluster.asked == [Pardon(instance=WRITE, asked_by="a")] * 2
    with pytest.raises(UsageError, match="instance: expected 'job/operator"):
        cluster.pardon("j/write")


def test_jobs_are_shown_with_how_they_stand() -> None:
    cluster = Cluster()
    (status,) = cluster.jobs()
    assert status == cluster.job("j")
    assert (status.name, status.state.value, status.counts) == ("j", "pending", {"pending": 3})
    with pytest.raises(UsageError, match=r"job: no job is named 'x' \(there are: j\)"):
        cluster.job("x")


# --- where they run -------------------------------------------------------------------------------


def test_a_worker_is_cordoned_drained_and_given_instances_again() -> None:
    cluster = Cluster()
    cluster.cordon("w").wait(WAIT_S)
    cluster.drain("w", reason="new disk").wait(WAIT_S)
    cluster.uncordon("w").wait(WAIT_S)
    assert [(each.mode, each.reason) for each in cluster.asked if isinstance(each, SetWorkerMode)] == [
        ("cordoned", ""),
        ("draining", "new disk"),
        ("", ""),
    ]


@pytest.mark.parametrize("reason", ["x" * 201, "two\nlines", 7])
def test_a_reason_is_short_and_one_line(reason: object) -> None:
    with pytest.raises(UsageError, match="reason: expected"):
        Cluster().drain("w", reason=cast("str", reason))


@pytest.mark.parametrize("name", ["", "a b", 7])
def test_a_worker_is_named(name: object) -> None:
    for act in (Cluster().cordon, Cluster().declare_dead):
        with pytest.raises(UsageError, match="name: expected"):
            act(cast("str", name))


def test_a_worker_is_drained_once_nothing_is_assigned_to_any_run_of_it() -> None:
    cluster = Cluster()
    cluster.give(WRITE, Run("d", 6))
    reply = cluster.drained("d")
    assert not reply.is_settled
    cluster.give(WRITE)
    reply.wait(WAIT_S)


def test_a_worker_is_drained_although_something_that_ended_there_is_in_quarantine() -> None:
    cluster = Cluster()
    epoch = cluster.give(WRITE, Run("d", 7))
    cluster.decide(Quarantine(instance=WRITE, epoch=epoch, reason="used up", evidence=()))
    status = InstanceStatus(
        instance=WRITE, epoch=epoch, run=Run("d", 7), seq=1, state=InstanceState.RUNNING, since_ms=0
    )
    cluster.views.publish(attrs.evolve(cluster.view(), statuses=(status,)))
    assert cluster.view().assigned_to("d") == (WRITE,)
    status = attrs.evolve(status, state=InstanceState.FAILED)
    cluster.views.publish(attrs.evolve(cluster.view(), statuses=(status,)))
    assert cluster.view().assigned_to("d") == ()


def test_a_worker_that_hands_over_is_drained_once_the_other_copy_runs() -> None:
    cluster = Cluster()
    cluster.give(WRITE, Run("d", 7))
    reply = cluster.drained("d")
    moved = Assign(instance=WRITE, run=HERE, failures=0, resume_from=b"", reason="", evidence=(), handover=True)
    cluster.decide(moved)
    for state in (InstanceState.STARTING, InstanceState.RUNNING):
        assert not reply.is_settled
        assert cluster.view().assigned_to("d") == (WRITE,)
        status = InstanceStatus(instance=WRITE, epoch=cluster.plan().index, run=HERE, seq=1, state=state, since_ms=0)
        cluster.views.publish(attrs.evolve(cluster.view(), statuses=(status,)))
    reply.wait(WAIT_S)
    assert cluster.view().assigned_to("d") == ()


def test_nobody_waits_for_a_worker_that_is_not_known() -> None:
    with pytest.raises(UsageError, match="name: no worker of the name 'x' is known"):
        Cluster().drained("x")


def test_the_run_that_is_seen_as_gone_is_declared_dead() -> None:
    cluster = Cluster()
    cluster.declare_dead("d").wait(WAIT_S)
    assert cluster.asked == [DeclareDead(run=Run("d", 7), asked_by="a")]


def test_a_worker_that_nobody_remembers_is_declared_dead_by_what_is_assigned_to_it() -> None:
    cluster = Cluster()
    cluster.give(InstanceId("j", "read", 0), Run("z", 3))
    cluster.give(WRITE, Run("z", 4))
    cluster.declare_dead("z").wait(WAIT_S)
    assert cluster.asked == [DeclareDead(run=Run("z", 4), asked_by="a")]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a", "name: a is alive; nobody may declare it dead"),
        ("s", "name: s is suspect; nobody may declare it dead"),
        ("x", "name: no worker of the name 'x' is known, and nothing is assigned to it"),
    ],
)
def test_only_who_is_gone_can_be_declared_dead(name: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        Cluster().declare_dead(name)


def test_rebalancing_is_so_many_moves_or_none() -> None:
    cluster = Cluster()
    cluster.set_rebalancing(2).wait(WAIT_S)
    assert cluster.asked == [SetPolicy(rebalance_moves=2, asked_by="a")]
    for moves in (-1, 1_025, True, "2"):
        with pytest.raises(UsageError, match="moves: expected an integer from 0 to 1024, got"):
            cluster.set_rebalancing(cast("int", moves))


def test_an_empty_plan_has_no_jobs() -> None:
    cluster = Cluster()
    cluster.views = Views(View(run=HERE, plan=Plan()))
    assert cluster.jobs() == ()


def test_the_members_that_a_worker_tells_come_with_their_modes() -> None:
    cluster = Cluster()
    cluster.decide(SetWorkerMode(name="d", mode=CORDONED, level=0, boot=0, reason="", asked_by="a"))
    rows = control._members(cluster.view())["members"]
    assert isinstance(rows, list)
    assert [(row["name"], row["mode"]) for row in rows if isinstance(row, dict)] == [
        ("a", ""), ("d", "cordoned"), ("s", "")
    ]  # fmt: skip
