"""Every peer through the same experiments, one cluster at a time, at each size."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import attrs
import click

from chaos.peers.cluster import Cluster, ClusterError
from chaos.peers.figures import Runs
from chaos.peers.peer import Peer
from chaos.peers.scenarios import (
    change_one,
    kill_one,
    leave_one,
    measure_idle,
    settle,
    starve_some,
    stop_some,
)
from chaos.peers.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.peers.scenarios import Hardship

SCENARIOS = ("idle", "change", "kill", "leave", "stop", "starve")


@attrs.frozen(kw_only=True)
class Plan:
    """What is to be done."""

    sizes: tuple[int, ...]
    """Nodes of the clusters."""
    runs: int
    scenarios: tuple[str, ...]
    warm_s: float
    """From a cluster's convergence to its idling: the first regular repairs come late in some implementations."""
    idle_s: float
    changes: int
    kills: int
    """In each run's cluster, one after another; likewise `changes`."""
    share: float
    """Of the nodes that are stopped, or starved."""
    stop_s: float
    starve_s: float
    encrypted: bool
    seed: int
    settings: Settings


@attrs.define(kw_only=True)
class Results:
    """What came out at one size, by peer; grows with each run."""

    runs: dict[str, Runs] = attrs.field(factory=dict)
    failures: list[str] = attrs.field(factory=list)
    """Runs without figures, and why."""
    load: list[tuple[float, float, float]] = attrs.field(factory=list)
    """The machine's load averages, before and after each run of a peer."""


class Progress:
    """One line whenever something begins, with the seconds since the start."""

    def __init__(self) -> None:
        """Start counting."""
        self._started_at = time.monotonic()

    def say(self, text: str) -> None:
        """Write a line."""
        click.echo(f"{time.monotonic() - self._started_at:7.1f} s  {text}")


@attrs.frozen(kw_only=True)
class PeerRun:
    """One peer's turn in one run."""

    peer: Peer
    plan: Plan
    nodes: int
    number: int
    key_file: Path | None
    """None: plaintext."""
    counts_packets: bool
    progress: Progress

    def rng(self, scenario: str) -> Random:
        """Return the draws for one scenario of this run: the same for every peer, whatever else is asked for."""
        return Random(f"{self.plan.seed}/{self.number}/{self.nodes}/{scenario}")

    def cluster(self) -> Cluster:
        """Return a cluster, not started."""
        return Cluster(self.peer, self.plan.settings, nodes=self.nodes, key_file=self.key_file)

    def say(self, text: str) -> None:
        """Write a line that says whose turn it is."""
        self.progress.say(f"{self.nodes} nodes, run {self.number + 1}/{self.plan.runs}, {self.peer.name}: {text}")

    def measure(self, runs: Runs) -> None:
        """Do all that is planned and add it to `runs`; raise `ClusterError`. What was measured before that stays."""
        wanted = self.plan.scenarios
        if not {"idle", "change", "kill", "leave"}.isdisjoint(wanted):
            with self.cluster() as cluster:
                self._calm(cluster, runs)
                self._losses(cluster, runs)
        for scenario in ("stop", "starve"):
            if scenario in wanted:
                with self.cluster() as cluster:
                    self._hardship(cluster, runs, scenario)

    def _calm(self, cluster: Cluster, runs: Runs) -> None:
        plan = self.plan
        converged_at = time.monotonic()
        rng = self.rng("change")
        for number in range(plan.changes if "change" in plan.scenarios else 0):
            settle(cluster, plan.settings, rng=rng)
            news = change_one(cluster, value=f"v{number}", rng=rng)
            runs.changes.append(news)
            self.say(f"{news.origin} changes: {_times(news.heard_s, news.missed)}")
        if "idle" in plan.scenarios:
            cluster.rest(converged_at + plan.warm_s - time.monotonic())
            runs.idles.append(measure_idle(cluster, seconds=plan.idle_s, counts_packets=self.counts_packets))
            self.say(f"idle for {plan.idle_s:g} s")

    def _losses(self, cluster: Cluster, runs: Runs) -> None:
        plan = self.plan
        rng = self.rng("kill")
        for _ in range(plan.kills if "kill" in plan.scenarios else 0):
            settle(cluster, plan.settings, rng=rng)
            kill = kill_one(cluster, plan.settings, rng=rng)
            runs.kills.append(kill)
            self.say(f"kill -9 of {kill.victim}: {_times(kill.detection_s, kill.missed)}")
        if "leave" in plan.scenarios:
            rng = self.rng("leave")
            settle(cluster, plan.settings, rng=rng)
            news = leave_one(cluster, rng=rng)
            runs.goodbyes.append(news)
            self.say(f"{news.origin} leaves: {_times(news.heard_s, news.missed)}")

    def _hardship(self, cluster: Cluster, runs: Runs, scenario: str) -> None:
        plan, rng = self.plan, self.rng(scenario)
        settle(cluster, plan.settings, rng=rng)
        if scenario == "stop":
            trial = stop_some(cluster, plan.settings, share=plan.share, seconds=plan.stop_s, rng=rng)
            runs.stops.append(trial)
            self.say(f"{len(trial.victims)} stopped for {plan.stop_s:g} s: {_deaths(trial)}")
        else:
            trial = starve_some(cluster, plan.settings, share=plan.share, seconds=plan.starve_s, rng=rng)
            runs.starvations.append(trial)
            self.say(f"{len(trial.victims)} starved for {plan.starve_s:g} s: {_deaths(trial)}")


def run_all(
    peers: Sequence[Peer], plan: Plan, *, key_file: Path | None, counts_packets: bool, progress: Progress
) -> dict[int, Results]:
    """Run every peer so often at every size, in turn: whatever else the machine does meets all of them."""
    found = {}
    for nodes in plan.sizes:
        results = found[nodes] = Results(runs={peer.name: Runs() for peer in peers})
        for number in range(plan.runs):
            turn = number % len(peers) if peers else 0
            for peer in (*peers[turn:], *peers[:turn]):
                results.load.append(os.getloadavg())
                one = PeerRun(
                    peer=peer,
                    plan=plan,
                    nodes=nodes,
                    number=number,
                    key_file=key_file,
                    counts_packets=counts_packets,
                    progress=progress,
                )
                try:
                    one.measure(results.runs[peer.name])
                except ClusterError as error:
                    results.failures.append(f"run {number + 1}: {error}")
                    one.say(f"no more figures: {error}")
        results.load.append(os.getloadavg())
    return found


def _times(times: Sequence[float], missed: int) -> str:
    known = f"first {times[0]:.2f} s, last {times[-1]:.2f} s" if times else "nobody"
    return f"{known}, missed by {missed}"


def _deaths(trial: Hardship) -> str:
    return f"{trial.deaths.by_healthy} false deaths by healthy nodes, {trial.deaths.by_anyone} by anyone"
