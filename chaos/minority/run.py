"""The command: cut a minority off from a real cluster, heal it, and judge what ran where meanwhile."""

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
from chaos.minority.cluster import Cluster
from chaos.minority.lab import LabError, enter, make_bridges
from chaos.minority.plot import draw
from chaos.minority.verdict import Beat, Trial, judge
from chaos.orderly import end_orderly_on, plain
from chaos.papers.show import claims_table
from chaos.peers.figures import Target
from swimstream.config import PRESETS

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_VERDICT_STATUS = 2


@attrs.define
class Outcome:
    """What came out; grows."""

    trials: list[Trial] = attrs.field(factory=list)
    targets: list[Target] = attrs.field(factory=list)
    failures: list[str] = attrs.field(factory=list)
    newest: list[Beat] = attrs.field(factory=list)
    """Beats of the newest trial."""

    def is_ok(self, *, wanted: int) -> bool:
        """Return whether all trials were made, and nothing was missed."""
        is_complete = len(self.trials) == wanted > 0 and not self.failures
        return is_complete and all(target.met is True for target in self.targets)


def run_all(
    outcome: Outcome, *, cuts: int, seconds: float, workers: int, preset: str, seed: int, plot: Path | None
) -> None:
    """Make all trials, each with a cluster of its own; every other one cuts the leader off."""
    rng = Random(seed)
    began_at = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - began_at:7.1f} s  {text}", err=True)

    for number in range(cuts):
        with tempfile.TemporaryDirectory(prefix="swimstream-minority-") as scratch:
            try:
                with Cluster(Path(scratch) / "beats", workers=workers, preset=preset) as cluster:
                    say(f"{number + 1}/{cuts}  {workers} workers are up")
                    trial = cluster.cut_off(with_leader=number % 2 == 1, seconds=seconds, rng=rng)
                    outcome.newest = cluster.beats()
            except (CrewError, LabError) as error:
                say(f"no figures: {error}")
                outcome.failures.append(str(error))
                continue
        targets = judge(trial, outcome.newest, instances=workers)
        outcome.trials.append(trial)
        outcome.targets += targets
        missed = sum(target.met is False for target in targets)
        say(
            f"{number + 1}/{cuts}  {', '.join(trial.minority)} cut off for {seconds:g} s: held for dead after "
            f"{trial.seen_at - trial.cut_at:.1f} s, back {trial.whole_at - trial.healed_at:.1f} s after the "
            f"healing, {missed} of {len(targets)} targets missed"
        )
        if plot is not None:
            _draw(plot.with_stem(f"{plot.stem}-{number + 1}"), trial, outcome.newest)
    outcome.newest = []


def document(outcome: Outcome, *, wanted: int, conditions: dict[str, object]) -> dict[str, object]:
    """Return everything as JSON's types; what never came is None."""
    return {
        "ok": outcome.is_ok(wanted=wanted),
        **conditions,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "targets": [plain(attrs.asdict(target)) for target in outcome.targets],
        "trials": [plain(attrs.asdict(trial)) for trial in outcome.trials],
        "failures": outcome.failures,
    }


def _draw(path: Path, trial: Trial, beats: Sequence[Beat]) -> None:
    try:
        draw(path, trial, beats)
    except ImportError:
        click.echo("no plot: matplotlib is missing: pip install '.[bench]'", err=True)


@click.command()
@click.option("--cuts", default=4, show_default=True, type=click.IntRange(1, 1_000))
@click.option("--seconds", default=25.0, show_default=True, type=click.FloatRange(1, 600), help="Of each cut.")
@click.option("--workers", default=5, show_default=True, type=click.IntRange(3, 16))
@click.option("--preset", default="local", show_default=True, type=click.Choice(list(PRESETS)))
@click.option("--seed", default=1, show_default=True, help="Of who is cut off.")
@click.option("--json", "json_path", default=Path("build/reports/minority.json"), type=click.Path(path_type=Path))
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), help="Write SVGs there; needs matplotlib.")
@click.option("--inside", is_flag=True, hidden=True, help="The network namespace has been entered.")
def main(
    *,
    cuts: int,
    seconds: float,
    workers: int,
    preset: str,
    seed: int,
    json_path: Path,
    plot_path: Path | None,
    inside: bool,
) -> None:
    """Cut minorities off from real clusters. Exit status: 0 all well, 1 not, 2 if this machine cannot show it."""
    try:
        if not inside:
            enter([sys.executable, "-m", "chaos.minority", "--inside", *sys.argv[1:]])
        make_bridges()
    except LabError as error:
        click.echo(f"not judged: {error}")
        sys.exit(NO_VERDICT_STATUS)
    end_orderly_on(signal.SIGTERM)
    outcome = Outcome()
    try:
        run_all(outcome, cuts=cuts, seconds=seconds, workers=workers, preset=preset, seed=seed, plot=plot_path)
    except KeyboardInterrupt:
        click.echo("interrupted: these are the figures so far", err=True)
    conditions = {"preset": preset, "workers": workers, "seed": seed, "seconds": seconds}
    found = document(outcome, wanted=cuts, conditions=conditions)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(found, indent=2) + "\n")
    click.echo(f"\n{claims_table(outcome.targets)}\n\n{json_path}")
    click.echo("ok" if found["ok"] else "NOT ok")
    sys.exit(0 if found["ok"] else 1)
