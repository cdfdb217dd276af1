"""The command: make every trial, in as many processes as there are CPUs, then judge, write and draw what came out."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from chaos.authority.figures import Outcomes, fresh_table, judge, load_table, recovery_table, stop_table
from chaos.authority.plot import draw
from chaos.authority.trials import Freshness, Outcome, Trial, full_trials, quick_trials
from chaos.orderly import end_orderly_on, is_ok, leave_signals_to_parent, plain
from chaos.papers.show import claims_table
from chaos.peers.peer import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence


DOCS = ROOT / "docs/authority"
SHORT_ONES_PER_LINE = 50


def run_all(trials: Sequence[Trial], *, processes: int) -> Outcomes:
    """Make all trials; what comes out does not depend on which process was faster."""
    began_at = time.monotonic()
    found: dict[int, Outcome] = {}
    with multiprocessing.get_context("spawn").Pool(processes, initializer=leave_signals_to_parent) as pool:
        for index, outcome in pool.imap_unordered(_run, enumerate(trials), chunksize=1):
            found[index] = outcome
            if isinstance(outcome, Freshness) or len(found) % SHORT_ONES_PER_LINE == 0:
                what = repr(outcome) if isinstance(outcome, Freshness) else ""
                click.echo(f"{time.monotonic() - began_at:7.1f} s  {len(found)}/{len(trials)}  {what}", err=True)
    outcomes = Outcomes()
    for index in sorted(found):
        outcomes.add(found[index])
    return outcomes


def report(outcomes: Outcomes, *, seed: int) -> object:
    """Return everything as JSON's types; ages as they are spread, since there are many."""
    targets = judge(outcomes)
    return plain(
        {
            "ok": is_ok(targets),
            "seed": seed,
            "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
            "claims": [attrs.asdict(target) for target in targets],
            "fresh": [
                attrs.asdict(
                    attrs.evolve(each, ages_s=tuple(sorted(each.ages_s)[:: max(1, len(each.ages_s) // 1_000)]))
                )
                for each in outcomes.fresh
            ],
            "recoveries": [attrs.asdict(each) for each in outcomes.recoveries],
            "stops": [attrs.asdict(each) for each in outcomes.stops],
        }
    )


def tables(outcomes: Outcomes) -> dict[str, str]:
    """Return every table, by the name of the file that holds it."""
    return {
        "age": fresh_table(outcomes),
        "load": load_table(outcomes),
        "recovery": recovery_table(outcomes),
        "stops": stop_table(outcomes),
        "claims": claims_table(judge(outcomes)),
    }


def _run(numbered: tuple[int, Trial]) -> tuple[int, Outcome]:
    index, trial = numbered
    return index, trial.run()


@click.command()
@click.option("--quick", is_flag=True, help="Everything in small: a minute.")
@click.option("--seed", default=1, show_default=True, help="Of everything.")
@click.option("--processes", default=os.cpu_count(), show_default=True, type=click.IntRange(1, 256))
@click.option("--json", "json_path", default=Path("build/reports/authority.json"), type=click.Path(path_type=Path))
@click.option("--docs", is_flag=True, help=f"Rewrite plots and tables in {DOCS.relative_to(ROOT)}; needs matplotlib.")
def main(*, quick: bool, seed: int, processes: int, json_path: Path, docs: bool) -> None:
    """Measure how fresh authority is, what it costs, how soon work moves and who stops for nothing.

    Exit status: 0 only if all that is promised was kept.
    """
    end_orderly_on(signal.SIGTERM)
    outcomes = run_all(quick_trials(seed) if quick else full_trials(seed), processes=processes)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(report(outcomes, seed=seed), indent=1) + "\n")
    found = tables(outcomes)
    for text in found.values():
        click.echo(f"\n{text}")
    click.echo(f"\n{json_path}")
    if docs:
        draw(DOCS, outcomes)
        command = f"python -m chaos.authority --seed {seed}{' --quick' if quick else ''} --docs"
        for name, text in found.items():
            (DOCS / f"{name}.inc").write_text(f"% written by: {command}\n\n{text}\n")
    good = is_ok(judge(outcomes))
    click.echo("ok" if good else "NOT ok")
    sys.exit(0 if good else 1)
