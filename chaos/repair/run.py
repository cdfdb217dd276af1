"""The command: make every trial, in as many processes as there are CPUs, then judge, write and tell what came out."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from chaos.orderly import end_orderly_on, is_ok, leave_signals_to_parent, plain
from chaos.papers.show import claims_table
from chaos.repair.busy import BusyTrial
from chaos.repair.cost import CostTrial
from chaos.repair.reaping import ReapTrial
from chaos.repair.splits import SplitTrial
from chaos.repair.verdict import Outcome, Outcomes, judge, remarks
from swimstream.config import LAN

if TYPE_CHECKING:
    from collections.abc import Sequence


Trial = CostTrial | BusyTrial | SplitTrial | ReapTrial
HOUR_S = 3_600.0


def full_trials(seed: int) -> list[Trial]:
    """Return all trials, the dearest first: a day of ten nodes takes some minutes."""
    short = attrs.evolve(LAN, tombstone_s=HOUR_S)
    return [
        SplitTrial(cut_s=25 * HOUR_S, seed=seed),
        SplitTrial(cut_s=23 * HOUR_S, seed=seed),
        CostTrial(nodes=1_000, seed=seed),
        BusyTrial(seed=seed),
        SplitTrial(cut_s=HOUR_S, seed=seed),
        SplitTrial(cut_s=1.25 * HOUR_S, seed=seed, timing=short, has_seeds=True),
        SplitTrial(cut_s=60.0, seed=seed),
        *(ReapTrial(late=late, seed=seed) for late in ("paused before", "paused after", "cut off before")),
    ]


def quick_trials(seed: int) -> list[Trial]:
    """Return the same in small."""
    short = attrs.evolve(LAN, tombstone_s=300.0)
    return [
        CostTrial(nodes=60, seed=seed, lasts_s=600.0),
        BusyTrial(workers=10, instances=20, lasts_s=20.0, seed=seed),
        *(SplitTrial(cut_s=cut_s, nodes=6, timing=short, seed=seed) for cut_s in (60.0, 270.0, 360.0)),
        SplitTrial(cut_s=360.0, nodes=6, timing=short, seed=seed, has_seeds=True),
        *(ReapTrial(late=late, nodes=5, seed=seed) for late in ("paused before", "paused after", "cut off before")),
    ]


def run_all(trials: Sequence[Trial], *, processes: int) -> Outcomes:
    """Make all trials; what comes out does not depend on which process was faster."""
    began_at = time.monotonic()
    outcomes = Outcomes()
    with multiprocessing.get_context("spawn").Pool(processes, initializer=leave_signals_to_parent) as pool:
        for number, outcome in enumerate(pool.imap(_run, trials, chunksize=1), start=1):
            click.echo(f"{time.monotonic() - began_at:7.1f} s  {number}/{len(trials)}  {outcome}")
            outcomes.add(outcome)
    return outcomes


def report(outcomes: Outcomes, *, seed: int) -> object:
    """Return everything as JSON's types."""
    targets = judge(outcomes)
    return plain(
        {
            "ok": is_ok(targets),
            "seed": seed,
            "claims": [attrs.asdict(target) for target in targets],
            "remarks": [attrs.asdict(target) for target in remarks(outcomes)],
            "ratios": [
                {str(apart): cost.ratio(exchange) for apart, exchange in cost.by_difference.items()}
                for cost in outcomes.costs
            ],
            "outcomes": attrs.asdict(outcomes),
        }
    )


def _run(trial: Trial) -> Outcome:
    return trial.run()


@click.command()
@click.option("--quick", is_flag=True, help="Everything in small: some seconds instead of minutes.")
@click.option("--seed", default=1, show_default=True, help="Of everything.")
@click.option("--processes", default=os.cpu_count(), show_default=True, type=click.IntRange(1, 256))
@click.option("--json", "json_path", default=Path("build/reports/repair.json"), type=click.Path(path_type=Path))
def main(*, quick: bool, seed: int, processes: int, json_path: Path) -> None:
    """Measure what repair costs beside full push-pull, how long partitions heal, and whether the dead stay dead."""
    end_orderly_on(signal.SIGTERM)
    outcomes = run_all(quick_trials(seed) if quick else full_trials(seed), processes=processes)
    targets = judge(outcomes)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(report(outcomes, seed=seed), indent=1) + "\n")
    click.echo(f"\n{claims_table([*targets, *remarks(outcomes)])}\n\n{json_path}")
    sys.exit(0 if is_ok(targets) else 1)
