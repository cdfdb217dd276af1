"""The experiments. Each takes a cluster that has converged, and returns plain figures of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from random import Random

    from chaos.peers.cluster import Cluster, Sighting
    from chaos.peers.settings import Settings

SETTLE_PROBES = 3
"""Probe intervals between the last join and the first figure."""
COUNTED = ("packets_received", "bytes_received")


@attrs.frozen(kw_only=True)
class Idle:
    """What a node used while nothing happened: one entry a node, per second where a rate."""

    cpu_share: tuple[float, ...]
    """CPU seconds per second."""
    rss_bytes: tuple[int, ...]
    packets_per_s: tuple[float, ...]
    """Datagrams received. Empty if the implementation does not count them; so are the bytes."""
    bytes_per_s: tuple[float, ...]
    false_deaths: int
    """Members declared dead, counted once per observer, although nobody was harmed."""


@attrs.frozen(kw_only=True)
class Kill:
    """One `kill -9`."""

    victim: str
    detection_s: tuple[float, ...]
    """For each live node that declared the victim dead, how long after the kill; ascending."""
    missed: int
    """Live nodes that had not declared it dead when the time was over."""
    false_deaths: int
    """Declarations of death, by live nodes, of members that live."""

    @property
    def spread_s(self) -> float:
        """Return the time from the first node that knew to the last."""
        return self.detection_s[-1] - self.detection_s[0]


@attrs.frozen(kw_only=True)
class Stall:
    """One SIGSTOP for a while, then SIGCONT. Counted once per observer and member."""

    victim: str
    deaths_of_others: int
    """Healthy members that healthy nodes declared dead."""
    deaths_of_stopped: int
    """Healthy nodes that declared the stopped one dead."""
    deaths_by_stopped: int
    """Healthy members that the stopped node declared dead once it went on."""


def settle(cluster: Cluster, settings: Settings, *, rng: Random) -> None:
    """Wait until the joins have been gossiped to their end, and for a random part of a probe interval.

    Without that part the harm would always come at the same moment of the rounds, for better or worse.
    """
    cluster.rest((SETTLE_PROBES + rng.random()) * settings.probe_interval_s)


def measure_idle(cluster: Cluster, *, seconds: float) -> Idle:
    """Let the cluster be for `seconds`, and take what each node used."""
    seen = len(cluster.sightings)
    names = cluster.names
    counters = cluster.read_counters(names)
    usage = {name: cluster.nodes[name].usage() for name in names}
    cluster.rest(seconds)
    usage_then = {name: cluster.nodes[name].usage() for name in names}
    counters_then = cluster.read_counters(names)
    packets, sizes = (_rates(counters, counters_then, key, seconds) for key in COUNTED)
    return Idle(
        cpu_share=tuple((usage_then[name].cpu_s - usage[name].cpu_s) / seconds for name in names),
        rss_bytes=tuple(usage_then[name].rss_bytes for name in names),
        packets_per_s=packets,
        bytes_per_s=sizes,
        false_deaths=len(deaths(cluster.sightings[seen:])),
    )


def kill_one(cluster: Cluster, settings: Settings, *, rng: Random) -> Kill:
    """Kill a random node and wait until every live node has declared it dead, or the time is over."""
    victim = rng.choice(cluster.names)
    live = [name for name in cluster.names if name != victim]
    seen = len(cluster.sightings)
    killed_at = cluster.kill(victim)

    def known() -> dict[tuple[str, str], float]:
        return deaths(cluster.sightings[seen:])

    cluster.watch(
        lambda: all((name, victim) in known() for name in live), timeout_s=settings.detection_s_max(len(cluster.names))
    )
    declared = known()
    detection_s = sorted(at - killed_at for (name, member), at in declared.items() if member == victim and name in live)
    return Kill(
        victim=victim,
        detection_s=tuple(detection_s),
        missed=len(live) - len(detection_s),
        false_deaths=sum(member != victim and name in live for name, member in declared),
    )


def stall_one(cluster: Cluster, settings: Settings, *, seconds: float, rng: Random) -> Stall:
    """Stop a random node for `seconds`, then watch for as long as a suspicion of that time can last."""
    victim = rng.choice(cluster.names)
    seen = len(cluster.sightings)
    cluster.stop(victim)
    cluster.rest(seconds)
    cluster.resume(victim)
    cluster.rest(settings.suspicion_s_max(len(cluster.names)))
    declared = deaths(cluster.sightings[seen:])
    return Stall(
        victim=victim,
        deaths_of_others=sum(victim not in pair for pair in declared),
        deaths_of_stopped=sum(member == victim for _, member in declared),
        deaths_by_stopped=sum(name == victim for name, _ in declared),
    )


def deaths(sightings: Iterable[Sighting]) -> dict[tuple[str, str], float]:
    """Return who declared whom dead, and when for the first time."""
    first: dict[tuple[str, str], float] = {}
    for sighting in sightings:
        if sighting.state == "dead":
            first.setdefault((sighting.observer, sighting.member), sighting.at)
    return first


def _rates(
    before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]], key: str, seconds: float
) -> tuple[float, ...]:
    nodes: Sequence[str] = sorted(name for name in after if key in after[name])
    return tuple((after[name][key] - before[name][key]) / seconds for name in nodes)
