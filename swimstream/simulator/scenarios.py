"""What a world is made from, and the named sorts of worlds. The tests, the sweep and the command line share them."""

from __future__ import annotations

from random import Random

import attrs

from swimstream.config import LAN, LOCAL, Timing
from swimstream.errors import UsageError
from swimstream.simulator.faults import Faults
from swimstream.simulator.network import HELD_BACK_MULT, Links
from swimstream.simulator.operators import HOLD_FOR_S
from swimstream.simulator.promises import guarantees_settling_s_max, settling_s_max

NODES_MAX = 1_000
LOSS_GENTLE_MAX = 0.01
LOSS_LASTING_MAX = 0.05
"""Where more is lost, so much goes on to be lost when the faults are over: else somebody is always suspected."""
NOTES = 4
CROWD_EVERY = 8
CROWD_NODES = (16, 20, 24, 28, 32)


@attrs.frozen(kw_only=True)
class Scenario:
    """Everything that a world is made from."""

    nodes: int = attrs.field()
    """Workers of different names; `faults.namesakes` come on top."""
    seed: int
    timing: Timing = LOCAL
    links: Links = attrs.field(factory=Links)
    faults: Faults = attrs.field(factory=Faults)
    jobs: int = 2
    """How many jobs are submitted, at random times, to random workers."""
    notes: int = 0
    """How many jobs of one short-lived instance are submitted besides: what they are told is checked as a history."""
    has_guarantees: bool = False
    """Whether the operators of the jobs differ in their guarantees; else each runs at least once."""
    has_demands: bool = False
    """Whether operators ask for standbys, for places apart, and to be watched for stalls."""
    has_conflicts: bool = False
    """Whether the jobs are there early, and go on with the copy that has come further when two of them meet again."""
    replaces_seats: bool = False
    """Whether in the end every seat must be one of a live worker, as far as there are enough."""
    sites: int = 1
    lasts_s: float = 20.0
    """The world goes on at least so long (virtual seconds), and until it has settled."""

    @nodes.validator
    def _check_nodes(self, _: object, value: int) -> None:
        if not 1 <= value <= NODES_MAX:
            raise UsageError(f"nodes: expected 1 to {NODES_MAX}, got {value}")

    def __attrs_post_init__(self) -> None:
        founders = self.nodes - self.faults.late_joins
        if founders < 1 or self.faults.namesakes > founders:
            raise UsageError(
                f"nodes: expected more than the {self.faults.late_joins} that join late, and one for each "
                f"of {self.faults.namesakes} namesakes, got {self.nodes}"
            )

    @property
    def settling_s_max(self) -> float:
        """Return after how many quiet seconds all workers agree on everything, and everything runs that can (P3)."""
        bound_s = settling_s_max(self.timing, nodes=self.nodes + self.faults.namesakes)
        if not self.has_guarantees:
            return bound_s
        return bound_s + guarantees_settling_s_max(self.timing, hold_for_s=HOLD_FOR_S[1])

    @property
    def is_gentle(self) -> bool:
        """Return whether no healthy worker ever has an excuse for declaring another dead (P2)."""
        return self.is_gentle_when_whole and not self.faults.disturbs_network

    @property
    def is_gentle_when_whole(self) -> bool:
        """Return whether none has an excuse while no link is cut, and none has been for a while."""
        return self.links.loss + self.links.corruption <= LOSS_GENTLE_MAX and not self.is_too_slow

    @property
    def is_too_slow(self) -> bool:
        """Return whether an answer may come later than a probe waits for it: a fault, which ends with the others."""
        stretch = HELD_BACK_MULT if self.links.reordering else 1
        return 2 * (self.links.delay_s + self.links.jitter_s) * stretch >= self.timing.probe_timeout_s


@attrs.frozen(kw_only=True)
class Story:
    """One sort of world. Its faults last from the start of their window to the end; both can be moved."""

    faults: Faults
    links: Links = attrs.field(factory=Links)
    loss_max: float = 0.0
    """Each world loses its own share of the datagrams: none, so much, or something in between."""
    sites: int = 1
    timing: Timing = LOCAL
    nodes_min: int = 3
    sizes: int = 7
    """Worlds have so many different numbers of workers, from `nodes_min` up."""
    has_guarantees: bool = False
    """Whether the jobs have at-most-one and pinned operators too, and the history of the plan is checked."""
    has_demands: bool = False
    """Whether their operators ask for standbys, for places apart, and to be watched for stalls."""
    has_conflicts: bool = False
    """Whether what is cut off and has gone on may get back what it had."""
    has_crowds: bool = False
    """Whether every eighth world is one of 16 to 32 workers that have no jobs: membership in a larger cluster."""

    def scenario(self, seed: int) -> Scenario:
        """Return the world of `seed`: of 3 to 9 workers in most stories, or a crowd."""
        is_crowd = self.has_crowds and seed % CROWD_EVERY == CROWD_EVERY - 1
        return Scenario(
            nodes=CROWD_NODES[seed // CROWD_EVERY % len(CROWD_NODES)]
            if is_crowd
            else self.nodes_min + seed % self.sizes,
            seed=seed,
            timing=self.timing,
            links=self.links_of(seed),
            faults=self.faults,
            jobs=0 if is_crowd else 2,
            notes=NOTES if self.has_guarantees else 0,
            has_guarantees=self.has_guarantees,
            has_demands=self.has_demands and not is_crowd,
            has_conflicts=self.has_conflicts,
            replaces_seats=self.has_guarantees,
            sites=self.sites,
        )

    def links_of(self, seed: int) -> Links:
        """Return the links of the world of `seed`."""
        if not self.loss_max:
            return self.links
        rng = Random(f"{seed}/loss")
        return attrs.evolve(self.links, loss=rng.choice((0.0, self.loss_max, rng.uniform(0.0, self.loss_max))))

    def timing_at(self, timing: Timing) -> Timing:
        """Return `timing` with what the story needs: a tombstone that does not outlast it."""
        tombstone_s = self.timing.tombstone_s * self.pace(timing)
        return attrs.evolve(timing, tombstone_s=min(timing.tombstone_s, tombstone_s))

    def pace(self, timing: Timing) -> float:
        """Return how many times longer everything lasts with `timing` than in the story's own."""
        return timing.probe_interval_s / self.timing.probe_interval_s


ROUGH = Links(duplication=0.02, reordering=0.02)
"""Datagrams come twice and out of order, as they may on any network; nobody may die of that."""
SLOW = Links(delay_s=0.005, jitter_s=0.06, reordering=0.03)
"""An answer is under way for so long that it matters whether a proof counts from the question or from the answer."""
LONG_WINDOW_S = (8.0, 45.0)
SHORT_WINDOW_S = (5.0, 19.0)
"""Thousands of such worlds are lived through; it leaves room for a pause or a cut past the isolation time-out."""
REUNION_WINDOW_S = (6.0, 26.0)
"""Room for two splits, one after the other, that last until the other side is given up."""
LAN_WINDOW_S = (20.0, 90.0)

STORIES = {
    "calm": Story(faults=Faults(), links=ROUGH, loss_max=0.01),
    "loss": Story(faults=Faults(crashes=1), links=ROUGH, loss_max=0.05),
    "crash": Story(faults=Faults(crashes=2, restarts=0.3, operator_failures=1), has_crowds=True),
    "restart": Story(faults=Faults(crashes=3, leader_crashes=1, operator_failures=1)),
    "tombstone": Story(
        faults=Faults(window_s=LONG_WINDOW_S, crashes=3, leaves=1, down_s=(2.0, 20.0), address_changes=0.3),
        timing=attrs.evolve(LOCAL, tombstone_s=4.0),
        links=ROUGH,
        loss_max=0.01,
        has_crowds=True,
    ),
    "diskless": Story(faults=Faults(crashes=3, leader_crashes=1, disk_losses=0.7, address_changes=0.3)),
    "leader": Story(faults=Faults(leader_crashes=3, restarts=0.7)),
    "duel": Story(
        faults=Faults(leader_crashes=5, crashes=5, down_s=(0.02, 0.6), host_crashes=0.0),
        links=Links(delay_s=0.02, jitter_s=0.3),
    ),
    "partition": Story(faults=Faults(partitions=2), has_crowds=True),
    "cut": Story(faults=Faults(cuts=3), has_crowds=True),
    "flip-flop": Story(faults=Faults(flip_flops=2, crashes=1), nodes_min=5, has_crowds=True),
    "pause": Story(faults=Faults(pauses=4), links=Links(loss=0.005), has_crowds=True),
    "starved": Story(faults=Faults(starved=3, crashes=1), links=ROUGH, loss_max=0.01, nodes_min=5, has_crowds=True),
    "starved-lan": Story(
        faults=Faults(window_s=LAN_WINDOW_S, starved=4, crashes=1, down_s=(0.2, 30.0)),
        links=ROUGH,
        loss_max=0.01,
        timing=LAN,
        nodes_min=5,
        has_crowds=True,
    ),
    "clocks": Story(
        faults=Faults(crashes=3, disk_losses=0.3, clock_steps=0.8, clock_leaps=5, clock_drift=0.01),
        loss_max=0.01,
        has_crowds=True,
    ),
    "namesake": Story(faults=Faults(namesakes=1, crashes=2, down_s=(0.05, 3.0)), loss_max=0.01),
    "namesake-split": Story(
        faults=Faults(window_s=LONG_WINDOW_S, namesakes=1, partitions=2, cuts=1, clock_steps=0.5, crashes=1)
    ),
    "blackout": Story(faults=Faults(blackouts=1, crashes=1)),
    "mass-restart": Story(
        faults=Faults(mass_restarts=2, disk_losses=0.4, address_changes=0.3, clock_steps=0.2),
        links=ROUGH,
        loss_max=0.01,
        has_crowds=True,
    ),
    "leave": Story(faults=Faults(leaves=1, late_joins=1, crashes=1)),
    "mass-leave": Story(
        faults=Faults(mass_leaves=1, leaves=1, crashes=1), links=ROUGH, loss_max=0.01, nodes_min=5, has_crowds=True
    ),
    "authority": Story(
        faults=Faults(
            window_s=SHORT_WINDOW_S,
            crashes=2,
            leader_crashes=1,
            decision_crashes=1,
            restarts=0.8,
            disk_losses=0.3,
            unsynced=0.5,
            partitions=1,
            cuts=2,
            pauses=2,
            pause_s=(0.2, 9.0),
            flip_flops=1,
            leaves=1,
            operator_failures=2,
            clock_drift=0.01,
            extreme_clocks=0.5,
            resizes=2,
            transfers=1,
            wishes=5,
            fatal_failures=1,
            stalls=2,
        ),
        links=ROUGH,
        loss_max=0.2,
        sites=2,
        sizes=5,
        has_guarantees=True,
        has_demands=True,
    ),
    "longcut": Story(
        faults=Faults(
            window_s=LONG_WINDOW_S,
            partitions=2,
            cuts=2,
            cut_s=(3.0, 14.0),
            pauses=3,
            pause_s=(3.0, 10.0),
            wishes=4,
            fatal_failures=1,
            stalls=2,
            clock_drift=0.01,
            extreme_clocks=0.7,
        ),
        links=SLOW,
        sizes=5,
        has_guarantees=True,
        has_demands=True,
    ),
    "reunion": Story(
        faults=Faults(
            window_s=REUNION_WINDOW_S,
            partitions=2,
            cut_s=(5.0, 9.0),
            pauses=2,
            pause_s=(4.0, 8.0),
            leader_crashes=1,
            operator_failures=1,
        ),
        links=ROUGH,
        sizes=4,
        has_conflicts=True,
    ),
    "seats": Story(
        faults=Faults(
            window_s=SHORT_WINDOW_S,
            crashes=4,
            restarts=0.6,
            disk_losses=0.6,
            down_s=(0.05, 4.0),
            resizes=3,
            transfers=2,
            leaves=1,
            late_joins=1,
            wishes=5,
            fatal_failures=1,
            stalls=2,
            clock_drift=0.01,
        ),
        loss_max=0.01,
        nodes_min=4,
        sites=2,
        sizes=5,
        has_guarantees=True,
        has_demands=True,
    ),
    "decisions": Story(
        faults=Faults(
            window_s=SHORT_WINDOW_S,
            decision_crashes=5,
            wishes=8,
            fatal_failures=1,
            stalls=2,
            unsynced=0.5,
            down_s=(0.02, 2.0),
            resizes=1,
            clock_drift=0.01,
        ),
        links=ROUGH,
        loss_max=0.05,
        sizes=5,
        has_guarantees=True,
        has_demands=True,
    ),
    "everything": Story(
        faults=Faults(
            crashes=3,
            leader_crashes=1,
            restarts=0.8,
            disk_losses=0.4,
            address_changes=0.3,
            partitions=2,
            cuts=2,
            flip_flops=1,
            pauses=2,
            starved=1,
            loss_phases=1,
            leaves=1,
            late_joins=1,
            operator_failures=2,
            wishes=7,
            fatal_failures=1,
            stalls=2,
            clock_drift=0.01,
            clock_steps=0.2,
            clock_leaps=2,
        ),
        links=Links(delay_s=0.002, jitter_s=0.01, loss=0.02, duplication=0.02, reordering=0.05),
        sites=2,
        nodes_min=4,
        has_demands=True,
    ),
}
