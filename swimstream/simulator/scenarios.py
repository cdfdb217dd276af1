"""Named worlds: which faults and links each stands for. The tests and the command line share them."""

from __future__ import annotations

import attrs

from swimstream.simulator.faults import Faults
from swimstream.simulator.network import Links


@attrs.frozen(kw_only=True)
class Story:
    """One sort of world. Its faults last from the start of their window to the end; both can be moved."""

    faults: Faults
    links: Links = attrs.field(factory=Links)
    sites: int = 1


STORIES = {
    "calm": Story(faults=Faults()),
    "loss": Story(faults=Faults(crashes=1), links=Links(loss=0.05, duplication=0.02, reordering=0.02)),
    "crash": Story(faults=Faults(crashes=2, restarts=0.3, operator_failures=1)),
    "restart": Story(faults=Faults(crashes=3, leader_crashes=1, operator_failures=1)),
    "diskless": Story(faults=Faults(crashes=3, leader_crashes=1, disk_losses=0.7, address_changes=0.3)),
    "leader": Story(faults=Faults(leader_crashes=3, restarts=0.7)),
    "duel": Story(
        faults=Faults(leader_crashes=5, crashes=5, down_s=(0.02, 0.6), host_crashes=0.0),
        links=Links(delay_s=0.02, jitter_s=0.3),
    ),
    "partition": Story(faults=Faults(partitions=2)),
    "cut": Story(faults=Faults(cuts=3)),
    "pause": Story(faults=Faults(pauses=4), links=Links(loss=0.005)),
    "blackout": Story(faults=Faults(blackouts=1, crashes=1)),
    "leave": Story(faults=Faults(leaves=1, late_joins=1, crashes=1)),
    "everything": Story(
        faults=Faults(
            crashes=3,
            leader_crashes=1,
            restarts=0.8,
            disk_losses=0.4,
            address_changes=0.3,
            blackouts=0,
            partitions=2,
            cuts=2,
            pauses=2,
            loss_phases=1,
            leaves=1,
            late_joins=1,
            operator_failures=2,
            clock_drift=0.01,
        ),
        links=Links(delay_s=0.002, jitter_s=0.01, loss=0.02, duplication=0.02, reordering=0.05),
        sites=2,
    ),
}
