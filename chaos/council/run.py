"""The command: kill the leader of a real cluster under load, again and again, and see how soon it decides again."""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import attrs
import click

from chaos.council.cluster import Cluster, Kill
from chaos.council.figures import figures, judge, table
from chaos.council.plot import draw
from chaos.crew import CrewError
from chaos.orderly import end_orderly_on
from chaos.papers.show import claims_table
from swimstream.config import PRESETS

KILLS_PER_CLUSTER = 10
"""A cluster holds so many jobs and no more, and the load submits some all the time."""
LOAD_EVERY_S = 1.25
"""Each worker submits its next job so long after the last was answered."""
INSTANCES = 20
"""So many make progress all the time."""
CALM_S = (0.5, 2.0)
"""Between one recovery and the next kill."""
KILL_S_MAX = 60.0
"""Bounds the whole: so much a kill, on average."""


@attrs.define
class Outcome:
    """What came out; grows."""

    kills: list[Kill] = attrs.field(factory=list)
    rtts_s: list[float] = attrs.field(factory=list)
    refused: list[str] = attrs.field(factory=list)
    failures: list[str] = attrs.field(factory=list)
    """Clusters that ended early, and why."""


def run_all(outcome: Outcome, *, kills: int, workers: int, preset: str, seed: int) -> None:
    """Kill so many leaders, some in each cluster."""
    rng = Random(seed)
    began_at = time.monotonic()
    deadline = began_at + KILL_S_MAX * kills

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - began_at:7.1f} s  {text}", err=True)

    while len(outcome.kills) < kills and time.monotonic() < deadline:
        count = min(KILLS_PER_CLUSTER, kills - len(outcome.kills))
        with tempfile.TemporaryDirectory(prefix="swimstream-council-") as scratch:
            cluster = Cluster(Path(scratch), workers=workers, preset=preset)
            try:
                with cluster:
                    cluster.put_under_load(every_s=LOAD_EVERY_S, instances=INSTANCES)
                    for _ in range(count):
                        cluster.rest(rng.uniform(*CALM_S))
                        kill = cluster.kill_leader()
                        outcome.kills.append(kill)
                        say(
                            f"{len(outcome.kills)}/{kills}  {kill.victim} killed: held for dead after "
                            f"{kill.detected_s[0]:.2f} s, decided after {kill.decided_s:.2f} s, answered after "
                            f"{kill.answered_s[0]:.2f} s"
                        )
                    cluster.measure_rtt()
            except CrewError as error:
                say(f"this cluster has no more figures: {error}")
                outcome.failures.append(str(error))
            outcome.rtts_s += cluster.rtts_s
            outcome.refused += cluster.refused


def document(outcome: Outcome, *, wanted: int, conditions: dict[str, object]) -> dict[str, object]:
    """Return everything as JSON's types."""
    targets = judge(outcome.kills, outcome.rtts_s, wanted=wanted)
    return {
        "ok": all(target.met is True for target in targets) and not outcome.failures,
        **conditions,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "targets": [attrs.asdict(target) for target in targets],
        "figures": attrs.asdict(figures(outcome.kills, outcome.rtts_s)),
        "kills": [attrs.asdict(kill) for kill in outcome.kills],
        "refused": outcome.refused,
        "failures": outcome.failures,
    }


@click.command()
@click.option("--kills", default=50, show_default=True, type=click.IntRange(1, 1_000))
@click.option("--workers", default=5, show_default=True, type=click.IntRange(3, 16))
@click.option("--preset", default="local", show_default=True, type=click.Choice(list(PRESETS)))
@click.option("--seed", default=1, show_default=True, help="Of the pauses between kills.")
@click.option("--json", "json_path", default=Path("build/reports/council.json"), type=click.Path(path_type=Path))
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), help="Write an SVG there; needs matplotlib.")
def main(*, kills: int, workers: int, preset: str, seed: int, json_path: Path, plot_path: Path | None) -> None:
    """Kill leaders of real clusters under load. Exit status: 0 only if the medians are within their bound."""
    end_orderly_on(signal.SIGTERM)
    outcome = Outcome()
    before = os.getloadavg()
    try:
        run_all(outcome, kills=kills, workers=workers, preset=preset, seed=seed)
    except KeyboardInterrupt:
        click.echo("interrupted: these are the figures so far", err=True)
    conditions = {"preset": preset, "workers": workers, "seed": seed, "load_average": [before, os.getloadavg()]}
    found = document(outcome, wanted=kills, conditions=conditions)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(found, indent=2) + "\n")
    targets = judge(outcome.kills, outcome.rtts_s, wanted=kills)
    if plot_path is not None and len(targets) > 1:
        title = f"{workers} workers, preset {preset}, {len(outcome.kills)} leaders killed under load"
        try:
            draw(plot_path, outcome.kills, bound_s=targets[-1].bound or 0.0, title=title)
        except ImportError:
            click.echo("no plot: matplotlib is missing: pip install '.[bench]'")
    click.echo(f"\n{table(figures(outcome.kills, outcome.rtts_s))}\n\n{claims_table(targets)}\n\n{json_path}")
    click.echo("ok" if found["ok"] else "NOT ok")
    sys.exit(0 if found["ok"] else 1)
