"""Whole nodes in virtual time that have long known each other: nobody joins, and no news is under way.

Clock, network and streams are the simulator's. Whoever derives from it makes the nodes, then has them introduced.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Generic, TypeVar

from chaos.host import NodeHost
from swimstream.model.identity import Address, Run
from swimstream.model.member import SPEAKS, Profile
from swimstream.simulator.clock import Clock
from swimstream.simulator.network import Links, Network
from swimstream.simulator.streams import Streams
from swimstream.wire.messages import Alive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BOOT = 1
PORT = 7946
EXPECT_NEVER = 10_000
"""So many workers never come: nobody founds a cluster."""

HostT = TypeVar("HostT", bound=NodeHost)


class Settlement(Generic[HostT]):
    """`hosts` by name, in order; the dead stay in it."""

    def __init__(self, links: Links, *, seed: str, look_every_s: float) -> None:
        """Begin with nobody; `run_until` looks so often if it is not told otherwise."""
        self.clock = Clock()
        self.network = Network(links, clock=self.clock, rng=Random(f"{seed}/network"))
        self.streams = Streams(self.network, clock=self.clock)
        self.hosts: dict[str, HostT] = {}
        self._look_every_s = look_every_s

    def live(self) -> list[HostT]:
        """Return who has not crashed."""
        return [host for host in self.hosts.values() if not host.is_ended]

    def run_for(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.clock.run_until(self.clock.now + seconds)

    def run_until(self, holds: Callable[[], bool], *, limit_s: float, step_s: float | None = None) -> bool:
        """Let time pass until `holds`, looking every `step_s`; return whether it came to that within `limit_s`."""
        step_s = self._look_every_s if step_s is None else step_s
        limit = self.clock.now + limit_s
        while not holds():
            if self.clock.now >= limit:
                return False
            self.clock.run_until(min(limit, self.clock.now + step_s))
        return True

    def _introduce_all(self, claims: Iterable[Alive]) -> None:
        """Make every host a member, one after the other, and let it begin."""
        known = tuple(claims)
        for host in self.hosts.values():
            host.node.join(1, now=self.clock.now)
            rooms = host.node._rooms  # noqa: SLF001  # many that join by themselves cost more than an experiment
            for claim in known:
                rooms.membership.hear_alive(claim, self.clock.now)
                rooms.membership.gossip.discard(f"m/{claim.run.name}")
                rooms.detector._acquainted[claim.run.name] = BOOT  # noqa: SLF001  # likewise
            self.network.listen(host)
            host.settle()


def claim_of(name: str, number: int, *, kinds: tuple[str, ...] = ()) -> Alive:
    """Return what a member says of itself; its number makes its address."""
    address = Address(f"10.0.{number // 250}.{number % 250 + 1}", PORT)
    profile = Profile(address=address, kinds=kinds, expect=EXPECT_NEVER, voter=BOOT, speaks=SPEAKS)
    return Alive(run=Run(name, BOOT), incarnation=0, profile=profile)
