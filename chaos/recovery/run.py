"""The command: kill workers and leaders of real clusters, and see how soon what they ran runs elsewhere."""

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
from typing import TYPE_CHECKING

import attrs
import click

from chaos.crew import CrewError
from chaos.orderly import end_orderly_on, is_ok, plain
from chaos.papers.show import claims_table
from chaos.recovery.cluster import Cluster
from chaos.recovery.diary import Kill
from chaos.recovery.figures import WAYS, judge, table
from chaos.recovery.operators import LEAST, ONCE
from chaos.recovery.others import OTHERS
from chaos.recovery.others import table as others_table
from chaos.recovery.plot import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


KILLS_PER_CLUSTER = 8
"""Then a new one: nobody shall have come back so often that it counts as flapping."""
PRESETS = ("local", "lan")
CLUSTER_FAILURES_MAX = 5


@attrs.define
class Outcome:
    """What came out; grows."""

    kills: list[Kill] = attrs.field(factory=list)
    failures: list[str] = attrs.field(factory=list)
    """Clusters that ended early, and why."""


def run_all(
    outcome: Outcome,
    *,
    runs: int,
    workers: int,
    presets: Sequence[str],
    rng: Random,
    say: Callable[[str], None],
) -> None:
    """Have so many deaths of each sort: with every peer and way to die, of a worker and of the leader."""
    for preset in presets:
        for isolation in ("thread", "process"):
            sorts = [(way[1], leader) for way in WAYS if way[0] == isolation for leader in (False, True)]
            wanted = sorts * runs
            failures = 0
            while wanted and failures < CLUSTER_FAILURES_MAX:
                failures += not _run_cluster(
                    outcome, wanted, workers=workers, preset=preset, isolation=isolation, rng=rng, say=say
                )


def _run_cluster(
    outcome: Outcome,
    wanted: list[tuple[bool, bool]],
    *,
    workers: int,
    preset: str,
    isolation: str,
    rng: Random,
    say: Callable[[str], None],
) -> bool:
    """Have some of the wanted deaths in a new cluster, and take them off the list; return whether it held."""
    with tempfile.TemporaryDirectory(prefix="swimstream-recovery-") as scratch:
        try:
            with Cluster(Path(scratch), workers=workers, preset=preset, isolation=isolation) as cluster:
                for machine, leader in wanted[:KILLS_PER_CLUSTER]:
                    kill = cluster.kill_one(rng, leader=leader, machine=machine)
                    outcome.kills.append(kill)
                    del wanted[0]
                    times = ", ".join(f"{name} {kill.running_s[name]:.2f} s" for name in (LEAST, ONCE))
                    who = f"{'leader' if leader else 'worker'} {kill.victim}"
                    say(f"{preset}, {WAYS[isolation, machine]}: {who}: {times}; {len(wanted)} to go here")
        except CrewError as error:
            say(f"this cluster has no more figures: {error}")
            outcome.failures.append(f"{preset}, {isolation}: {error}")
            return False
    return True


def document(
    outcome: Outcome, *, wanted: int, presets: Sequence[str], conditions: dict[str, object]
) -> dict[str, object]:
    """Return everything as JSON's types."""
    targets = judge(outcome.kills, wanted=wanted, presets=presets)
    found = {
        "ok": is_ok(targets) and not outcome.failures,
        **conditions,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "targets": [attrs.asdict(target) for target in targets],
        "kills": [attrs.asdict(kill) for kill in outcome.kills],
        "others": [attrs.asdict(other) for other in OTHERS],
        "failures": outcome.failures,
    }
    told = plain(found)
    assert isinstance(told, dict)
    return told


@click.command()
@click.option("--runs", default=30, show_default=True, type=click.IntRange(2, 1_000), help="Deaths of each sort.")
@click.option("--workers", default=5, show_default=True, type=click.IntRange(3, 16))
@click.option("--preset", "presets", multiple=True, type=click.Choice(PRESETS), help="Both if left out.")
@click.option("--seed", default=1, show_default=True, help="Of the pauses before the kills.")
@click.option("--json", "json_path", default=Path("build/reports/recovery.json"), type=click.Path(path_type=Path))
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), help="Write an SVG there; needs matplotlib.")
def main(
    *, runs: int, workers: int, presets: tuple[str, ...], seed: int, json_path: Path, plot_path: Path | None
) -> None:
    """Kill workers and leaders of real clusters. Exit status: 0 only if all targets are met."""
    end_orderly_on(signal.SIGTERM, signal.SIGHUP)
    outcome, began_at, before = Outcome(), time.monotonic(), os.getloadavg()
    presets = presets or PRESETS

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - began_at:7.1f} s  {text}", err=True)

    try:
        run_all(outcome, runs=runs, workers=workers, presets=presets, rng=Random(seed), say=say)
    except KeyboardInterrupt:
        click.echo("interrupted: these are the figures so far", err=True)
    conditions = {"workers": workers, "runs": runs, "seed": seed, "load_average": [before, os.getloadavg()]}
    found = document(outcome, wanted=runs, presets=presets, conditions=conditions)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(found, indent=1) + "\n")
    if plot_path is not None and outcome.kills:
        try:
            draw(plot_path, outcome.kills, title=f"{workers} workers, {len(outcome.kills)} deaths, loopback")
        except ImportError:
            click.echo("no plot: matplotlib is missing: pip install '.[bench]'")
    claims = claims_table(judge(outcome.kills, wanted=runs, presets=presets))
    click.echo(f"\n{table(outcome.kills)}\n\n{others_table()}\n\n{claims}\n\n{json_path}")
    click.echo("ok" if found["ok"] else "NOT ok")
    sys.exit(0 if found["ok"] else 1)
