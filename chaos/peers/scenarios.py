"""The experiments. Each takes a cluster that has converged, and returns plain figures of one run."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import attrs

from chaos.peers.traffic import Sniffer, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from random import Random

    from chaos.peers.cluster import Cluster, Sighting
    from chaos.peers.settings import Settings

SETTLE_PROBES = 3
"""Probe intervals between the last join, or the last experiment in the same cluster, and the next."""
DRAIN_S = 0.25
STOPPED_S = (0.5, 2.5)
"""A starved node is stopped for so long at a time..."""
RUNNING_S = (0.05, 0.5)
"""...and then runs for so long: it has less than a fifth of its time, in pieces."""
NEWS_S_MAX = 30.0


@attrs.frozen(kw_only=True)
class Idle:
    """What a node used while nothing happened: one entry a node, per second where a rate."""

    cpu_share: tuple[float, ...]
    """CPU seconds per second."""
    rss_bytes: tuple[int, ...]
    packets_per_s: tuple[float, ...]
    """Packets by `traffic.Tally`, streams included. Empty if they could not be counted; so the next two."""
    bytes_per_s: tuple[float, ...]
    stream_bytes_per_s: tuple[float, ...]
    """The part of `bytes_per_s` that went by TCP."""
    unseen_packets: int
    """Packets of all nodes that could not be counted, because they came too fast."""
    false_deaths: int
    """Members declared dead, counted once per observer, although nobody was harmed."""


@attrs.frozen(kw_only=True)
class News:
    """One change of a node's metadata, or one goodbye, and how it came around."""

    origin: str
    heard_s: tuple[float, ...]
    """For each other live node that learned of it, how long after it began; ascending."""
    missed: int
    """Live nodes that had not when the time was over."""


@attrs.frozen(kw_only=True)
class Kill:
    """One `kill -9`."""

    victim: str
    detection_s: tuple[float, ...]
    """For each live node that declared the victim dead, how long after the kill; ascending."""
    suspected_s: tuple[float, ...]
    """For each live node that told of a suspicion, how long after the kill; memberlist's accusers alone tell."""
    missed: int
    """Live nodes that had not declared it dead when the time was over."""
    false_deaths: int
    """Declarations of death, by live nodes, of members that live."""


@attrs.frozen(kw_only=True)
class FalseDeaths:
    """Who declared whom dead although nobody had died. Counted once per observer and member."""

    of_healthy_by_healthy: int
    of_harmed_by_healthy: int
    of_healthy_by_harmed: int
    of_harmed_by_harmed: int

    @property
    def by_healthy(self) -> int:
        """Return how often a healthy node declared someone dead."""
        return self.of_healthy_by_healthy + self.of_harmed_by_healthy

    @property
    def by_anyone(self) -> int:
        """Return all of them."""
        return self.by_healthy + self.of_healthy_by_harmed + self.of_harmed_by_harmed


@attrs.frozen(kw_only=True)
class Hardship:
    """Some nodes were stopped once (SIGSTOP, then SIGCONT), or starved for a while; nobody died."""

    victims: tuple[str, ...]
    deaths: FalseDeaths


@attrs.frozen
class Turn:
    """At `at` seconds from the beginning a starved node is stopped, or goes on."""

    at: float
    name: str
    stop: bool


def settle(cluster: Cluster, settings: Settings, *, rng: Random) -> None:
    """Wait until what came before has been gossiped to its end, and for a random part of a probe interval.

    Without that part the harm would always come at the same moment of the rounds, for better or worse.
    """
    cluster.rest((SETTLE_PROBES + rng.random()) * settings.probe_interval_s)


def measure_idle(cluster: Cluster, *, seconds: float, counts_packets: bool) -> Idle:
    """Let the cluster be for `seconds`, and take what each node used; raise `SnifferRefusedError`."""
    seen = len(cluster.sightings)
    names = cluster.live()
    ports = {name: int(cluster.nodes[name].address.rpartition(":")[2]) for name in names}
    with contextlib.ExitStack() as stack:
        sniffer = stack.enter_context(Sniffer(ports.values())) if counts_packets else None
        began_at = time.monotonic()
        usage = {name: cluster.nodes[name].usage() for name in names}
        while (left_s := began_at + seconds - time.monotonic()) > 0:
            cluster.rest(min(DRAIN_S, left_s))
            if sniffer is not None:
                sniffer.drain()
        usage_then = {name: cluster.nodes[name].usage() for name in names}
        took_s = time.monotonic() - began_at

    def rates(of: Callable[[Tally], int]) -> tuple[float, ...]:
        return () if sniffer is None else tuple(of(sniffer.tallies[ports[name]]) / took_s for name in names)

    return Idle(
        cpu_share=tuple((usage_then[name].cpu_s - usage[name].cpu_s) / took_s for name in names),
        rss_bytes=tuple(usage_then[name].rss_bytes for name in names),
        packets_per_s=rates(lambda tally: tally.packets + tally.stream_packets),
        bytes_per_s=rates(lambda tally: tally.packet_bytes + tally.stream_bytes),
        stream_bytes_per_s=rates(lambda tally: tally.stream_bytes),
        unseen_packets=0 if sniffer is None else sniffer.unseen,
        false_deaths=len(deaths(cluster.sightings[seen:])),
    )


def change_one(cluster: Cluster, *, value: str, rng: Random) -> News:
    """Change a random node's metadata and wait until every other knows."""
    origin = rng.choice(cluster.live())
    seen = len(cluster.changes)

    def heard() -> dict[str, float]:
        changes = [each for each in cluster.changes[seen:] if (each.member, each.value) == (origin, value)]
        return {each.observer: each.at for each in reversed(changes)}  # the first one counts

    return _spread(cluster, origin, lambda: cluster.order_change(origin, value), heard)


def leave_one(cluster: Cluster, *, rng: Random) -> News:
    """Have a random node say goodbye and wait until every other knows that it is gone."""
    origin = rng.choice(cluster.live())
    seen = len(cluster.sightings)

    def heard() -> dict[str, float]:
        gone = [each for each in cluster.sightings[seen:] if each.member == origin and each.state in {"left", "dead"}]
        return {each.observer: each.at for each in reversed(gone)}

    return _spread(cluster, origin, lambda: cluster.order_leave(origin), heard)


def kill_one(cluster: Cluster, settings: Settings, *, rng: Random) -> Kill:
    """Kill a random node and wait until every live node has declared it dead, or the time is over."""
    victim = rng.choice(cluster.live())
    seen = len(cluster.sightings)
    killed_at = cluster.kill(victim)
    live = frozenset(cluster.live())

    def everyone_knows() -> bool:
        declared = deaths(cluster.sightings[seen:])
        return all((name, victim) in declared for name in live)

    cluster.watch(everyone_knows, timeout_s=settings.detection_s_max(len(cluster.names)))
    sightings = [each for each in cluster.sightings[seen:] if each.observer in live]
    declared = deaths(sightings)
    suspected = {
        each.observer: each.at for each in reversed(sightings) if (each.member, each.state) == (victim, "suspect")
    }
    detection_s = sorted(at - killed_at for (_, member), at in declared.items() if member == victim)
    return Kill(
        victim=victim,
        detection_s=tuple(detection_s),
        suspected_s=tuple(sorted(at - killed_at for at in suspected.values())),
        missed=len(live) - len(detection_s),
        false_deaths=sum(member in live for _, member in declared),
    )


def stop_some(cluster: Cluster, settings: Settings, *, share: float, seconds: float, rng: Random) -> Hardship:
    """Stop a share of the nodes at once for `seconds`, then watch for as long as a suspicion of that time can last."""
    victims = choose(cluster.live(), share, rng)
    seen = len(cluster.sightings)
    for victim in victims:
        cluster.stop(victim)
    cluster.rest(seconds)
    for victim in victims:
        cluster.resume(victim)
    return _aftermath(cluster, settings, victims, seen)


def starve_some(cluster: Cluster, settings: Settings, *, share: float, seconds: float, rng: Random) -> Hardship:
    """Let a share of the nodes run only now and then for `seconds`, then watch likewise.

    By signals and not by a control group's quota: those need no rights and no particular layout of the machine, they
    hit the same nodes at the same moments whatever is measured, and the gaps are as long as an overloaded machine's.
    """
    victims = choose(cluster.live(), share, rng)
    seen = len(cluster.sightings)
    began_at = time.monotonic()
    for turn in turns(victims, seconds, rng):
        cluster.rest(began_at + turn.at - time.monotonic())
        (cluster.stop if turn.stop else cluster.resume)(turn.name)
    return _aftermath(cluster, settings, victims, seen)


def choose(names: Sequence[str], share: float, rng: Random) -> tuple[str, ...]:
    """Return a share of the names at random, at least one, sorted."""
    return tuple(sorted(rng.sample(names, max(1, round(share * len(names))))))


def turns(victims: Sequence[str], seconds: float, rng: Random) -> list[Turn]:
    """Return when each starved node is stopped and goes on, in the order of time; all run at `seconds`."""
    found = []
    for name in victims:
        at = rng.uniform(*RUNNING_S)
        while at < seconds:
            until = min(at + rng.uniform(*STOPPED_S), seconds)
            found += [Turn(at, name, stop=True), Turn(until, name, stop=False)]
            at = until + rng.uniform(*RUNNING_S)
    return sorted(found, key=lambda turn: turn.at)


def deaths(sightings: Iterable[Sighting]) -> dict[tuple[str, str], float]:
    """Return who declared whom dead, and when for the first time."""
    first: dict[tuple[str, str], float] = {}
    for sighting in sightings:
        if sighting.state == "dead":
            first.setdefault((sighting.observer, sighting.member), sighting.at)
    return first


def sort_deaths(declared: Iterable[tuple[str, str]], harmed: Collection[str]) -> FalseDeaths:
    """Count pairs of an observer and a member by whether each of them was harmed."""
    kinds = [(member in harmed, observer in harmed) for observer, member in declared]
    return FalseDeaths(
        of_healthy_by_healthy=kinds.count((False, False)),
        of_harmed_by_healthy=kinds.count((True, False)),
        of_healthy_by_harmed=kinds.count((False, True)),
        of_harmed_by_harmed=kinds.count((True, True)),
    )


def _aftermath(cluster: Cluster, settings: Settings, victims: tuple[str, ...], seen: int) -> Hardship:
    cluster.rest(settings.suspicion_s_max(len(cluster.names)))
    return Hardship(victims=victims, deaths=sort_deaths(deaths(cluster.sightings[seen:]), victims))


def _spread(cluster: Cluster, origin: str, begin: Callable[[], float], heard: Callable[[], dict[str, float]]) -> News:
    others = frozenset(cluster.live()) - {origin}
    began_at = begin()
    cluster.watch(lambda: others <= heard().keys(), timeout_s=NEWS_S_MAX)
    times = sorted(at - began_at for observer, at in heard().items() if observer in others)
    return News(origin=origin, heard_s=tuple(times), missed=len(others) - len(times))
