"""What came of one world."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class Report:
    """The figures of one world in which every promise was kept. Times are virtual seconds."""

    seed: int
    nodes: int
    digest: str
    """Over every event: equal for equal worlds."""
    lasted_s: float
    settled_s: float
    """From the end of the last fault until all agreed on everything."""
    members_settled_s: float
    """Likewise until everybody's view of the members was the truth."""
    actions: int
    crashes: int
    detection_s: tuple[float, ...]
    """From a crash to the death in one live worker's view, for every crash and worker that saw it die."""
    reexecution_s: tuple[float, ...]
    """From the crash of a worker until an instance of it ran again."""
    false_deaths: int
    leader_changes: int
    decisions: int
    packets: int
    packet_bytes: int
    frames: int
    frame_bytes: int
    counters: Mapping[str, int]
    """What the network did besides: lost, cut, refused and so on, by name."""

    @property
    def bytes_per_node_s(self) -> float:
        """Return how many bytes a node sends in a second, on average, packets and frames together."""
        return (self.packet_bytes + self.frame_bytes) / (self.nodes * self.lasted_s)
