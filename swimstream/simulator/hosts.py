"""The machines of a world: their processes come and go, their disks stay. Some may bear another one's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.config import NodeConfig
from swimstream.model.identity import Address
from swimstream.simulator.disks import Disk
from swimstream.simulator.life import Life
from swimstream.simulator.operators import KIND

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from swimstream.simulator.scenarios import Scenario

SEEDS = 3
SKEW_MS_MAX = 600_000


@attrs.define(eq=False)
class Host:
    """A machine: its processes come and go, its disk stays, unless a fault takes it."""

    index: int
    name: str
    worker: str
    """The name in its configuration: its own, or by mistake that of another host."""
    site: str
    skew_ms: int
    """By how much its calendar is ahead."""
    address: Address
    disk: Disk
    starts: int = 0
    is_seed: bool = False
    """Its address is in every configuration, so it never changes."""
    gone: bool = False
    """Nothing will run here any more."""
    excused_until: float = 0.0
    """Until when its processes may be taken for dead, and may take others for dead: its links come and go."""
    life: Life | None = None


def build_hosts(scenario: Scenario, *, rng: Random, namesake_rng: Random) -> list[Host]:
    """Return the hosts of the workers, then those that bear the name of another one, each of another one."""
    names = [f"w{index:02d}" for index in range(scenario.nodes + scenario.faults.namesakes)]
    founders = names[: scenario.nodes - scenario.faults.late_joins]
    workers = names[: scenario.nodes] + namesake_rng.sample(founders, scenario.faults.namesakes)
    return [
        Host(
            index=index,
            name=names[index],
            worker=workers[index],
            site=f"site-{index % scenario.sites}",
            skew_ms=rng.randint(0, SKEW_MS_MAX),
            address=Address(f"10.0.{index // 250}.{index % 250 + 1}", 7946),
            disk=Disk(voter=0),
            is_seed=index < SEEDS,
        )
        for index in range(len(names))
    ]


def configure(scenario: Scenario, host: Host, hosts: Sequence[Host]) -> NodeConfig:
    """Return the configuration of a process that starts on `host` now.

    Late hosts expect more workers than the founders do. Did they expect the same number, a late one and a
    founder that has lost its disk could found a second cluster while the first is down: nothing they can see
    tells them that there was one.
    """
    founders = scenario.nodes - scenario.faults.late_joins
    return NodeConfig(
        name=host.worker,
        advertise=host.address,
        site=host.site,
        kinds=(KIND,),
        expect=founders if host.index < founders else len(hosts),
        seeds=tuple(other.address for other in hosts if other.is_seed and other is not host),
        timing=scenario.timing,
    )
