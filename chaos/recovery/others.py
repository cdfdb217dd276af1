"""What others document as their defaults: from a machine's crash until its work begins elsewhere.

Sums of documented time-outs, not measurements; what a restore of state takes comes on top. Read in November 2026.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Documented:
    """One system's range in seconds, what it is made of, and where that stands."""

    system: str
    from_s: float
    to_s: float
    why: str
    source: str


OTHERS = (
    Documented(
        system="Flink task manager",
        from_s=21,
        to_s=52,
        why="heartbeat.interval 10 s with 2 refused calls, or heartbeat.timeout 50 s; restart delay 1 s",
        source="https://nightlies.apache.org/flink/flink-docs-stable/docs/deployment/config/",
    ),
    Documented(
        system="Ray actor",
        from_s=15,
        to_s=65,
        why="health checks: first after 5 s, each 3 s apart, 10 s time-out, 5 failures; and max_restarts must be set",
        source="https://github.com/ray-project/ray/blob/master/src/ray/common/ray_config_def.h",
    ),
    Documented(
        system="Nomad client",
        from_s=20,
        to_s=30,
        why="heartbeat TTL 10 s and up to as much again by chance, heartbeat_grace 10 s",
        source="https://developer.hashicorp.com/nomad/docs/configuration/server",
    ),
    Documented(
        system="Pekko Cluster Singleton",
        from_s=25,
        to_s=45,
        why="failure detector 5 s; stable-after 20 s (10 s up to 10 nodes) and removal margin as long again",
        source="https://pekko.apache.org/docs/pekko/current/split-brain-resolver.html",
    ),
    Documented(
        system="Kafka Streams",
        from_s=45,
        to_s=45,
        why="session.timeout.ms 45 s; then a rebalance",
        source="https://kafka.apache.org/documentation/#consumerconfigs_session.timeout.ms",
    ),
    Documented(
        system="Kubernetes pod",
        from_s=340,
        to_s=350,
        why="node-monitor-grace-period 40 s (50 s since 1.32), tolerationSeconds 300 s",
        source="https://kubernetes.io/docs/concepts/architecture/nodes/",
    ),
)


def table() -> str:
    """Return a line a system, in Markdown."""
    lines = ["| documented default of | s | what that is made of |", "| --- | --- | --- |"]
    for each in OTHERS:
        span = f"{each.from_s:g}" if each.from_s == each.to_s else f"{each.from_s:g} to {each.to_s:g}"
        lines.append(f"| [{each.system}]({each.source}) | {span} | {each.why} |")
    return "\n".join(lines)
