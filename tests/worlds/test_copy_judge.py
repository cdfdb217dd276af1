"""The judge of copies catches whatever runs twice, moves too soon, or runs for longer than it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.config import LOCAL
from swimstream.core.effects import EntriesRecord, StartInstance, StopInstance
from swimstream.model.changes import Assign, Change, Entry, SetAuthority, SubmitJob
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, PINNED, JobSpec, OperatorSpec
from swimstream.simulator import promises
from swimstream.simulator.clock import Clock
from swimstream.simulator.faults import Faults
from swimstream.simulator.observer import Observer
from swimstream.simulator.promises import PromiseBroken
from tests.worlds.views import FOUNDED, INSTANCE, FakeView, assign, plan_after

if TYPE_CHECKING:
    from swimstream.model.plan import Plan
    from swimstream.simulator.watches import Watch

AUTHORITY = SetAuthority(isolation_ms=4_000, drift_ppm=10_000)
SEAT = FOUNDED.council[0]


def job(instances: str) -> JobSpec:
    return JobSpec(name="job", operators=(OperatorSpec(name="source", kind="work", instances=instances),))


def plan_with(instances: str, *more: Change) -> Plan:
    """Return a plan that gives the one instance to worker a in epoch 4."""
    return plan_after(FOUNDED, AUTHORITY, SubmitJob(job=job(instances)), assign("a"), *more)


class Scene:
    """A judge, and workers that follow one plan."""

    def __init__(self, instances: str = AT_MOST_ONE) -> None:
        self.instances = instances
        self.clock = Clock()
        self.observer = Observer(seed=1, gentle=False, clock=self.clock, timing=LOCAL, faults=Faults())
        self.plan = plan_with(instances)

    def worker(self, name: str, *, is_leader: bool = False) -> Watch:
        return self.observer.begin(FakeView(name, plan=self.plan, leader=name, is_leader=is_leader))

    def start(self, watch: Watch, epoch: int, *, fence_at: float | None = 9.0) -> None:
        effect = StartInstance(
            instance=INSTANCE,
            epoch=epoch,
            spec=job(self.instances).operators[0],
            inputs=(),
            outputs=(),
            resume_from=b"",
            fence_at=fence_at,
        )
        self.observer.start_instance(watch, effect)

    def come_up(self, watch: Watch, epoch: int) -> None:
        self.observer.copies.come_up(watch, INSTANCE, epoch, guarantee=self.instances)

    def go_down(self, watch: Watch, epoch: int) -> None:
        self.observer.copies.go_down(watch, INSTANCE, epoch)

    def append(self, watch: Watch, made: Assign, *, index: int = 5) -> None:
        entry = Entry(index=index, term=1, change=made)
        self.observer.write(watch, SEAT, EntriesRecord(index, (entry,)))

    def moves(self, name: str) -> None:
        """Commit that the instance belongs to another worker from epoch 5 on."""
        self.plan = plan_with(self.instances, assign(name))


def test_two_copies_that_are_up_at_a_time_are_caught() -> None:
    scene = Scene()
    one = scene.worker("a")
    scene.start(one, 4)
    scene.come_up(one, 4)
    scene.moves("b")
    two = scene.worker("b")
    scene.start(two, 5)
    with pytest.raises(PromiseBroken, match=promises.AT_MOST_ONE):
        scene.come_up(two, 5)


def test_a_copy_may_come_up_once_the_other_has_ended() -> None:
    scene = Scene()
    one = scene.worker("a")
    scene.start(one, 4)
    scene.come_up(one, 4)
    scene.go_down(one, 4)
    scene.moves("b")
    two = scene.worker("b")
    scene.start(two, 5)
    scene.come_up(two, 5)


def test_an_at_least_one_instance_may_run_twice_for_a_while() -> None:
    scene = Scene(AT_LEAST_ONE)
    one = scene.worker("a")
    scene.start(one, 4)
    scene.come_up(one, 4)
    scene.moves("b")
    two = scene.worker("b")
    scene.start(two, 5)
    scene.come_up(two, 5)


def test_an_at_most_one_instance_without_a_fence_is_caught() -> None:
    scene = Scene()
    with pytest.raises(PromiseBroken, match="without a fence"):
        scene.start(scene.worker("a"), 4, fence_at=None)


def test_a_start_again_under_its_epoch_is_caught_while_the_former_copy_runs() -> None:
    scene = Scene()
    one = scene.worker("a")
    scene.start(one, 4)
    with pytest.raises(PromiseBroken, match="the former copy has not ended"):
        scene.start(one, 4)


def test_a_start_again_under_its_epoch_is_allowed_after_the_end() -> None:
    """Its worker was isolated, and is not any more."""
    scene = Scene()
    one = scene.worker("a")
    scene.start(one, 4)
    scene.go_down(one, 4)
    scene.start(one, 4)


def test_a_start_again_under_its_epoch_by_a_later_run_is_caught() -> None:
    scene = Scene()
    one = scene.worker("a")
    scene.start(one, 4)
    scene.go_down(one, 4)
    later = scene.observer.begin(FakeView("a", boot=2, plan=scene.plan))
    with pytest.raises(PromiseBroken, match=promises.ONE_EPOCH):
        scene.start(later, 4)


def test_only_at_most_one_instances_start_again_under_their_epoch() -> None:
    scene = Scene(AT_LEAST_ONE)
    one = scene.worker("a")
    scene.start(one, 4)
    scene.go_down(one, 4)
    with pytest.raises(PromiseBroken, match=promises.ONE_EPOCH):
        scene.start(one, 4)


def test_a_copy_is_known_after_its_worker_goes_on_as_a_later_run() -> None:
    """The copy that ends is the one that the earlier run had started."""
    scene = Scene()
    one = scene.worker("a")
    scene.start(one, 4)
    one.earlier.add(one.run)
    one.run = Run("a", 2)
    scene.go_down(one, 4)
    scene.moves("b")
    two = scene.worker("b")
    scene.start(two, 5)
    scene.come_up(two, 5)


# --- decisions --------------------------------------------------------------------------------------


def test_an_assignment_is_caught_at_its_append_while_a_copy_is_left() -> None:
    """Long before two of them run: the wait was too short."""
    scene = Scene()
    scene.start(scene.worker("a"), 4)
    with pytest.raises(PromiseBroken, match=r"gives job/source\[0\] to b@1 in epoch 5, and a@1 has not ended it"):
        scene.append(scene.worker("b", is_leader=True), assign("b"))


def test_what_a_leader_appends_that_has_been_succeeded_is_no_assignment() -> None:
    """It cannot be committed any more; and the run may have been released, of which that leader does not know."""
    scene = Scene()
    scene.start(scene.worker("a"), 4)
    leader = scene.worker("b", is_leader=True)
    scene.observer.council.elected_at[2] = 0.0
    scene.append(leader, assign("b"))


def test_an_assignment_is_allowed_once_every_copy_has_ended() -> None:
    scene = Scene()
    one = scene.worker("a")
    scene.start(one, 4)
    scene.go_down(one, 4)
    scene.append(scene.worker("b", is_leader=True), assign("b"))


def test_an_at_least_one_instance_may_be_given_to_another_while_it_runs() -> None:
    scene = Scene(AT_LEAST_ONE)
    scene.start(scene.worker("a"), 4)
    scene.append(scene.worker("b", is_leader=True), assign("b"))


@pytest.mark.parametrize("instances", [AT_MOST_ONE, AT_LEAST_ONE])
def test_an_at_most_one_instance_that_leaves_the_plan_is_caught_while_a_copy_is_left(instances: str) -> None:
    scene = Scene(instances)
    a, b = scene.worker("a"), scene.worker("b")
    scene.start(a, 4)
    b.plan = scene.plan
    left = attrs.evolve(scene.plan, index=5, assignments={})
    if instances == AT_MOST_ONE:
        with pytest.raises(PromiseBroken, match="leaves the plan of b@1, and a@1 has not ended it in epoch 4"):
            scene.observer.copies.look(b, left)
        scene.go_down(a, 4)
    scene.observer.copies.look(b, left)


def test_a_follower_that_writes_down_an_assignment_decides_nothing() -> None:
    scene = Scene()
    scene.start(scene.worker("a"), 4)
    scene.append(scene.worker("b"), assign("b"))


def test_a_pinned_instance_that_is_given_to_another_name_is_caught() -> None:
    scene = Scene(PINNED)
    with pytest.raises(PromiseBroken, match=promises.PINNED):
        scene.append(scene.worker("b", is_leader=True), assign("b"))


def test_a_pinned_instance_may_go_to_a_later_run_of_its_name() -> None:
    scene = Scene(PINNED)
    scene.append(scene.worker("b", is_leader=True), attrs.evolve(assign("a"), run=Run("a", 7)))


def test_an_at_most_one_instance_that_is_given_away_before_authority_has_a_length_is_caught() -> None:
    scene = Scene()
    plan = plan_after(FOUNDED, SubmitJob(job=job(AT_MOST_ONE)), assign("a"))
    watch = scene.observer.begin(FakeView("a", plan=plan))
    with pytest.raises(PromiseBroken, match="before the cluster knew how long authority lasts"):
        scene.observer.step(watch)


# --- going on without a quorum ----------------------------------------------------------------------


def test_stopping_an_at_least_one_instance_that_is_still_ones_own_is_caught() -> None:
    scene = Scene(AT_LEAST_ONE)
    with pytest.raises(PromiseBroken, match=promises.AT_LEAST_ONE):
        scene.observer.copies.stop(scene.worker("a"), StopInstance(INSTANCE, 4), goes=False)


def test_who_goes_may_stop_everything() -> None:
    scene = Scene(AT_LEAST_ONE)
    scene.observer.copies.stop(scene.worker("a"), StopInstance(INSTANCE, 4), goes=True)


def test_what_belongs_to_another_may_be_stopped() -> None:
    scene = Scene(AT_LEAST_ONE)
    scene.moves("b")
    scene.observer.copies.stop(scene.worker("a"), StopInstance(INSTANCE, 4), goes=False)


def test_an_at_most_one_instance_may_be_stopped_for_want_of_authority() -> None:
    scene = Scene()
    scene.observer.copies.stop(scene.worker("a"), StopInstance(INSTANCE, 4), goes=False)


def test_the_time_until_an_instance_runs_elsewhere_is_counted() -> None:
    scene = Scene(AT_LEAST_ONE)
    one = scene.worker("a")
    scene.observer.end(one, crashed=True, running={InstanceId("job", "source", 0): 4})
    scene.clock.run_until(3.5)
    scene.come_up(scene.worker("b"), 5)
    assert scene.observer.findings.reexecution_s == [3.5]
