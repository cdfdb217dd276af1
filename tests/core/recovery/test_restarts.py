"""What a leader does about an instance that has ended by itself: strategies, budgets, places, classes of errors."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.recovery.pending import pending
from swimstream.core.recovery.restarts import HASTE_S, PAUSE_S_MAX, judge_end
from swimstream.core.recovery.waiting import Waits
from swimstream.model.changes import Change, Pardon, Quarantine, UpdateJob
from swimstream.model.identity import Run
from swimstream.model.job import AT_MOST_ONE, JobSpec
from swimstream.model.member import MemberState
from swimstream.model.plan import Assignment
from swimstream.model.restart import EXPONENTIAL_DELAY, FAILURE_RATE, FIXED_DELAY, NO_RESTART, RestartStrategy
from swimstream.model.status import ErrorClass, InstanceState, InstanceStatus
from tests.core.recovery.situations import Scene, assigns, instance, job, newer, newest, the_assign

FIXED = RestartStrategy(strategy=FIXED_DELAY, delay_s=5.0, in_place=1_000)
GROWING = RestartStrategy(strategy=EXPONENTIAL_DELAY, delay_s=1.0, delay_max_s=60.0, jitter=0.0, in_place=1_000)
RATE = RestartStrategy(strategy=FAILURE_RATE, attempts=2, interval_s=100.0, delay_s=1.0, in_place=1_000)


def running(restart: RestartStrategy, *, names: str = "ab", instances: str = "at-least-one") -> Scene:
    """Return a scene where the one instance runs on `a`."""
    scene = Scene(*(newest(name) for name in names), jobs=[job(restart=restart, instances=instances)])
    scene.decide()
    scene.decide()
    run(scene)
    return scene


def run(scene: Scene) -> None:
    scene.say(InstanceState.RUNNING)
    assert scene.decide() == []


def fail(scene: Scene, *, cause: str = "", error: ErrorClass = ErrorClass.RETRYABLE) -> list[Change]:
    """Let the instance fail, and return what is decided at once."""
    scene.say(InstanceState.FAILED, cause=cause, error=error)
    return scene.decide()


def restart(scene: Scene) -> float:
    """Let the leader wait as long as it wants; return how long that was, once the instance was assigned anew."""
    began_at = scene.now
    scene.now = scene.recovery.next_deadline()
    the_assign(scene.decide())
    waited_s = scene.now - began_at
    run(scene)
    return waited_s


def the_quarantine(changes: list[Change]) -> Quarantine:
    (only,) = changes
    assert isinstance(only, Quarantine)
    return only


def delays(scene: Scene, count: int) -> list[float]:
    found = []
    for _ in range(count):
        assert fail(scene) == []
        found.append(restart(scene))
    return found


# --- strategies -----------------------------------------------------------------------------------


def test_a_fixed_delay_stays_the_same() -> None:
    assert delays(running(FIXED), 4) == pytest.approx([5.0] * 4)


def test_an_exponential_delay_grows_up_to_its_limit() -> None:
    assert delays(running(GROWING), 9) == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])


def test_jitter_makes_a_delay_longer_by_up_to_its_share_and_apart_for_each_instance() -> None:
    strategy = attrs.evolve(GROWING, jitter=0.5, delay_max_s=1.0)
    scene = Scene(newest("a"), jobs=[job(parallelism=20, restart=strategy)])
    scene.decide()
    for which in scene.plan.assignments:
        scene.say(InstanceState.FAILED, which=which)
    failed_at = scene.now
    due: list[float] = []
    while len(due) < 20:
        due += [scene.now - failed_at] * len(assigns(scene.decide()))
        scene.now = min(scene.recovery.next_deadline(), failed_at + 10)
    assert all(1.0 <= each <= 1.5 for each in due)
    assert len(set(due)) == 20


def test_no_restart_means_that_the_first_failure_is_the_last() -> None:
    made = the_quarantine(fail(running(RestartStrategy(strategy=NO_RESTART)), cause="out of cheese"))
    assert (made.reason, made.evidence) == (
        "its restarts are used up: it has none; it failed: out of cheese",
        ("out of cheese",),
    )


@pytest.mark.parametrize("strategy", [FIXED, GROWING])
def test_so_many_attempts_are_made_and_not_one_more(strategy: RestartStrategy) -> None:
    scene = running(attrs.evolve(strategy, attempts=3))
    delays(scene, 3)
    made = the_quarantine(fail(scene, cause="the last"))
    assert made.reason == "its restarts are used up: 4 failures, 3 restarts allowed; it failed: the last"
    assert scene.decide_after(1_000.0) == []
    assert pending(scene.plan, scene.members) == {instance(): f"in quarantine: {made.reason}"}


def test_one_restart_is_told_in_the_singular() -> None:
    scene = running(attrs.evolve(FIXED, attempts=1))
    delays(scene, 1)
    assert "2 failures, 1 restart allowed" in the_quarantine(fail(scene)).reason


def test_the_causes_of_all_failures_are_the_evidence() -> None:
    scene = running(attrs.evolve(FIXED, attempts=2))
    for cause in ("one", "two"):
        fail(scene, cause=cause)
        restart(scene)
    assert the_quarantine(fail(scene, cause="three")).evidence == ("one", "two", "three")


def test_a_new_leader_goes_on_counting() -> None:
    scene = running(attrs.evolve(FIXED, attempts=2))
    delays(scene, 2)
    scene.new_leader()
    the_quarantine(fail(scene))


@pytest.mark.parametrize("strategy", [FIXED, RATE])
def test_a_pardon_gives_the_whole_budget_again(strategy: RestartStrategy) -> None:
    scene = running(attrs.evolve(strategy, attempts=1))
    delays(scene, 1)
    the_quarantine(fail(scene))
    scene.commit(Pardon(instance=instance(), asked_by="a"))
    the_assign(scene.decide())
    run(scene)
    delays(scene, 1)
    the_quarantine(fail(scene))


@pytest.mark.parametrize("strategy", [FIXED, RATE])
def test_another_version_of_its_operator_begins_with_the_whole_budget(strategy: RestartStrategy) -> None:
    scene = running(attrs.evolve(strategy, attempts=2))
    delays(scene, 2)
    operators = [attrs.evolve(each, parameters={"x": 2}) for each in scene.plan.jobs["job"].operators]
    scene.commit(UpdateJob(job=JobSpec(name="job", operators=operators), base=0, asked_by="a"))
    assert the_assign(scene.decide()).failures == 0
    run(scene)
    delays(scene, 2)
    the_quarantine(fail(scene))


# --- forgiven after a quiet time ------------------------------------------------------------------


def test_failures_are_forgotten_once_it_has_run_for_long_enough() -> None:
    scene = running(attrs.evolve(GROWING, reset_after_s=600.0))
    delays(scene, 3)
    scene.now += 600.0
    assert fail(scene) == []
    assert restart(scene) == pytest.approx(1.0)
    assert scene.plan.assignments[instance()].failures == 1


def test_a_little_less_forgets_nothing() -> None:
    scene = running(attrs.evolve(GROWING, reset_after_s=600.0))
    delays(scene, 3)
    scene.now += 599.0
    assert delays(scene, 1) == pytest.approx([8.0])


def test_a_new_leader_has_not_seen_it_run_before() -> None:
    scene = running(attrs.evolve(GROWING, reset_after_s=600.0))
    delays(scene, 3)
    scene.now += 599.0
    scene.new_leader()
    scene.decide()
    scene.now += 599.0
    assert delays(scene, 1) == pytest.approx([8.0])


def test_with_0_nothing_is_ever_forgotten() -> None:
    scene = running(attrs.evolve(GROWING, reset_after_s=0.0))
    delays(scene, 3)
    scene.now += 1e6
    assert delays(scene, 1) == pytest.approx([8.0])


# --- the rate of failures -------------------------------------------------------------------------


def test_more_failures_than_allowed_within_the_interval_use_it_up() -> None:
    scene = running(RATE)
    delays(scene, 2)
    made = the_quarantine(fail(scene, cause="again"))
    assert "3 failures within 100 s, 2 restarts allowed" in made.reason


def test_as_many_failures_further_apart_use_nothing_up() -> None:
    scene = running(RATE)
    for _ in range(10):
        delays(scene, 1)
        scene.now += 50.0


def test_a_new_leader_takes_all_failures_that_the_plan_knows_for_recent_ones() -> None:
    scene = running(RATE)
    delays(scene, 2)
    scene.new_leader()
    scene.decide_after(99.0)
    the_quarantine(fail(scene))


def test_but_not_for_ever() -> None:
    scene = running(RATE)
    delays(scene, 2)
    scene.new_leader()
    scene.decide()
    scene.now += 101.0
    delays(scene, 2)


# --- where ----------------------------------------------------------------------------------------


def test_it_is_restarted_in_place_so_many_times_and_then_elsewhere() -> None:
    scene = running(attrs.evolve(FIXED, in_place=2))
    where = []
    for _ in range(6):
        delays(scene, 1)
        where.append(scene.where())
    assert where == ["a", "a", "b", "b", "b", "a"]


def test_in_place_means_the_same_worker_however_full_it_is_beside_the_others() -> None:
    scene = Scene(newest("a"), newest("b"), jobs=[job(restart=FIXED), job("other", parallelism=9)])
    scene.decide()
    scene.put(newest("c"))
    run(scene)
    delays(scene, 1)
    assert scene.where() == "a"


def test_with_nobody_else_it_stays() -> None:
    scene = running(attrs.evolve(FIXED, in_place=0), names="a")
    delays(scene, 2)
    assert scene.where() == "a"


# --- classes of errors ----------------------------------------------------------------------------


def test_a_fatal_error_is_not_tried_again() -> None:
    made = the_quarantine(fail(running(FIXED), cause="no such column", error=ErrorClass.FATAL))
    assert (made.reason, made.evidence) == ("failed, and would again: no such column", ("no such column",))


@pytest.mark.parametrize("instances", ["at-least-one", AT_MOST_ONE])
@pytest.mark.parametrize("state", [MemberState.DEAD, MemberState.LEFT])
def test_a_fatal_error_is_not_tried_again_though_its_worker_is_gone_when_a_leader_hears_of_it(
    instances: str, state: MemberState
) -> None:
    """As one that is elected when both have happened."""
    scene = running(FIXED, instances=instances)
    scene.say(InstanceState.FAILED, cause="no such column", error=ErrorClass.FATAL)
    scene.becomes(scene.where(), state, accusers=("b", "c"))
    scene.new_leader()
    for _ in range(3):
        scene.decide_after(100.0)
    assert instance() in scene.plan.directives.quarantined
    assert scene.where() == "a"


@pytest.mark.parametrize("instances", ["at-least-one", AT_MOST_ONE])
def test_what_failed_with_its_infrastructure_is_executed_elsewhere_at_once_and_uses_nothing_up(instances: str) -> None:
    scene = running(attrs.evolve(FIXED, attempts=1), instances=instances)
    made = the_assign(fail(scene, cause="killed", error=ErrorClass.INFRASTRUCTURE))
    assert (made.run.name, made.failures, made.reason) == ("b", 0, "failed with its worker: killed")


def test_infrastructure_that_fails_again_and_again_pauses_longer_each_time_within_a_bound() -> None:
    scene = running(FIXED)
    pauses = []
    for _ in range(8):
        changes = fail(scene, error=ErrorClass.INFRASTRUCTURE)
        pauses.append(0.0)
        if changes:
            run(scene)
        else:
            pauses[-1] = restart(scene)
    assert pauses[:6] == pytest.approx([0.0, 0.5, 1.0, 2.0, 4.0, 8.0])
    assert max(pauses) == PAUSE_S_MAX
    scene.now += HASTE_S
    the_assign(fail(scene, error=ErrorClass.INFRASTRUCTURE))


def test_what_cannot_be_quarantined_since_an_older_worker_lives_waits_and_says_so() -> None:
    scene = running(RestartStrategy(strategy=NO_RESTART))
    scene.put(newer("c"))
    assert fail(scene, cause="x") == []
    reasons = pending(scene.plan, scene.members, waits=scene.recovery.waits, now=scene.now)
    assert "its restarts are used up" in reasons[instance()]
    del scene.members["c"]
    the_quarantine(scene.decide())


def test_the_wait_for_a_restart_is_told() -> None:
    scene = running(FIXED)
    fail(scene, cause="x")
    reasons = pending(scene.plan, scene.members, waits=scene.recovery.waits, now=scene.now)
    assert reasons == {instance(): "failed: x; it is executed again (5.0 s left)"}


# --- in general -----------------------------------------------------------------------------------


@given(
    st.builds(
        RestartStrategy,
        strategy=st.sampled_from([EXPONENTIAL_DELAY, FIXED_DELAY]),
        delay_s=st.floats(0, 10),
        delay_max_s=st.floats(10, 1_000),
        multiplier=st.floats(1, 100),
        jitter=st.floats(0, 1),
        reset_after_s=st.just(0.0),
    ),
    st.integers(0, 1_000_000),
)
def test_a_delay_is_never_below_the_first_nor_above_the_largest_with_its_jitter(
    strategy: RestartStrategy, failures: int
) -> None:
    waits = Waits()
    waits.begin_review(0.0)
    held = Assignment(instance=instance(), run=Run("a", 1), epoch=3, failures=failures)
    status = InstanceStatus(
        instance=held.instance, epoch=3, run=held.run, seq=1, state=InstanceState.FAILED, since_ms=0
    )
    verdict = judge_end(held, status, strategy, waits)
    assert 0.999 * strategy.delay_s <= verdict.due_at <= 1.001 * strategy.delay_max_s * (1 + strategy.jitter)
    assert judge_end(held, status, strategy, waits) == verdict, "asked twice it says the same"
