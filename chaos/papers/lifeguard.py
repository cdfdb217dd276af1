"""Lifeguard's experiments (Dadgar, Phillips, Currey, 2018, §V): some members are blocked, the others are healthy.

*Interval* experiments count false positives: C members are blocked for D, free for I, and so on in cycles, all at once.
*Threshold* experiments measure latency: C members are blocked once, for so long that they are rightly found out.
"""

from __future__ import annotations

import math
from random import Random

import attrs

from chaos.papers.group import Group
from chaos.papers.variants import LIFEGUARD_TIMING, Variant
from swimstream.model.member import MemberState

WARM_UP_S = 5.0
REST_S = 10.0
"""After the last cycle nobody is blocked for so long: what was declared shall be heard, and count."""


@attrs.frozen(kw_only=True)
class Interval:
    """What was declared in one interval experiment; a death counts once an observer and each time."""

    variant: str
    concurrent: int
    blocked_s: float
    free_s: float
    false: int
    """Healthy members declared dead, by anybody (the paper's FP)."""
    false_by_healthy: int
    """Those of them that were declared by healthy members (FP-)."""
    rightful: int
    """Blocked members declared dead."""
    messages: float
    """Datagrams that a member sent in a second, and their bytes."""
    message_bytes: float


@attrs.frozen(kw_only=True)
class IntervalTrial:
    """C of the members are blocked and free in turn, for `lasts_s` and to the end of the cycle; then all are free."""

    variant: Variant
    nodes: int
    concurrent: int
    blocked_s: float
    free_s: float
    lasts_s: float
    seed: str

    def run(self) -> Interval:
        """Return what was declared."""
        group = _group(self.variant, self.nodes, self.seed)
        blocked = Random(self.seed).sample(group.live(), self.concurrent)
        before, began_at = group.counters.copy(), group.clock.now
        while group.clock.now < began_at + self.lasts_s:
            for agent in blocked:
                agent.block()
            group.run_for(self.blocked_s)
            for agent in blocked:
                agent.unblock()
            group.run_for(self.free_s)
        group.run_for(REST_S)
        names = {agent.name for agent in blocked}
        deaths = [told for told in group.sightings if told.state is MemberState.DEAD]
        false = [told for told in deaths if told.member not in names]
        shares = self.nodes * (group.clock.now - began_at)
        return Interval(
            variant=self.variant.name,
            concurrent=self.concurrent,
            blocked_s=self.blocked_s,
            free_s=self.free_s,
            false=len(false),
            false_by_healthy=sum(told.observer not in names for told in false),
            rightful=len(deaths) - len(false),
            messages=(group.counters["packets"] - before["packets"]) / shares,
            message_bytes=(group.counters["packet_bytes"] - before["packet_bytes"]) / shares,
        )


@attrs.frozen(kw_only=True)
class Threshold:
    """When blocked members were found out, seconds since they were blocked, in no particular order."""

    variant: str
    concurrent: int
    first_s: tuple[float, ...]
    """Until the first healthy member declared it dead, one number a blocked member; `last_s` until all had."""
    last_s: tuple[float, ...]
    missed: int
    """Blocked members that were not declared dead by all healthy ones before the block was over."""


@attrs.frozen(kw_only=True)
class ThresholdTrial:
    """C of the members are blocked once, for `blocked_s`."""

    variant: Variant
    nodes: int
    concurrent: int
    blocked_s: float
    seed: str

    def run(self) -> Threshold:
        """Return when they were found out."""
        group = _group(self.variant, self.nodes, self.seed)
        blocked = Random(self.seed).sample(group.live(), self.concurrent)
        began_at = group.clock.now
        for agent in blocked:
            agent.block()
        group.run_for(self.blocked_s)
        healthy = {agent.name for agent in group.live()} - {agent.name for agent in blocked}
        told_at: dict[str, dict[str, float]] = {agent.name: {} for agent in blocked}
        for told in group.sightings:
            if told.state is MemberState.DEAD and told.observer in healthy and told.member in told_at:
                told_at[told.member].setdefault(told.observer, told.at - began_at)
        first = [min(times.values(), default=math.inf) for times in told_at.values()]
        last = [max(times.values()) for times in told_at.values() if len(times) == len(healthy)]
        return Threshold(
            variant=self.variant.name,
            concurrent=self.concurrent,
            first_s=tuple(sorted(at for at in first if at < math.inf)),
            last_s=tuple(sorted(last)),
            missed=len(blocked) - len(last),
        )


def _group(variant: Variant, nodes: int, seed: str) -> Group:
    group = Group(nodes=nodes, timing=variant.timing(LIFEGUARD_TIMING), seed=seed, fit=variant.fit)
    group.run_for(WARM_UP_S)
    return group
