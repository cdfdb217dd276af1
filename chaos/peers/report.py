"""Everything that was measured, as JSON's types, and what it amounts to."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from chaos.peers.figures import judge, summarise
from chaos.peers.run import Plan, Results

if TYPE_CHECKING:
    from chaos.peers.figures import Summary, Target

CIPHERS = {"swimstream": "ChaCha20-Poly1305", "memberlist": "AES-256-GCM", "kinship": "XChaCha20-Poly1305"}
"""What each peer encrypts with once it has a key: datagrams and streams alike, in all of them."""


@attrs.frozen(kw_only=True)
class Outcome:
    """All figures of one command."""

    plan: Plan
    results: Mapping[int, Results]
    """By size."""
    versions: Mapping[str, str]
    left_out: Mapping[str, str]
    """Peers that were asked for and cannot be measured here, and why."""
    packets_why: str = ""
    """Why packets were not counted; empty if they were."""

    def summaries(self, nodes: int) -> dict[str, Summary]:
        """Return each peer's figures at one size."""
        return {name: summarise(runs) for name, runs in self.results[nodes].runs.items()}

    def targets(self, nodes: int) -> tuple[Target, ...]:
        """Return how swimstream fares at one size."""
        return judge(self.summaries(nodes), nodes=nodes, encrypted=self.plan.encrypted)

    def is_ok(self) -> bool:
        """Return whether everything asked for was measured, and no target that can be judged was missed."""
        if self.left_out or not self.versions or any(each.failures for each in self.results.values()):
            return False
        return all(target.met is not False for nodes in self.results for target in self.targets(nodes))

    def encryption(self) -> dict[str, str]:
        """Return what each peer encrypted with."""
        return {name: CIPHERS[name] if self.plan.encrypted else "none" for name in self.versions}

    def conditions(self, nodes: int) -> str:
        """Return under which conditions the figures of one size came about, in a line."""
        loads = [load[0] for load in self.results[nodes].load] or [0.0]
        return (
            f"{nodes} nodes, {self.plan.runs} runs, {'encrypted' if self.plan.encrypted else 'plaintext'}, "
            f"load {min(loads):.1f} to {max(loads):.1f}, {os.cpu_count()} CPUs"
        )

    def document(self) -> dict[str, object]:
        """Return everything: the figures, and the runs that they come from."""
        return {
            "ok": self.is_ok(),
            "plan": attrs.asdict(self.plan),
            "encryption": self.encryption(),
            "packets": {"counted": not self.packets_why, "why_not": self.packets_why, "headers": "IP, UDP and TCP"},
            "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
            "versions": dict(self.versions),
            "left_out": dict(self.left_out),
            "sizes": {str(nodes): self._size(nodes) for nodes in self.results},
        }

    def _size(self, nodes: int) -> dict[str, object]:
        results = self.results[nodes]
        summaries = self.summaries(nodes)
        return {
            "load_averages": results.load,
            "peers": {
                name: {"figures": attrs.asdict(summaries[name]), "runs": attrs.asdict(runs)}
                for name, runs in results.runs.items()
            },
            "targets": [attrs.asdict(target) for target in self.targets(nodes)],
            "failures": results.failures,
        }
