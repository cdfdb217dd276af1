"""Fake views of a node, to show the observer what no real node should."""

from __future__ import annotations

import attrs

from swimstream.model.changes import Assign, Change, Conclude, Entry, Found, Seat, SubmitJob
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import Member, MemberState, Profile
from swimstream.model.plan import Plan, PlanMark
from swimstream.model.status import InstanceState, InstanceStatus

JOB = JobSpec(name="job", operators=(OperatorSpec(name="source", kind="work"),))
INSTANCE = InstanceId("job", "source", 0)
PROFILE = Profile(address=Address("10.0.0.1", 1))


@attrs.define(eq=False)
class FakeView:
    """A node that says what the test wants it to say."""

    name: str = "a"
    boot: int = 1
    plan: Plan = attrs.field(factory=Plan)
    term: int = 1
    leader: str = "a"
    is_leader: bool = False
    held: tuple[Member, ...] = ()
    told: tuple[InstanceStatus, ...] = ()

    @property
    def run(self) -> Run:
        """Return who it is."""
        return Run(self.name, self.boot)

    @property
    def mark(self) -> PlanMark:
        """Return what it says of term and leader."""
        return PlanMark(term=self.term, leader=self.leader, index=self.plan.index)

    def members(self) -> tuple[Member, ...]:
        """Return whom it remembers."""
        return self.held

    def statuses(self) -> tuple[InstanceStatus, ...]:
        """Return the statuses it knows."""
        return self.told


def member(
    name: str,
    *,
    boot: int = 1,
    incarnation: int = 0,
    state: MemberState = MemberState.ALIVE,
    accusers: tuple[str, ...] = (),
) -> Member:
    """Return a record of a member."""
    run = Run(name, boot)
    return Member(run=run, incarnation=incarnation, state=state, profile=PROFILE, since=0.0, accusers=accusers)


def assign(name: str) -> Assign:
    """Return the change that gives the one instance to a worker."""
    return Assign(instance=INSTANCE, run=Run(name, 1), failures=0, resume_from=b"", reason="submitted", evidence=())


FOUNDED = Found(cluster_id=7, council=(Seat("a", 1), Seat("b", 1), Seat("c", 1)))
SUBMITTED = SubmitJob(job=JOB)


def plan_after(*changes: Change, term: int = 1) -> Plan:
    """Return the plan after these changes, all of one term."""
    return Plan().advance(Entry(index=index, term=term, change=change) for index, change in enumerate(changes, start=1))


RUNNING_PLAN = plan_after(FOUNDED, SUBMITTED, assign("a"))
FINISHED_PLAN = plan_after(FOUNDED, SUBMITTED, assign("a"), Conclude(instance=INSTANCE, epoch=3))


def status(state: InstanceState = InstanceState.RUNNING, *, epoch: int = 3, name: str = "a") -> InstanceStatus:
    """Return a status of the one instance."""
    return InstanceStatus(instance=INSTANCE, epoch=epoch, run=Run(name, 1), seq=1, state=state, since_ms=0)


def with_run(plan: Plan, run: Run) -> Plan:
    """Return `plan` with the one assignment altered, as no log could."""
    held = attrs.evolve(plan.assignments[INSTANCE], run=run)
    return attrs.evolve(plan, assignments={INSTANCE: held})
