"""Which parts of Lifeguard are at work: none (plain SWIM), one of them, or all.

Two parts are settings. The buddy system is none, and shall not become one: here it is taken out of a node by hand.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from swimstream.config import Timing
from swimstream.model.member import Evidence, MemberState
from swimstream.wire.messages import Accusation

if TYPE_CHECKING:
    from swimstream.core.membership.detector import Detector
    from swimstream.core.membership.membership import Membership
    from swimstream.core.node import Node
    from swimstream.model.identity import Run
    from swimstream.model.member import Member

ALPHA = 5.0
"""Shortest suspicion of all variants, in log10(n) probe intervals (Lifeguard's experiments)."""
BETA = 6.0
"""Longest suspicion in shortest ones, where LHA-Suspicion is at work."""
HEALTH_MAX = 8
CONFIRMATIONS = 3
REST_S = 60.0
"""Pace of what must not disturb: the founding of a cluster, for which there are never enough workers."""


@attrs.frozen(kw_only=True)
class Variant:
    """One row of the papers' tables."""

    name: str
    probe: bool = False
    """LHA-Probe: a node that doubts itself probes more slowly."""
    suspicion: bool = False
    """LHA-Suspicion: the time-out starts high and falls with each independent accuser."""
    buddy: bool = False
    """Buddy system: a ping tells its target that it is suspected."""

    def timing(self, timing: Timing) -> Timing:
        """Return `timing` with the parts that are settings switched."""
        return attrs.evolve(
            timing,
            health_max=HEALTH_MAX if self.probe else 0,
            suspicion_max_mult=BETA if self.suspicion else 1.0,
            suspicion_confirmations=CONFIRMATIONS if self.suspicion else 0,
        )

    def fit(self, node: Node) -> None:
        """Take the buddy system out of a node that shall be without."""
        if not self.buddy:
            detector = node._rooms.detector  # noqa: SLF001  # no option of the product, so an operation on it
            detector._introduction = partial(_introduce, detector)  # type: ignore[method-assign]  # noqa: SLF001  # likewise


SWIM = Variant(name="SWIM")
LIFEGUARD = Variant(name="Lifeguard", probe=True, suspicion=True, buddy=True)
VARIANTS = (
    SWIM,
    Variant(name="LHA-Probe", probe=True),
    Variant(name="LHA-Suspicion", suspicion=True),
    Variant(name="Buddy", buddy=True),
    LIFEGUARD,
)

LIFEGUARD_TIMING = Timing(
    suspicion_mult=ALPHA,
    sync_interval_s=30.0,
    reconnect_interval_s=30.0,
    heartbeat_interval_s=REST_S,
    isolation_timeout_s=20 * REST_S,
)
"""Lifeguard's experiments ran on Consul's LAN settings: probes every 1 s, time-out 0.5 s, gossip every 0.2 s to 3."""

SWIM_TIMING = Timing(
    probe_interval_s=2.0,
    probe_timeout_s=0.5,
    indirect_probes=1,
    suspicion_mult=3.0,
    gossip_interval_s=60.0,
    sync_interval_s=3_600.0,
    reconnect_interval_s=3_600.0,
    heartbeat_interval_s=REST_S,
    isolation_timeout_s=20 * REST_S,
)
"""SWIM's experiments: periods of 2 s, one relay, news on probes and acks alone, nothing that repairs it."""


def take_out_suspicion(node: Node) -> None:
    """Have a node declare dead at once whom it would suspect (SWIM §4.1, before §4.2)."""
    membership = node._rooms.membership  # noqa: SLF001  # no option of the product, so an operation on it
    membership.accuse = partial(_condemn, membership)  # type: ignore[method-assign]  # likewise


def _condemn(membership: Membership, run: Run, now: float, *, evidence: Evidence) -> None:
    held = membership.table.get_run(run)
    if held is not None:
        claim = Accusation(run=run, incarnation=held.incarnation, state=MemberState.DEAD, accuser=membership.run.name)
        claim = attrs.evolve(claim, evidence=evidence)
        membership.hear_accusation(claim, now)


def _introduce(detector: Detector, target: Member) -> list[bytes]:
    """Return what a ping's target must hear first, without that it is suspected."""
    known = detector._acquainted.get(target.run.name) == target.run.boot  # noqa: SLF001  # stands for a method of it
    return [] if known else [detector._membership.own_alive()]  # noqa: SLF001  # likewise
