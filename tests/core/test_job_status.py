"""How jobs stand, worked out of the plan, the statuses and the members."""

from __future__ import annotations

import attrs
import pytest

from swimstream.core.job_status import JobState, JobStatus, job_statuses
from swimstream.model.changes import (
    Assign,
    CancelJob,
    Change,
    Conclude,
    Entry,
    Forget,
    Quarantine,
    Restart,
    SubmitJob,
    UpdateJob,
)
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import Member, MemberState, Profile
from swimstream.model.plan import Plan
from swimstream.model.status import InstanceState, InstanceStatus

A = Run("a", 1)
READ, SORT, WRITE = (InstanceId("j", name, 0) for name in ("read", "sort", "write"))
CHAIN = JobSpec(
    name="j",
    operators=(
        OperatorSpec(name="read", kind="k"),
        OperatorSpec(name="sort", kind="k", inputs=("read",)),
        OperatorSpec(name="write", kind="k", inputs=("sort",)),
    ),
)


def with_guarantee(guarantee: str) -> JobSpec:
    return JobSpec(name="j", operators=(OperatorSpec(name="read", kind="k", instances=guarantee),))


class Story:
    """What has been decided, and what the worker `a`, the only one, says of the instances that it was given."""

    def __init__(self, job: JobSpec = CHAIN, *, member: MemberState = MemberState.ALIVE) -> None:
        self.plan = Plan()
        self.statuses: dict[InstanceId, InstanceStatus] = {}
        self.member = Member(
            run=A,
            incarnation=0,
            state=member,
            profile=Profile(address=Address("h", 1), kinds=("k",), capacity=64),
            since=0.0,
        )
        self.decide(SubmitJob(job=job))

    def decide(self, *changes: Change) -> Story:
        start = self.plan.index + 1
        self.plan = self.plan.advance(Entry(index=n, term=1, change=each) for n, each in enumerate(changes, start))
        return self

    def run(self, instance: InstanceId, state: InstanceState = InstanceState.RUNNING, *, cause: str = "") -> Story:
        """Have `a` be given an instance and say that much of it."""
        self.decide(Assign(instance=instance, run=A, failures=0, resume_from=b"", reason="", evidence=()))
        epoch = self.plan.assignments[instance].epoch
        self.statuses[instance] = InstanceStatus(
            instance=instance, epoch=epoch, run=A, seq=1, state=state, since_ms=0, cause=cause
        )
        return self

    def finish(self, instance: InstanceId) -> Story:
        self.run(instance, InstanceState.FINISHED)
        return self.decide(Conclude(instance=instance, epoch=self.plan.index))

    def accuse(self, instance: InstanceId) -> Story:
        epoch = self.plan.assignments[instance].epoch
        return self.decide(Quarantine(instance=instance, epoch=epoch, reason="no more attempts", evidence=()))

    def status(self) -> JobStatus:
        return job_statuses(self.plan, self.statuses, [self.member])["j"]

    def state(self) -> JobState:
        return self.status().state


def test_a_job_that_was_just_submitted_is_pending_and_says_why() -> None:
    status = Story().status()
    assert (status.state, status.counts) == (JobState.PENDING, {"pending": 3})
    assert status.why == "j/read[0] is pending: waits for the leader to decide"


def test_what_is_assigned_but_was_not_heard_of_does_not_run_yet() -> None:
    story = Story().run(READ)
    story.statuses.clear()
    assert (story.state(), story.status().counts) == (JobState.PENDING, {"assigned": 1, "pending": 2})


def test_a_job_runs_once_all_of_it_runs() -> None:
    story = Story().run(READ).run(SORT)
    assert story.state() is JobState.DEGRADED
    assert story.run(WRITE).state() is JobState.RUNNING
    assert story.status().why == ""


def test_what_has_finished_does_not_degrade_the_rest() -> None:
    assert Story().finish(READ).run(SORT).run(WRITE).state() is JobState.RUNNING


def test_a_job_has_finished_once_all_of_it_is_concluded() -> None:
    story = Story().finish(READ).finish(SORT).run(WRITE, InstanceState.FINISHED)
    assert story.state() is JobState.RUNNING
    assert story.finish(WRITE).state() is JobState.FINISHED


@pytest.mark.parametrize(
    "state", [InstanceState.FAILED, InstanceState.STALLED, InstanceState.FROZEN, InstanceState.ISOLATED]
)
def test_one_that_does_not_run_degrades_its_job_and_is_named(state: InstanceState) -> None:
    status = Story().run(READ).run(SORT, state, cause="boom").run(WRITE).status()
    assert (status.state, status.why) == (JobState.DEGRADED, f"j/sort[0] is {state.name.lower()}: boom")


def test_who_waits_for_a_blocking_input_does_not_degrade_the_job() -> None:
    first, second, third = CHAIN.operators
    blocked = attrs.evolve(CHAIN, operators=(first, attrs.evolve(second, blocking=("read",)), third))
    story = Story(blocked).run(READ).run(WRITE)
    assert story.state() is JobState.RUNNING
    assert story.finish(READ).state() is JobState.DEGRADED


def test_a_job_fails_once_all_that_is_left_reads_from_what_is_in_quarantine() -> None:
    story = Story().run(READ).run(SORT).run(WRITE).accuse(SORT)
    assert story.state() is JobState.DEGRADED  # `read` goes on
    assert story.finish(READ).state() is JobState.FAILED  # `write` runs, and gets nothing
    assert story.status().why == "j/sort[0] is quarantined: no more attempts"


def test_a_cancelled_job_is_cancelling_until_its_workers_say_that_it_has_stopped() -> None:
    story = Story().run(READ).run(SORT).decide(CancelJob(job="j", asked_by="a"))
    status = story.status()
    assert (status.state, status.counts) == (JobState.CANCELLING, {"cancelled": 1, "stopping": 2})
    for instance in (READ, SORT):
        story.statuses[instance] = attrs.evolve(story.statuses[instance], state=InstanceState.STOPPED)
    assert (story.state(), story.status().why) == (JobState.CANCELLED, "")


def test_a_cancelled_job_does_not_wait_for_what_a_dead_worker_said() -> None:
    story = Story(member=MemberState.DEAD).run(READ).decide(CancelJob(job="j", asked_by="a"))
    assert story.state() is JobState.CANCELLED


def test_a_cancelled_job_waits_for_the_certain_end_of_what_runs_at_most_once() -> None:
    story = Story(with_guarantee("at-most-one"), member=MemberState.DEAD).run(READ)
    epoch = story.plan.index
    assert story.decide(CancelJob(job="j", asked_by="a")).state() is JobState.CANCELLING
    assert story.decide(Forget(instance=READ, epoch=epoch, reason="")).state() is JobState.CANCELLED


def test_a_job_that_is_revived_is_pending_in_a_new_version() -> None:
    story = Story().run(READ).decide(CancelJob(job="j", asked_by="a"), UpdateJob(job=CHAIN, base=0, asked_by="a"))
    assert (story.state(), story.status().version) == (JobState.PENDING, 2)


def test_what_was_taken_from_a_job_is_shown_until_it_has_ended_and_does_not_count() -> None:
    both = JobSpec(name="j", operators=(*with_guarantee("at-most-one").operators, OperatorSpec(name="sort", kind="k")))
    story = Story(both).run(READ).run(SORT)
    story.decide(UpdateJob(job=JobSpec(name="j", operators=both.operators[1:]), base=0, asked_by="a"))
    status = story.status()
    assert [(str(each.instance), each.state) for each in status.instances] == [
        ("j/sort[0]", "running"),
        ("j/read[0]", "retired"),
    ]
    assert status.state is JobState.RUNNING


def test_what_is_to_be_restarted_says_so_and_its_job_does_not_run_until_it_was() -> None:
    story = Story().run(READ).run(SORT).run(WRITE).decide(Restart(instances=(READ,), reason="", evidence=()))
    status = story.status()
    assert (status.state, status.why) == (
        JobState.DEGRADED,
        "j/read[0] is running: out of date: is to be restarted",
    )
    assert [each.is_outdated for each in status.instances] == [True, False, False]
    assert story.run(READ).state() is JobState.RUNNING


def test_what_a_worker_said_of_an_earlier_copy_says_nothing_of_this_one() -> None:
    story = Story().run(READ)
    story.decide(Assign(instance=READ, run=A, failures=0, resume_from=b"", reason="", evidence=()))
    assert story.status().instances[0].state == "assigned"
