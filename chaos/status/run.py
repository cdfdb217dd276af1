"""The command: make every storm, measure the decision, then judge, write and draw what came out."""

from __future__ import annotations

import gc
import json
import os
import platform
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from chaos.orderly import end_orderly_on, is_ok, plain
from chaos.papers.show import claims_table
from chaos.peers.peer import ROOT
from chaos.status.decision import Decision, decide
from chaos.status.figures import bytes_table, decision_table, judge, storm_table
from chaos.status.plot import draw
from chaos.status.storm import Outcome, Storm

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCS = ROOT / "docs/status"
SIZES = (100, 300, 1_000)
INSTANCES = 20
QUICK_SIZES, QUICK_INSTANCES = (20,), 5


def report(outcomes: Sequence[Outcome], decisions: Sequence[Decision], *, seed: int) -> object:
    """Return everything as JSON's types."""
    targets = judge(outcomes, decisions)
    return plain(
        {
            "ok": is_ok(targets),
            "seed": seed,
            "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
            "claims": [attrs.asdict(target) for target in targets],
            "storms": [attrs.asdict(each) | {"converged_s": each.converged_s} for each in outcomes],
            "decisions": [attrs.asdict(each) for each in decisions],
        }
    )


def tables(outcomes: Sequence[Outcome], decisions: Sequence[Decision]) -> dict[str, str]:
    """Return every table, by the name of the file that holds it."""
    return {
        "storm": storm_table(outcomes),
        "bytes": bytes_table(outcomes),
        "decision": decision_table(decisions),
        "claims": claims_table(judge(outcomes, decisions)),
    }


def measure(sizes: Sequence[int], *, instances: int, seed: int) -> tuple[list[Outcome], list[Decision]]:
    """Make all storms and decisions, one after the other."""
    gc.disable()  # what is built lives to the end, and there are tens of millions of it
    decisions = [decide(workers=size, instances=instances) for size in sizes]
    outcomes = []
    began_at = time.monotonic()

    def tell(words: str) -> None:
        click.echo(f"{time.monotonic() - began_at:6.0f} s  {words}", err=True)

    for size in sizes:
        outcomes.append(Storm(workers=size, instances=instances, seed=seed, tell=tell).run())
        tell(f"{size} workers: all know after {outcomes[-1].knows_s[-1]:.1f} s; {_memory()}")
    return outcomes, decisions


def _memory() -> str:
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{peak_kb / 1e6:.1f} GB of memory at most so far, {time.process_time():.0f} s of CPU"


@click.command()
@click.option("--quick", is_flag=True, help="In small: some seconds.")
@click.option("--workers", "sizes", multiple=True, type=click.IntRange(10, 1_000), help="Sizes; each a storm.")
@click.option("--seed", default=1, show_default=True, help="Of everything.")
@click.option("--json", "json_path", default=Path("build/reports/status.json"), type=click.Path(path_type=Path))
@click.option("--plot", "plot_path", default=None, type=click.Path(path_type=Path), help="SVG; needs matplotlib.")
@click.option("--docs", is_flag=True, help=f"Rewrite plot and tables in {DOCS.relative_to(ROOT)}; needs matplotlib.")
def main(
    *, quick: bool, sizes: tuple[int, ...], seed: int, json_path: Path, plot_path: Path | None, docs: bool
) -> None:
    """Measure how soon everybody knows what runs where after a tenth of the workers died, and what it costs.

    Exit status: 0 only if all that is promised was kept.
    """
    end_orderly_on(signal.SIGTERM)
    instances = QUICK_INSTANCES if quick else INSTANCES
    outcomes, decisions = measure(sizes or (QUICK_SIZES if quick else SIZES), instances=instances, seed=seed)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(report(outcomes, decisions, seed=seed), indent=1) + "\n")
    found = tables(outcomes, decisions)
    for text in found.values():
        click.echo(f"\n{text}")
    click.echo(f"\n{json_path}")
    if plot_path is not None:
        draw(plot_path, outcomes)
    if docs:
        draw(DOCS / "storm.svg", outcomes)
        command = f"python -m chaos.status --seed {seed} --docs"
        for name, text in found.items():
            (DOCS / f"{name}.inc").write_text(f"% written by: {command}\n\n{text}\n")
    good = is_ok(judge(outcomes, decisions))
    click.echo("ok" if good else "NOT ok")
    sys.exit(0 if good else 1)
