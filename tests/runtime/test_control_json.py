"""What the control port says of what it knows."""

from __future__ import annotations

import pytest

from swimstream.events import IsolationChanged
from swimstream.model.changes import Assign, Change, Entry, Evict, Found, Hold, Release, Revoke, Seat, SubmitJob
from swimstream.model.coordinate import Coordinate
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import NOTHING_SEEN, Evidence, Member, MemberState, Profile
from swimstream.model.plan import Plan as PlanValue
from swimstream.model.plan import PlanMark
from swimstream.model.status import ErrorClass, InstanceState, InstanceStatus
from swimstream.runtime.control_json import (
    authority_json,
    event_json,
    leader_json,
    member_json,
    operators_json,
    status_json,
)
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


def test_what_a_dead_worker_said_last_is_marked_as_that() -> None:
    changes: tuple[Change, ...] = CHANGES[:3]
    entries = [Entry(index=index, term=1, change=change) for index, change in enumerate(changes, start=1)]
    profile = Profile(address=Address("127.0.0.1", 1), kinds=("map",))
    dead = Member(run=B, incarnation=0, state=MemberState.DEAD, profile=profile, since=0.0)
    view = View(run=A, members=(dead,), plan=PlanValue().advance(entries))
    (row,) = operators_json(view)
    assert isinstance(row, dict)
    assert row["cause"] == "was the last that was heard: its worker is dead, and nothing is decided yet"


def test_the_last_leader_comes_with_the_state_of_its_worker() -> None:
    dead = Member(
        run=B, incarnation=0, state=MemberState.DEAD, profile=Profile(address=Address("127.0.0.1", 1)), since=0.0
    )
    mark = PlanMark(term=2, leader="b", index=0)
    assert leader_json(View(run=A, members=(dead,), mark=mark))["state"] == "dead"
    assert leader_json(View(run=A))["state"] == "unknown"


def test_an_instance_tells_its_guarantee_and_what_stops_it() -> None:
    once = InstanceId("job", "op", 0)
    job = JobSpec(name="job", operators=(OperatorSpec(name="op", kind="map", instances="at-most-one", hold_for_s=30),))
    changes: list[Change] = [Found(cluster_id=1, council=(Seat("a", 1),)), SubmitJob(job=job), CHANGES[2]]

    def row(*more: Change) -> dict[str, object]:
        entries = [Entry(index=index, term=1, change=each) for index, each in enumerate([*changes, *more], start=1)]
        (told,) = operators_json(View(run=A, plan=PlanValue().advance(entries)))
        assert isinstance(told, dict)
        return {key: told[key] for key in ("guarantee", "hold_for_s", "held", "revoked", "stopped_at")}

    free: dict[str, object] = {"guarantee": "at-most-one", "hold_for_s": 30.0, "held": False, "revoked": 0}
    held = Hold(run=B, reason="suspected", evidence=())
    assert row() == free | {"stopped_at": 0}
    assert row(held) == free | {"held": True, "stopped_at": 4}
    assert row(held, Release(run=B, reason="it lives")) == free | {"stopped_at": 0}
    assert row(Revoke(instance=once, epoch=3, reason="late")) == free | {"revoked": 4, "stopped_at": 4}


def test_an_isolated_worker_says_so() -> None:
    plan = PlanValue(isolation_ms=6_000, drift_ppm=10_000)
    told = authority_json(View(run=A, plan=plan, is_isolated=True, authority_issued_at=1.0), now=8.12345)
    assert told == {"isolated": True, "age_s": 7.123, "lasts_s": 6.0, "drift": 0.01}
    assert authority_json(View(run=A), now=8.0) == {"isolated": False, "age_s": None, "lasts_s": 0.0, "drift": 0.0}


def test_an_instance_that_was_given_to_a_worker_waits_for_nothing() -> None:
    assert row_after(3, kinds=("map",)) == ("assigned", "")


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (Evidence(relays=3, nacks=3, stream_refused=True), "no ack in time, 3 relays asked, 3 nacks, stream refused"),
        (Evidence(relays=1, nacks=0, datagram_refused=True), "datagram refused, 1 relay asked, no nacks"),
        (Evidence(relays=2, nacks=1), "no ack in time, 2 relays asked, 1 nack"),
        (NOTHING_SEEN, "no ack in time"),
    ],
)
def test_a_suspect_comes_with_what_its_accusers_saw_in_words(evidence: Evidence, words: str) -> None:
    profile = Profile(address=Address("127.0.0.1", 1))
    member = Member(run=B, incarnation=0, state=MemberState.SUSPECT, profile=profile, since=0.0)
    assert member_json(member.accused_by("w3", evidence), now=1.0)["evidence"] == [f"w3: {words}"]


def test_a_round_trip_is_estimated_between_any_two_that_are_placed() -> None:
    places = {"a": Coordinate(height_s=0.01), "b": Coordinate(height_s=0.02), "c": Coordinate(height_s=0.04)}
    view = View(run=A, coordinates=places)
    assert view.rtt_s("b") == pytest.approx(0.03)
    assert view.rtt_s("b", to="c") == pytest.approx(0.06)
    assert view.rtt_s("d") is None


@pytest.mark.parametrize(("age_s", "shown"), [(7.5, 7.5), (float("inf"), None)])
def test_isolation_is_told_with_the_age_of_the_newest_proof_if_there_is_one(age_s: float, shown: float | None) -> None:
    row = event_json(IsolationChanged(is_isolated=True, age_s=age_s), now=0.0)
    assert row == {"event": "isolation", "is_isolated": True, "age_s": shown}


def test_an_instance_comes_with_what_it_says_of_its_input() -> None:
    instance = next(JOB.instances())
    changes: tuple[Change, ...] = CHANGES[:3]
    plan = PlanValue().advance(Entry(index=index, term=1, change=each) for index, each in enumerate(changes, 1))
    status = InstanceStatus(
        instance=instance, epoch=3, run=B, seq=1, state=InstanceState.STALLED, since_ms=1, watermark_ms=17, backlog=4,
        cause="no progress: stands at a.py:3 f",
    )  # fmt: skip
    profile = Profile(address=Address("127.0.0.1", 1), kinds=("map",))
    member = Member(run=B, incarnation=0, state=MemberState.ALIVE, profile=profile, since=0.0)
    (row,) = operators_json(View(run=A, members=(member,), plan=plan, statuses=(status,)))
    assert isinstance(row, dict)
    assert (row["state"], row["watermark_ms"], row["backlog"], row["error"]) == ("stalled", 17, 4, "")
    assert row["cause"] == "no progress: stands at a.py:3 f"


@pytest.mark.parametrize("state", list(InstanceState))
def test_a_kind_of_failure_is_named_of_what_has_failed_alone(state: InstanceState) -> None:
    said = InstanceStatus(
        instance=next(JOB.instances()), epoch=3, run=B, seq=1, state=state, since_ms=1, error=ErrorClass.FATAL
    )
    assert status_json(said)["error"] == ("fatal" if state is InstanceState.FAILED else "")
    assert status_json(said)["backlog"] is None
