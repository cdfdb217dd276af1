"""What is promised, how long it may take, and how a breach is told."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from swimstream.errors import SwimstreamError

if TYPE_CHECKING:
    from swimstream.config import Timing

ONE_LEADER = "one leader a term"
COMMITTED = "P4: what is committed is never lost or changed"
DETECTION = "P1: a crashed worker is declared dead in time"
NO_FALSE_DEATH = "P2: a healthy worker is not declared dead"
AGREEMENT = "P3: views converge once faults stop"
MINORITY = "P4: nothing is committed that a majority of the council does not hold on disk"
COUNCIL = "the council changes one seat at a time, after an entry of the leader's own term"
AT_MOST_ONE = "P5: an at-most-one instance never runs in two places at once"
AUTHORITY = "P5: authority lasts no longer than L from the proof it rests on, and not past a stop that is committed"
AT_LEAST_ONE = "P6: an at-least-one instance runs on without a quorum, until it is taken from its worker"
PINNED = "a pinned instance stays with the name that it was first given to"
LINEAR = "the plan is one history: what was answered before is in it when the next asks"
FATAL = "what failed for good is executed again only when somebody wants that"
APART = "instances that are to be apart are never given to one worker, or site"
WARM = "who keeps an instance warm is another worker than the one that runs it"
STALLED = "what is said to be stalled has come no further"
ONCE_BACK = "an instance goes back to a worker at most once for each time that it was given up"
ONE_EPOCH = "an epoch is run once, by the worker it names"
ONE_NAME = "two live workers never keep one name: the later one is refused, or the lower boot stops"
INCARNATIONS = "what a worker knows of another never goes back"
BOUNDED = "P7: no input crashes a node, or makes it spin, storm or send without bound"


class PromiseBroken(SwimstreamError):
    """A world in which swimstream did not do what it promises. `time` is virtual; `seed` replays it."""

    def __init__(self, promise: str, time: float, seed: int, detail: str) -> None:
        """Say which promise broke, when, in which world, and what was seen."""
        super().__init__(promise, time, seed, detail)
        self.promise = promise
        self.time = time
        self.seed = seed
        self.detail = detail
        self.trace = ""
        """The last lines of the world's trace, filled in by whoever ran it."""

    def __str__(self) -> str:
        return f"{self.promise}: broken at {self.time:.3f} s of seed {self.seed}: {self.detail}"


def suspicion_s_max(timing: Timing, *, nodes: int) -> float:
    """Return how long a suspicion that nobody confirms lasts at most (Lifeguard, LHA-Suspicion), in seconds."""
    scale = max(1.0, math.log10(max(1, nodes)))
    return timing.suspicion_mult * scale * timing.probe_interval_s * timing.suspicion_max_mult


def detection_s_max(timing: Timing, *, nodes: int) -> float:
    """Return after how many seconds every connected worker has declared a crashed one dead (P1).

    Each worker probes every other within 2(n-1)+1 rounds (SWIM §4.3: a fresh random order each time), each as long
    as an interval at the worst health; then the suspicion runs out. The slack is one more stretched round, for the
    probe that was under way, since the rounds of the bound count from the next one.
    """
    round_s = timing.probe_interval_s * (1 + timing.health_max)
    return (2 * (nodes - 1) + 1) * round_s + suspicion_s_max(timing, nodes=nodes) + round_s


def excuse_s(timing: Timing, *, nodes: int) -> float:
    """Return for how many seconds who stood still or was cut off may still be taken for dead afterwards.

    The last round that it failed must end (a stretched one), and the suspicion must run out before the accused hears of
    it and refutes.
    """
    return timing.probe_interval_s * (1 + timing.health_max) + suspicion_s_max(timing, nodes=nodes)


def members_settling_s_max(timing: Timing, *, nodes: int) -> float:
    """Return after how many quiet seconds every worker's view of the members is the truth (P3).

    What was cut off is found again by reconnecting (each try picks one of the dead at random, hence 2n tries), is
    told by syncing, and may then still have to be detected.
    """
    heal_s = 2 * nodes * timing.reconnect_interval_s + 4 * timing.sync_interval_s
    return detection_s_max(timing, nodes=nodes) + heal_s


def authority_wait_s(timing: Timing) -> float:
    """Return after how long on any clock of the cluster no copy can run on a proof that was issued before."""
    drift = timing.clock_drift
    return timing.isolation_timeout_s * (1 + drift) / (1 - drift)


def guarantees_settling_s_max(timing: Timing, *, hold_for_s: float) -> float:
    """Return how much later than that everything runs again where instances are held, waited for and pinned.

    One that nobody took up is revoked and waited for like any other: a second wait, and a second time to be taken up.
    A restart in place of what a worker stopped has waited `hold_for_s` at most.
    """
    return hold_for_s + 2 * (authority_wait_s(timing) + timing.accept_timeout_s)


def settling_s_max(timing: Timing, *, nodes: int) -> float:
    """Return after how many quiet seconds all workers agree on everything (P3).

    The views of the members come first; then the council elects (a few split votes allowed for), and what it assigned
    may have to be assigned once more, to one that accepts.
    """
    elect_s = 10 * 2 * timing.election_timeout_s_min
    return members_settling_s_max(timing, nodes=nodes) + elect_s + 3 * timing.accept_timeout_s
