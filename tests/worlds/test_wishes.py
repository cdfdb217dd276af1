"""What is wished for in drawn worlds: of jobs, of workers, and of what was decided about both."""

from __future__ import annotations

from random import Random

import attrs

from swimstream.model.assignment import Assignment
from swimstream.model.changes import CORDONED, DRAINING, DeclareDead, SetWorkerMode
from swimstream.model.history import BEGIN, CANCEL, subject_of
from swimstream.model.identity import InstanceId, Run
from swimstream.model.plan import Plan
from swimstream.simulator.faults import Faults
from swimstream.simulator.scenarios import STORIES
from swimstream.simulator.wishes import BURY, SORTS, SORTS_OF_WORKERS, Wish, change_of_worker, draw_wishes
from swimstream.simulator.world import World

SOURCE = InstanceId("job", "source", 0)
A, B = Run("a", 1), Run("b", 1)


def wish(sort: str, *, at: float = 9.0, for_s: float = 3.0) -> Wish:
    return Wish(at=at, for_s=for_s, pick=0.5, sort=sort, job=0.0, operator=0.0, number=1)


def test_every_sort_of_wish_is_drawn_and_is_over_within_the_window() -> None:
    drawn = draw_wishes(Faults(window_s=(5.0, 19.0), wishes=1_000), rng=Random(1))
    assert {each.sort for each in drawn} == {*SORTS, *SORTS_OF_WORKERS}
    assert all(5.0 <= each.at <= each.at + each.for_s <= 19.0 + 1e-9 for each in drawn)


def test_only_who_is_dead_in_truth_is_declared_dead() -> None:
    held = Assignment(instance=SOURCE, run=A, epoch=1)
    plan = Plan(assignments={SOURCE: held})
    assert change_of_worker(wish(BURY), plan, ["a", "b"], (), by="b") is None
    assert change_of_worker(wish(BURY), plan, ["b"], {A}, by="b") == DeclareDead(run=A, asked_by="b")
    assert change_of_worker(wish(BURY), attrs.evolve(plan, assignments={}), ["b"], {A, B}, by="b") is None


def test_who_is_drained_or_cordoned_is_free_again_when_the_world_ends() -> None:
    scenario = attrs.evolve(STORIES["decisions"].scenario(3), faults=Faults(window_s=(5.0, 12.0), wishes=1))
    world = World(scenario, (wish("drain"), wish("cordon", at=10.0)))
    modes: list[str] = []
    for tenths in range(50, 400):
        world.clock.at(tenths / 10, lambda: modes.append(next(iter(_modes(world)), "")))
    assert world.run().counters["wishes_fulfilled"] >= 3
    assert {DRAINING, CORDONED} <= set(modes)
    assert not _modes(world)


def test_a_job_that_was_cancelled_is_begun_anew_and_every_promise_is_kept() -> None:
    scenario = attrs.evolve(STORIES["decisions"].scenario(3), faults=Faults(window_s=(5.0, 20.0), wishes=1))
    world = World(scenario, (wish("cancel"), wish("revive", at=14.0)))
    world.run()
    deeds = [subject_of(each).deed for each in world.plan().decisions]
    assert deeds.count(CANCEL) == deeds.count(BEGIN) == 1
    assert len(world.plan().directives.begun) == 1


def _modes(world: World) -> list[str]:
    return [each.mode for each in world.plan().directives.modes.values()]


def test_whom_somebody_drains_is_named_in_the_wish() -> None:
    change = change_of_worker(wish("drain"), Plan(), ["a", "b"], (), by="b")
    assert isinstance(change, SetWorkerMode)
    assert (change.name, change.mode, change.asked_by) == ("a", DRAINING, "b")
