"""The judge itself: it catches each broken promise, and lets pass what is allowed."""

from __future__ import annotations

import attrs
import pytest

from swimstream.config import LOCAL
from swimstream.core.effects import StartInstance
from swimstream.events import MemberChanged
from swimstream.model.changes import Entry, Noop
from swimstream.model.identity import Run
from swimstream.model.member import MemberState
from swimstream.model.status import InstanceState
from swimstream.simulator import promises
from swimstream.simulator.agreement import disagreements
from swimstream.simulator.clock import Clock
from swimstream.simulator.faults import Faults
from swimstream.simulator.observer import Observer
from swimstream.simulator.promises import PromiseBroken
from tests.worlds.views import (
    FINISHED_PLAN,
    FOUNDED,
    INSTANCE,
    JOB,
    RUNNING_PLAN,
    SUBMITTED,
    FakeView,
    assign,
    member,
    plan_after,
    status,
    with_run,
)


def make_observer(*, gentle: bool = True) -> Observer:
    """Return a judge at time zero."""
    return Observer(seed=1, gentle=gentle, clock=Clock(), timing=LOCAL, faults=Faults())


def start(epoch: int) -> StartInstance:
    """Return an order to run the one instance."""
    return StartInstance(instance=INSTANCE, epoch=epoch, spec=JOB.operators[0], inputs=(), outputs=(), resume_from=b"")


def dead(name: str) -> MemberChanged:
    """Return the news of a death."""
    return MemberChanged(member(name, state=MemberState.DEAD, accusers=("b",)))


def test_two_leaders_of_one_term_are_caught() -> None:
    """One is elected, then another says it is."""
    observer = make_observer()
    observer.step(observer.begin(FakeView("a", is_leader=True)))
    with pytest.raises(PromiseBroken, match=promises.ONE_LEADER):
        observer.step(observer.begin(FakeView("b", leader="b", is_leader=True)))


def test_a_leader_that_names_another_is_caught() -> None:
    """Its application could not tell who leads."""
    observer = make_observer()
    with pytest.raises(PromiseBroken, match="a@1 leads, but names b as the leader of term 1"):
        observer.step(observer.begin(FakeView("a", leader="b", is_leader=True)))


def test_leaders_of_different_terms_are_allowed() -> None:
    """An old leader that does not know yet is no breach."""
    observer = make_observer()
    observer.step(observer.begin(FakeView("a", is_leader=True)))
    observer.step(observer.begin(FakeView("b", leader="b", is_leader=True, term=2)))
    assert observer.leaders == {1: Run("a", 1), 2: Run("b", 1)}


def test_a_changed_decision_is_caught_although_its_index_was_skipped() -> None:
    """One node applies entry by entry, the other two at once, one of them another than was committed."""
    observer = make_observer()
    first, second = FakeView("a", plan=plan_after(FOUNDED, SUBMITTED)), FakeView("b")
    observer.step(observer.begin(first))
    second.plan = plan_after(FOUNDED, Noop(), Noop())
    with pytest.raises(PromiseBroken, match=promises.COMMITTED):
        observer.step(observer.begin(second))


def test_plans_that_differ_with_equal_decisions_are_caught() -> None:
    """The history may be right and its application wrong."""
    observer = make_observer()
    observer.step(observer.begin(FakeView("a", plan=RUNNING_PLAN)))
    wrong = attrs.evolve(RUNNING_PLAN, evicted={"c": 9})
    with pytest.raises(PromiseBroken, match="evicted"):
        observer.step(observer.begin(FakeView("b", plan=wrong)))


def test_a_plan_that_goes_back_is_caught() -> None:
    """Within one run."""
    observer = make_observer()
    view = FakeView("a", plan=plan_after(FOUNDED, SUBMITTED))
    watch = observer.begin(view)
    observer.step(watch)
    view.plan = plan_after(FOUNDED)
    with pytest.raises(PromiseBroken, match="went back"):
        observer.step(watch)


def test_an_epoch_that_does_not_rise_is_caught() -> None:
    """An instance moves under the same epoch."""
    observer = make_observer()
    view = FakeView("a", plan=RUNNING_PLAN)
    watch = observer.begin(view)
    observer.step(watch)
    moved = with_run(plan_after(FOUNDED, SUBMITTED, assign("a"), Noop()), Run("b", 1))
    view.plan = moved
    with pytest.raises(PromiseBroken, match="did not rise"):
        observer.step(watch)


def test_a_finished_instance_that_comes_back_is_caught() -> None:
    """What has finished is never executed again."""
    observer = make_observer()
    view = FakeView("a", plan=FINISHED_PLAN)
    watch = observer.begin(view)
    observer.step(watch)
    view.plan = FINISHED_PLAN.advance([Entry(index=5, term=1, change=assign("b"))])
    with pytest.raises(PromiseBroken, match="had finished"):
        observer.step(watch)


def test_an_epoch_that_two_workers_start_is_caught() -> None:
    """The plan names one of them."""
    observer = make_observer()
    first, second = (observer.begin(FakeView(name, plan=RUNNING_PLAN)) for name in "ab")
    observer.start_instance(first, start(3))
    with pytest.raises(PromiseBroken, match=promises.ONE_EPOCH):
        observer.start_instance(second, start(3))


def test_an_epoch_that_is_not_committed_is_caught() -> None:
    """A worker acts ahead of its plan."""
    observer = make_observer()
    with pytest.raises(PromiseBroken, match="its plan ends at 3"):
        observer.start_instance(observer.begin(FakeView("a", plan=RUNNING_PLAN)), start(4))


def test_a_worker_that_starts_what_is_not_its_own_is_caught() -> None:
    """The assignment names another run."""
    observer = make_observer()
    with pytest.raises(PromiseBroken, match="the plan says"):
        observer.start_instance(observer.begin(FakeView("b", plan=RUNNING_PLAN)), start(3))


def test_the_death_of_a_live_worker_is_caught_in_a_gentle_world() -> None:
    """And its accusers are named."""
    observer = make_observer()
    watch = observer.begin(FakeView("a"))
    observer.begin(FakeView("c"))
    with pytest.raises(PromiseBroken, match=r"declared c@1 dead, which lives \(accused by b\)"):
        observer.hear(watch, dead("c"))


def test_the_death_of_a_live_worker_is_only_counted_in_a_rough_world() -> None:
    """A partition looks like a death."""
    observer = make_observer(gentle=False)
    watch = observer.begin(FakeView("a"))
    observer.begin(FakeView("c"))
    observer.hear(watch, dead("c"))
    assert observer.findings.false_deaths == 1


def test_a_paused_worker_may_be_declared_dead() -> None:
    """For as long as it is excused."""
    observer = make_observer()
    watch = observer.begin(FakeView("a"))
    observer.begin(FakeView("c")).excused_until = 5.0
    observer.hear(watch, dead("c"))
    assert observer.findings.false_deaths == 1


def test_the_detection_of_a_crash_is_timed_once_for_each_view() -> None:
    """The same news twice is one detection."""
    clock = Clock()
    observer = Observer(seed=1, gentle=True, clock=clock, timing=LOCAL, faults=Faults())
    watch, victim = observer.begin(FakeView("a")), observer.begin(FakeView("c"))
    observer.end(victim, crashed=True, running={})
    clock.run_until(2.5)
    observer.hear(watch, dead("c"))
    observer.hear(watch, dead("c"))
    assert observer.findings.detection_s == [2.5]


def test_a_crash_that_goes_unseen_is_caught() -> None:
    """Someone still holds the crashed for a suspect when the bound is over."""
    observer = make_observer()
    observer.begin(FakeView("a", held=(member("c", state=MemberState.SUSPECT),)))
    observer.end(observer.begin(FakeView("c")), crashed=True, running={})
    with pytest.raises(PromiseBroken, match="still holds it SUSPECT"):
        observer.check_detected(Run("c", 1), since=0.0)


def test_a_crashed_worker_that_came_back_counts_as_seen() -> None:
    """A higher boot has taken its place."""
    observer = make_observer()
    observer.begin(FakeView("a", held=(member("c", boot=2),)))
    observer.end(observer.begin(FakeView("c")), crashed=True, running={})
    observer.check_detected(Run("c", 1), since=0.0)


def test_an_incarnation_that_goes_back_is_caught() -> None:
    """In one view of one run."""
    observer = make_observer()
    view = FakeView("a", held=(member("c", incarnation=3),))
    observer.begin(view)
    observer.sample()
    view.held = (member("c", incarnation=2),)
    with pytest.raises(PromiseBroken, match=promises.INCARNATIONS):
        observer.sample()


def test_a_boot_that_goes_back_is_caught_whatever_the_incarnation() -> None:
    """A new run starts its incarnations afresh; an old run does not come back."""
    observer = make_observer()
    view = FakeView("a", held=(member("c", boot=2),))
    observer.begin(view)
    observer.sample()
    view.held = (member("c", boot=1, incarnation=9),)
    with pytest.raises(PromiseBroken, match=promises.INCARNATIONS):
        observer.sample()


# --- agreement ------------------------------------------------------------------------------------


def make_views() -> tuple[FakeView, FakeView]:
    """Return two nodes that agree, with one instance that runs on the first."""
    everybody = (member("a"), member("b"), member("c", state=MemberState.DEAD))
    return (
        FakeView("a", plan=RUNNING_PLAN, is_leader=True, held=everybody, told=(status(),)),
        FakeView("b", plan=RUNNING_PLAN, held=everybody, told=(status(),)),
    )


def judge(*views: FakeView, epoch: int = 3, jobs: tuple[str, ...] = ("job",), index_min: int = 3) -> str:
    """Return the disagreements as one text; nothing means agreement."""
    running = {view.run: {INSTANCE: epoch} if view.name == "a" else {} for view in views}
    return "; ".join(disagreements(views, running=running, jobs=jobs, index_min=index_min))


def test_two_nodes_that_see_the_truth_agree() -> None:
    """The base of the cases below."""
    assert judge(*make_views()) == ""


def test_a_suspect_that_lives_is_a_disagreement() -> None:
    """Refutation must have cleared it."""
    one, two = make_views()
    two.held = (member("a", state=MemberState.SUSPECT), *two.held[1:])
    assert judge(one, two) == "b@1 holds a@1 SUSPECT, it is alive"


def test_a_dead_member_held_alive_is_a_disagreement() -> None:
    """Detection must have found it."""
    one, two = make_views()
    two.held = (*two.held[:2], member("c"))
    assert judge(one, two) == "b@1 holds c@1 ALIVE, it is gone"


def test_a_member_that_nobody_told_of_is_a_disagreement() -> None:
    """Sync must have told."""
    one, two = make_views()
    two.held = two.held[1:]
    assert judge(one, two) == "b@1 holds a@1 unknown, it is alive"


def test_a_plan_that_lags_is_a_disagreement() -> None:
    """The mark on every ack must have made it pull."""
    one, two = make_views()
    two.plan = plan_after(FOUNDED, SUBMITTED)
    assert "the plan of b@1 ends at 2, the newest at 3" in judge(one, two)


def test_a_decision_that_everybody_lost_is_a_disagreement() -> None:
    """All agree, but on less than was committed."""
    assert "the newest plan ends at 3, 4 was committed" in judge(*make_views(), index_min=4)


def test_an_accepted_job_that_is_not_in_the_plan_is_a_disagreement() -> None:
    """Its submitter was told that it is."""
    assert "job other was accepted and is not in the plan" in judge(*make_views(), jobs=("job", "other"))


def test_no_leader_is_a_disagreement() -> None:
    """Everybody follows one that does not lead."""
    one, two = make_views()
    one.is_leader = False
    assert "0 nodes lead" in judge(one, two)


def test_a_follower_of_an_old_term_is_a_disagreement() -> None:
    """It has not heard of the election."""
    one, two = make_views()
    one.term = 2
    assert "b@1 follows a in term 1" in judge(one, two)


def test_a_status_that_lags_is_a_disagreement() -> None:
    """It says STARTING where all others know RUNNING."""
    one, two = make_views()
    two.told = (status(InstanceState.STARTING),)
    assert judge(one, two) == "b@1 holds job/source[0] STARTING in epoch 3 and not finished"


def test_a_status_of_an_old_epoch_is_a_disagreement() -> None:
    """The instance has been assigned anew."""
    one, two = make_views()
    two.told = (status(epoch=2),)
    assert "b@1 knows no status of job/source[0] in epoch 3" in judge(one, two)


def test_a_copy_that_does_not_run_is_a_disagreement_whatever_all_believe() -> None:
    """The truth counts, not the views."""
    one, two = make_views()
    found = disagreements((one, two), running={}, jobs=("job",), index_min=3)
    assert found == ["a@1 does not run job/source[0] in epoch 3"]


def test_a_copy_of_an_old_epoch_that_still_runs_is_a_disagreement() -> None:
    """After a heal the older copy must stop."""
    one, two = make_views()
    running = {one.run: {INSTANCE: 3}, two.run: {INSTANCE: 2}}
    found = disagreements((one, two), running=running, jobs=("job",), index_min=3)
    assert found == ["b@1 still runs job/source[0] in epoch 2"]


def test_a_finished_instance_needs_no_copy() -> None:
    """Nor a status: its worker may be long gone."""
    views = make_views()
    for view in views:
        view.plan, view.told = FINISHED_PLAN, ()
    assert disagreements(views, running={}, jobs=("job",), index_min=4) == []
