"""The command: every story, many seeds of each, on all cores; a table, a file of figures, and a verdict."""

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

from chaos.orderly import leave_signals_to_parent
from chaos.worlds.figures import judge, summarise
from chaos.worlds.outcome import Outcome, live
from chaos.worlds.plot import draw
from chaos.worlds.show import breach, replay, table, verdicts
from swimstream.simulator.scenarios import STORIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

SEEDS_MAX = 100_000
SAY_EVERY_S = 10.0
BREACHES_SHOWN_MAX = 20


def tasks(stories: Sequence[str], seeds: range, *, keeps_trace: bool) -> list[tuple[str, int, bool]]:
    """Return every world to live through, all stories of a seed together: an early end leaves some of each."""
    return [(story, seed, keeps_trace) for seed in seeds for story in stories]


def sweep(worlds: Sequence[tuple[str, int, bool]], *, processes: int) -> Iterator[Outcome]:
    """Yield what came of each world, in any order."""
    if processes == 1:
        yield from map(live, worlds)
        return
    with multiprocessing.Pool(processes, initializer=leave_signals_to_parent) as pool:
        yield from pool.imap_unordered(live, worlds, chunksize=4)


def document(outcomes: Sequence[Outcome], *, wanted: int, seeds: range, elapsed_s: float) -> dict[str, object]:
    """Return everything as JSON's types: `ok`, the figures and every breach with the command that shows it again."""
    targets = judge(outcomes)
    broken = [outcome for outcome in outcomes if outcome.broken is not None]
    return {
        "ok": not broken and len(outcomes) == wanted and all(target.is_met is not False for target in targets),
        "worlds": len(outcomes),
        "worlds_wanted": wanted,
        "seeds": {"first": seeds.start, "count": len(seeds)},
        "elapsed_s": round(elapsed_s, 1),
        "virtual_s": round(sum(outcome.lasted_s for outcome in outcomes), 1),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "targets": [attrs.asdict(target) for target in targets],
        "stories": {row.story: attrs.asdict(row) for row in summarise(outcomes)},
        "broken": [
            {
                "story": outcome.story,
                "seed": outcome.seed,
                "nodes": outcome.nodes,
                "promise": outcome.broken.promise,
                "time_s": round(outcome.broken.time_s, 3),
                "detail": outcome.broken.detail,
                "replay": replay(outcome),
            }
            for outcome in broken
            if outcome.broken is not None
        ],
    }


def collect(worlds: Sequence[tuple[str, int, bool]], *, processes: int) -> list[Outcome]:
    """Live through `worlds`, say now and then how far it is, and tell of a breach at once. Ctrl-C ends it early."""
    outcomes: list[Outcome] = []
    began_at = said_at = time.monotonic()
    broken = 0
    try:
        for outcome in sweep(worlds, processes=processes):
            outcomes.append(outcome)
            if outcome.broken is not None:
                broken += 1
                if broken <= BREACHES_SHOWN_MAX:
                    click.echo(breach(outcome), err=True)
                    click.echo(outcome.broken.trace, err=True, nl=bool(outcome.broken.trace))
            now = time.monotonic()
            if now - said_at >= SAY_EVERY_S:
                said_at = now
                left_s = (now - began_at) / len(outcomes) * (len(worlds) - len(outcomes))
                click.echo(f"{len(outcomes)}/{len(worlds)} worlds, {broken} broken, {left_s:.0f} s to go", err=True)
    except KeyboardInterrupt:
        click.echo("interrupted: these are the figures so far", err=True)
    return sorted(outcomes, key=lambda outcome: (list(STORIES).index(outcome.story), outcome.seed))


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


@click.command()
@click.option("--seeds", default=100, show_default=True, type=click.IntRange(1, SEEDS_MAX), help="Worlds of a story.")
@click.option("--first", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of the first of them.")
@click.option("--story", "stories", multiple=True, type=click.Choice(list(STORIES)), help="Repeat for several.")
@click.option("--processes", type=click.IntRange(1, 1024), help="Worlds at a time.  [default: one a CPU]")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures there.")
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), help="Write an SVG there; needs matplotlib.")
@click.option("--trace", is_flag=True, help="Print the last events of each world that broke a promise.")
def main(
    *,
    seeds: int,
    first: int,
    stories: Sequence[str],
    processes: int | None,
    json_path: Path | None,
    plot_path: Path | None,
    trace: bool,
) -> None:
    """Live through many worlds of every story and check every promise at every step.

    Exit status: 0 only if all were kept.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    chosen = list(dict.fromkeys(stories)) or list(STORIES)
    drawn = range(first, first + seeds)
    worlds = tasks(chosen, drawn, keeps_trace=trace)
    began_at = time.monotonic()
    outcomes = collect(worlds, processes=min(processes or os.cpu_count() or 1, len(worlds)))
    elapsed_s = time.monotonic() - began_at
    found = document(outcomes, wanted=len(worlds), seeds=drawn, elapsed_s=elapsed_s)
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(found, indent=2) + "\n")
    if plot_path is not None:
        try:
            draw(plot_path, outcomes, title=f"{len(outcomes)} worlds, seeds {first} to {first + seeds - 1}")
        except ImportError:
            click.echo("no plot: matplotlib is missing: pip install '.[bench]'")
    broken = [outcome for outcome in outcomes if outcome.broken is not None]
    click.echo(f"\n{len(outcomes)} worlds in {elapsed_s:.0f} s\n\n{table(summarise(outcomes))}\n")
    click.echo(verdicts(judge(outcomes)))
    for outcome in broken:
        click.echo(f"\n{breach(outcome)}")
    click.echo("ok" if found["ok"] else "NOT ok")
    sys.exit(0 if found["ok"] else 1)
