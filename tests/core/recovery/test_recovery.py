"""What a leader decides, rule by rule: pure, explained, deterministic."""

from __future__ import annotations

import pytest

from swimstream.core.recovery.pending import pending
from swimstream.model.changes import EVIDENCE_ITEMS_MAX, Assign, Conclude, Evict
from swimstream.model.identity import Run
from swimstream.model.member import MemberState
from swimstream.model.restart import USUAL_RESTART
from swimstream.model.status import InstanceState
from tests.core.recovery.situations import ABSENCE_S, ACCEPT_S, Scene, assigns, instance, job, member, the_assign

RESTART_S = USUAL_RESTART.delay_s * (1 + USUAL_RESTART.jitter)
"""The longest delay after a first failure."""


def running(*names: str) -> Scene:
    """Return a scene where the job's one instance runs on `a`, the others idle."""
    scene = Scene(*(member(name) for name in names), jobs=[job()])
    scene.decide()
    assert scene.where() == "a"
    scene.say(InstanceState.RUNNING, checkpoint=b"7")
    assert scene.decide() == []
    return scene


# --- a job is accepted ----------------------------------------------------------------------------


def test_every_instance_of_an_accepted_job_is_assigned() -> None:
    scene = Scene(member("a"), member("b"), jobs=[job(parallelism=4)])
    made = assigns(scene.decide())
    assert [each.instance for each in made] == [instance(index) for index in range(4)]
    assert [each.run.name for each in made] == ["a", "b", "a", "b"]


def test_an_assignment_says_why_and_with_what_evidence() -> None:
    made = the_assign(Scene(member("a"), jobs=[job()]).decide())
    assert (made.reason, made.evidence) == ("the job was accepted", ("site default, 0 of 64 slots held",))
    assert (made.failures, made.resume_from) == (0, b"")


def test_nothing_is_decided_twice() -> None:
    scene = Scene(member("a"), member("b"), jobs=[job(parallelism=3)])
    scene.decide()
    assert scene.decide() == []


def test_more_instances_than_there_is_room_for_wait() -> None:
    scene = Scene(member("a", capacity=2), jobs=[job(parallelism=5)])
    assert len(assigns(scene.decide())) == 2
    scene.put(member("b", capacity=1))
    assert [each.run.name for each in assigns(scene.decide())] == ["b"]


def test_no_worker_gets_more_than_its_capacity_in_one_decision() -> None:
    scene = Scene(
        member("a", capacity=1), member("b", capacity=3), jobs=[job(parallelism=3), job("other", parallelism=3)]
    )
    made = assigns(scene.decide())
    assert sorted(each.run.name for each in made) == ["a", "b", "b", "b"]


# --- a worker is gone -----------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "reason"), [(MemberState.DEAD, "declared dead"), (MemberState.LEFT, "has left")])
def test_who_is_dead_or_has_left_is_evicted_and_its_instances_move_at_once(state: MemberState, reason: str) -> None:
    scene = running("a", "b")
    scene.becomes("a", state, accusers=("b", "c"))
    evict, assign = scene.decide()
    assert evict == Evict(run=Run("a", 1), reason=reason, evidence=("seen by b", "seen by c"))
    assert isinstance(assign, Assign)
    assert (assign.run, assign.reason) == (Run("b", 1), f"a: {reason}")


def test_the_checkpoint_is_carried_over() -> None:
    scene = running("a", "b")
    scene.becomes("a", MemberState.DEAD)
    assert the_assign(scene.decide()).resume_from == b"7"


def test_a_checkpoint_that_only_the_plan_knows_is_carried_over_too() -> None:
    scene = running("a", "b", "c")
    scene.becomes("a", MemberState.DEAD)
    scene.decide()
    scene.statuses.clear()
    scene.becomes("b", MemberState.DEAD)
    assert the_assign(scene.decide()).resume_from == b"7"


def test_a_suspect_keeps_what_it_has() -> None:
    scene = running("a", "b")
    scene.becomes("a", MemberState.SUSPECT)
    assert scene.decide_after(10 * ABSENCE_S) == []


def test_the_death_of_a_worker_does_not_count_as_a_failure_of_the_operator() -> None:
    scene = running("a", "b")
    scene.becomes("a", MemberState.DEAD)
    assert the_assign(scene.decide()).failures == 0


def test_a_dead_worker_that_holds_nothing_is_left_alone() -> None:
    scene = running("a", "b")
    scene.becomes("b", MemberState.DEAD)
    assert scene.decide() == []


def test_a_worker_is_evicted_once() -> None:
    scene = Scene(member("a"), jobs=[job()])
    scene.decide()
    scene.becomes("a", MemberState.DEAD)
    assert len(scene.decide()) == 1
    assert scene.decide() == []


def test_what_could_not_be_placed_at_the_eviction_is_placed_once_there_is_room() -> None:
    scene = Scene(member("a"), jobs=[job()])
    scene.decide()
    scene.becomes("a", MemberState.DEAD)
    scene.decide()
    scene.put(member("b"))
    made = the_assign(scene.decide())
    assert (made.run.name, made.reason) == ("b", "a was evicted")


def test_a_later_run_evicts_the_earlier_and_may_hold_the_instance_itself() -> None:
    scene = running("a")
    scene.put(member("a", boot=2))
    evict, assign = scene.decide()
    assert isinstance(evict, Evict)
    assert isinstance(assign, Assign)
    assert (evict.run, evict.reason) == (Run("a", 1), "a later run is here: a@2")
    assert assign.run == Run("a", 2)


def test_evidence_is_bounded() -> None:
    scene = running("a", "b")
    scene.becomes("a", MemberState.DEAD, accusers=tuple(f"w{number:02}" for number in range(40)))
    evict = scene.decide()[0]
    assert isinstance(evict, Evict)
    assert len(evict.evidence) == EVIDENCE_ITEMS_MAX


# --- absence --------------------------------------------------------------------------------------


def test_a_run_that_nobody_remembers_is_evicted_only_after_a_while() -> None:
    scene = running("a", "b")
    del scene.members["a"]
    assert scene.decide() == []
    assert scene.decide_after(ABSENCE_S - 0.1) == []
    evict = scene.decide_after(0.1)[0]
    assert evict == Evict(run=Run("a", 1), reason="not seen for 60 s", evidence=())


def test_an_earlier_run_that_is_remembered_is_no_proof_for_the_one_in_the_plan() -> None:
    scene = Scene(member("a", boot=5), member("b"), jobs=[job()])
    scene.decide()
    scene.put(member("a", boot=4, state=MemberState.DEAD))
    assert scene.decide() == []


def test_a_run_that_was_seen_again_has_its_whole_time_again() -> None:
    scene = running("a", "b")
    gone = scene.members.pop("a")
    scene.decide()
    scene.now += ABSENCE_S - 1
    scene.put(gone)
    scene.decide()
    del scene.members["a"]
    assert scene.decide() == []
    assert scene.decide_after(ABSENCE_S - 1) == []


def test_a_new_leader_takes_no_absence_for_a_death_in_its_first_moments() -> None:
    scene = running("a", "b")
    del scene.members["a"]
    scene.statuses.clear()
    scene.decide_after(ABSENCE_S - 0.1)
    scene.new_leader()
    scene.now += 10 * ABSENCE_S
    assert scene.decide() == []
    assert scene.decide_after(ACCEPT_S - 0.1) == []


# --- not taken up ---------------------------------------------------------------------------------


def test_an_assignment_that_is_not_taken_up_in_time_goes_elsewhere() -> None:
    scene = Scene(member("a"), member("b"), jobs=[job()])
    scene.decide()
    assert scene.decide() == []
    assert scene.decide_after(ACCEPT_S - 0.1) == []
    made = the_assign(scene.decide_after(0.1))
    assert (made.run.name, made.reason, made.failures) == ("b", "was not taken up in time", 0)


def test_a_status_of_an_older_epoch_takes_nothing_up() -> None:
    scene = running("a", "b")
    scene.becomes("a", MemberState.DEAD)
    scene.decide()
    assert scene.where() == "b"
    scene.decide()
    assert the_assign(scene.decide_after(ACCEPT_S)).reason == "was not taken up in time"


def test_what_starts_has_been_taken_up() -> None:
    scene = Scene(member("a"), member("b"), jobs=[job()])
    scene.decide()
    scene.say(InstanceState.STARTING)
    assert scene.decide_after(100 * ACCEPT_S) == []


def test_with_one_worker_alone_it_is_asked_again_under_a_new_epoch() -> None:
    scene = Scene(member("a"), jobs=[job()])
    scene.decide()
    first = scene.epoch()
    scene.decide()
    scene.decide_after(ACCEPT_S)
    assert (scene.where(), scene.epoch() > first) == ("a", True)


# --- failed, stopped, finished --------------------------------------------------------------------


def test_a_restart_is_not_made_before_its_time() -> None:
    scene = running("a", "b")
    scene.say(InstanceState.FAILED)
    scene.decide()
    assert scene.decide_after(USUAL_RESTART.delay_s * 0.99) == []


def test_a_failure_of_an_older_epoch_restarts_nothing() -> None:
    scene = running("a", "b")
    scene.say(InstanceState.FAILED, epoch=scene.epoch() - 1)
    assert scene.decide_after(ACCEPT_S / 2) == []


def test_a_failed_instance_resumes_from_its_checkpoint() -> None:
    scene = running("a")
    scene.say(InstanceState.FAILED, checkpoint=b"8")
    scene.decide()
    assert the_assign(scene.decide_after(RESTART_S)).resume_from == b"8"


def test_a_full_worker_may_restart_what_failed_on_it() -> None:
    scene = Scene(member("a", capacity=1), jobs=[job()])
    scene.decide()
    scene.say(InstanceState.FAILED)
    scene.decide()
    assert the_assign(scene.decide_after(RESTART_S)).run.name == "a"


def test_what_its_worker_has_stopped_goes_elsewhere_at_once_and_that_counts_for_nothing() -> None:
    scene = running("a", "b")
    scene.say(InstanceState.STOPPED)
    made = the_assign(scene.decide())
    assert (made.run.name, made.reason, made.failures) == ("b", "was stopped by its worker", 0)


def test_what_has_finished_is_concluded_and_never_executed_again() -> None:
    scene = running("a", "b")
    scene.say(InstanceState.FINISHED)
    assert scene.decide() == [Conclude(instance=instance(), epoch=scene.epoch())]
    assert scene.plan.is_finished("job")
    scene.becomes("a", MemberState.DEAD)
    assert scene.decide_after(10 * ABSENCE_S) == []


def test_what_finished_just_before_its_worker_died_is_concluded() -> None:
    scene = running("a", "b")
    scene.say(InstanceState.FINISHED)
    scene.becomes("a", MemberState.DEAD)
    assert [type(change) for change in scene.decide()] == [Evict, Conclude]
    assert scene.decide() == []


def test_an_end_in_an_older_epoch_concludes_nothing() -> None:
    scene = running("a", "b")
    scene.becomes("a", MemberState.DEAD)
    scene.say(InstanceState.FINISHED)
    old = scene.epoch()
    scene.commit(Assign(instance=instance(), run=Run("b", 1), failures=0, resume_from=b"", reason="", evidence=()))
    scene.say(InstanceState.FINISHED, epoch=old)
    assert not any(isinstance(change, Conclude) for change in scene.decide())


def test_what_has_finished_makes_room() -> None:
    scene = Scene(member("a", capacity=1), jobs=[job(parallelism=2)])
    scene.decide()
    scene.say(InstanceState.FINISHED)
    scene.decide()
    assert the_assign(scene.decide()).instance == instance(1)


# --- in general -----------------------------------------------------------------------------------


def test_equal_situations_lead_to_equal_decisions() -> None:
    """Whatever the order in which members, jobs and statuses came to be known."""
    names = ["a", "b", "c", "d"]
    scenes = []
    for order in (names, names[::-1]):
        jobs = [job("one", parallelism=3), job("two", parallelism=2)]
        scene = Scene(*(member(name) for name in order), jobs=jobs)
        scene.decide()
        for which in sorted(scene.plan.assignments, reverse=order is names):
            scene.say(InstanceState.RUNNING, which=which)
        scene.becomes("b", MemberState.DEAD)
        scenes.append((scene.decide(), scene.plan))
    assert scenes[0] == scenes[1]


def test_a_decision_that_waits_says_when_it_is_due() -> None:
    scene = Scene(member("a"), member("b"), jobs=[job()])
    assert scene.recovery.next_deadline() == float("inf")
    scene.decide()
    scene.decide()
    assert scene.recovery.next_deadline() == scene.now + ACCEPT_S


def test_without_anything_to_wait_for_there_is_no_deadline() -> None:
    assert running("a").recovery.next_deadline() == float("inf")


def test_pending_says_what_belongs_nowhere_and_why() -> None:
    scene = Scene(member("a", capacity=1), jobs=[job(parallelism=2), job("other", kind="join")])
    scene.decide()
    assert pending(scene.plan, scene.members) == {
        instance(1): "the only live worker that runs kind 'map' is full",
        instance(of="other"): "no live worker runs kind 'join'",
    }


def test_what_is_held_by_an_evicted_run_is_pending() -> None:
    scene = Scene(member("a"), jobs=[job()])
    scene.decide()
    scene.becomes("a", MemberState.DEAD)
    scene.decide()
    assert pending(scene.plan, scene.members) == {instance(): "no live worker runs kind 'map'"}


def test_what_runs_or_has_finished_is_not_pending() -> None:
    scene = running("a")
    assert pending(scene.plan, scene.members) == {}
    scene.say(InstanceState.FINISHED)
    scene.decide()
    scene.becomes("a", MemberState.DEAD)
    scene.commit(Evict(run=Run("a", 1), reason="", evidence=()))
    assert pending(scene.plan, scene.members) == {}
