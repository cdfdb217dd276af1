"""A simulated process hands its node what the real driver would, in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.node import Node
from swimstream.model.identity import Address
from swimstream.simulator.scenarios import Scenario
from swimstream.simulator.world import World

if TYPE_CHECKING:
    from swimstream.simulator.life import Life

NOBODY = Address("10.9.9.9", 1)


class Listening(Node):
    """A real node that keeps what it was handed."""

    def receive_packet(self, data: bytes, *, source: Address, now: float) -> None:
        """Keep it."""
        self.handed().append("packet")
        super().receive_packet(data, source=source, now=now)

    def packet_refused(self, to: Address, *, now: float) -> None:
        """Keep it."""
        self.handed().append("refusal")
        super().packet_refused(to, now=now)

    def fire_timers(self, *, now: float) -> None:
        """Keep it."""
        self.handed().append("timers")
        super().fire_timers(now=now)

    def handed(self) -> list[str]:
        """Return what has come in so far."""
        kept: list[str] = self.__dict__.setdefault("kept", [])
        return kept


def one_life() -> tuple[World, Life, Listening]:
    """Return the only process of a world that has run for a second."""
    world = World(Scenario(nodes=1, seed=1), (), maker=Listening)
    world.start(world.hosts[0])
    world.clock.run_until(1)
    life = world.hosts[0].life
    assert life is not None
    assert isinstance(life.node, Listening)
    life.node.handed().clear()
    return world, life, life.node


def test_a_process_hears_of_a_refusal() -> None:
    """At once, if it runs."""
    _, life, node = one_life()
    life.packet_refused(NOBODY)
    assert node.handed() == ["refusal"]


def test_after_a_pause_datagrams_are_handled_before_refusals_and_both_before_timers() -> None:
    """Whatever came first: the error queue is not the datagrams' queue."""
    world, life, node = one_life()
    life.pause()
    life.packet_refused(NOBODY)
    life.receive_packet(b"", NOBODY)
    world.clock.run_until(3)
    assert node.handed() == []
    life.resume()
    world.clock.run_until(4)
    assert node.handed()[:3] == ["packet", "refusal", "timers"]
