"""What the control port says of what it knows."""

from __future__ import annotations

from swimstream.model.identity import Address, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import Member, MemberState, Profile
from swimstream.model.plan import Assign, Entry, Evict, Found, Seat, SubmitJob
from swimstream.model.plan import Plan as PlanValue
from swimstream.runtime.control_json import operators_json
from swimstream.runtime.view import View

A, B = Run("a", 1), Run("b", 1)
JOB = JobSpec(name="job", operators=(OperatorSpec(name="op", kind="map"),))
CHANGES = (
    Found(cluster_id=1, council=(Seat("a", 1),)),
    SubmitJob(job=JOB),
    Assign(
        instance=next(JOB.instances()), run=B, failures=0, resume_from=b"", reason="the job was accepted", evidence=()
    ),
    Evict(run=B, reason="declared dead", evidence=()),
)


def row_after(count: int, *, kinds: tuple[str, ...]) -> tuple[object, object]:
    """Return state and cause of the instance after so many changes, with `a` as the only live worker."""
    entries = [Entry(index=index, term=1, change=change) for index, change in enumerate(CHANGES[:count], start=1)]
    profile = Profile(address=Address("127.0.0.1", 1), kinds=kinds)
    member = Member(run=A, incarnation=0, state=MemberState.ALIVE, profile=profile, since=0.0)
    (row,) = operators_json(View(run=A, members=(member,), plan=PlanValue().advance(entries)))
    assert isinstance(row, dict)
    return row["state"], row["cause"]


def test_an_instance_that_nobody_can_run_says_why_it_waits() -> None:
    assert row_after(2, kinds=()) == ("pending", "no live worker runs kind 'map'")


def test_an_instance_whose_worker_was_evicted_waits_again() -> None:
    assert row_after(4, kinds=()) == ("pending", "no live worker runs kind 'map'")
    assert row_after(4, kinds=("map",)) == ("pending", "waits for the leader to decide")


def test_an_instance_that_was_given_to_a_worker_waits_for_nothing() -> None:
    assert row_after(3, kinds=("map",)) == ("assigned", "")
