"""The command: the NYC job for so many minutes amid random strikes; verdict, JSON and plot."""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import attrs
import click

from chaos.orderly import end_orderly_on, is_ok, plain
from chaos.papers.show import claims_table
from chaos.soak.fleet import Fleet
from chaos.soak.plot import draw
from chaos.soak.scene import SPARED, Scene
from chaos.soak.verdict import judge
from swimstream.cli.demo.data import Example

JUDGED_MINUTES = 2.5
"""From so many on, somebody has lived for long enough to be judged."""
SEED_MAX = 1_000_000


@click.command()
@click.option("--minutes", default=30.0, show_default=True, type=click.FloatRange(0.2, 10_000))
@click.option("--workers", default=7, show_default=True, type=click.IntRange(7, 16))
@click.option("--preset", default="local", show_default=True, type=click.Choice(["local", "lan"]))
@click.option("--seed", type=click.IntRange(0), help="Of the strikes; drawn and printed if left out.")
@click.option("--json", "json_path", default=Path("build/reports/soak.json"), type=click.Path(path_type=Path))
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), help="Write an SVG there; needs matplotlib.")
def main(
    *, minutes: float, workers: int, preset: str, seed: int | None, json_path: Path, plot_path: Path | None
) -> None:
    """Soak seven real workers. Exit status: 0 only if the result is identical and nothing grows or is left."""
    end_orderly_on(signal.SIGTERM, signal.SIGHUP)
    seed = secrets.randbelow(SEED_MAX) if seed is None else seed
    click.echo(f"seed {seed}")
    example = Example()
    expected = example.compute(example.data)
    rate = max(expected.flights.values()) / (minutes * 60)  # at full pace; what is struck takes longer
    before = os.getloadavg()
    directory = Path(tempfile.mkdtemp(prefix="swimstream-soak-"))
    sockets = directory / "s"
    sockets.mkdir()
    fleet = Fleet(directory, sockets, count=workers, preset=preset, mark=f"{seed}-{os.getpid()}")

    def say(text: str) -> None:
        click.echo(f"{scene.elapsed_s:7.1f} s  {text}", err=True)

    scene = Scene(fleet, directory, example=example, seconds=minutes * 60, rate=rate, rng=Random(seed), say=say)
    try:
        scene.run(expected=expected.rows)
    finally:
        fleet.close()
    soak = scene.soak
    targets = judge(soak, rows_expected=len(expected.rows), expect_growths=minutes >= JUDGED_MINUTES)
    document = {
        "ok": is_ok(targets),
        "seed": seed,
        "minutes": minutes,
        "preset": preset,
        "rows_a_second": rate * len(expected.flights),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "load_average": [before, os.getloadavg()],
        "targets": [attrs.asdict(target) for target in targets],
        "growths": [attrs.asdict(growth) for growth in soak.growths()],
        **{key: value for key, value in attrs.asdict(soak).items() if key != "samples"},
        "samples": [attrs.astuple(sample) for sample in soak.samples],
    }
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(plain(document)) + "\n")
    strikes = Counter(strike.kind for strike in soak.strikes)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(strikes.items()))
    if plot_path is not None:
        try:
            draw(plot_path, soak, spared=SPARED, title=f"{workers} workers, seed {seed}, {len(soak.strikes)} strikes")
        except ImportError:
            click.echo("no plot: matplotlib is missing: pip install '.[bench]'")
    click.echo(f"\nseed {seed}; {scene.elapsed_s:.0f} s; strikes: {told}\n\n{claims_table(targets)}\n\n{json_path}")
    if document["ok"]:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        click.echo(f"logs, states and results: {directory}")
    click.echo("ok" if document["ok"] else "NOT ok")
    sys.exit(0 if document["ok"] else 1)
