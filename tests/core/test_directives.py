"""Versions of jobs and directives: what each change makes of the plan, rule by rule."""

from __future__ import annotations

from unittest.mock import patch

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swimstream.core.submissions import former_fault
from swimstream.model import directives
from swimstream.model.changes import (
    CORDONED,
    MODES,
    NORMAL,
    Assign,
    Blame,
    CancelJob,
    Change,
    Conclude,
    DeclareDead,
    Entry,
    Evict,
    Forget,
    Found,
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
from swimstream.model.directives import LOST_INSTANCES_MAX, LOST_KEPT, NO_DIRECTIVES, PPM, Blamed, Lost
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, JobSpec, OperatorSpec
from swimstream.model.plan import Plan
from swimstream.model.versions import CANCELLED_KEPT
from swimstream.wire.plan_codec import encode_plan
from swimstream.wire.plan_reader import decode_plan_untrusted
from tests.core.test_plan import _changes as older_changes

A, B, C = Run("a", 1), Run("b", 1), Run("c", 1)
READ = OperatorSpec(name="read", kind="read", parallelism=2)
COUNT = OperatorSpec(name="count", kind="count", inputs=("read",))
POST = OperatorSpec(name="post", kind="post", inputs=("count",), instances=AT_MOST_ONE)
ASIDE = OperatorSpec(name="aside", kind="aside")
JOB = JobSpec(name="job", operators=(READ, COUNT, POST, ASIDE))
READ_0, READ_1 = InstanceId("job", "read", 0), InstanceId("job", "read", 1)
COUNT_0, POST_0, ASIDE_0 = (InstanceId("job", name, 0) for name in ("count", "post", "aside"))


def assign(instance: InstanceId, run: Run = A, *, handover: bool = False) -> Assign:
    return Assign(instance=instance, run=run, failures=2, resume_from=b"", reason="", evidence=(), handover=handover)


def update(*operators: OperatorSpec, base: int = 0, fresh: bool = False) -> UpdateJob:
    return UpdateJob(job=JobSpec(name="job", operators=operators), base=base, asked_by="a", fresh=fresh)


def cancel() -> CancelJob:
    return CancelJob(job="job", asked_by="a")


def forget(instance: InstanceId, epoch: int) -> Forget:
    return Forget(instance=instance, epoch=epoch, reason="")


def quarantine(instance: InstanceId, epoch: int) -> Quarantine:
    return Quarantine(instance=instance, epoch=epoch, reason="it is poison", evidence=())


class Book:
    """A plan that grows by committed changes. All instances of the job are on `a` at first, with epochs 3 to 7."""

    def __init__(self) -> None:
        self.plan = Plan()
        self.add(Found(cluster_id=7, council=(Seat("a", 1),)), SubmitJob(job=JOB))
        self.add(*(assign(instance) for instance in JOB.instances()))

    def add(self, *changes: Change) -> None:
        for change in changes:
            self.plan = self.plan.advance([Entry(index=self.plan.index + 1, term=1, change=change)])

    def epoch(self, instance: InstanceId) -> int:
        return self.plan.assignments[instance].epoch

    @property
    def stale(self) -> set[str]:
        return {str(each) for each, held in self.plan.assignments.items() if held.stale}


@pytest.fixture
def book() -> Book:
    return Book()


# --- versions -------------------------------------------------------------------------------------


def test_a_job_that_was_never_changed_has_version_1_and_costs_no_directive(book: Book) -> None:
    assert book.plan.version_of("job") == 1
    assert book.plan.directives is NO_DIRECTIVES


def test_an_update_leaves_alone_what_has_not_changed(book: Book) -> None:
    book.add(update(READ, COUNT, POST, attrs.evolve(ASIDE, parameters={"speed": 2})))
    assert book.stale == {"job/aside[0]"}
    assert book.plan.version_of("job") == 2


def test_scaling_restarts_the_neighbours_that_see_it_and_not_the_operator_itself(book: Book) -> None:
    book.add(update(attrs.evolve(READ, parallelism=3), COUNT, POST, ASIDE))
    assert book.stale == {"job/count[0]"}


def test_the_same_job_again_is_no_new_version(book: Book) -> None:
    book.add(update(*JOB.operators))
    assert book.plan.version_of("job") == 1
    assert not book.stale


def test_an_update_of_another_version_than_it_was_made_from_changes_nothing(book: Book) -> None:
    book.add(update(READ, COUNT, POST, base=2))
    assert book.plan.jobs["job"] == JOB
    book.add(update(READ, COUNT, POST, base=1))
    assert book.plan.version_of("job") == 2


def test_no_update_changes_a_guarantee_since_copies_under_the_other_may_still_run(book: Book) -> None:
    book.add(update(READ, attrs.evolve(COUNT, instances=AT_MOST_ONE), POST, ASIDE))
    assert book.plan.jobs["job"] == JOB


def test_a_name_does_not_come_back_at_most_one_after_it_was_less(book: Book) -> None:
    book.add(update(READ, COUNT, POST), update(READ, COUNT, POST, attrs.evolve(ASIDE, instances=AT_MOST_ONE)))
    assert book.plan.version_of("job") == 2
    book.add(update(READ, COUNT, POST, ASIDE))
    assert book.plan.version_of("job") == 3


def test_what_an_update_takes_away_leaves_the_plan_but_for_at_most_one_instances(book: Book) -> None:
    epoch = book.epoch(POST_0)
    book.add(update(READ, COUNT))
    assert ASIDE_0 not in book.plan.assignments
    left = book.plan.assignments[POST_0]
    assert left.revoked == book.plan.index
    assert book.plan.guarantee_of(POST_0) == AT_MOST_ONE
    assert not book.plan.is_wanted(POST_0)
    book.add(forget(POST_0, epoch))
    assert POST_0 not in book.plan.assignments


def test_an_instance_that_comes_back_is_still_revoked(book: Book) -> None:
    book.add(update(READ, COUNT), update(READ, COUNT, POST))
    assert book.plan.assignments[POST_0].revoked
    assert book.plan.is_wanted(POST_0)


def test_what_had_finished_is_executed_again_once_its_definition_has_changed(book: Book) -> None:
    book.add(Conclude(instance=ASIDE_0, epoch=book.epoch(ASIDE_0)))
    book.add(update(READ, COUNT, POST, attrs.evolve(ASIDE, kind="other")))
    assert ASIDE_0 not in book.plan.assignments


def test_what_is_not_revoked_is_not_forgotten(book: Book) -> None:
    book.add(forget(POST_0, book.epoch(POST_0)))
    assert POST_0 in book.plan.assignments


# --- cancelling -----------------------------------------------------------------------------------


def test_of_a_cancelled_job_only_at_most_one_instances_stay_until_they_have_ended(book: Book) -> None:
    book.add(cancel())
    assert set(book.plan.assignments) == {POST_0}
    assert book.plan.assignments[POST_0].revoked == book.plan.directives.cancelled["job"]
    assert not any(book.plan.is_wanted(each) for each in JOB.instances())


def test_nothing_of_a_cancelled_job_is_assigned(book: Book) -> None:
    book.add(cancel(), assign(READ_0, B), assign(POST_0, B))
    assert set(book.plan.assignments) == {POST_0}
    assert book.plan.assignments[POST_0].run == A


def test_an_update_revives_a_cancelled_job_also_one_that_changes_nothing_else(book: Book) -> None:
    book.add(cancel(), update(*JOB.operators))
    assert not book.plan.directives.cancelled
    assert book.plan.version_of("job") == 2
    assert book.plan.is_wanted(READ_0)


def test_a_cancelled_job_begins_anew_and_nothing_of_its_former_life_counts(book: Book) -> None:
    book.add(assign(POST_0), cancel(), update(*JOB.operators, base=1, fresh=True))
    assert not book.plan.directives.cancelled
    assert book.plan.directives.begun == {"job": book.plan.index}
    assert book.plan.version_of("job") == 2
    assert {(held.failures, held.resume_from) for held in book.plan.assignments.values()} == {(0, b"")}
    assert book.plan.has_outlived(READ_0, book.plan.index - 1)
    assert not book.plan.has_outlived(READ_0, book.plan.index)
    assert not book.plan.has_outlived(POST_0, book.epoch(POST_0)), "its end is waited for"


@pytest.mark.parametrize("base", [0, 2])
def test_only_what_was_cancelled_at_that_version_begins_anew(book: Book, base: int) -> None:
    book.add(cancel(), update(*JOB.operators, base=base, fresh=True))
    assert book.plan.directives.cancelled


def test_what_was_not_cancelled_does_not_begin_anew(book: Book) -> None:
    book.add(update(READ, COUNT, base=1, fresh=True))
    assert book.plan.jobs["job"] == JOB


def test_a_job_that_is_cancelled_once_more_is_not_begun_anew_by_the_request_from_before(book: Book) -> None:
    again = update(*JOB.operators, base=1, fresh=True)
    book.add(cancel(), again, cancel(), again)
    assert "job" in book.plan.directives.cancelled


# --- cancelled jobs leave -------------------------------------------------------------------------


def many(book: Book, count: int, *, after: int = 0) -> None:
    """Have so many jobs come and be cancelled, each with an operator of either kind."""
    for number in range(after, after + count):
        spec = JobSpec(name=f"job-{number}", operators=(ASIDE, attrs.evolve(POST, inputs=())))
        book.add(SubmitJob(job=spec), CancelJob(job=spec.name, asked_by="a"))


def test_the_oldest_cancelled_jobs_leave_the_plan_beyond_the_bound(book: Book) -> None:
    many(book, CANCELLED_KEPT + 2)
    cancelled = book.plan.directives.cancelled
    assert min(cancelled, key=cancelled.__getitem__) == "job-2"
    assert len(book.plan.directives.cancelled) == CANCELLED_KEPT
    assert len(book.plan.jobs) == CANCELLED_KEPT + 1, "the one that runs stays"
    assert decode_plan_untrusted(encode_plan(book.plan)) == book.plan


def test_a_cancelled_job_stays_while_one_of_its_copies_may_run_and_leaves_when_that_is_over(book: Book) -> None:
    epoch = book.epoch(POST_0)
    book.add(cancel())
    many(book, CANCELLED_KEPT + 1)
    assert "job" in book.plan.jobs
    assert len(book.plan.directives.cancelled) == CANCELLED_KEPT
    many(book, 1, after=CANCELLED_KEPT + 1)
    assert "job" in book.plan.jobs
    book.add(forget(POST_0, epoch))
    assert "job" in book.plan.jobs, "there is room for it now"
    many(book, 1, after=CANCELLED_KEPT + 2)
    assert "job" not in book.plan.jobs


def test_the_name_of_a_job_that_has_left_is_free_and_begins_anew(book: Book) -> None:
    many(book, 1)
    many(book, CANCELLED_KEPT, after=1)
    spec = JobSpec(name="job-0", operators=(ASIDE,))
    book.add(SubmitJob(job=spec))
    assert book.plan.jobs["job-0"] == spec
    assert book.plan.version_of("job-0") == 1
    assert book.plan.has_outlived(InstanceId("job-0", "aside", 0), book.plan.index - 1)


def test_what_was_not_at_most_one_in_a_job_that_has_left_does_not_come_back_as_that(book: Book) -> None:
    many(book, CANCELLED_KEPT + 1)
    spec = JobSpec(name="job-0", operators=(attrs.evolve(ASIDE, instances=AT_MOST_ONE),))
    book.add(SubmitJob(job=spec))
    assert "job-0" not in book.plan.jobs
    assert former_fault(spec, book.plan).startswith("aside.instances: an earlier version had an operator of this name")
    book.add(SubmitJob(job=JobSpec(name="job-0", operators=(attrs.evolve(POST, inputs=()),))))
    assert "job-0" in book.plan.jobs


def test_cancelled_jobs_stay_when_there_is_no_room_for_what_must_be_known_of_them(book: Book) -> None:
    with patch.object(directives, "RETIRED_KEPT", 4):
        many(book, CANCELLED_KEPT + 5)
    assert len(book.plan.directives.retired) == 2
    assert len(book.plan.directives.cancelled) == CANCELLED_KEPT + 3


# --- restarts, quarantine, blame ------------------------------------------------------------------


def test_a_restart_marks_what_runs_and_an_assignment_takes_the_mark_away(book: Book) -> None:
    book.add(Conclude(instance=READ_1, epoch=book.epoch(READ_1)))
    book.add(Restart(instances=(READ_0, READ_1, COUNT_0), reason="", evidence=()))
    assert book.stale == {"job/read[0]", "job/count[0]"}
    book.add(assign(READ_0))
    assert book.stale == {"job/count[0]"}


def test_a_second_restart_keeps_the_older_mark(book: Book) -> None:
    for _ in range(2):
        book.add(Restart(instances=(READ_0,), reason="", evidence=()))
    assert book.plan.assignments[READ_0].stale == book.plan.index - 1


def test_nobody_is_given_what_is_in_quarantine_until_it_is_pardoned(book: Book) -> None:
    epoch = book.epoch(READ_0)
    book.add(quarantine(READ_0, epoch), assign(READ_0, B))
    assert book.plan.assignments[READ_0].epoch == epoch
    assert book.plan.assignments[READ_0].revoked
    assert not book.plan.is_wanted(READ_0)
    book.add(Pardon(instance=READ_0, asked_by="a"), assign(READ_0, B))
    assert book.plan.assignments[READ_0].run == B


def test_a_pardon_forgets_blame_and_failures(book: Book) -> None:
    book.add(Blame(run=B, instances=(READ_0,), reason=""), quarantine(READ_0, book.epoch(READ_0)))
    book.add(Pardon(instance=READ_0, asked_by="a"))
    assert book.plan.directives is not None
    assert not book.plan.directives.blame
    assert book.plan.assignments[READ_0].failures == 0


def test_a_quarantine_of_an_older_epoch_changes_nothing(book: Book) -> None:
    epoch = book.epoch(READ_0)
    book.add(assign(READ_0, B), quarantine(READ_0, epoch))
    assert book.plan.is_wanted(READ_0)


def test_an_update_of_the_operator_ends_its_quarantine(book: Book) -> None:
    book.add(quarantine(ASIDE_0, book.epoch(ASIDE_0)))
    book.add(update(READ, COUNT, POST, attrs.evolve(ASIDE, kind="mended")))
    assert book.plan.is_wanted(ASIDE_0)


def test_blame_is_shared_and_two_crashes_alone_convict(book: Book) -> None:
    book.add(Blame(run=B, instances=(READ_0, READ_1), reason=""))
    book.add(Blame(run=C, instances=(READ_0,), reason=""))
    blame = book.plan.directives.blame
    assert blame[READ_0].is_convicted
    assert not blame[READ_1].is_convicted
    assert (blame[READ_1].deaths, blame[READ_1].weight_ppm) == (1, 500_000)


def test_one_crash_convicts_nobody_and_three_convict_however_the_blame_is_shared(book: Book) -> None:
    everybody = tuple(JOB.instances())
    book.add(Blame(run=B, instances=(READ_0,), reason=""))
    assert not book.plan.directives.blame[READ_0].is_convicted
    book.add(*(Blame(run=Run(name, 9), instances=everybody, reason="") for name in "xyz"))
    assert book.plan.directives.blame[COUNT_0].is_convicted


# --- workers --------------------------------------------------------------------------------------


def mode(name: str, mode: str) -> SetWorkerMode:
    return SetWorkerMode(name=name, mode=mode, level=0, boot=0, reason="", asked_by="a")


def test_a_mode_holds_for_the_name_until_it_is_as_usual_again(book: Book) -> None:
    book.add(mode("b", CORDONED))
    assert [book.plan.directives.mode_of(name) for name in "abc"] == [NORMAL, CORDONED, NORMAL]
    book.add(mode("b", NORMAL))
    assert book.plan.directives is NO_DIRECTIVES or not book.plan.directives.modes


def test_a_person_s_word_evicts_a_run_and_is_kept_while_something_waits_for_its_end(book: Book) -> None:
    book.add(DeclareDead(run=A, asked_by="b"))
    assert book.plan.is_evicted(A)
    assert book.plan.is_asserted_dead(A)
    assert not book.plan.is_asserted_dead(Run("a", 2))
    book.add(assign(POST_0, B))
    assert not book.plan.is_asserted_dead(A)


def test_nothing_is_asserted_of_a_run_that_nobody_waits_for(book: Book) -> None:
    book.add(DeclareDead(run=B, asked_by="a"))
    assert book.plan.is_evicted(B)
    assert not book.plan.directives.asserted


# --- handover and standbys ------------------------------------------------------------------------


def test_a_handover_names_the_copy_that_goes_on_and_the_next_assignment_does_not(book: Book) -> None:
    epoch = book.epoch(READ_0)
    book.add(assign(READ_0, B, handover=True))
    held = book.plan.assignments[READ_0]
    assert (held.run, held.former_run, held.former_epoch) == (B, A, epoch)
    book.add(assign(READ_0, C))
    assert book.plan.assignments[READ_0].former_run is None


def test_what_was_revoked_hands_nothing_over(book: Book) -> None:
    book.add(quarantine(READ_0, book.epoch(READ_0)), Pardon(instance=READ_0, asked_by="a"))
    book.add(assign(READ_0, B, handover=True))
    assert book.plan.assignments[READ_0].former_run is None


def test_a_standby_that_is_promoted_is_one_no_more(book: Book) -> None:
    book.add(SetStandbys(instance=READ_0, runs=(B, C), reason=""), assign(READ_0, B))
    assert book.plan.directives.standbys[READ_0] == (C,)


def test_nobody_keeps_warm_what_is_cancelled_or_no_instance(book: Book) -> None:
    book.add(SetStandbys(instance=InstanceId("job", "read", 7), runs=(B,), reason=""))
    book.add(SetStandbys(instance=READ_0, runs=(B,), reason=""), cancel())
    assert not book.plan.directives.standbys


# --- whatever the entries -------------------------------------------------------------------------

_versions = [
    JOB,
    JobSpec(name="job", operators=(READ, COUNT)),
    JobSpec(name="job", operators=(attrs.evolve(READ, parallelism=1), COUNT, POST)),
    JobSpec(name="job", operators=(READ, attrs.evolve(COUNT, kind="other"), POST, ASIDE)),
]
_runs = st.sampled_from([A, B, Run("a", 2)])
_instances = st.sampled_from([*JOB.instances(), InstanceId("job", "post", 5)])
_epochs = st.integers(1, 14)
_later = st.one_of(
    st.builds(UpdateJob, job=st.sampled_from(_versions), base=st.sampled_from([0, 1, 2]), asked_by=st.just("a")),
    st.just(cancel()),
    st.builds(lambda base: update(*JOB.operators, base=base, fresh=True), st.integers(1, 4)),
    st.builds(assign, _instances, _runs, handover=st.booleans()),
    st.builds(forget, _instances, _epochs),
    st.builds(quarantine, _instances, _epochs),
    st.builds(Pardon, instance=_instances, asked_by=st.just("a")),
    st.builds(Restart, instances=st.tuples(_instances), reason=st.just(""), evidence=st.just(())),
    st.builds(Blame, run=_runs, instances=st.tuples(_instances), reason=st.just("")),
    st.builds(mode, st.sampled_from(["a", "b"]), st.sampled_from(MODES)),
    st.builds(DeclareDead, run=_runs, asked_by=st.just("b")),
    st.builds(SetPolicy, rebalance_moves=st.integers(0, 3), asked_by=st.just("a")),
    st.builds(SetStandbys, instance=_instances, runs=st.lists(_runs, max_size=2, unique=True).map(tuple),
              reason=st.just("")),
    st.builds(Conclude, instance=_instances, epoch=_epochs),
    st.builds(Evict, run=_runs, reason=st.just(""), evidence=st.just(())),
    older_changes,
)  # fmt: skip
histories = st.lists(_later, max_size=24)


def log_of(changes: list[Change]) -> list[Entry]:
    begin: list[Change] = [Found(cluster_id=7, council=(Seat("a", 1),)), SubmitJob(job=JOB)]
    return [Entry(index=1 + place, term=1, change=change) for place, change in enumerate([*begin, *changes])]


@settings(max_examples=100)
@given(histories, st.integers(0, 26))
def test_a_snapshot_in_the_middle_changes_nothing(changes: list[Change], cut: int) -> None:
    log = log_of(changes)
    snapshot = decode_plan_untrusted(encode_plan(Plan().advance(log[:cut])))
    assert encode_plan(snapshot.advance(log[cut:])) == encode_plan(Plan().advance(log))


@settings(max_examples=100)
@given(histories)
def test_no_copy_that_must_end_is_lost_sight_of(changes: list[Change]) -> None:
    """An at-most-one assignment leaves the plan by an end, a `Forget` or a later assignment, and by nothing else."""
    plan = Plan()
    for entry in log_of(changes):
        before, plan = plan, plan.advance([entry])
        for instance, held in before.assignments.items():
            if held.finished or before.guarantee_of(instance) != AT_MOST_ONE:
                continue
            after = plan.assignments.get(instance)
            if after is None:
                assert isinstance(entry.change, Forget)
                assert held.revoked
            elif after.epoch != held.epoch:
                assert isinstance(entry.change, Assign)


@settings(max_examples=100)
@given(histories)
def test_what_is_not_wanted_is_never_given_out(changes: list[Change]) -> None:
    plan = Plan()
    for entry in log_of(changes):
        before, plan = plan, plan.advance([entry])
        if isinstance(entry.change, Assign):
            given_out = plan.assignments.get(entry.change.instance)
            if given_out is not None and given_out.epoch == entry.index:
                spec = before.spec_of(entry.change.instance)
                assert spec is not None
                assert spec.instances in (AT_LEAST_ONE, AT_MOST_ONE)
                assert entry.change.instance not in before.directives.quarantined
                assert entry.change.instance.job not in before.directives.cancelled


# --- how a run has ended --------------------------------------------------------------------------


def blame(run: Run, *instances: InstanceId, proof: Proof = Proof.CRASHED) -> Blame:
    return Blame(run=run, instances=instances, reason="", proof=proof)


def test_a_run_is_judged_once(book: Book) -> None:
    book.add(
        blame(B, READ_0), blame(B, READ_0), blame(B, READ_0, proof=Proof.NONE), blame(B, READ_0, proof=Proof.ENDED)
    )
    assert book.plan.directives.blame[READ_0] == Blamed(deaths=1, weight_ppm=PPM, crashes=(B,))


def test_an_earlier_run_than_the_one_that_was_judged_is_not_judged_any_more(book: Book) -> None:
    book.add(blame(Run("b", 9), READ_0), blame(Run("b", 8), READ_0))
    assert book.plan.directives.blame[READ_0].deaths == 1


def test_what_was_noted_blames_nobody_and_is_gone_when_it_is_judged(book: Book) -> None:
    book.add(blame(B, READ_0, READ_1, proof=Proof.NONE))
    assert book.plan.directives.lost["b"] == Lost(boot=B.boot, index=book.plan.index, instances=(READ_0, READ_1))
    assert not book.plan.directives.blame
    book.add(blame(B, READ_0, READ_1, proof=Proof.ENDED))
    assert not book.plan.directives.lost
    assert book.plan.directives.blame[READ_0] == Blamed(deaths=0, weight_ppm=0, streak=1, crashes=(B,))


def test_the_end_of_a_run_of_which_nothing_was_noted_blames_nobody(book: Book) -> None:
    book.add(blame(B, READ_0, proof=Proof.ENDED))
    assert not book.plan.directives.blame


def test_what_is_assigned_to_nobody_is_not_blamed(book: Book) -> None:
    book.add(blame(B, InstanceId("job", "read", 77), READ_0))
    assert list(book.plan.directives.blame) == [READ_0]


def test_what_has_finished_is_not_blamed(book: Book) -> None:
    book.add(Conclude(instance=READ_0, epoch=book.epoch(READ_0)), blame(B, READ_0, READ_1))
    assert list(book.plan.directives.blame) == [READ_1]


def test_no_blame_outlives_an_instance_that_is_forgotten(book: Book) -> None:
    epoch = book.epoch(POST_0)
    book.add(cancel(), blame(B, POST_0), forget(POST_0, epoch))
    assert not book.plan.directives.blame


def test_the_oldest_runs_that_were_lost_are_forgotten_first(book: Book) -> None:
    book.add(*(blame(Run(f"w{number}", 1), READ_0, proof=Proof.NONE) for number in range(LOST_KEPT + 2)))
    lost = book.plan.directives.lost
    assert len(lost) == LOST_KEPT
    assert not {"w0", "w1"} & set(lost)


def test_no_more_instances_are_noted_than_a_plan_can_have(book: Book) -> None:
    many = tuple(InstanceId("job", "read", index) for index in range(LOST_INSTANCES_MAX // 2))
    book.add(*(blame(Run(name, 1), *many, proof=Proof.NONE) for name in "xyz"))
    assert list(book.plan.directives.lost) == ["y", "z"]


def test_the_normal_mode_is_kept_only_with_a_level(book: Book) -> None:
    def normal(level: int) -> SetWorkerMode:
        return SetWorkerMode(name="w", mode=NORMAL, level=level, boot=0, reason="", asked_by="")

    book.add(normal(2))
    assert book.plan.directives.modes["w"].level == 2
    assert book.plan.directives.mode_of("w") == NORMAL
    book.add(normal(0))
    assert not book.plan.directives.modes
