"""SWIM's experiments (Das, Gupta, Motivala, DSN 2002, §5), each one trial: crashes, load, and loss with joins.

A trial is a value, so it can be sent to another process; equal trials have equal outcomes.
"""

from __future__ import annotations

import enum
import math
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import attrs

from chaos.papers.group import Agent, Group, Sighting
from chaos.papers.variants import REST_S, SWIM, SWIM_TIMING, take_out_suspicion
from swimstream.config import LAN
from swimstream.model.member import MemberState
from swimstream.simulator.network import Links

if TYPE_CHECKING:
    from swimstream.core.node import Node

PERIOD_S = SWIM_TIMING.probe_interval_s
E_RATIO = math.e / (math.e - 1)
"""Expected number of periods until somebody probes a crashed member (SWIM §3.1)."""
LOSS = 0.1
SAMPLE_S = 10.0


@attrs.frozen(kw_only=True)
class Crashed:
    """What came of one crash. Seconds since it; infinite if it was not found out in time."""

    nodes: int
    suspected_s: float
    """When the first member suspected the victim."""
    first_s: float
    """When the first member declared it dead; `last_s` the last."""
    last_s: float

    @property
    def periods(self) -> int:
        """Return in which period since the crash somebody probed the victim, from 1 on: it is suspected one later."""
        return math.ceil(round(self.suspected_s / PERIOD_S, 6)) - 1


@attrs.frozen(kw_only=True)
class CrashTrial:
    """One member of a settled group crashes at a random moment."""

    nodes: int
    seed: str

    def run(self) -> Crashed:
        """Return when it was found out."""
        rng = Random(self.seed)
        group = _group(self.nodes, self.seed)
        group.run_for(PERIOD_S * rng.uniform(1, 3))
        victim = rng.choice(group.live())
        crashed_at = group.clock.now
        victim.crash()

        def times(state: MemberState) -> list[float]:
            return [told.at - crashed_at for told in group.sightings if told.state is state]

        # SWIM §4.3: everybody has probed everybody within 2n - 1 periods; then the suspicion has to run out
        limit_s = (2 * self.nodes + 10 * SWIM_TIMING.suspicion_mult) * PERIOD_S
        everybody = self.nodes - 1
        known = group.run_until(lambda: len(times(MemberState.DEAD)) >= everybody, limit_s=limit_s)
        return Crashed(
            nodes=self.nodes,
            suspected_s=min(times(MemberState.SUSPECT), default=math.inf),
            first_s=min(times(MemberState.DEAD), default=math.inf),
            last_s=max(times(MemberState.DEAD)) if known else math.inf,
        )


@attrs.frozen(kw_only=True)
class Load:
    """Messages that a member of a settled group sends in a period, and their bytes."""

    nodes: int
    messages: float
    message_bytes: float


@attrs.frozen(kw_only=True)
class LoadTrial:
    """A settled group in which nothing happens."""

    nodes: int
    seed: str
    periods: int

    def run(self) -> Load:
        """Return what the detector costs."""
        group = _group(self.nodes, self.seed)
        group.run_for(2 * PERIOD_S)
        before = group.counters.copy()
        group.run_for(self.periods * PERIOD_S)
        shares = self.nodes * self.periods
        return Load(
            nodes=self.nodes,
            messages=(group.counters["packets"] - before["packets"]) / shares,
            message_bytes=(group.counters["packet_bytes"] - before["packet_bytes"]) / shares,
        )


class Protocol(enum.Enum):
    """What runs in the experiment with loss."""

    INFECTION = "SWIM without suspicion"
    SUSPICION = "SWIM with suspicion"
    WHOLE = "swimstream as it is"


@attrs.frozen(kw_only=True)
class Survival:
    """How many of a group were left, every `SAMPLE_S` seconds from 0 on."""

    protocol: Protocol
    sizes: tuple[int, ...]


@attrs.frozen(kw_only=True)
class LossTrial:
    """Nobody crashes, but one packet in ten is lost; who is declared dead by anybody leaves for good, as in SWIM."""

    nodes: int
    protocol: Protocol
    seed: str
    lasts_s: float

    def run(self) -> Survival:
        """Return how the group shrinks."""
        group = self._build()

        def bury(told: Sighting) -> None:
            victim = group.hosts[told.member]
            if told.state is MemberState.DEAD and not victim.is_ended:
                group.clock.after(0.0, partial(_end, victim))

        group.on_sighting = bury
        sizes = [self.nodes]
        while group.clock.now < self.lasts_s:
            group.run_for(SAMPLE_S)
            sizes.append(len(group.live()))
        return Survival(protocol=self.protocol, sizes=tuple(sizes))

    def _build(self) -> Group:
        match self.protocol:
            case Protocol.INFECTION:
                return _group(self.nodes, self.seed, loss=LOSS, suspicion=False)
            case Protocol.SUSPICION:
                return _group(self.nodes, self.seed, loss=LOSS)
            case Protocol.WHOLE:
                timing = attrs.evolve(
                    LAN, probe_interval_s=PERIOD_S, heartbeat_interval_s=REST_S, isolation_timeout_s=20 * REST_S
                )
                return Group(nodes=self.nodes, timing=timing, seed=self.seed, links=Links(loss=LOSS))


def _end(agent: Agent) -> None:
    if not agent.is_ended:
        agent.crash()


def _group(nodes: int, seed: str, *, loss: float = 0.0, suspicion: bool = True) -> Group:
    """Return a settled group that speaks plain SWIM, by datagrams alone."""

    def fit(node: Node) -> None:
        SWIM.fit(node)
        if not suspicion:
            take_out_suspicion(node)

    timing = SWIM.timing(SWIM_TIMING)
    return Group(nodes=nodes, timing=timing, seed=seed, links=Links(loss=loss), datagrams_only=True, fit=fit)
