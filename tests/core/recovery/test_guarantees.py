"""What a leader decides about operators with a guarantee: at-most-one, pinned, and those that are held for a while."""

from __future__ import annotations

import attrs
import pytest

from swimstream.core.recovery.pending import pending
from swimstream.core.recovery.waiting import MAY_STILL_ACT
from swimstream.core.submissions import faults
from swimstream.model.changes import Assign, Change, Conclude, Evict, Hold, Release, Revoke, SetAuthority, SubmitJob
from swimstream.model.identity import Run
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, PINNED, JobSpec, OperatorSpec
from swimstream.model.member import MemberState
from swimstream.model.restart import USUAL_RESTART
from swimstream.model.status import InstanceState
from tests.core.recovery.situations import (
    ABSENCE_S,
    ACCEPT_S,
    AUTHORITY,
    WAIT_S,
    Scene,
    assigns,
    instance,
    job,
    member,
    newer,
    the_assign,
)

HOLD_FOR_S = 40.0
RESTART_S = USUAL_RESTART.delay_s * (1 + USUAL_RESTART.jitter)


def running(*names: str, jobs: tuple[JobSpec, ...] = (job(instances=AT_MOST_ONE),)) -> Scene:
    """Return a scene of newer workers in which everything runs, the first job's instance on `a`."""
    scene = Scene(*(newer(name) for name in names), jobs=jobs)
    scene.decide()
    scene.decide()
    for which in scene.plan.assignments:
        scene.say(InstanceState.RUNNING, which=which, checkpoint=b"7")
    assert scene.decide() == []
    assert scene.where() == "a"
    return scene


def kinds(changes: list[Change]) -> list[type]:
    return [type(change) for change in changes]


def why(scene: Scene) -> str:
    """Return what is said of the one instance that waits."""
    (only,) = pending(scene.plan, scene.members, waits=scene.recovery.waits, now=scene.now).values()
    return only


def why_elsewhere(scene: Scene) -> str:
    """Return what a worker that does not lead says of it."""
    (only,) = pending(scene.plan, scene.members).values()
    return only


# --- authority is set, once everybody understands it ----------------------------------------------


def test_a_leader_says_how_long_authority_lasts_before_it_gives_away_what_depends_on_it() -> None:
    scene = Scene(newer("a"), jobs=[job(instances=AT_MOST_ONE)])
    assert scene.decide() == [AUTHORITY]
    assert kinds(scene.decide()) == [Assign]
    assert scene.decide() == []


def test_nothing_that_an_older_worker_cannot_read_is_proposed_while_it_lives() -> None:
    scene = Scene(newer("a"), member("b"), jobs=[job(instances=AT_MOST_ONE)])
    assert scene.decide() == []
    assert why(scene) == "no guarantee can be kept while b is of an older version"
    scene.becomes("b", MemberState.SUSPECT)
    assert scene.decide() == []
    scene.becomes("b", MemberState.DEAD)
    assert scene.decide() == [AUTHORITY]


def test_nobody_is_held_revoked_or_released_while_an_older_worker_lives() -> None:
    scene = running("a", "b")
    scene.put(member("z"))
    scene.becomes("a", MemberState.SUSPECT)
    scene.statuses.clear()
    assert scene.decide() == []
    assert scene.decide_after(ACCEPT_S) == []
    scene.commit(Hold(run=Run("a", 1), reason="", evidence=()))
    scene.becomes("a", MemberState.ALIVE)
    assert scene.decide() == []


def test_authority_that_is_set_is_not_set_again() -> None:
    scene = Scene(newer("a"))
    scene.commit(SetAuthority(isolation_ms=1, drift_ppm=0))
    assert scene.decide() == []


def test_no_older_worker_gets_an_at_most_one_instance() -> None:
    scene = running("a")
    scene.put(member("b"))
    scene.say(InstanceState.FAILED)
    scene.becomes("a", MemberState.DEAD)
    assert assigns(scene.decide()) == []
    assert "older version" in why(scene)


@pytest.mark.parametrize("spec", [job(instances=AT_MOST_ONE), job(instances=PINNED), job(hold_for_s=1.0)])
def test_a_job_with_a_guarantee_is_refused_with_the_name_of_the_older_worker(spec: JobSpec) -> None:
    assert "b of an older version" in faults(spec, {}, [newer("a"), member("b")])
    assert faults(spec, {}, [newer("a"), member("b", state=MemberState.DEAD)]) == ""
    assert faults(job(), {}, [newer("a"), member("b")]) == ""


# --- suspected, refuted, dead ---------------------------------------------------------------------


def test_who_hosts_an_at_most_one_instance_is_held_as_soon_as_it_is_suspected() -> None:
    scene = running("a", "b")
    scene.becomes("a", MemberState.SUSPECT, accusers=("b",))
    assert scene.decide() == [Hold(run=Run("a", 1), reason="suspected", evidence=("seen by b",))]
    assert scene.decide() == []


def test_who_hosts_nothing_of_that_kind_is_not_held() -> None:
    scene = running("a", "b", jobs=(job(),))
    scene.becomes("a", MemberState.SUSPECT)
    assert scene.decide() == []


def test_a_suspect_keeps_what_it_has_however_long_it_is_suspected() -> None:
    scene = running("a", "b")
    scene.becomes("a", MemberState.SUSPECT)
    scene.decide()
    assert scene.decide_after(10 * WAIT_S) == []


@pytest.mark.parametrize("state", [MemberState.SUSPECT, MemberState.DEAD])
def test_who_is_alive_after_all_is_released_and_its_instance_goes_on_where_it_is(state: MemberState) -> None:
    scene = running("a", "b", jobs=(job(instances=AT_MOST_ONE, hold_for_s=HOLD_FOR_S),))
    scene.becomes("a", state)
    scene.decide()
    scene.becomes("a", MemberState.ALIVE)
    assert scene.decide() == [Release(run=Run("a", 1), reason="alive")]
    assert scene.decide_after(10 * WAIT_S) == []


def test_an_earlier_run_that_looks_alive_releases_nobody() -> None:
    """It is an old record of that worker: the run that is held has not been heard of."""
    scene = running("a", "b")
    held = Run("a", 1)
    scene.commit(Hold(run=held, reason="suspected", evidence=()))
    scene.put(newer("a", boot=0))
    assert scene.decide() == []
    assert scene.plan.is_held(held)


def test_an_earlier_run_that_is_suspected_has_nobody_held() -> None:
    scene = running("a", "b")
    scene.put(newer("a", boot=0, state=MemberState.SUSPECT))
    assert scene.decide() == []


def test_a_held_run_gets_no_at_most_one_instance() -> None:
    scene = running("a", "b")
    scene.commit(Hold(run=Run("b", 1), reason="", evidence=()))
    scene.commit(SubmitJob(job=job("next", instances=AT_MOST_ONE)))
    assert the_assign(scene.decide()).run.name == "a"


def test_the_wait_runs_during_the_suspicion() -> None:
    scene = running("a", "b")
    scene.becomes("a", MemberState.SUSPECT)
    scene.decide()
    scene.becomes("a", MemberState.DEAD, accusers=("b",))
    evict, assign = scene.decide_after(WAIT_S)
    assert evict == Evict(run=Run("a", 1), reason="declared dead", evidence=("seen by b",))
    assert isinstance(assign, Assign)
    assert (assign.run, assign.reason, assign.resume_from) == (Run("b", 1), "a: declared dead", b"7")


@pytest.mark.parametrize("state", [MemberState.DEAD, MemberState.LEFT])
def test_without_a_hold_before_it_the_wait_begins_at_the_eviction_and_ends_to_the_point(state: MemberState) -> None:
    """That it has left is no proof that its instances have ended: only their own last word is."""
    scene = running("a", "b")
    scene.becomes("a", state)
    assert kinds(scene.decide()) == [Evict]
    evicted_at = scene.now
    assert scene.decide_after(WAIT_S * 0.999) == []
    assert why(scene) == f"{MAY_STILL_ACT} (0.0 s left)"
    assert MAY_STILL_ACT in why_elsewhere(scene)
    assert scene.recovery.next_deadline() == pytest.approx(evicted_at + WAIT_S)
    scene.now = scene.recovery.next_deadline()
    assert the_assign(scene.decide()).run.name == "b"


def test_a_higher_boot_of_the_name_is_no_proof_of_the_older_runs_end() -> None:
    scene = running("a", "b")
    scene.put(newer("a", boot=2))
    assert kinds(scene.decide()) == [Evict]
    assert scene.decide_after(WAIT_S * 0.999) == []
    assert the_assign(scene.decide_after(WAIT_S * 0.002)).run == Run("a", 2)


@pytest.mark.parametrize("state", [InstanceState.STOPPED, InstanceState.FAILED])
def test_the_last_word_of_that_very_copy_ends_the_wait(state: InstanceState) -> None:
    scene = running("a", "b")
    scene.say(state)
    scene.becomes("a", MemberState.LEFT)
    assert kinds(scene.decide()) == [Evict, Assign]


@pytest.mark.parametrize("state", [InstanceState.ISOLATED, InstanceState.STOPPING, InstanceState.RUNNING])
def test_what_may_go_on_is_waited_for(state: InstanceState) -> None:
    scene = running("a", "b")
    scene.say(state)
    scene.becomes("a", MemberState.DEAD)
    assert kinds(scene.decide()) == [Evict]
    assert scene.decide_after(WAIT_S * 0.999) == []


def test_the_last_word_of_an_older_copy_ends_no_wait() -> None:
    scene = running("a", "b")
    scene.say(InstanceState.STOPPED, epoch=scene.epoch() - 1)
    scene.becomes("a", MemberState.DEAD)
    assert kinds(scene.decide()) == [Evict]


def test_what_finished_before_its_worker_died_is_concluded_without_a_wait() -> None:
    scene = running("a", "b")
    scene.say(InstanceState.FINISHED)
    scene.becomes("a", MemberState.DEAD)
    assert kinds(scene.decide()) == [Evict, Conclude]


def test_a_wait_is_annulled_by_a_release_and_begins_anew_with_the_next_hold() -> None:
    scene = running("a", "b")
    for state in (MemberState.SUSPECT, MemberState.ALIVE):
        scene.becomes("a", state)
        scene.decide_after(1.0)
    scene.becomes("a", MemberState.SUSPECT)
    scene.decide_after(WAIT_S - 2.0)
    scene.becomes("a", MemberState.DEAD)
    assert kinds(scene.decide_after(3.0)) == [Evict]
    assert kinds(scene.decide_after(WAIT_S)) == [Assign]


def test_a_new_leader_waits_anew() -> None:
    scene = running("a", "b")
    scene.becomes("a", MemberState.DEAD)
    scene.decide_after(WAIT_S)
    scene.decide_after(WAIT_S * 0.999)
    scene.new_leader()
    assert scene.decide_after(WAIT_S * 0.999) == []
    assert kinds(scene.decide_after(WAIT_S * 0.002)) == [Assign]


def test_other_instances_of_the_same_worker_do_not_wait() -> None:
    scene = running("a", "b", jobs=(job(instances=AT_MOST_ONE), job("other", parallelism=2)))
    assert scene.where(instance(0, of="other")) == "a"
    scene.becomes("a", MemberState.DEAD)
    evict, assign = scene.decide()
    assert isinstance(evict, Evict)
    assert isinstance(assign, Assign)
    assert assign.instance == instance(0, of="other")


# --- failed, not taken up -------------------------------------------------------------------------


def test_what_has_failed_is_restarted_without_a_wait_for_authority() -> None:
    scene = running("a", "b")
    scene.say(InstanceState.FAILED)
    scene.decide()
    assert the_assign(scene.decide_after(RESTART_S)).failures == 1


def test_what_is_not_taken_up_in_time_is_revoked_waited_for_and_given_to_another() -> None:
    scene = running("a", "b")
    scene.statuses.clear()
    scene.decide()
    assert scene.decide_after(ACCEPT_S * 0.999) == []
    (revoke,) = scene.decide_after(ACCEPT_S * 0.002)
    assert revoke == Revoke(instance=instance(), epoch=scene.epoch(), reason="was not taken up in time")
    assert scene.decide_after(WAIT_S * 0.999) == []
    assert MAY_STILL_ACT in why(scene)
    made = the_assign(scene.decide_after(WAIT_S * 0.002))
    assert (made.run.name, made.reason, made.failures) == ("b", "was not taken up in time", 0)


def test_what_was_taken_up_after_its_revocation_moves_as_soon_as_it_has_stopped() -> None:
    scene = running("a", "b")
    scene.statuses.clear()
    scene.decide()
    scene.decide_after(ACCEPT_S)
    scene.say(InstanceState.RUNNING)
    assert scene.decide() == []
    scene.say(InstanceState.STOPPED)
    assert the_assign(scene.decide()).run.name == "b"


def test_an_isolated_instance_has_been_taken_up_and_stays() -> None:
    scene = running("a", "b")
    scene.say(InstanceState.ISOLATED)
    scene.decide()
    assert scene.decide_after(10 * ACCEPT_S) == []


def test_who_is_released_in_this_very_review_is_not_moved_by_the_wait_before_it() -> None:
    scene = running("a", "b")
    scene.commit(Hold(run=Run("a", 1), reason="", evidence=()))
    scene.now += WAIT_S
    scene.commit(Revoke(instance=instance(), epoch=scene.epoch(), reason=""))
    assert kinds(scene.decide()) == [Release]
    assert scene.decide_after(WAIT_S * 0.999) == []
    assert kinds(scene.decide_after(WAIT_S * 0.002)) == [Assign]


def test_what_nobody_takes_keeps_its_place_where_it_is() -> None:
    """The end of one that cannot be placed in this review makes no room for another one on its worker."""
    scene = running("a")
    scene.put(newer("a", capacity=1))
    scene.becomes("a", MemberState.SUSPECT)
    scene.say(InstanceState.FAILED)
    scene.decide()
    scene.commit(SubmitJob(job=job("other")))
    scene.becomes("a", MemberState.ALIVE)
    assert kinds(scene.decide_after(RESTART_S)) == [Release]


# --- held for a while -----------------------------------------------------------------------------


@pytest.mark.parametrize("guarantee", [AT_LEAST_ONE, AT_MOST_ONE])
def test_what_is_held_for_a_while_moves_that_long_after_the_death(guarantee: str) -> None:
    scene = running("a", "b", jobs=(job(instances=guarantee, hold_for_s=HOLD_FOR_S),))
    scene.becomes("a", MemberState.DEAD)
    assert kinds(scene.decide()) == [Hold]
    assert scene.decide_after(HOLD_FOR_S * 0.5) == []
    assert why(scene) == "held: its worker is away, moves after hold_for (20.0 s left)"
    assert why_elsewhere(scene) == "held: its worker is away, moves after hold_for (40 s)"
    assert scene.recovery.next_deadline() == scene.now + HOLD_FOR_S * 0.5
    assert kinds(scene.decide_after(HOLD_FOR_S * 0.5)) == [Evict, Assign]
    assert scene.where() == "b"


def test_the_death_counts_from_when_it_was_told_also_for_a_new_leader() -> None:
    scene = running("a", "b", jobs=(job(hold_for_s=HOLD_FOR_S),))
    scene.becomes("a", MemberState.DEAD)
    scene.decide()
    scene.new_leader()
    assert kinds(scene.decide_after(HOLD_FOR_S)) == [Evict, Assign]


def test_an_absent_worker_is_dead_only_after_its_absence_and_held_for_from_then_on() -> None:
    scene = running("a", "b", jobs=(job(hold_for_s=HOLD_FOR_S),))
    gone = scene.members.pop("a")
    assert scene.decide() == []
    assert kinds(scene.decide_after(ABSENCE_S)) == [Hold]
    assert scene.decide_after(HOLD_FOR_S - 1.0) == []
    scene.put(gone)
    assert kinds(scene.decide()) == [Release]
    del scene.members["a"]
    assert scene.decide_after(1.0) == []
    scene.decide_after(ABSENCE_S)
    assert kinds(scene.decide_after(HOLD_FOR_S)) == [Evict, Assign]


def test_who_comes_back_meanwhile_is_released_and_goes_on() -> None:
    scene = running("a", "b", jobs=(job(hold_for_s=HOLD_FOR_S),))
    scene.becomes("a", MemberState.DEAD)
    scene.decide()
    scene.becomes("a", MemberState.ALIVE)
    assert kinds(scene.decide()) == [Release]
    assert scene.decide_after(2 * HOLD_FOR_S) == []


@pytest.mark.parametrize("state", [InstanceState.STOPPED, InstanceState.FAILED])
def test_proof_of_the_end_ends_the_holding(state: InstanceState) -> None:
    scene = running("a", "b", jobs=(job(hold_for_s=HOLD_FOR_S),))
    scene.say(state)
    scene.becomes("a", MemberState.DEAD)
    assert kinds(scene.decide()) == [Evict, Assign]


def test_a_run_that_cannot_come_back_is_not_held_for() -> None:
    for later in (newer("a", boot=2), newer("a", state=MemberState.LEFT)):
        scene = running("a", "b", jobs=(job(hold_for_s=HOLD_FOR_S),))
        scene.put(attrs.evolve(later, since=scene.now))
        assert kinds(scene.decide()) == [Evict, Assign]


def test_what_is_not_held_for_moves_alone_and_at_most_one_after_its_wait() -> None:
    spec = JobSpec(
        name="mixed",
        operators=(
            OperatorSpec(name="edge", kind="map", hold_for_s=HOLD_FOR_S),
            OperatorSpec(name="plain", kind="map"),
            OperatorSpec(name="single", kind="map", instances=AT_MOST_ONE),
        ),
    )
    scene = Scene(newer("a"), jobs=[spec])
    scene.decide()
    scene.decide()
    scene.put(newer("b"))
    for which in scene.plan.assignments:
        scene.say(InstanceState.RUNNING, which=which)
    scene.becomes("a", MemberState.DEAD, accusers=("b",))
    hold, plain = scene.decide()
    assert isinstance(hold, Hold)
    assert isinstance(plain, Assign)
    assert (plain.instance.operator, plain.reason) == ("plain", "a: declared dead")
    scene.say(InstanceState.RUNNING, which=plain.instance)
    single = the_assign(scene.decide_after(WAIT_S)).instance
    assert single.operator == "single"
    scene.say(InstanceState.RUNNING, which=single)
    evict, edge = scene.decide_after(HOLD_FOR_S)
    assert isinstance(evict, Evict)
    assert isinstance(edge, Assign)
    assert edge.instance.operator == "edge"
    assert not scene.plan.stops


def test_a_held_run_that_hosts_nothing_any_more_is_evicted_when_it_is_dead() -> None:
    scene = running("a", "b")
    scene.becomes("a", MemberState.SUSPECT)
    scene.decide()
    scene.say(InstanceState.FINISHED)
    scene.decide()
    scene.becomes("a", MemberState.DEAD)
    assert kinds(scene.decide()) == [Evict]
    assert not scene.plan.stops


# --- pinned ---------------------------------------------------------------------------------------


def pinned(*names: str) -> Scene:
    return running(*names, jobs=(job(instances=PINNED),))


def test_what_is_pinned_waits_for_its_worker_however_long_and_goes_on_there() -> None:
    scene = pinned("a", "b")
    scene.becomes("a", MemberState.DEAD)
    assert kinds(scene.decide()) == [Hold]
    assert scene.decide_after(1e6) == []
    assert why(scene) == why_elsewhere(scene) == "pinned to a, which is away"
    scene.becomes("a", MemberState.ALIVE)
    assert kinds(scene.decide()) == [Release]
    assert scene.decide() == []


def test_a_later_run_of_the_name_gets_what_is_pinned_anew() -> None:
    scene = pinned("a", "b")
    scene.becomes("a", MemberState.DEAD)
    scene.decide()
    scene.put(newer("a", boot=2))
    assert kinds(scene.decide()) == [Evict, Assign]
    assert scene.plan.assignments[instance()].run == Run("a", 2)


@pytest.mark.parametrize("happens", ["fails", "is stopped", "is not taken up"])
def test_what_is_pinned_is_started_again_on_the_same_worker(happens: str) -> None:
    scene = pinned("a", "b")
    match happens:
        case "fails":
            scene.say(InstanceState.FAILED)
        case "is stopped":
            scene.say(InstanceState.STOPPED)
        case _:
            scene.statuses.clear()
    made = assigns(scene.decide() + scene.decide_after(ACCEPT_S))
    assert made[0].run.name == "a"


def test_what_is_pinned_to_a_worker_that_has_left_waits_for_the_name() -> None:
    scene = pinned("a", "b")
    scene.becomes("a", MemberState.LEFT)
    assert kinds(scene.decide()) == [Evict]
    assert scene.decide_after(1e6) == []
    assert why(scene).startswith("pinned to a, which is away")
    scene.put(newer("a", boot=2))
    assert kinds(scene.decide()) == [Assign]


def test_what_is_pinned_first_goes_to_its_preferred_site_or_waits() -> None:
    scene = Scene(newer("a", site="south"), jobs=[job(instances=PINNED, prefer_site="north")])
    scene.decide()
    assert scene.decide() == []
    assert why(scene) == "no live worker in site north runs kind 'map'"
    scene.put(newer("b", site="north"))
    assert the_assign(scene.decide()).run.name == "b"
