"""Fate does what the schedule says, and spares what nobody could survive."""

from __future__ import annotations

import math
from random import Random

import attrs
import pytest

from swimstream.simulator.faults import Faults
from swimstream.simulator.life import Phase
from swimstream.simulator.scenarios import STORIES, Scenario
from swimstream.simulator.schedule import (
    ClockLeap,
    Fault,
    FlipFlop,
    LateJoin,
    MassLeave,
    MassRestart,
    Starve,
    draw_schedule,
)
from swimstream.simulator.striker import Striker
from swimstream.simulator.world import World


def world_with(*schedule: Fault, nodes: int = 6, faults: Faults | None = None) -> World:
    """Return a world in which the workers start at once, and nothing happens but `schedule`."""
    world = World(Scenario(nodes=nodes, seed=1, jobs=0, faults=faults or Faults()), schedule)
    for host in world.hosts[:nodes]:
        world.start(host)
    Striker(world).arm()
    return world


def phases(world: World) -> list[Phase]:
    return [life.phase for life in world.lives()]


def test_a_starved_process_stands_still_again_and_again() -> None:
    world = world_with(Starve(at=5.0, for_s=3.0, pick=0.0, stops=((0.0, 1.0), (2.0, 1.0))))
    seen = []
    for at in (4.9, 5.5, 6.5, 7.5, 8.5):
        world.clock.run_until(at)
        seen.append(phases(world)[0])
    assert seen == [Phase.RUNNING, Phase.PAUSED, Phase.RUNNING, Phase.PAUSED, Phase.RUNNING]


def test_only_a_minority_starves_at_a_time() -> None:
    stops = ((0.0, 2.0),)
    world = world_with(*(Starve(at=5.0, for_s=2.0, pick=0.5, stops=stops) for _ in range(6)))
    world.clock.run_until(5.5)
    assert phases(world).count(Phase.PAUSED) == 2


def test_starved_processes_stand_still_for_half_a_second_to_two_and_a_half() -> None:
    for seed in range(50):
        for fault in draw_schedule(STORIES["starved-lan"].faults, nodes=9, rng=Random(seed)):
            if isinstance(fault, Starve):
                assert all(0.5 <= stop_s <= 2.5 for _, stop_s in fault.stops)


def test_a_link_that_flip_flops_is_cut_and_whole_in_turn_and_whole_in_the_end() -> None:
    world = world_with(FlipFlop(at=5.0, for_s=5.0, pairs=((0, 1),), cut_s=1.0, whole_s=2.0, host=None))
    seen = []
    for at in (4.9, 5.5, 6.5, 7.5, 8.5, 9.5, 99.0):
        world.clock.run_until(at)
        seen.append(world.network.is_cut("w00", "w01"))
    assert seen == [False, True, False, False, True, False, False]
    assert not world.network.is_cut("w01", "w00")


def test_only_the_host_whose_links_all_come_and_go_is_excused() -> None:
    pairs = ((0, 1), (0, 2))
    world = world_with(FlipFlop(at=5.0, for_s=5.0, pairs=pairs, cut_s=1.0, whole_s=2.0, host=0), nodes=3)
    world.clock.run_until(6.0)
    assert [life.watch.excused_until > 10.0 for life in world.lives()] == [True, False, False]


def test_a_leap_moves_the_clock_of_one_process_alone() -> None:
    world = world_with(ClockLeap(at=5.0, pick=0.0, leap_s=7.0), nodes=3)
    before = [life._local.offset_s for life in world.lives()]
    world.clock.run_until(6.0)
    after = [life._local.offset_s for life in world.lives()]
    assert [late - early for early, late in zip(before, after, strict=True)] == pytest.approx([7.0, 0.0, 0.0])


def test_in_a_mass_restart_most_processes_end_and_all_come_back() -> None:
    world = world_with(MassRestart(at=5.0, over_s=1.0, share=0.6, down_s=2.0, is_clean=False))
    world.clock.run_until(9.0)
    assert [host.starts for host in world.hosts].count(2) == math.ceil(0.6 * 6)
    assert all(host.life is not None for host in world.hosts)


def test_in_a_mass_leave_all_leave_but_those_who_are_needed() -> None:
    """Two seeds stay, since a newcomer asks one, and a majority of the council's memories."""
    world = world_with(MassLeave(at=10.0, over_s=1.0, share=1.0), nodes=9)
    world.clock.run_until(15.0)
    left = [host for host in world.hosts if host.gone]
    council = {seat.name for seat in world.plan().council}
    assert len(left) >= 4
    assert sum(host.is_seed for host in world.hosts if not host.gone) >= 2
    assert sum(host.worker in council for host in left) <= (len(council) - 1) // 2


def test_a_namesake_is_refused_again_and_again_while_the_other_one_lives() -> None:
    world = world_with(LateJoin(at=5.0, host=3), nodes=3, faults=Faults(namesakes=1))
    world._calm = 20.0
    world.clock.run_until(10.0)
    assert world.hosts[3].worker in {"w00", "w01", "w02"}
    assert world.network.counters["joins_refused"] >= 3
    assert sorted(life.run.name for life in world.lives() if life.watch.joined_at < math.inf) == ["w00", "w01", "w02"]


def test_equal_seeds_draw_equal_schedules() -> None:
    for story in STORIES.values():
        drawn = [draw_schedule(story.faults, nodes=9, rng=Random(7)) for _ in range(2)]
        assert drawn[0] == drawn[1]


def test_every_fault_lies_in_the_window() -> None:
    for story in STORIES.values():
        first, last = story.faults.window_s
        for seed in range(20):
            for fault in draw_schedule(story.faults, nodes=9, rng=Random(seed)):
                assert first <= fault.at <= last


def test_a_crowd_is_larger_than_the_other_worlds_and_has_no_jobs() -> None:
    crowd = STORIES["starved"].scenario(7)
    assert (crowd.nodes, crowd.jobs) == (16, 0)
    assert attrs.evolve(STORIES["starved"], has_crowds=False).scenario(7).nodes < 10
