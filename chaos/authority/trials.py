"""The experiments, one value each: what they are made from, and what came of them. Times are virtual seconds."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import attrs

from chaos.authority.town import LEAST, ONCE, PACES, Town, instance_at

if TYPE_CHECKING:
    from chaos.authority.town import Host

START_S_MAX = 120.0
"""By then a restarted town has a leader, and everything runs."""
REST_S = 5.0
RECOVER_S_MAX = 300.0
AFTER_CUT_S_MAX = 60.0
SAMPLE_S = 1.0
COUNTED = ("packets_in", "packets_out", "bytes_in", "bytes_out")
NEVER = float("inf")


class NotStartedError(Exception):
    """The town never came to run what its plan says: there are no figures."""


@attrs.frozen(kw_only=True)
class Freshness:
    """How old authority was, at everybody, and what it cost."""

    pace: str
    workers: int
    isolation_s: float
    ages_s: tuple[float, ...] = attrs.field(repr=False)
    """Of every worker, every `SAMPLE_S`."""
    asked_per_s: float
    """Questions of all workers together, a second."""
    council: dict[str, float]
    """Packets and bytes of a council member, a second: the mean of the seats without the leader's."""
    leader: dict[str, float]
    others: dict[str, float]
    """Of a worker without a seat; nothing if there is none."""
    stopped: int
    """At-most-one instances that ended although nothing was wrong."""


@attrs.frozen(kw_only=True)
class FreshnessTrial:
    """A town of so many workers, all of which host an at-most-one instance, in peace."""

    pace: str
    workers: int
    seed: int
    warm_s: float = 40.0
    lasts_s: float = 60.0

    def run(self) -> Freshness:
        """Return what came of it."""
        town = Town(workers=self.workers, pace=self.pace, seed=f"{self.seed}/fresh/{self.workers}")
        settled(town)
        town.run_for(self.warm_s)
        before = {host.name: host.traffic.copy() for host in town.hosts.values()}
        asked = _asked(town)
        ended = len(town.ended)
        ages: list[float] = []
        until = town.clock.now + self.lasts_s
        while town.clock.now < until:
            town.run_for(SAMPLE_S)
            ages += [host.authority_age_s for host in town.live()]

        def rates(hosts: list[Host]) -> dict[str, float]:
            counts = {name: sum(host.traffic[name] - before[host.name][name] for host in hosts) for name in COUNTED}
            return {name: count / len(hosts) / self.lasts_s for name, count in counts.items()} if hosts else {}

        leader = town.leader()
        return Freshness(
            pace=self.pace,
            workers=self.workers,
            isolation_s=town.timing.isolation_timeout_s,
            ages_s=tuple(round(age, 3) for age in ages),
            asked_per_s=(_asked(town) - asked) / self.lasts_s,
            council=rates([host for host in town.council if host is not leader]),
            leader=rates([host for host in town.council if host is leader]),
            others=rates(list(town.hosts.values())[len(town.council) :]),
            stopped=len(town.ended) - ended,
        )


@attrs.frozen(kw_only=True)
class Recovery:
    """One crash of a worker that hosted one instance of each guarantee."""

    pace: str
    victim: str
    """`worker` or `leader`."""
    at_least_one_s: float
    """From the crash to the start elsewhere; infinite: not in time."""
    at_most_one_s: float
    stopped: int
    """At-most-one instances of healthy workers that ended."""
    healthy: int
    """How many of those there were."""


@attrs.frozen(kw_only=True)
class RecoveryTrial:
    """Crash a worker, or the leader, of a town of so many."""

    pace: str
    victim: str
    seed: int
    workers: int = 10

    def run(self) -> Recovery:
        """Return what came of it."""
        town, rng = _at_any_moment(self, "recovery", self.victim, operators=(ONCE, LEAST))
        leader = town.leader()
        assert leader is not None, "a settled town has a leader"
        ordinary = [host for host in town.live() if host is not leader]
        victim = leader if self.victim == "leader" else rng.choice(ordinary)
        number = list(town.hosts).index(victim.name)
        crashed_at, ended, started = town.clock.now, len(town.ended), len(town.started)
        victim.crash()
        wanted = {instance_at(operator, number) for operator in (ONCE, LEAST)}
        town.run_until(lambda: wanted <= {each.instance for each in town.started[started:]}, limit_s=RECOVER_S_MAX)
        found = dict.fromkeys((ONCE, LEAST), NEVER)
        for each in town.started[started:]:
            if each.instance in wanted:
                found[each.instance.operator] = min(found[each.instance.operator], each.at - crashed_at)
        return Recovery(
            pace=self.pace,
            victim=self.victim,
            at_least_one_s=found[LEAST],
            at_most_one_s=found[ONCE],
            stopped=len({each.host for each in town.ended[ended:]}),
            healthy=self.workers - 1,
        )


@attrs.frozen(kw_only=True)
class Stop:
    """One healthy worker that was cut off for a while."""

    pace: str
    cut_s: float
    isolation_s: float
    stopped_s: float
    """From the cut to the end of its at-most-one instance; infinite: it went on."""
    by_fence: bool
    back_s: float
    """From the healing until the instance ran again, wherever; 0 if it never stopped."""
    overlapped: bool
    """Whether two hosts ever ran it at once."""


@attrs.frozen(kw_only=True)
class StopTrial:
    """Cut one worker off for so long; with 0, for L and a half."""

    pace: str
    cut_s: float
    seed: int
    workers: int = 10

    def run(self) -> Stop:
        """Return what came of it."""
        town, rng = _at_any_moment(self, "stop", f"{self.cut_s}", operators=(ONCE,))
        leader = town.leader()
        victim = rng.choice([host for host in town.live() if host is not leader])
        instance = instance_at(ONCE, list(town.hosts).index(victim.name))
        isolation_s = town.timing.isolation_timeout_s
        cut_s = self.cut_s or 1.5 * isolation_s
        cut_at, ended = town.clock.now, len(town.ended)
        overlapped = False

        def look() -> bool:
            nonlocal overlapped
            overlapped = overlapped or sum(instance in host.running for host in town.live()) > 1
            return False

        pairs = town.cut_off(victim)
        town.run_until(look, limit_s=cut_s, step_s=0.02)
        town.network.mend(pairs)
        healed_at = town.clock.now
        ends = [each for each in town.ended[ended:] if each.instance == instance and each.host == victim.name]

        def runs() -> bool:
            look()
            return any(instance in host.running for host in town.live())

        is_back = town.run_until(runs, limit_s=AFTER_CUT_S_MAX + isolation_s, step_s=0.02)
        back_s = town.clock.now - healed_at if is_back else NEVER
        town.run_until(look, limit_s=isolation_s, step_s=0.02)
        return Stop(
            pace=self.pace,
            cut_s=self.cut_s,
            isolation_s=isolation_s,
            stopped_s=ends[0].at - cut_at if ends else NEVER,
            by_fence=bool(ends) and ends[0].by_fence,
            back_s=back_s if ends else 0.0,
            overlapped=overlapped,
        )


Trial = FreshnessTrial | RecoveryTrial | StopTrial
Outcome = Freshness | Recovery | Stop


def settled(town: Town) -> None:
    """Let a town elect, and start what its plan says. Raise `NotStartedError`."""
    if not town.run_until(lambda: town.leader() is not None and town.all_run(), limit_s=START_S_MAX):
        raise NotStartedError(f"{len(town.hosts)} workers: not everything runs after {START_S_MAX:.0f} s")


def _at_any_moment(
    trial: RecoveryTrial | StopTrial, story: str, variant: str, *, operators: tuple[str, ...]
) -> tuple[Town, Random]:
    """Return a town that runs what its plan says, at a moment of L that was drawn, and whence to draw the rest."""
    town = Town(workers=trial.workers, pace=trial.pace, seed=f"{trial.seed}/{story}/{variant}", operators=operators)
    rng = Random(f"{trial.seed}/{story}/{trial.pace}/{variant}")
    settled(town)
    town.run_for(REST_S + town.timing.isolation_timeout_s * rng.random())
    return town, rng


def _asked(town: Town) -> int:
    return sum(host.node.counters().get("authority_asked", 0) for host in town.hosts.values())


def full_trials(seed: int) -> list[Trial]:
    """Return all trials, the dearest first."""
    return [
        # a thousand workers give as many ages in 20 s as a hundred in 200
        *(FreshnessTrial(pace=pace, workers=1_000, seed=seed, warm_s=20.0, lasts_s=20.0) for pace in ("lan", "wan")),
        *(FreshnessTrial(pace=pace, workers=size, seed=seed) for size in (100, 10) for pace in ("lan", "wan")),
        *_small_trials(seed, recoveries=20, stops=12),
    ]


def quick_trials(seed: int) -> list[Trial]:
    """Return the same in small."""
    return [
        *(FreshnessTrial(pace="lan", workers=size, seed=seed, warm_s=10.0, lasts_s=20.0) for size in (30, 10)),
        *_small_trials(seed, recoveries=4, stops=3),
    ]


def _small_trials(seed: int, *, recoveries: int, stops: int) -> list[Trial]:
    return [
        *(
            RecoveryTrial(pace=pace, victim=victim, seed=1_000 * seed + number)
            for number in range(recoveries)
            for pace in PACES
            for victim in ("worker", "leader")
        ),
        *(
            StopTrial(pace=pace, cut_s=cut_s, seed=1_000 * seed + number)
            for number in range(stops)
            for pace in PACES
            for cut_s in (2.0, 4.0, 0.0)
        ),
    ]
