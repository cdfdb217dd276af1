"""Who died is forgotten by all after a tombstone's time, and nobody who comes late brings it back.

Three come late, after all others have forgotten both them and the dead, and each believes something else: one that
stood still since before the death holds the dead alive, one that stood still since after it holds it dead, and one that
was cut off all the time has declared everybody dead itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from chaos.papers.group import Group
from chaos.repair.splits import is_whole
from swimstream.config import LOCAL, Timing
from swimstream.simulator.promises import detection_s_max, members_settling_s_max

if TYPE_CHECKING:
    from chaos.papers.group import Agent

TOMBSTONE_S = 60.0
TIMING = attrs.evolve(LOCAL, tombstone_s=TOMBSTONE_S)
WATCHED_S = 3 * TOMBSTONE_S
POLL_S = 0.25


@attrs.frozen(kw_only=True)
class Reaped:
    """What came of one death."""

    nodes: int
    late: str
    """Who comes late, in a word."""
    found_out_s: float
    """When the last of the others held it dead, since its death."""
    forgotten_s: float
    """When the last of them had forgotten it."""
    late_held: str
    """What the late one held of it when it came: a state, or nothing."""
    late_forgotten: int
    """How many of the others had forgotten the late one itself by then."""
    brought_back: int
    """How often one of the others was seen to hold it again, looked at four times a second."""
    held_at_the_end: int
    """How many still hold a record of it in the end."""
    is_whole: bool
    """Whether all others, the late one too, hold each other alive in the end."""


@attrs.frozen(kw_only=True)
class ReapTrial:
    """One dies, one comes late: `late` is `paused before`, `cut off before` or `paused after` the death."""

    late: str
    nodes: int = 10
    timing: Timing = TIMING
    seed: int = 1

    def run(self) -> Reaped:
        """Return who held what of the dead."""
        group = Group(nodes=self.nodes, timing=self.timing, seed=f"{self.seed}/reap/{self.late}")
        group.run_for(10.0)
        agents = group.live()
        victim, late, others = agents[0], agents[1], agents[2:]
        links = [
            pair for each in agents if each is not late for pair in ((each.name, late.name), (late.name, each.name))
        ]
        if self.late == "paused before":
            late.pause()
        elif self.late == "cut off before":
            group.network.cut(links)
        victim.crash()
        died_at = group.clock.now
        bound_s = detection_s_max(self.timing, nodes=self.nodes)
        group.run_until(lambda: all(_state(each, victim) == "DEAD" for each in others), limit_s=bound_s)
        found_out_s = group.clock.now - died_at
        if self.late == "paused after":
            late.pause()
        limit_s = self.timing.tombstone_s + bound_s
        group.run_until(lambda: not any(_state(each, victim) for each in others), limit_s=limit_s)
        forgotten_s = group.clock.now - died_at
        group.run_until(lambda: not any(_state(each, late) for each in others), limit_s=limit_s)
        late_held = _state(late, victim)
        late_forgotten = sum(not _state(each, late) for each in others)
        if self.late == "cut off before":
            group.network.mend(links)
        else:
            late.resume()
        brought_back = self._watch(group, victim, others)
        return Reaped(
            nodes=self.nodes,
            late=self.late,
            found_out_s=found_out_s,
            forgotten_s=forgotten_s,
            late_held=late_held,
            late_forgotten=late_forgotten,
            brought_back=brought_back,
            held_at_the_end=sum(bool(_state(each, victim)) for each in group.live()),
            is_whole=is_whole(group),
        )

    def _watch(self, group: Group, victim: Agent, others: list[Agent]) -> int:
        """Look for long at what is held of the dead; return how often it was held again."""
        seen = 0
        ends_at = group.clock.now + WATCHED_S + members_settling_s_max(self.timing, nodes=self.nodes)
        while group.clock.now < ends_at:
            group.run_for(POLL_S)
            seen += sum(bool(_state(each, victim)) for each in others)
        return seen


def _state(agent: Agent, of: Agent) -> str:
    """Return what `agent` holds of another: the name of a state, or nothing."""
    return next((member.state.name for member in agent.node.members() if member.run.name == of.name), "")
