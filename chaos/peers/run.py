"""The command: run every peer through the same experiments, one cluster at a time, and write what came out."""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import attrs
import click

from chaos.peers.cluster import Cluster, ClusterError
from chaos.peers.figures import Summary, Target, judge, summarise
from chaos.peers.peer import PEERS, Peer, PeerMissingError, find_peer
from chaos.peers.plot import draw
from chaos.peers.scenarios import Idle, Kill, Stall, kill_one, measure_idle, settle, stall_one
from chaos.peers.settings import PRESETS, Settings
from chaos.peers.show import table, verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType


@attrs.frozen(kw_only=True)
class Plan:
    """What is to be done."""

    nodes: int
    runs: int
    idle_s: float
    stall_s: float
    seed: int
    settings: Settings


@attrs.define(kw_only=True)
class Results:
    """What came out, by peer; grows with each run."""

    idles: dict[str, list[Idle]] = attrs.field(factory=dict)
    kills: dict[str, list[Kill]] = attrs.field(factory=dict)
    stalls: dict[str, list[Stall]] = attrs.field(factory=dict)
    left_out: dict[str, str] = attrs.field(factory=dict)
    """Peers that were asked for and cannot be measured here, and why."""
    failures: list[str] = attrs.field(factory=list)
    """Runs without figures, and why."""

    def add_peer(self, name: str) -> None:
        """Make room for a peer that will be measured."""
        self.idles[name], self.kills[name], self.stalls[name] = [], [], []

    def summaries(self) -> dict[str, Summary]:
        """Return the figures so far."""
        return {name: summarise(self.idles[name], self.kills[name], self.stalls[name]) for name in self.idles}


class Progress:
    """One line whenever something begins, with the seconds since the start."""

    def __init__(self) -> None:
        """Start counting."""
        self._started_at = time.monotonic()

    def say(self, text: str) -> None:
        """Write a line."""
        click.echo(f"{time.monotonic() - self._started_at:7.1f} s  {text}")


def run_peer(peer: Peer, plan: Plan, number: int, results: Results, progress: Progress) -> None:
    """Put one peer through one run: a cluster for idling and the kill, a fresh one for the stop."""
    # the same draws for every peer: the same victim, at the same offset
    rng = Random(f"{plan.seed}/{number}")
    where = f"run {number + 1}/{plan.runs}  {peer.name}:"
    progress.say(f"{where} {plan.nodes} nodes, idle for {plan.idle_s:g} s")
    with Cluster(peer, plan.settings, nodes=plan.nodes) as cluster:
        settle(cluster, plan.settings, rng=rng)
        results.idles[peer.name].append(measure_idle(cluster, seconds=plan.idle_s))
        kill = kill_one(cluster, plan.settings, rng=rng)
    results.kills[peer.name].append(kill)
    times = f"first {kill.detection_s[0]:.2f} s, last {kill.detection_s[-1]:.2f} s" if kill.detection_s else "nobody"
    progress.say(f"{where} kill -9 of {kill.victim}: {times}, missed by {kill.missed}")
    with Cluster(peer, plan.settings, nodes=plan.nodes) as cluster:
        settle(cluster, plan.settings, rng=rng)
        stall = stall_one(cluster, plan.settings, seconds=plan.stall_s, rng=rng)
    results.stalls[peer.name].append(stall)
    progress.say(
        f"{where} {stall.victim} stopped for {plan.stall_s:g} s: declared dead by {stall.deaths_of_stopped}, "
        f"others declared dead {stall.deaths_of_others} times"
    )


def run_all(peers: Sequence[Peer], plan: Plan, results: Results, progress: Progress) -> None:
    """Run every peer so often, in turn: whatever else the machine does meets all of them."""
    for peer in peers:
        results.add_peer(peer.name)
    for number in range(plan.runs):
        turn = number % len(peers) if peers else 0
        for peer in (*peers[turn:], *peers[:turn]):
            try:
                run_peer(peer, plan, number, results, progress)
            except ClusterError as error:
                results.failures.append(f"run {number + 1}: {error}")
                progress.say(f"no figures: {error}")


def is_ok(results: Results, targets: Sequence[Target]) -> bool:
    """Return whether everything asked for was measured, and no target that can be judged was missed."""
    complete = not results.left_out and not results.failures and bool(results.idles)
    return complete and all(target.met is not False for target in targets)


def report(
    plan: Plan,
    results: Results,
    targets: Sequence[Target],
    versions: Mapping[str, str],
    load: Sequence[Sequence[float]],
) -> dict[str, object]:
    """Return everything as JSON's types: the figures, and the runs that they come from."""
    summaries = results.summaries()
    return {
        "ok": is_ok(results, targets),
        "nodes": plan.nodes,
        "runs": plan.runs,
        "idle_s": plan.idle_s,
        "stall_s": plan.stall_s,
        "seed": plan.seed,
        "settings": attrs.asdict(plan.settings),
        "encryption": "none in any of them",
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "load_average": {"before": load[0], "after": load[1]},
        "peers": {
            name: {
                "version": versions[name],
                "figures": attrs.asdict(summary),
                "idles": [attrs.asdict(each) for each in results.idles[name]],
                "kills": [attrs.asdict(each) for each in results.kills[name]],
                "stalls": [attrs.asdict(each) for each in results.stalls[name]],
            }
            for name, summary in summaries.items()
        },
        "targets": [attrs.asdict(target) for target in targets],
        "left_out": results.left_out,
        "failures": results.failures,
    }


def find_peers(names: Sequence[str], build_dir: Path, results: Results, progress: Progress) -> list[Peer]:
    """Return those that can be measured here; note the others."""
    found = []
    for name in names:
        try:
            peer = find_peer(name, build_dir=build_dir)
        except PeerMissingError as error:
            results.left_out[name] = str(error)
            progress.say(f"{name} is left out: {error}")
        else:
            progress.say(f"{name} {peer.version}")
            found.append(peer)
    return found


def _end_orderly(number: int, _: FrameType | None) -> None:
    """Turn a signal into an exit, so that every `with` block ends its processes."""
    sys.exit(128 + number)


@click.command()
@click.option("--nodes", default=16, show_default=True, type=click.IntRange(3, 128), help="Nodes of each cluster.")
@click.option("--runs", default=5, show_default=True, type=click.IntRange(1, 1000), help="Runs of each peer.")
@click.option("--peers", "names", multiple=True, default=PEERS, type=click.Choice(PEERS), help="Repeat for several.")
@click.option("--preset", default="lan", show_default=True, type=click.Choice(sorted(PRESETS)))
@click.option("--idle", default=20.0, show_default=True, type=click.FloatRange(0.5, 3600), help="Idle seconds.")
@click.option("--stall", default=4.0, show_default=True, type=click.FloatRange(0.1, 600), help="Seconds of SIGSTOP.")
@click.option("--seed", default=1, show_default=True, help="Of the choice of victims.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures and runs there.")
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), help="Write an SVG there; needs matplotlib.")
@click.option("--build", "build_dir", default=Path("build/peers"), type=click.Path(path_type=Path), show_default=True)
def main(
    *,
    nodes: int,
    runs: int,
    names: Sequence[str],
    preset: str,
    idle: float,
    stall: float,
    seed: int,
    json_path: Path | None,
    plot_path: Path | None,
    build_dir: Path,
) -> None:
    """Measure swimstream beside memberlist and kinship. Exits with 0 only if all was measured and no target missed."""
    if sys.platform != "linux":
        raise click.ClickException("expected Linux: processes are read from /proc and share one monotonic clock")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end_orderly)
    plan = Plan(nodes=nodes, runs=runs, idle_s=idle, stall_s=stall, seed=seed, settings=PRESETS[preset])
    results, progress = Results(), Progress()
    load_before = os.getloadavg()
    peers = find_peers(tuple(dict.fromkeys(names)), build_dir, results, progress)
    run_all(peers, plan, results, progress)
    load = (load_before, os.getloadavg())
    versions = {peer.name: peer.version for peer in peers}
    summaries = results.summaries()
    targets = judge(summaries)
    document = report(plan, results, targets, versions, load)
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(document, indent=2) + "\n")
    conditions = (
        f"{nodes} nodes, {runs} runs, {preset}, load {load[0][0]:.1f} to {load[1][0]:.1f}, {os.cpu_count()} CPUs"
    )
    if plot_path is not None:
        try:
            draw(plot_path, kills=results.kills, idles=results.idles, title=conditions)
        except ImportError:
            click.echo("no plot: matplotlib is missing: pip install '.[bench]'")
    click.echo(f"\n{conditions}, no encryption\n\n{table(summaries, versions)}\n")
    for name, why in results.left_out.items():
        click.echo(f"{name} is left out: {why}")
    if targets:
        click.echo(f"Targets\n{verdicts(targets)}")
    click.echo("ok" if document["ok"] else "NOT ok")
    sys.exit(0 if document["ok"] else 1)
