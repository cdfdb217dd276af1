"""What a leader does when jobs are updated, cancelled, restarted, quarantined and pardoned."""

from __future__ import annotations

import attrs
import pytest

from swimstream.core.recovery.pending import pending
from swimstream.model.changes import (
    Assign,
    CancelJob,
    Conclude,
    DeclareDead,
    Evict,
    Forget,
    Pardon,
    Quarantine,
    Restart,
    Revoke,
    SubmitJob,
    UpdateJob,
)
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, PINNED, JobSpec, OperatorSpec
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState
from tests.core.recovery.situations import ABSENCE_S, WAIT_S, Scene, assigns, instance, job, newer, newest, the_assign

ASKED_BY = "a"


def running(*names: str, jobs: tuple[JobSpec, ...]) -> Scene:
    """Return a scene in which everything runs."""
    scene = Scene(*(newest(name) for name in names), jobs=jobs)
    scene.decide()
    scene.decide()
    for which in scene.plan.assignments:
        scene.say(InstanceState.RUNNING, which=which, checkpoint=b"7")
    assert scene.decide() == []
    return scene


def update(scene: Scene, spec: JobSpec) -> None:
    scene.commit(UpdateJob(job=spec, base=0, asked_by=ASKED_BY))


def changed(spec: JobSpec) -> JobSpec:
    """Return the job with another parameter."""
    return attrs.evolve(spec, operators=tuple(attrs.evolve(each, parameters={"x": 2}) for each in spec.operators))


def quarantine(scene: Scene) -> None:
    scene.commit(Quarantine(instance=instance(), epoch=scene.epoch(), reason="it is poison", evidence=()))


def why(scene: Scene, which: InstanceId | None = None) -> str:
    reasons = pending(scene.plan, scene.members, waits=scene.recovery.waits, now=scene.now)
    return reasons.get(which or instance(), "")


# --- cancelled ------------------------------------------------------------------------------------


@pytest.mark.parametrize("guarantee", [AT_LEAST_ONE, AT_MOST_ONE, PINNED])
def test_nothing_of_a_cancelled_job_is_executed(guarantee: str) -> None:
    scene = running("a", "b", jobs=(job(parallelism=3, instances=guarantee),))
    scene.commit(CancelJob(job="job", asked_by=ASKED_BY))
    assert assigns(scene.decide()) == []
    scene.becomes("a", MemberState.DEAD, accusers=("b",))
    assert assigns(scene.decide() + scene.decide_after(WAIT_S) + scene.decide_after(ABSENCE_S)) == []
    assert not [which for which in scene.plan.assignments if which.job == "job"]


def test_a_cancelled_at_most_one_instance_is_forgotten_once_its_copy_has_ended() -> None:
    scene = running("a", jobs=(job(instances=AT_MOST_ONE),))
    epoch = scene.epoch()
    scene.commit(CancelJob(job="job", asked_by=ASKED_BY))
    assert scene.decide() == []
    assert "the job was cancelled" in why(scene)
    scene.say(InstanceState.STOPPED)
    assert scene.decide() == [Forget(instance=instance(), epoch=epoch, reason="it has ended")]
    assert scene.plan.assignments == {}
    assert why(scene) == ""
    assert scene.decide() == []


def test_a_cancelled_at_most_one_instance_that_is_silent_is_forgotten_when_it_can_act_no_more() -> None:
    scene = running("a", "b", jobs=(job(instances=AT_MOST_ONE),))
    epoch = scene.epoch()
    scene.commit(CancelJob(job="job", asked_by=ASKED_BY))
    scene.decide()
    assert scene.decide_after(WAIT_S * 0.999) == []
    reason = "its run cannot act on it any more"
    assert scene.decide_after(WAIT_S * 0.002) == [Forget(instance=instance(), epoch=epoch, reason=reason)]


def test_a_job_that_is_revived_before_its_copy_has_ended_waits_for_that_end() -> None:
    spec = job(instances=AT_MOST_ONE)
    scene = running("a", "b", jobs=(spec,))
    scene.commit(CancelJob(job="job", asked_by=ASKED_BY))
    scene.decide()
    update(scene, spec)
    assert scene.decide() == []
    scene.say(InstanceState.STOPPED)
    assert the_assign(scene.decide()).reason == "the job was cancelled, and updated since"


def test_what_a_cancelled_copy_has_finished_does_not_count_for_the_job_that_is_revived() -> None:
    spec = job(instances=AT_MOST_ONE)
    scene = running("a", "b", jobs=(spec,))
    scene.commit(CancelJob(job="job", asked_by=ASKED_BY))
    update(scene, spec)
    scene.say(InstanceState.FINISHED)
    assert the_assign(scene.decide()).reason == "the job was cancelled, and updated since"


@pytest.mark.parametrize("guarantee", [AT_LEAST_ONE, AT_MOST_ONE, PINNED])
def test_a_job_that_is_revived_goes_on_from_its_last_checkpoint_and_one_that_is_begun_anew_does_not(
    guarantee: str,
) -> None:
    spec = job(instances=guarantee)
    for fresh, resumed in ((False, b"7"), (True, b"")):
        scene = running("a", "b", jobs=(spec,))
        scene.say(InstanceState.STOPPED, checkpoint=b"7")
        scene.commit(CancelJob(job="job", asked_by=ASKED_BY))
        scene.commit(UpdateJob(job=spec, base=1 if fresh else 0, asked_by=ASKED_BY, fresh=fresh))
        assert the_assign(scene.decide()).resume_from == resumed


@pytest.mark.parametrize("guarantee", [AT_LEAST_ONE, AT_MOST_ONE, PINNED])
def test_a_job_that_has_finished_is_executed_again_once_it_was_cancelled_and_begun_anew(guarantee: str) -> None:
    spec = job(instances=guarantee)
    scene = running("a", "b", jobs=(spec,))
    scene.say(InstanceState.FINISHED, checkpoint=b"7")
    scene.decide()
    assert scene.plan.is_finished("job")
    scene.commit(CancelJob(job="job", asked_by=ASKED_BY))
    assert scene.decide() == []
    scene.commit(UpdateJob(job=spec, base=1, asked_by=ASKED_BY, fresh=True))
    assert the_assign(scene.decide()).resume_from == b""


def test_what_finishes_before_it_has_heard_that_it_is_taken_back_is_not_executed_again() -> None:
    scene = running("a", "b", jobs=(job(instances=AT_MOST_ONE),))
    scene.commit(Revoke(instance=instance(), epoch=scene.epoch(), reason="a is draining"))
    scene.say(InstanceState.FINISHED)
    assert scene.decide() == [Conclude(instance=instance(), epoch=scene.epoch())]


def test_nothing_is_forgotten_while_a_worker_lives_that_does_not_understand_it() -> None:
    scene = running("a", jobs=(job(instances=AT_MOST_ONE),))
    scene.commit(CancelJob(job="job", asked_by=ASKED_BY))
    scene.say(InstanceState.STOPPED)
    scene.put(newer("b"))
    assert scene.decide() == []
    del scene.members["b"]
    assert [type(each) for each in scene.decide()] == [Forget]


# --- taken from its job ---------------------------------------------------------------------------


def test_what_an_update_takes_from_a_job_is_forgotten_once_it_has_ended_and_nowhere_in_the_way() -> None:
    scene = running("a", "b", jobs=(job(parallelism=2, instances=AT_MOST_ONE),))
    held = scene.plan.assignments[instance(1)]
    update(scene, job(parallelism=1, instances=AT_MOST_ONE))
    assert scene.plan.spec_of(instance(1)) is None
    scene.becomes(held.run.name, MemberState.SUSPECT)
    scene.decide()
    scene.becomes(held.run.name, MemberState.DEAD, accusers=("a",))
    pending(scene.plan, scene.members)
    scene.say(InstanceState.STOPPED, which=instance(1))
    changes = scene.decide()
    assert [each for each in changes if isinstance(each, Forget)] == [
        Forget(instance=instance(1), epoch=held.epoch, reason="it has ended")
    ]


def test_what_was_taken_and_given_back_waits_for_its_former_copy() -> None:
    both, one = (job(parallelism=count, instances=AT_MOST_ONE) for count in (2, 1))
    scene = running("a", "b", jobs=(both,))
    update(scene, one)
    update(scene, both)
    assert scene.decide() == []
    scene.say(InstanceState.STOPPED, which=instance(1))
    assert the_assign(scene.decide()).instance == instance(1)


# --- out of date ----------------------------------------------------------------------------------


@pytest.mark.parametrize("guarantee", [AT_LEAST_ONE, PINNED])
def test_a_copy_that_is_out_of_date_is_executed_anew_on_the_same_worker_at_once(guarantee: str) -> None:
    spec = job(parallelism=2, instances=guarantee)
    scene = running("a", "b", jobs=(spec,))
    before = [held.run for held in scene.plan.assignments.values()]
    update(scene, changed(spec))
    made = assigns(scene.decide())
    assert [each.run for each in made] == before
    assert {each.reason for each in made} == {"the job was updated"}
    assert {each.resume_from for each in made} == {b"7"}
    assert scene.decide() == []


def test_one_that_may_not_stay_where_it_is_goes_elsewhere() -> None:
    spec = job()
    scene = running("a", "b", jobs=(spec,))
    scene.put(attrs.evolve(scene.members["a"], profile=attrs.evolve(scene.members["a"].profile, kinds=("join",))))
    update(scene, changed(spec))
    assert the_assign(scene.decide()).run.name == "b"


def test_an_at_most_one_copy_that_is_out_of_date_ends_before_the_next_begins() -> None:
    spec = job(instances=AT_MOST_ONE)
    scene = running("a", "b", jobs=(spec,))
    update(scene, changed(spec))
    assert scene.decide() == [Revoke(instance=instance(), epoch=scene.epoch(), reason="the job was updated")]
    assert scene.decide() == []
    scene.say(InstanceState.STOPPED)
    made = the_assign(scene.decide())
    assert (made.run.name, made.reason) == ("a", "the job was updated")


def test_an_at_most_one_copy_that_is_out_of_date_and_silent_is_waited_for() -> None:
    spec = job(instances=AT_MOST_ONE)
    scene = running("a", "b", jobs=(spec,))
    update(scene, changed(spec))
    scene.decide()
    assert scene.decide_after(WAIT_S * 0.999) == []
    assert the_assign(scene.decide_after(WAIT_S * 0.002)).run.name == "a"


def test_what_is_restarted_by_decision_tells_that_reason() -> None:
    scene = running("a", "b", jobs=(job(parallelism=2),))
    scene.commit(Restart(instances=(instance(1),), reason="asked for at b", evidence=()))
    made = the_assign(scene.decide())
    assert (made.instance, made.reason, made.failures) == (instance(1), "asked for at b", 0)


def test_what_has_finished_as_something_else_is_executed_again() -> None:
    spec = job()
    scene = running("a", jobs=(spec,))
    update(scene, changed(spec))
    scene.say(InstanceState.FINISHED)
    assert the_assign(scene.decide()).reason == "the job was updated"


@pytest.mark.parametrize("guarantee", [AT_LEAST_ONE, AT_MOST_ONE, PINNED])
def test_what_finishes_before_it_is_restarted_has_finished(guarantee: str) -> None:
    scene = running("a", "b", jobs=(job(instances=guarantee),))
    scene.commit(Restart(instances=(instance(),), reason="asked for at b", evidence=()))
    scene.say(InstanceState.FINISHED)
    assert scene.decide() == [Conclude(instance=instance(), epoch=scene.epoch())]
    assert scene.decide() == []


def test_a_restart_that_was_asked_for_before_an_update_does_not_make_the_former_version_count() -> None:
    spec = job()
    scene = running("a", jobs=(spec,))
    scene.commit(Restart(instances=(instance(),), reason="asked for at b", evidence=()))
    update(scene, changed(spec))
    scene.commit(Restart(instances=(instance(),), reason="asked for at b", evidence=()))
    scene.say(InstanceState.FINISHED)
    assert the_assign(scene.decide()).reason == "the job was updated"


def test_a_conclusion_that_comes_after_the_update_changes_nothing() -> None:
    spec = job()
    scene = running("a", jobs=(spec,))
    epoch = scene.epoch()
    update(scene, changed(spec))
    scene.commit(Conclude(instance=instance(), epoch=epoch))
    assert not scene.plan.assignments[instance()].finished


def test_a_reason_that_the_history_has_forgotten_is_told_in_general() -> None:
    spec = job()
    scene = running("a", jobs=(spec,))
    update(scene, changed(spec))
    for number in range(300):
        scene.commit(SubmitJob(job=job(f"other-{number}", kind="nobody")))
    assert the_assign(scene.decide()).reason == "its former copy is out of date"


# --- in quarantine --------------------------------------------------------------------------------


@pytest.mark.parametrize("guarantee", [AT_LEAST_ONE, AT_MOST_ONE, PINNED])
def test_what_is_in_quarantine_is_not_executed_and_says_why(guarantee: str) -> None:
    scene = running("a", "b", jobs=(job(instances=guarantee),))
    quarantine(scene)
    scene.say(InstanceState.STOPPED)
    assert scene.decide_after(WAIT_S) == []
    assert why(scene) == "in quarantine: it is poison"
    scene.becomes("a", MemberState.DEAD, accusers=("b",))
    assert [type(each) for each in scene.decide_after(ABSENCE_S)] == [Evict]
    assert scene.decide_after(ABSENCE_S) == []


def test_what_is_pardoned_is_executed_again_with_nothing_held_against_it() -> None:
    scene = running("a", "b", jobs=(job(),))
    held = scene.plan.assignments[instance()]
    scene.commit(Assign(instance=instance(), run=held.run, failures=4, resume_from=b"", reason="", evidence=()))
    quarantine(scene)
    scene.say(InstanceState.STOPPED)
    scene.decide()
    scene.commit(Pardon(instance=instance(), asked_by=ASKED_BY))
    made = the_assign(scene.decide())
    assert (made.failures, made.reason) == (0, "it is in quarantine no more")


def test_an_at_most_one_copy_that_is_pardoned_before_it_has_ended_is_waited_for() -> None:
    scene = running("a", "b", jobs=(job(instances=AT_MOST_ONE),))
    quarantine(scene)
    scene.commit(Pardon(instance=instance(), asked_by=ASKED_BY))
    assert scene.decide() == []
    scene.say(InstanceState.STOPPED)
    assert the_assign(scene.decide()).instance == instance()


def test_what_is_in_quarantine_and_has_ended_takes_no_room() -> None:
    scene = Scene(newest("a", capacity=1), jobs=[job()])
    scene.decide()
    scene.say(InstanceState.RUNNING)
    quarantine(scene)
    scene.commit(SubmitJob(job=job("other")))
    assert scene.decide()[1:] == [], "nothing but how long authority lasts: the copy in quarantine has not ended"
    scene.say(InstanceState.STOPPED)
    assert the_assign(scene.decide()).instance == instance(of="other")


# --- blocking inputs, a person's word -------------------------------------------------------------


def test_nothing_begins_before_its_blocking_inputs_have_finished() -> None:
    spec = JobSpec(
        name="job",
        operators=(
            OperatorSpec(name="first", kind="map", parallelism=2),
            OperatorSpec(name="then", kind="map", inputs=("first",), blocking=("first",)),
        ),
    )
    scene = Scene(newest("a"), jobs=[spec])
    scene.decide()
    then = InstanceId("job", "then", 0)
    assert then not in scene.plan.assignments
    assert why(scene, then) == "its input first has not finished: 2 of 2 instances have not"
    for index in range(2):
        scene.say(InstanceState.FINISHED, which=InstanceId("job", "first", index))
    assert [type(each) for each in scene.decide()] == [Conclude, Conclude]
    assert the_assign(scene.decide()).instance == then


def test_a_persons_word_that_a_worker_is_dead_ends_every_wait() -> None:
    scene = running("a", "b", jobs=(job(instances=AT_MOST_ONE),))
    scene.becomes("a", MemberState.SUSPECT)
    scene.decide()
    scene.commit(DeclareDead(run=Run("a", 1), asked_by="b"))
    made = the_assign(scene.decide())
    assert (made.run.name, made.reason) == ("b", "a was declared dead by a person")
