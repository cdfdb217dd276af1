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

from chaos.orderly import end_orderly_on, is_ok, leave_signals_to_parent, plain
from chaos.papers.figures import Outcomes, judge, remarks, size_figures, survival_sizes, variant_figures
from chaos.papers.lifeguard import Interval, Threshold
from chaos.papers.plan import FULL, QUICK, Size, Trial, dearest_first, lifeguard_trials, swim_trials
from chaos.papers.plot import draw
from chaos.papers.reading import share_reading
from chaos.papers.show import claims_table, false_table, latency_table, loss_table, swim_table
from chaos.papers.swim import Crashed, Load, Survival
from chaos.peers.peer import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.peers.figures import Target

Outcome = Crashed | Load | Survival | Interval | Threshold
DOCS = ROOT / "docs/papers"
SHORT_ONES_PER_LINE = 50


def run_all(trials: Sequence[Trial], *, processes: int) -> Outcomes:
    """Make all trials; what comes out does not depend on which process was faster."""
    began_at = time.monotonic()
    found: dict[int, Outcome] = {}
    ordered = dearest_first(trials)
    with multiprocessing.get_context("spawn").Pool(processes, initializer=_prepare_process) as pool:
        for index, outcome in pool.imap_unordered(_run, enumerate(ordered)):
            found[index] = outcome
            text = _describe(outcome)
            if text or len(found) % SHORT_ONES_PER_LINE == 0 or len(found) == len(ordered):
                click.echo(f"{time.monotonic() - began_at:7.1f} s  {len(found):>5}/{len(ordered)}  {text}")
    outcomes = Outcomes()
    for index in sorted(found):
        outcomes.add(found[index])
    return outcomes


def report(size: Size, outcomes: Outcomes, targets: Sequence[Target], *, seed: int) -> dict[str, object]:
    """Return everything as JSON's types: the figures, and the outcomes that they come from."""
    document = {
        "ok": is_ok(targets),
        "seed": seed,
        "size": attrs.asdict(size),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "claims": [attrs.asdict(target) for target in targets],
        "remarks": [attrs.asdict(target) for target in remarks(outcomes)],
        "swim": {
            "sizes": [attrs.asdict(row) for row in size_figures(outcomes)],
            "loss": {protocol.value: sizes for protocol, sizes in survival_sizes(outcomes).items()},
        },
        "lifeguard": [attrs.asdict(row) for row in variant_figures(outcomes).values()],
        "outcomes": attrs.asdict(outcomes, value_serializer=lambda _, __, value: getattr(value, "value", value)),
    }
    return {key: plain(value) for key, value in document.items()}


def write_docs(directory: Path, outcomes: Outcomes, targets: Sequence[Target], command: str) -> None:
    """Write the plots, and the tables that docs/papers.md includes."""
    draw(directory, outcomes)
    tables = {
        "swim-size": swim_table(outcomes),
        "swim-loss": loss_table(outcomes),
        "lifeguard-false-positives": false_table(outcomes),
        "lifeguard-latency": latency_table(outcomes),
        "claims": claims_table([*targets, *remarks(outcomes)]),
    }
    for name, text in tables.items():
        (directory / f"{name}.inc").write_text(f"% written by: {command}\n\n{text}\n")


def _run(numbered: tuple[int, Trial]) -> tuple[int, Outcome]:
    index, trial = numbered
    return index, trial.run()


def _prepare_process() -> None:
    """Make a process of the pool ready."""
    leave_signals_to_parent()
    share_reading()


def _describe(outcome: Outcome) -> str:
    match outcome:
        case Interval():
            where = f"C={outcome.concurrent} D={outcome.blocked_s:g} s I={outcome.free_s:g} s"
            return f"{outcome.variant}, {where}: FP {outcome.false}, FP- {outcome.false_by_healthy}"
        case Threshold(first_s=first):
            when = f"from {first[0]:.1f} to {first[-1]:.1f} s" if first else "never"
            return f"{outcome.variant}, C={outcome.concurrent}: found out {when}, missed {outcome.missed}"
        case _:
            return ""


@click.command()
@click.option("--full", is_flag=True, help="Lifeguard's whole grid: days of CPU time.")
@click.option("--seed", default=1, show_default=True, help="Of everything.")
@click.option("--paper", type=click.Choice(["swim", "lifeguard"]), help="One of the two; then nothing else is judged.")
@click.option("--processes", default=os.cpu_count(), show_default=True, type=click.IntRange(1, 256))
@click.option("--json", "json_path", default=Path("build/reports/papers.json"), type=click.Path(path_type=Path))
@click.option("--docs", is_flag=True, help=f"Rewrite plots and tables in {DOCS.relative_to(ROOT)}; needs matplotlib.")
def main(*, full: bool, seed: int, paper: str | None, processes: int, json_path: Path, docs: bool) -> None:
    """Make the experiments of the SWIM and Lifeguard papers again, on this implementation, in virtual time."""
    end_orderly_on(signal.SIGTERM)
    size = FULL if full else QUICK
    trials = [
        *(swim_trials(size, seed=seed) if paper != "lifeguard" else ()),
        *(lifeguard_trials(size, seed=seed) if paper != "swim" else ()),
    ]
    outcomes = run_all(trials, processes=processes)
    targets = judge(outcomes)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(report(size, outcomes, targets, seed=seed), indent=1) + "\n")
    if paper != "lifeguard":
        click.echo(f"\n{swim_table(outcomes)}\n\n{loss_table(outcomes)}")
    if paper != "swim":
        click.echo(f"\n{false_table(outcomes)}\n\n{latency_table(outcomes)}")
    click.echo(f"\n{claims_table([*targets, *remarks(outcomes)])}\n\n{json_path}")
    if docs:
        write_docs(DOCS, outcomes, targets, f"python -m chaos.papers --seed {seed}{' --full' if full else ''} --docs")
    sys.exit(0 if is_ok(targets) else 1)
