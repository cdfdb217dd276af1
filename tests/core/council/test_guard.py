"""The guard at the log: what may be appended, rule by rule, whoever has decided it."""

from __future__ import annotations

from collections import Counter

import pytest

from swimstream.core.council.guard import MoveGuard, no_end_known
from swimstream.core.council.log import Log
from swimstream.core.council.stops import wait_s
from swimstream.core.effects import Saved
from swimstream.model.changes import (
    Assign,
    CancelJob,
    Change,
    Conclude,
    DeclareDead,
    Entry,
    Evict,
    Forget,
    Found,
    Hold,
    Noop,
    Release,
    Revoke,
    Seat,
    SetAuthority,
    SubmitJob,
)
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, GUARANTEES, PINNED, JobSpec, OperatorSpec
from tests.core.council.peers import HEARTBEAT_S, Table

AUTHORITY = SetAuthority(isolation_ms=6_000, drift_ppm=10_000)
WAIT_S = wait_s(AUTHORITY.isolation_ms, AUTHORITY.drift_ppm)
A, B, C = Run("a", 1), Run("b", 1), Run("c", 1)
JOB = JobSpec(
    name="job",
    operators=tuple(OperatorSpec(name=each, kind="map", parallelism=2, instances=each) for each in GUARANTEES),
)
ONE, OTHER = InstanceId("job", AT_MOST_ONE, 0), InstanceId("job", AT_MOST_ONE, 1)
FOUNDED = (Found(cluster_id=7, council=(Seat("a", 1),)), SubmitJob(job=JOB))


def assign(run: Run, which: InstanceId = ONE) -> Assign:
    return Assign(instance=which, run=run, failures=0, resume_from=b"", reason="", evidence=())


def hold(run: Run) -> Hold:
    return Hold(run=run, reason="", evidence=())


def release(run: Run) -> Release:
    return Release(run=run, reason="")


def evict(run: Run) -> Evict:
    return Evict(run=run, reason="", evidence=())


class Office:
    """A leader's log and guard. `ended` is what the statuses say has ended for good."""

    def __init__(self, *changes: Change, now: float = 100.0) -> None:
        """Begin as a leader in whose log `changes` are committed since long."""
        self.now = now
        self.ended: set[tuple[InstanceId, int]] = set()
        self.counters: Counter[str] = Counter()
        self.log = Log(Saved(voter=1))
        self.guard = MoveGuard(self.log, lambda held: (held.instance, held.epoch) in self.ended, counters=self.counters)
        self.guard.take_office(now)
        self.commit(*FOUNDED, *changes)

    def append(self, *changes: Change) -> None:
        first = self.log.last_index + 1
        self.log.append(Entry(index=first + i, term=1, change=change) for i, change in enumerate(changes))

    def commit(self, *changes: Change) -> None:
        self.append(*changes)
        self.commit_all()

    def commit_all(self) -> None:
        self.log.commit_to(self.log.last_index)
        self.guard.note_commit(self.now)

    def be_elected(self) -> None:
        self.guard.take_office(self.now)

    def admits(self, *changes: Change) -> bool:
        """Return whether the last of `changes`, and all before it, may be appended."""
        return self.guard.admit(changes, self.now) == list(changes)

    def epoch(self, which: InstanceId = ONE) -> int:
        return self.log.plan.assignments[which].epoch


def held_by_a(*changes: Change) -> Office:
    """Return an office in which `ONE` is given to run `a`, and `changes` are committed after that."""
    return Office(AUTHORITY, assign(A), *changes)


# --- who may be given an at-most-one instance -----------------------------------------------------


def test_the_first_assignment_may_be_made_at_once() -> None:
    assert Office(AUTHORITY).admits(assign(A))


def test_nothing_is_given_away_before_the_time_that_authority_lasts_is_committed() -> None:
    """Rule 7: an entry that is only appended may be replaced by one with another time."""
    office = Office()
    assert not office.admits(assign(A))
    assert not office.admits(AUTHORITY, assign(A))
    office.append(AUTHORITY)
    assert not office.admits(assign(A))
    office.commit_all()
    assert office.admits(assign(A))


@pytest.mark.parametrize("stop", [hold(A), evict(A), evict(Run("a", 2))])
def test_a_held_or_evicted_run_is_given_nothing(stop: Change) -> None:
    assert not Office(AUTHORITY, stop).admits(assign(A))
    assert not Office(AUTHORITY).admits(stop, assign(A))
    office = Office(AUTHORITY)
    office.append(stop)
    assert not office.admits(assign(A))
    assert office.admits(assign(B))


def test_a_run_that_is_released_again_may_be_given_something() -> None:
    assert Office(AUTHORITY, hold(A), release(A)).admits(assign(A))


def test_what_has_finished_is_given_to_nobody() -> None:
    office = held_by_a()
    office.commit(Conclude(instance=ONE, epoch=office.epoch()))
    office.ended.add((ONE, office.epoch()))
    assert not office.admits(assign(B))


# --- when the former run has certainly stopped ----------------------------------------------------


def test_what_nothing_stops_stays_where_it_is() -> None:
    office = held_by_a()
    office.now += 1_000 * WAIT_S
    assert not office.admits(assign(B))
    assert not office.admits(assign(A)), "a second copy beside the first, on the same worker"


@pytest.mark.parametrize("stop", ["hold", "evict", "revoke", "evict a later run"])
def test_a_stop_is_waited_for_from_the_moment_when_it_is_known_to_be_committed(stop: str) -> None:
    """Rules 8, 9 and 12: whatever the stop is; the append counts nothing."""
    office = held_by_a()
    stops: dict[str, Change] = {"hold": hold(A), "evict": evict(A), "evict a later run": evict(Run("a", 9))}
    office.append(stops.get(stop, Revoke(instance=ONE, epoch=office.epoch(), reason="")))
    office.now += 50.0
    assert not office.admits(assign(B))
    office.commit_all()
    office.now += WAIT_S * 0.999
    assert not office.admits(assign(B))
    office.now += WAIT_S * 0.002
    assert office.admits(assign(B))


def test_an_instance_that_is_not_revoked_itself_stays() -> None:
    office = held_by_a(assign(A, OTHER))
    office.commit(Revoke(instance=ONE, epoch=office.epoch(), reason=""))
    office.now += WAIT_S
    assert office.admits(assign(B))
    assert not office.admits(assign(B, OTHER))


def test_a_revocation_of_an_older_epoch_stops_nothing() -> None:
    office = held_by_a()
    office.commit(Revoke(instance=ONE, epoch=office.epoch() - 1, reason=""))
    office.now += WAIT_S
    assert not office.admits(assign(B))


def test_the_wait_runs_on_through_the_eviction() -> None:
    office = held_by_a(hold(A))
    office.now += WAIT_S
    assert office.admits(evict(A), assign(B))


def test_of_two_stops_that_stand_the_older_one_counts() -> None:
    office = held_by_a(hold(A))
    office.now += WAIT_S
    office.commit(Revoke(instance=ONE, epoch=office.epoch(), reason=""))
    assert office.admits(assign(B))


def test_a_new_leader_counts_what_was_in_its_log_from_its_election_and_not_earlier() -> None:
    """Rule 9."""
    office = held_by_a(hold(A))
    office.now += 10 * WAIT_S
    office.be_elected()
    assert not office.admits(assign(B))
    office.now += WAIT_S
    assert office.admits(assign(B))


def test_a_stop_that_an_older_leader_left_behind_counts_from_the_election_once_it_is_committed() -> None:
    office = held_by_a()
    office.append(hold(A))
    office.be_elected()
    office.append(Noop())
    office.now += WAIT_S
    assert not office.admits(assign(B)), "it may still be lost"
    office.commit_all()
    assert office.admits(assign(B))


def test_a_release_annuls_the_wait_and_the_next_hold_counts_anew() -> None:
    """Rule 10."""
    office = held_by_a(hold(A))
    office.now += WAIT_S
    office.commit(release(A))
    office.commit(hold(A))
    assert not office.admits(assign(B))
    office.now += WAIT_S
    assert office.admits(assign(B))


@pytest.mark.parametrize("lifts", [[release(A)], [release(A), hold(A)]])
def test_a_release_that_is_only_appended_counts(lifts: list[Change]) -> None:
    """Rule 10: in the tail of the log, or earlier in the same batch."""
    office = held_by_a(hold(A))
    office.now += WAIT_S
    assert office.admits(assign(B))
    assert not office.admits(*lifts, assign(B))
    office.append(*lifts)
    assert not office.admits(assign(B))


def test_a_decision_that_was_right_when_it_was_taken_is_judged_anew() -> None:
    """Rule 10: between the decision and its append the run was released."""
    office = held_by_a(hold(A))
    office.now += WAIT_S
    decided = [assign(B)]
    assert office.guard.admit(decided, office.now) == decided
    office.commit(release(A))
    assert office.guard.admit(decided, office.now) == []


def test_a_final_stop_of_that_very_epoch_is_proof() -> None:
    """Rule 11."""
    office = held_by_a()
    office.ended.add((ONE, office.epoch() - 1))
    office.ended.add((OTHER, office.epoch()))
    assert not office.admits(assign(B))
    office.ended.add((ONE, office.epoch()))
    assert office.admits(assign(B))


def test_a_later_run_of_the_name_is_no_proof() -> None:
    """Rule 11: the older process may still be there."""
    assert not held_by_a().admits(assign(Run("a", 2)))


def test_the_word_of_a_person_is_proof_of_that_run_and_of_no_later_one() -> None:
    office = held_by_a()
    office.commit(DeclareDead(run=A, asked_by="b"))
    assert office.admits(assign(B))
    again = Office(AUTHORITY, assign(Run("a", 2)))
    again.commit(DeclareDead(run=A, asked_by="b"))
    assert not again.admits(assign(B))


def test_what_may_still_act_does_not_leave_the_plan() -> None:
    office = Office(AUTHORITY, assign(A), CancelJob(job="job", asked_by="b"))
    forget = Forget(instance=ONE, epoch=office.epoch(), reason="")
    assert not office.admits(forget)
    office.now += WAIT_S
    assert office.admits(forget)


def test_what_has_ended_leaves_the_plan_at_once() -> None:
    office = Office(AUTHORITY, assign(A), CancelJob(job="job", asked_by="b"))
    forget = Forget(instance=ONE, epoch=office.epoch(), reason="")
    office.ended.add((ONE, office.epoch()))
    assert office.admits(forget)


def test_an_instance_is_assigned_once_until_that_is_committed() -> None:
    office = held_by_a()
    office.ended.add((ONE, office.epoch()))
    assert not office.admits(assign(B), assign(C))
    office.append(assign(B))
    office.ended.add((ONE, office.log.last_index))
    assert not office.admits(assign(C))


# --- everything else ------------------------------------------------------------------------------


def test_an_evicted_run_is_not_released() -> None:
    assert not Office(evict(A)).admits(release(A))
    assert not Office().admits(evict(A), release(A))
    assert Office(hold(A)).admits(release(A))


def test_what_is_pinned_goes_to_no_other_name() -> None:
    pinned = InstanceId("job", PINNED, 0)
    office = Office(assign(A, pinned), evict(A))
    assert not office.admits(assign(B, pinned))
    assert office.admits(assign(Run("a", 2), pinned))


def test_an_at_least_one_instance_moves_whenever_it_is_asked_for() -> None:
    which = InstanceId("job", AT_LEAST_ONE, 0)
    assert Office(assign(A, which)).admits(assign(B, which), assign(C, which))


def test_what_is_refused_is_dropped_and_counted_and_the_rest_goes_on() -> None:
    office = held_by_a()
    assert office.guard.admit([assign(B), hold(C), assign(B, OTHER)], office.now) == [hold(C), assign(B, OTHER)]
    assert office.counters["moves_refused"] == 1


def test_a_guard_that_was_never_in_office_knows_no_stop() -> None:
    log = Log(Saved(voter=1))
    guard = MoveGuard(log, no_end_known, counters=Counter())
    changes: tuple[Change, ...] = (*FOUNDED, AUTHORITY, assign(A), hold(A))
    log.append(Entry(index=1 + i, term=1, change=change) for i, change in enumerate(changes))
    log.commit_to(log.last_index)
    assert guard.stopped_at(log.plan.assignments[ONE]) == float("inf")


def test_a_leader_appends_nothing_of_a_batch_that_is_refused() -> None:
    table = Table("abc")
    leader = table.elect("a")
    leader.propose([SubmitJob(job=JOB), AUTHORITY], table.now)
    table.deliver()
    before = leader.log.last_index
    leader.propose([assign(A)], table.now)
    leader.propose([assign(B), assign(C)], table.now)
    assert leader.log.last_index == before + 1
    assert table.peers["a"].counters["moves_refused"] == 2


def test_a_leader_moves_an_instance_once_it_has_waited_since_it_knew_the_stop_committed() -> None:
    table = Table("abc")
    leader = table.elect("a")
    leader.propose([SubmitJob(job=JOB), AUTHORITY], table.now)
    table.deliver()
    leader.propose([assign(A)], table.now)
    table.deliver()
    leader.propose([hold(A)], table.now)
    table.cut = {"a"}
    table.beat("a", times=2)
    table.cut = set()
    table.beat("a")
    known_at = table.now
    assert leader.log.plan.is_held(A), "not when it was appended, but now"
    before = leader.log.last_index
    while table.now + 2 * HEARTBEAT_S < known_at + WAIT_S:
        table.beat("a")
    leader.propose([assign(B)], table.now)
    assert leader.log.last_index == before
    leader.propose([assign(B)], known_at + WAIT_S)
    assert leader.log.last_index == before + 1


def test_a_leader_that_is_elected_again_counts_nothing_from_its_first_time() -> None:
    """Rule 9: in between another may have led, who released the run."""
    table = Table("abc")
    table.elect("a").propose([SubmitJob(job=JOB), AUTHORITY], table.now)
    table.deliver()
    for change in (assign(A), hold(A)):
        table["a"].propose([change], table.now)
        table.deliver()
    table.beat("a")
    table.elect("b")
    leader = table.elect("a")
    elected_at = table.now - HEARTBEAT_S
    assert leader.guard.stopped_at(leader.plan.assignments[ONE]) == pytest.approx(elected_at + WAIT_S)
