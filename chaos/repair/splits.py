"""Two halves of a cluster, cut off from each other for as long as a day, that have no seeds to find each other by.

Every node is real, at the pace of the preset `LAN`; the whole time is lived through, second by second.
"""

from __future__ import annotations

import math

import attrs

from chaos.papers.group import Group
from swimstream.config import LAN, Timing
from swimstream.model.member import MemberState
from swimstream.simulator.promises import members_settling_s_max

CALM_S = 60.0
"""So long they know each other before, and are watched after they have healed."""


@attrs.frozen(kw_only=True)
class Split:
    """What came of one partition."""

    nodes: int
    has_seeds: bool
    cut_s: float
    tombstone_s: float
    bound_s: float
    deaths_in_the_cut: int
    """Members that were declared dead by those who could not reach them, once for each that did."""
    forgotten: int
    """Tombstones that were dropped by then, likewise."""
    healed_s: float
    """How long after the cut ended everybody held everybody alive; infinite if not within the bound."""
    deaths_by_healing: int
    """Deaths entered by anybody after the cut had ended: all are healthy."""

    @property
    def is_within_memory(self) -> bool:
        """Return whether the tombstones outlast the cut."""
        return self.cut_s < self.tombstone_s


@attrs.frozen(kw_only=True)
class SplitTrial:
    """`nodes` in two halves, cut for `cut_s`."""

    cut_s: float
    nodes: int = 10
    timing: Timing = LAN
    seed: int = 1
    has_seeds: bool = False
    """Whether all are configured with one node of each half as seeds."""

    def run(self) -> Split:
        """Return how it healed."""
        group = Group(nodes=self.nodes, timing=self.timing, seed=f"{self.seed}/split/{self.cut_s:g}")
        names = sorted(group.hosts)
        if self.has_seeds:
            seeds = tuple(group.hosts[name].address for name in (names[0], names[-1]))
            for agent in group.live():  # after the group was made: it has not joined by them
                agent.node._config = attrs.evolve(agent.node._config, seeds=seeds)  # noqa: SLF001  # likewise
        group.run_for(CALM_S)
        halves = names[: self.nodes // 2], names[self.nodes // 2 :]
        links = [pair for one in halves[0] for two in halves[1] for pair in ((one, two), (two, one))]
        group.network.cut(links)
        group.run_for(self.cut_s)
        in_the_cut = _deaths(group)
        forgotten = sum(self.nodes - len(agent.node.members()) for agent in group.live())
        group.network.mend(links)
        mended_at = group.clock.now
        bound_s = members_settling_s_max(self.timing, nodes=self.nodes)
        has_healed = group.run_until(lambda: is_whole(group), limit_s=bound_s)
        healed_s = group.clock.now - mended_at if has_healed else math.inf
        group.run_for(CALM_S)
        return Split(
            nodes=self.nodes,
            has_seeds=self.has_seeds,
            cut_s=self.cut_s,
            tombstone_s=self.timing.tombstone_s,
            bound_s=bound_s,
            deaths_in_the_cut=in_the_cut,
            forgotten=forgotten,
            healed_s=healed_s if is_whole(group) or not has_healed else math.inf,
            deaths_by_healing=_deaths(group) - in_the_cut,
        )


def is_whole(group: Group) -> bool:
    """Return whether all who live hold each other alive."""
    live = {agent.node.run for agent in group.live()}
    return all(
        {member.run for member in agent.node.members() if member.state is MemberState.ALIVE} == live
        for agent in group.live()
    )


def _deaths(group: Group) -> int:
    return sum(sighting.state is MemberState.DEAD for sighting in group.sightings)
