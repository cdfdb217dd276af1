"""Faults in the simulator: the same ones, between the hosts of a simulated network, for datagrams and streams."""

from __future__ import annotations

import pytest

from chaos.net.fault import Fault
from chaos.net.sim import SimLab
from swimstream.errors import UsageError
from swimstream.simulator.scenarios import Scenario
from swimstream.simulator.streams import CONNECT_TIMEOUT_S
from swimstream.simulator.world import World
from tests.worlds.test_network import Place, make_place

COUNT = 1_000


def make_lab(place: Place) -> SimLab:
    return SimLab(place.network, ["one", "two"], seed=7)


def say(place: Place, count: int = 1) -> None:
    """Have both send numbered datagrams to each other, 0.1 s apart, and wait."""
    for number in range(count):
        place.network.send(place.one, place.two.address, number.to_bytes(2, "big"))
        place.network.send(place.two, place.one.address, number.to_bytes(2, "big"))
        place.clock.run_until(place.clock.now + 0.1)
    place.clock.run_until(place.clock.now + 5)


def test_a_delay_is_of_one_direction_and_goes_when_it_is_taken_back() -> None:
    place = make_place()
    lab = make_lab(place)
    lab.set(0, 1, Fault(delay_ms=300))
    say(place)
    assert [at for at, _ in place.two.heard] == [0.3]
    assert [at for at, _ in place.one.heard] == [0.01]
    lab.set(0, 1, None)
    began_at = place.clock.now
    say(place)
    assert place.two.heard[-1][0] == pytest.approx(began_at + 0.01)


def test_a_senders_fault_is_of_all_its_ways_that_have_none_of_their_own() -> None:
    place = make_place()
    lab = make_lab(place)
    lab.set_all({(0, None): Fault(delay_ms=200), (0, 1): Fault(delay_ms=300)})
    say(place)
    lab.set(0, 1, None)
    began_at = place.clock.now
    say(place)
    assert [at for at, _ in place.two.heard] == pytest.approx([0.3, began_at + 0.2])


def test_loss_and_damage_take_their_share_and_nothing_damaged_arrives() -> None:
    place = make_place()
    make_lab(place).set(0, 1, Fault(loss=20, corrupt=20))
    say(place, COUNT)
    heard = place.two.words()
    assert len(heard) / COUNT == pytest.approx(0.64, abs=0.06)
    assert heard == sorted(number.to_bytes(2, "big") for number in range(COUNT) if number.to_bytes(2, "big") in heard)
    assert place.network.counters["packets_lost"] == COUNT - len(heard)
    assert len(place.one.heard) == COUNT


def test_a_cut_is_the_networks_own_so_that_streams_stall() -> None:
    place = make_place()
    lab = make_lab(place)
    lab.cut([0], [1], one_way=True)
    assert place.network.is_cut("one", "two")
    assert not place.network.is_cut("two", "one")
    lab.set(0, 1, Fault(loss=100))
    lab.heal([0], [1], one_way=True)
    assert place.network.is_cut("one", "two"), "nothing gets through a loss of everything either"
    lab.clear()
    assert not place.network.is_cut("one", "two")


def test_a_cut_of_the_worlds_own_is_not_healed_by_the_lab() -> None:
    place = make_place()
    lab = make_lab(place)
    place.network.cut([("one", "two")])
    lab.cut([0], [1])
    lab.clear()
    assert place.network.is_cut("one", "two")


def test_frames_of_a_stream_are_as_late_as_their_way_and_lost_ones_are_sent_again() -> None:
    place = make_place()
    lab = make_lab(place)
    lab.set_all({(0, 1): Fault(delay_ms=100, loss=20), (1, 0): Fault(delay_ms=50)})
    place.streams.open(place.one, 1, place.two.address, b"0")
    for number in range(1, 50):
        place.streams.send(place.one, 1, str(number).encode())
    place.clock.run_until(20)
    assert place.two.words() == [(-1, str(number).encode()) for number in range(50)]
    assert place.two.heard[0][0] >= 0.1 + 0.05 + 0.1, "there, back, and there again"


def test_a_rate_holds_for_what_streams_carry() -> None:
    place = make_place()
    make_lab(place).set(0, 1, Fault(rate_kbit=8))
    place.streams.open(place.one, 1, place.two.address, bytes(1_000))
    place.clock.run_until(5)
    assert place.two.heard[0][0] > 1.0, "a thousand bytes at a thousand a second"


def test_no_stream_comes_about_where_everything_is_lost() -> None:
    place = make_place()
    make_lab(place).set(1, 0, Fault(loss=100))
    place.streams.open(place.one, 1, place.two.address, b"0")
    place.clock.run_until(CONNECT_TIMEOUT_S + 1)
    assert place.one.words() == [(1, "closed")]
    assert place.two.words() == []


def test_a_refusal_goes_the_way_that_was_set() -> None:
    place = make_place()
    make_lab(place).set(1, 0, Fault(delay_ms=400))
    place.network.unlisten(place.two)
    place.network.send(place.one, place.two.address, b"hello")
    place.clock.run_until(1)
    assert [at for at, _ in place.one.heard] == [0.41]


def test_hosts_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="names: expected different ones"):
        SimLab(make_place().network, ["one", "one"])


def test_a_whole_world_lives_with_faults_between_its_hosts() -> None:
    world = World(Scenario(nodes=3, seed=1, jobs=1), ())
    lab = SimLab(world.network, [host.name for host in world.hosts], seed=1)
    lab.set_all({(host, None): Fault(delay_ms=20, jitter_ms=5, burst=(2, 40), duplicate=2) for host in range(3)})
    world.run()  # raises if a promise is broken
    assert lab.counters()["lost"] > 0
    assert lab.counters()["packets"] >= world.network.counters["packets"] > 100
