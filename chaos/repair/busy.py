"""A group of real workers whose instances all make progress: do two of them ever hold the same at one moment?"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

import attrs

from chaos.papers.group import Group
from chaos.settlement import BOOT
from swimstream.config import LAN
from swimstream.core.membership.sync import CHECKS_PER_PROGRESS
from swimstream.model.identity import InstanceId
from swimstream.model.status import InstanceState, InstanceStatus

if TYPE_CHECKING:
    from chaos.papers.group import Agent

SETTLE_S_MAX = 6 * CHECKS_PER_PROGRESS * LAN.sync_interval_s
"""Once nothing goes on, everybody holds the last word after so long: each node compares progress six times."""


@attrs.frozen(kw_only=True)
class Busy:
    """What pairs of nodes held, and what their syncs did."""

    workers: int
    instances: int
    pairs: int
    equal: int
    """Pairs that held the same, progress included, at the moment at which they were looked at."""
    equal_in_what_lasts: int
    checks_in_agreement: int
    syncs_opened: int
    settled_s: float
    """How long after the last progress all nodes held the same, progress included; infinite if not in time."""
    bound_s: float


@attrs.frozen(kw_only=True)
class BusyTrial:
    """`workers` with `instances` each, of which each tells its progress every status interval."""

    workers: int = 100
    instances: int = 20
    lasts_s: float = 60.0
    seed: int = 1

    def run(self) -> Busy:
        """Return what came of it."""
        group = Group(nodes=self.workers, timing=LAN, seed=f"{self.seed}/busy")
        agents = group.live()
        rng = Random(f"{self.seed}/pairs")
        told = int(self.lasts_s / LAN.status_interval_s)
        for agent in agents:
            phase = rng.random() * LAN.status_interval_s
            for seq in range(1, told + 1):
                group.clock.at(seq * LAN.status_interval_s + phase, partial(self._tell, agent, seq))
        pairs = equal = equal_in_what_lasts = 0
        while group.clock.now < self.lasts_s:
            group.run_for(1.0)
            if group.clock.now > self.lasts_s / 2:
                one, two = rng.sample(agents, 2)
                pairs += 1
                equal += _digest(one, with_progress=True) == _digest(two, with_progress=True)
                equal_in_what_lasts += _digest(one, with_progress=False) == _digest(two, with_progress=False)
        counters = [agent.node.counters() for agent in agents]
        ended_at = group.clock.now
        has_settled = group.run_until(lambda: _agree(agents), limit_s=SETTLE_S_MAX, step_s=1.0)
        return Busy(
            workers=self.workers,
            instances=self.instances,
            pairs=pairs,
            equal=equal,
            equal_in_what_lasts=equal_in_what_lasts,
            checks_in_agreement=sum(each.get("syncs_in_agreement", 0) for each in counters),
            syncs_opened=sum(each.get("syncs_opened", 0) for each in counters),
            bound_s=SETTLE_S_MAX,
            settled_s=group.clock.now - ended_at if has_settled else float("inf"),
        )

    def _tell(self, agent: Agent, seq: int) -> None:
        """Let all instances of a worker go on by one; nobody has assigned them, so they are told as heard."""
        for slot in range(self.instances):
            status = InstanceStatus(
                instance=InstanceId(agent.name, "operator", slot),
                epoch=1,
                run=agent.node.run,
                seq=seq,
                state=InstanceState.RUNNING,
                since_ms=BOOT,
                progress=1_000 * seq,
            )
            agent.node._rooms.tell_status(status)  # noqa: SLF001  # without a council there is no plan to follow
        agent.settle()


def _digest(agent: Agent, *, with_progress: bool) -> int:
    return agent.node._rooms.syncer.digest(with_progress=with_progress)  # noqa: SLF001  # what a check would say


def _agree(agents: list[Agent]) -> bool:
    first = agents[0].node.statuses()
    return all(agent.node.statuses() == first for agent in agents)
