"""The pace that all peers are given. One value, sent to every node process as JSON, so that none can differ."""

from __future__ import annotations

import json
import math

import attrs

DETECTION_S_MIN = 30.0


@attrs.frozen(kw_only=True)
class Settings:
    """Settings that all three implementations have, under one name. Seconds end in `_s`. Defaults are LAN."""

    probe_interval_s: float = 1.0
    probe_timeout_s: float = 0.5
    indirect_probes: int = 3
    suspicion_mult: int = 4
    suspicion_max_mult: int = 6
    confirmations: int = 2
    """Accusers beyond the first that bring a suspicion to its shortest. memberlist takes `suspicion_mult` less two."""
    health_scale_max: int = 8
    """By how much local health stretches the probe interval at most (Lifeguard, LHA-Probe)."""
    gossip_interval_s: float = 0.2
    gossip_fanout: int = 3
    retransmit_mult: int = 4
    sync_interval_s: float = 30.0
    """swimstream compares digests so often; the others exchange their whole tables."""

    def suspicion_s_max(self, nodes: int) -> float:
        """Return how long a suspicion lasts that nobody confirms, among `nodes` members."""
        scale = max(1.0, math.log10(nodes))
        return self.suspicion_mult * scale * self.probe_interval_s * self.suspicion_max_mult

    def detection_s_max(self, nodes: int) -> float:
        """Return after how long a death that was not declared counts as missed.

        Twice the longest suspicion, and two rounds of probes in which everyone probes everyone; more at a fast pace,
        which a busy machine cannot keep.
        """
        return max(DETECTION_S_MIN, 2 * self.suspicion_s_max(nodes) + 2 * nodes * self.probe_interval_s)

    def to_json(self) -> str:
        """Return the fields as a JSON object."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


LAN = Settings()
LOCAL = Settings(probe_interval_s=0.25, probe_timeout_s=0.12, gossip_interval_s=0.1)
PRESETS = {"lan": LAN, "local": LOCAL}
