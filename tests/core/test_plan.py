"""What the plan makes of its entries: nothing depends on how they are batched, and stops say who is waited for."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from swimstream.model import execution
from swimstream.model.changes import (
    Assign,
    CancelJob,
    Change,
    ChangeCouncil,
    Conclude,
    Entry,
    Evict,
    Found,
    Hold,
    RecoverCouncil,
    Release,
    ResizeCouncil,
    Revoke,
    Seat,
    SetAuthority,
    SubmitJob,
)
from swimstream.model.holdings import held_by_run
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, PINNED, JobSpec, OperatorSpec
from swimstream.model.plan import Plan
from swimstream.wire.plan_codec import encode_plan
from swimstream.wire.plan_reader import decode_plan_untrusted

if TYPE_CHECKING:
    import pytest

thorough = settings(deadline=None, max_examples=200)

JOB = JobSpec(
    name="job",
    operators=(
        OperatorSpec(name="once", kind="map", parallelism=2, instances=AT_MOST_ONE),
        OperatorSpec(name="often", kind="map", instances=AT_LEAST_ONE),
        OperatorSpec(name="here", kind="map", instances=PINNED),
    ),
)
ONCE, OFTEN = InstanceId("job", "once", 0), InstanceId("job", "often", 0)
A1, A2, B1 = Run("a", 1), Run("a", 2), Run("b", 1)
SEATS = tuple(Seat(name, 1) for name in "abcdefgh")

_runs = st.sampled_from([A1, A2, B1])
_instances = st.sampled_from([*JOB.instances(), InstanceId("job", "once", 9), InstanceId("other", "once", 0)])
_changes: st.SearchStrategy[Change] = st.one_of(
    st.just(SubmitJob(job=JOB)),
    st.builds(Assign, instance=_instances, run=_runs, failures=st.just(0), resume_from=st.just(b""),
              reason=st.just(""), evidence=st.just(())),
    st.builds(Evict, run=_runs, reason=st.just(""), evidence=st.just(())),
    st.builds(Hold, run=_runs, reason=st.just(""), evidence=st.just(())),
    st.builds(Release, run=_runs, reason=st.just("")),
    st.builds(Conclude, instance=_instances, epoch=st.integers(1, 12)),
    st.builds(Revoke, instance=_instances, epoch=st.integers(1, 12), reason=st.just("")),
    st.builds(SetAuthority, isolation_ms=st.integers(1, 9), drift_ppm=st.integers(0, 9)),
    st.builds(ResizeCouncil, seats=st.sampled_from([1, 3, 5, 7]), asked_by=st.just("a")),
    st.builds(ChangeCouncil, council=st.integers(1, 8).map(lambda size: SEATS[:size]), reason=st.just(""),
              evidence=st.just(())),
    st.builds(RecoverCouncil, council=st.just(SEATS[:1]), lost=st.just(("b",)), asked_by=st.just("a")),
)  # fmt: skip


def entries_of(*changes: Change) -> list[Entry]:
    """Return the log of these changes, after a founding with three seats and the job."""
    begin: list[Change] = [Found(cluster_id=7, council=SEATS[:3]), SubmitJob(job=JOB)]
    return [Entry(index=1 + place, term=1, change=change) for place, change in enumerate([*begin, *changes])]


def plan_of(*changes: Change) -> Plan:
    """Return the plan after these changes, of which the first has index 3."""
    return Plan().advance(entries_of(*changes))


def assign(run: Run, *, instance: InstanceId = ONCE) -> Assign:
    return Assign(instance=instance, run=run, failures=0, resume_from=b"", reason="", evidence=())


def evict(run: Run) -> Evict:
    return Evict(run=run, reason="", evidence=())


def hold(run: Run) -> Hold:
    return Hold(run=run, reason="", evidence=())


def release(run: Run) -> Release:
    return Release(run=run, reason="")


histories = st.lists(_changes, max_size=20).map(lambda changes: entries_of(*changes))


# --- whatever the entries -------------------------------------------------------------------------


@thorough
@given(histories, st.lists(st.integers(0, 22), max_size=4))
def test_how_entries_are_batched_does_not_matter(history: list[Entry], cuts: list[int]) -> None:
    plan = Plan()
    ends = [0, *sorted(min(cut, len(history)) for cut in cuts), len(history)]
    for first, last in pairwise(ends):
        plan = plan.advance(history[first:last])
    assert plan == Plan().advance(history)


@thorough
@given(histories, st.integers(0, 22))
def test_a_peer_that_begins_with_a_snapshot_comes_to_the_same_plan(history: list[Entry], cut: int) -> None:
    snapshot = decode_plan_untrusted(encode_plan(Plan().advance(history[:cut])))
    assert encode_plan(snapshot.advance(history[cut:])) == encode_plan(Plan().advance(history))


@thorough
@given(histories, st.integers(0, 22), st.booleans())
def test_the_index_of_who_holds_what_is_kept_up(history: list[Entry], cut: int, cancels: bool) -> None:  # noqa: FBT001  # drawn
    end = [Entry(index=len(history) + 1, term=1, change=CancelJob(job="job", asked_by="a"))] if cancels else []
    plan = Plan().advance(history[:cut])
    before = held_by_run(plan.assignments.values())
    after = plan.advance([*history[cut:], *end])
    assert after.held == held_by_run(after.assignments.values())
    assert plan.held == before, "what was made of it must not change it"


@thorough
@given(histories)
def test_whoever_must_be_waited_for_has_a_stop_and_nobody_who_is_gone_otherwise(history: list[Entry]) -> None:
    plan = Plan().advance(history)
    unfinished = {
        held.run
        for held in plan.assignments.values()
        if not held.finished and plan.guarantee_of(held.instance) == AT_MOST_ONE
    }
    gone = {run for run in {A1, A2, B1} if plan.is_evicted(run)}
    assert unfinished & gone == {run for run in plan.stops if run in gone}


@thorough
@given(histories)
def test_a_run_is_held_since_the_first_hold_after_its_last_release(history: list[Entry]) -> None:
    plan = Plan().advance(history)
    since: dict[Run, int] = {}
    for entry in history:
        match entry.change:
            case Hold(run=run):
                since.setdefault(run, entry.index)
            case Release(run=run):
                since.pop(run, None)
            case _:
                pass
    for run in (A1, A2, B1):
        if not plan.is_evicted(run):
            assert plan.stops.get(run, 0) == since.get(run, 0)
            assert plan.is_held(run) == (run in since)


@thorough
@given(histories)
def test_what_stops_an_assignment_came_after_it_or_held_its_run_before(history: list[Entry]) -> None:
    plan = Plan().advance(history)
    for held in plan.assignments.values():
        assert held.revoked == 0 or held.epoch < held.revoked <= plan.index
        stop = plan.stop_index(held)
        assert stop == 0 or stop in (held.revoked, plan.stops.get(held.run))


# --- one by one -----------------------------------------------------------------------------------


def test_a_hold_stops_what_a_release_lets_go_on() -> None:
    held = plan_of(assign(A1), hold(A1))
    assert held.stop_index(held.assignments[ONCE]) == 4
    assert held.is_held(A1)
    free = plan_of(assign(A1), hold(A1), release(A1))
    assert free.stop_index(free.assignments[ONCE]) == 0
    assert not free.is_held(A1)


def test_a_second_hold_does_not_begin_anew_but_one_after_a_release_does() -> None:
    assert plan_of(hold(A1), hold(A1)).stops == {A1: 3}
    assert plan_of(hold(A1), release(A1), hold(A1)).stops == {A1: 5}


def test_an_eviction_keeps_the_index_of_the_hold_before_it() -> None:
    plan = plan_of(assign(A1), hold(A1), evict(A1))
    assert plan.stop_index(plan.assignments[ONCE]) == 4


def test_who_is_gone_for_good_is_not_released() -> None:
    plan = plan_of(assign(A1), evict(A1), release(A1))
    assert plan.stops == {A1: 4}


def test_an_eviction_reaches_the_earlier_runs_of_the_name() -> None:
    plan = plan_of(assign(A1), evict(A2))
    assert plan.stops == {A1: 4}
    assert plan.is_held(A2)


def test_nobody_waits_for_a_run_without_an_at_most_one_instance() -> None:
    """So an eviction alone makes no plan that a peer of an earlier version refuses."""
    assert plan_of(assign(A1, instance=OFTEN), evict(A1)).stops == {}


def test_nobody_waits_any_more_once_it_was_given_to_another_or_has_finished() -> None:
    assert plan_of(assign(A1), evict(A1), assign(B1)).stops == {}
    assert plan_of(assign(A1), evict(A1), Conclude(instance=ONCE, epoch=3)).stops == {}


def test_a_held_run_stays_held_when_its_instance_goes_to_another() -> None:
    assert plan_of(assign(A1), hold(A1), assign(B1)).stops == {A1: 4}


def test_a_revocation_counts_for_its_own_epoch_only_and_once() -> None:
    late = Revoke(instance=ONCE, epoch=4, reason="")
    assert plan_of(assign(A1), late).assignments[ONCE].revoked == 0
    soon = Revoke(instance=ONCE, epoch=3, reason="")
    assert plan_of(assign(A1), soon, soon).assignments[ONCE].revoked == 4
    assert plan_of(assign(A1), soon, assign(B1)).assignments[ONCE].revoked == 0


def test_what_has_finished_is_not_revoked() -> None:
    done = plan_of(assign(A1), Conclude(instance=ONCE, epoch=3), Revoke(instance=ONCE, epoch=3, reason=""))
    assert (done.assignments[ONCE].finished, done.assignments[ONCE].revoked) == (True, 0)


def test_the_oldest_of_two_stops_counts() -> None:
    plan = plan_of(assign(A1), Revoke(instance=ONCE, epoch=3, reason=""), hold(A1))
    assert plan.stop_index(plan.assignments[ONCE]) == 4


def test_the_first_authority_stands_for_ever() -> None:
    plan = plan_of(SetAuthority(isolation_ms=6_000, drift_ppm=100), SetAuthority(isolation_ms=1, drift_ppm=0))
    assert (plan.isolation_ms, plan.drift_ppm) == (6_000, 100)


def test_a_council_shall_have_as_many_seats_as_before_it_was_first_changed() -> None:
    assert plan_of().seats_wanted == 0
    grown = ChangeCouncil(council=SEATS[:4], reason="", evidence=())
    assert plan_of(grown).seats_wanted == 3
    assert plan_of(grown).council == SEATS[:4]
    assert plan_of(RecoverCouncil(council=SEATS[:1], lost=("b", "c"), asked_by="a")).seats_wanted == 3


def test_a_council_that_was_resized_shall_have_as_many_seats_as_was_asked() -> None:
    plan = plan_of(ResizeCouncil(seats=5, asked_by="a"), ChangeCouncil(council=SEATS[:4], reason="", evidence=()))
    assert (plan.seats_wanted, len(plan.council)) == (5, 4)


def test_who_is_waited_for_is_not_forgotten_among_many_evictions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "EVICTED_KEPT", 2)
    plan = plan_of(assign(A1), evict(A1), evict(Run("y", 5)), evict(Run("z", 6)))
    assert plan.evicted == {"a": 1, "z": 6}
    assert plan.stops == {A1: 4}


@given(st.lists(st.builds(InstanceId, st.sampled_from("ab"), st.sampled_from(["", "a", "b"]), st.integers(0, 12))))
def test_instances_are_in_the_order_of_job_operator_and_number(instances: list[InstanceId]) -> None:
    wanted = sorted((each.job, each.operator, each.index) for each in instances)
    assert [(each.job, each.operator, each.index) for each in sorted(instances)] == wanted
    assert all(this <= other and other >= this for this, other in pairwise(sorted(instances)))
