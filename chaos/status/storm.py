"""The experiment: a tenth of all workers die at one moment. Times are virtual seconds from then on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from random import Random
from typing import TYPE_CHECKING

import attrs

from chaos.status.city import City
from chaos.status.sharing import Sharing

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

    from chaos.status.city import Citizen
    from swimstream.model.identity import InstanceId

START_S_MAX = 120.0
REST_S = 5.0
QUIET_S = 30.0
SAMPLE_S = 1.0
STORM_S_MAX = 300.0
AFTER_S = 15.0
"""So long the traffic is watched after all have agreed."""
DEAD_SHARE = 0.1
NEVER = float("inf")
DATAGRAMS, STREAMS = ("bytes_in", "bytes_out"), ("stream_bytes_in", "stream_bytes_out")


def _say_nothing(_: str) -> None:
    pass


class NotStartedError(Exception):
    """The city never came to run what its plan says: there are no figures."""


@attrs.frozen(kw_only=True)
class Rate:
    """Bytes a second of a live worker, in and out together, over one sample; the mean of all."""

    at_s: float
    datagrams: float
    streams: float


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of it."""

    workers: int
    instances: int
    """On each worker."""
    lost: int
    """Instances that were on the dead."""
    sync_interval_s: float
    quiet_bytes_per_s: tuple[float, ...] = attrs.field(repr=False)
    """Of each worker in peace, in and out together, datagrams and streams; sorted."""
    storm_bytes_per_s: tuple[float, ...] = attrs.field(repr=False)
    """Of each live worker, from the deaths until `AFTER_S` after all agreed; sorted."""
    runs_s: tuple[float, ...] = attrs.field(repr=False)
    """When each lost instance ran again, sorted; infinite: never."""
    knows_s: tuple[float, ...] = attrs.field(repr=False)
    """When each live worker knew the last of them to run, sorted; infinite: never."""
    pairs_s: tuple[float, ...] = attrs.field(repr=False)
    """When a worker learned that an instance runs: 1,000 of all pairs, sorted."""
    rates: tuple[Rate, ...] = attrs.field(repr=False)
    counters: Mapping[str, int] = attrs.field(repr=False)
    """Of all live workers together, from the deaths on."""

    @property
    def converged_s(self) -> float:
        """Return how long after the last lost instance ran again the last worker knew it."""
        return self.knows_s[-1] - self.runs_s[-1] if self.knows_s[-1] < NEVER else NEVER


@attrs.frozen(kw_only=True)
class Storm:
    """How it is made."""

    workers: int
    instances: int
    seed: int
    pace: str = "lan"
    tell: Callable[[str], None] = attrs.field(default=_say_nothing, eq=False)
    """Is told how far it has come: a large one takes many minutes."""
    shares: bool = True
    """Whether workers take what others of this process have found out already: that changes nothing but the time."""

    def run(self) -> Outcome:
        """Return what came of it. Raise `NotStartedError`."""
        with Sharing().applied() if self.shares else nullcontext():
            return self._run()

    def _run(self) -> Outcome:
        city = City(
            workers=self.workers, instances=self.instances, pace=self.pace, seed=f"{self.seed}/status/{self.workers}"
        )
        self.tell(f"{self.workers} workers: built")
        if not city.run_until(lambda: city.leader() is not None and city.all_run(), limit_s=START_S_MAX):
            raise NotStartedError(f"{self.workers} workers: not everything runs after {START_S_MAX:.0f} s")
        city.run_for(REST_S)
        self.tell(f"{self.workers} workers: all runs")
        before = _bytes_by_name(city.citizens())
        city.run_for(QUIET_S)
        self.tell(f"{self.workers} workers: {city.clock.now:.0f} s have passed in peace; now a tenth of them dies")
        after = _bytes_by_name(city.citizens())
        quiet = tuple(sorted((after[name] - before[name]) / QUIET_S for name in after))
        return self._strike(city, quiet)

    def _strike(self, city: City, quiet: tuple[float, ...]) -> Outcome:
        rng = Random(f"{self.seed}/victims")
        leader = city.leader()
        ordinary = [host for host in city.citizens() if host is not leader and host not in city.council]
        victims = {host.name for host in rng.sample(ordinary, round(DEAD_SHARE * self.workers))}
        assignments = city.citizens()[0].node.plan.assignments
        lost = sorted(instance for instance, held in assignments.items() if held.run.name in victims)
        struck_at, started = city.clock.now, len(city.started)
        for name in sorted(victims):
            city.hosts[name].crash()
        counted, begun = _counters(city.citizens()), _bytes_by_name(city.citizens())
        rates, agreed_at = self._watch(city, lost, struck_at)
        lasted_s = agreed_at - struck_at
        spent = _bytes_by_name(city.citizens())
        epochs = {instance: _newest(city).get(instance, 0) for instance in lost}
        runs = {each.instance: each.at for each in city.started[started:] if each.epoch == epochs.get(each.instance)}
        heard = [[_heard_at(host, instance, epochs[instance]) for instance in lost] for host in city.citizens()]
        pairs = sorted(at - struck_at for times in heard for at in times)
        return Outcome(
            workers=self.workers,
            instances=self.instances,
            lost=len(lost),
            sync_interval_s=city.timing.sync_interval_s,
            quiet_bytes_per_s=quiet,
            storm_bytes_per_s=tuple(sorted((spent[name] - begun[name]) / (lasted_s + AFTER_S) for name in spent)),
            runs_s=tuple(sorted(runs.get(instance, NEVER) - struck_at for instance in lost)),
            knows_s=tuple(sorted(max(times) - struck_at for times in heard)),
            pairs_s=tuple(pairs[:: max(1, len(pairs) // 1_000)]),
            rates=rates,
            counters=dict(sorted((_counters(city.citizens()) - counted).items())),
        )

    def _watch(self, city: City, lost: list[InstanceId], struck_at: float) -> tuple[tuple[Rate, ...], float]:
        """Let the storm pass; return how much was said in each sample, and when all had agreed, as samples tell."""
        rates: list[Rate] = []
        before, agreed_at = city.traffic(), NEVER
        end_at = struck_at + STORM_S_MAX
        while city.clock.now < min(end_at, agreed_at + AFTER_S):
            city.run_for(SAMPLE_S)
            after = city.traffic()
            spent = after - before
            share = SAMPLE_S * len(city.citizens())
            rates.append(
                Rate(
                    at_s=city.clock.now - struck_at,
                    datagrams=sum(spent[key] for key in DATAGRAMS) / share,
                    streams=sum(spent[key] for key in STREAMS) / share,
                )
            )
            before = after
            said = f"{rates[-1].datagrams + rates[-1].streams:,.0f} B/s a worker"
            self.tell(f"{self.workers} workers: {rates[-1].at_s:.0f} s since the deaths; {said}")
            if agreed_at == NEVER and _have_agreed(city, lost):
                agreed_at = city.clock.now
        return tuple(rates), min(agreed_at, end_at)


def _have_agreed(city: City, lost: Iterable[InstanceId]) -> bool:
    """Return whether everybody knows every lost instance to run, under the newest epoch that anybody knows."""
    newest = _newest(city)
    running = {(instance, epoch) for host in city.live() for instance, epoch in host.running.items()}
    wanted = [(instance, newest[instance]) for instance in lost]
    return running.issuperset(wanted) and all(
        host.heard.get(instance, (0, 0.0))[0] == epoch for host in city.citizens() for instance, epoch in wanted
    )


def _newest(city: City) -> dict[InstanceId, int]:
    plan = max((host.node.plan for host in city.council if not host.is_ended), key=lambda plan: plan.index)
    return {instance: held.epoch for instance, held in plan.assignments.items()}


def _heard_at(host: Citizen, instance: InstanceId, epoch: int) -> float:
    known, at = host.heard.get(instance, (0, NEVER))
    return at if known == epoch else NEVER


def _bytes_by_name(hosts: Iterable[Citizen]) -> dict[str, float]:
    return {host.name: sum(host.traffic[key] for key in (*DATAGRAMS, *STREAMS)) for host in hosts}


def _counters(hosts: Iterable[Citizen]) -> Counter[str]:
    total = type(next(iter(hosts)).traffic)()
    for host in hosts:
        total.update(host.node.counters())
    return total
