"""What a crash in the midst of a step leaves behind: on disk, and of a leader's decision."""

from __future__ import annotations

from swimstream.core.effects import Effect, EntriesRecord, Persist
from swimstream.model.changes import Assign, Entry, Noop
from swimstream.simulator.ambushes import Moment
from swimstream.simulator.faults import Faults
from swimstream.simulator.life import Life, Phase
from swimstream.simulator.scenarios import Scenario
from swimstream.simulator.schedule import AMBUSH_S_MAX, DecisionCrash
from swimstream.simulator.striker import Striker
from swimstream.simulator.world import World


def one_life(*, unsynced: float) -> Life:
    """Return the only process of a world, with a founded log."""
    world = World(Scenario(nodes=1, seed=1, faults=Faults(unsynced=unsynced), jobs=0), ())
    world.start(world.hosts[0])
    world.clock.run_until(5)
    life = world.hosts[0].life
    assert life is not None
    return life


def noops(life: Life, count: int) -> list[Persist]:
    """Return orders to make so many more entries durable, one by one."""
    first = life.node.plan.index + 1
    term = life.node.mark.term
    entries = [Entry(index=first + number, term=term, change=Noop()) for number in range(count)]
    return [Persist(EntriesRecord(entry.index, (entry,))) for entry in entries]


def kept(life: Life, orders: list[Persist]) -> list[bool]:
    term = life.node.mark.term
    records = [order.record for order in orders]
    return [life.watch.disk.holds(record.first, term) for record in records if isinstance(record, EntriesRecord)]


def test_without_the_fault_every_record_that_was_written_is_there_after_a_crash() -> None:
    life = one_life(unsynced=0.0)
    orders = noops(life, 3)
    life._orders.effects_left = 3
    assert not life._orders.carry_out(orders)
    assert kept(life, orders) == [True, True, True]


def test_a_crash_before_the_sync_loses_the_last_records_or_all() -> None:
    """Never one in the midst, and not always the same."""
    lost = set()
    for number in range(1, 6):
        life = one_life(unsynced=1.0)
        orders = noops(life, number)
        life._orders.effects_left = number
        life._orders.carry_out(orders)
        there = kept(life, orders)
        assert there == sorted(there, reverse=True)
        assert not there[-1]
        lost.add(there.count(False))
    assert len(lost) > 1


def test_what_was_synced_before_another_effect_is_never_lost() -> None:
    life = one_life(unsynced=1.0)
    orders = noops(life, 3)
    letter = next(effect for effect in some_effects(life) if not isinstance(effect, Persist))
    life._orders.effects_left = 4
    life._orders.carry_out([*orders[:2], letter, orders[2]])
    assert kept(life, orders) == [True, True, False]


def test_a_step_that_ends_whole_syncs_what_it_wrote() -> None:
    life = one_life(unsynced=1.0)
    orders = noops(life, 2)
    assert life._orders.carry_out(orders)
    assert kept(life, orders) == [True, True]


def some_effects(life: Life) -> list[Effect]:
    """Return what a node asks for when it leaves."""
    life.node.leave(1, now=life._local.read(life._clock.now))
    return list(life.node.take_effects())


# --- a leader that is struck in the midst of a decision -----------------------------------------------


def ambush(moment: Moment, *, share: float = 0.0, at: float = 6.0) -> DecisionCrash:
    return DecisionCrash(at=at, moment=moment, share=share, pick=0.0, silent=False, down_s=1.0, keeps_disk=True)


def world_with(fault: DecisionCrash, *, jobs: int = 2) -> World:
    world = World(Scenario(nodes=3, seed=1, jobs=jobs), (fault,))
    for host in world.hosts:
        world.start(host)
    Striker(world).arm()
    return world


def test_a_leader_that_proposes_is_struck_before_anything_of_it_is_on_disk() -> None:
    """With none of the step's effects carried out the job is in nobody's log."""
    world = world_with(ambush(Moment.PROPOSES))
    world.clock.run_until(6.0)
    index = max(host.disk.load().entries[-1].index for host in world.hosts if host.disk.load().entries)
    world.clients._submit("job-0")
    world.clock.run_until(6.5)
    assert world.crashes == 1
    assert max(host.disk.load().entries[-1].index for host in world.hosts if host.disk.load().entries) == index


def test_a_leader_that_is_struck_later_in_the_step_has_written_it_down() -> None:
    world = world_with(ambush(Moment.PROPOSES, share=0.99))
    world.clock.run_until(6.0)
    world.clients._submit("job-0")
    world.clock.run_until(6.5)
    logged = [entry.change for host in world.hosts for entry in host.disk.load().entries]
    assert world.crashes == 1
    assert any(not isinstance(change, Noop | Assign) for change in logged)


def test_a_leader_is_struck_in_the_step_in_which_it_is_elected() -> None:
    """So nobody ever sees it lead that term."""
    world = world_with(ambush(Moment.ELECTED, at=0.0), jobs=0)
    world.clock.run_until(AMBUSH_S_MAX / 2)
    terms = world.observer.leaders
    assert world.crashes == 1
    assert 1 not in terms
    assert min(terms, default=2) >= 2


def test_a_moment_that_does_not_come_is_not_waited_for_for_ever() -> None:
    world = world_with(ambush(Moment.PROPOSES), jobs=0)
    world.clock.run_until(6.0 + AMBUSH_S_MAX - 0.1)
    assert world.crashes == 0
    world.clock.run_until(6.0 + AMBUSH_S_MAX + 0.1)
    assert world.crashes == 1
    assert world.ambushes == []


def test_a_leader_that_was_struck_comes_back() -> None:
    world = world_with(ambush(Moment.COMMITS))
    world.clock.run_until(6.0)
    world.clients._submit("job-0")
    world.clock.run_until(9.0)
    assert [life.phase for life in world.lives()] == [Phase.RUNNING] * 3
    assert sorted(host.starts for host in world.hosts) == [1, 1, 2]
