"""Fate takes no memory without which the council could never decide again, whatever it is about to become."""

from __future__ import annotations

from swimstream.core.effects import EntriesRecord, SnapshotRecord
from swimstream.model.changes import ChangeCouncil, Entry, Found, ResizeCouncil, Seat
from swimstream.model.identity import Run
from swimstream.model.job import PINNED, JobSpec, OperatorSpec
from swimstream.model.plan import Plan
from swimstream.simulator.agreement import disagreements
from swimstream.simulator.disks import Disk
from swimstream.simulator.faults import Faults
from swimstream.simulator.scenarios import STORIES, Scenario
from swimstream.simulator.striker import UNNOTICED_S, Striker
from swimstream.simulator.world import World
from tests.worlds.views import FOUNDED, SUBMITTED, FakeView, assign, member, plan_after


def world_of(nodes: int, *, seats: int) -> tuple[World, Striker]:
    """Return a world in which all have disks, and a council of the first `seats` in its plan and on these disks."""
    world = World(Scenario(nodes=nodes, seed=1, jobs=0, faults=Faults()), ())
    council = tuple(Seat(f"w{number:02d}", number + 1) for number in range(seats))
    plan = Plan().advance([Entry(index=1, term=1, change=Found(cluster_id=1, council=council))])
    for number, host in enumerate(world.hosts):
        host.disk = Disk(voter=number + 1)
        host.disk.write(SnapshotRecord(plan, keeps_tail=False))
    return world, Striker(world)


def lose(world: World, striker: Striker, number: int) -> bool:
    """Take the memory of one host if fate may; return whether."""
    host = world.hosts[number]
    if not striker._can_lose_memory(host):
        return False
    striker._lose(host)
    host.disk = Disk(voter=100 + number)
    return True


def test_a_minority_of_the_council_may_be_lost() -> None:
    world, striker = world_of(5, seats=5)
    assert [lose(world, striker, number) for number in range(5)] == [True, True, False, False, False]


def test_nothing_may_be_lost_before_the_founding() -> None:
    world = World(Scenario(nodes=3, seed=1, jobs=0), ())
    assert not Striker(world)._can_lose_memory(world.hosts[0])


def test_a_council_that_is_only_in_a_log_counts_as_well() -> None:
    """Two of four are as many as it could lose of three, and too many."""
    world, striker = world_of(5, seats=3)
    council = (Seat("w00", 1), Seat("w01", 2), Seat("w02", 3), Seat("w03", 4))
    change = ChangeCouncil(council=council, reason="asked for", evidence=())
    world.hosts[0].disk.write(EntriesRecord(2, (Entry(index=2, term=1, change=change),)))
    assert [lose(world, striker, number) for number in (3, 2)] == [True, False]


def test_who_may_just_be_getting_a_seat_is_spared_where_the_council_could_not_do_without() -> None:
    """A leader that has not noticed adds a dead fourth to two live and one lost: no majority for ever."""
    world, striker = world_of(5, seats=3)
    assert lose(world, striker, 2)
    assert not lose(world, striker, 4)


def test_a_seat_is_spared_for_a_while_after_a_bystander_was_lost() -> None:
    world, striker = world_of(5, seats=3)
    assert lose(world, striker, 4)
    assert not lose(world, striker, 2)
    world.clock.run_until(UNNOTICED_S + 1)
    assert lose(world, striker, 2)


def test_a_seat_is_spared_while_the_council_shrinks() -> None:
    world, striker = world_of(5, seats=3)
    striker._resized_at = world.clock.now
    assert not lose(world, striker, 2)


# --- what must have come about in the end -------------------------------------------------------------


def test_a_seat_of_nobody_who_lives_is_a_disagreement_where_another_could_sit() -> None:
    world, _ = world_of(4, seats=3)
    for host in world.hosts:
        world.start(host)
    assert world._empty_seats() == []
    world.hosts[2].disk = Disk(voter=99)
    assert world._empty_seats() == ["the seat of w02 is empty"]


def test_an_empty_seat_is_none_where_nobody_else_could_sit() -> None:
    world, _ = world_of(3, seats=3)
    for host in world.hosts[:2]:
        world.start(host)
    assert world._empty_seats() == []


def test_a_council_of_another_size_than_was_asked_for_is_a_disagreement() -> None:
    world, _ = world_of(5, seats=4)
    asked = Entry(index=2, term=1, change=ResizeCouncil(seats=5, asked_by="w00"))
    for host in world.hosts:
        host.disk.write(SnapshotRecord(host.disk.load().plan.advance([asked]), keeps_tail=False))
        world.start(host)
    assert world._empty_seats() == ["the council has 4 seats, 5 were asked for"]


PINNED_JOB = JobSpec(name="job", operators=(OperatorSpec(name="source", kind="work", instances=PINNED),))


def pinned_to(name: str, *, boot: int = 1) -> list[str]:
    """Return what is wrong in a cluster of one worker b when the instance is pinned to `name` and nobody runs it."""
    made = assign(name)
    plan = plan_after(FOUNDED, type(SUBMITTED)(job=PINNED_JOB), made)
    view = FakeView("b", boot=boot, plan=plan, leader="b", is_leader=True, held=(member("b", boot=boot),))
    return disagreements((view,), running={Run("b", boot): {}}, jobs=("job",), index_min=3)


def test_a_pinned_instance_waits_for_its_name() -> None:
    assert pinned_to("a") == []


def test_a_pinned_instance_runs_where_its_name_is() -> None:
    assert pinned_to("b") != []


def test_a_pinned_instance_runs_anew_on_a_later_run_of_its_name() -> None:
    assert pinned_to("b", boot=2) != []


def test_the_stories_of_authority_are_within_what_it_assumes() -> None:
    """No clock leaps, and none is wrong by more than the plan says."""
    told = [story for story in STORIES.values() if story.has_guarantees]
    assert len(told) >= 4
    assert all(story.faults.clock_leaps == 0 for story in told)
    assert all(story.faults.clock_drift <= story.timing.clock_drift for story in told)
