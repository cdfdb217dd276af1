"""`swimstream simulate`: what will these settings do in my network? Whole clusters in virtual time, from seeds."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import attrs
import click

from swimstream.config import PRESETS
from swimstream.errors import UsageError
from swimstream.model.words import counted
from swimstream.simulator.promises import PromiseBroken
from swimstream.simulator.scenarios import NODES_MAX, STORIES
from swimstream.simulator.world import live_through

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swimstream.simulator.network import Links
    from swimstream.simulator.report import Report

SEEDS_MAX = 100_000
MILLISECONDS = 1_000.0
WINDOW_SHARES = (0.25, 0.75)
"""The faults fall into the middle half of the time: the cluster is founded before, and settles after."""
DURATION_ROUNDS = 200
"""The usual length of a world, in probe intervals."""
JOBS = 2
"""In every world, also where the story has crowds without any."""


@attrs.frozen(kw_only=True)
class Question:
    """What the user asked, as typed."""

    nodes: int
    faults: str
    preset: str
    duration_s: float
    loss: float | None
    delay_ms: float | None
    jitter_ms: float | None

    def replay(self, seed: int) -> str:
        """Return the command line that runs one of the worlds again."""
        words = ["swimstream simulate", f"--nodes {self.nodes}", "--seeds 1", f"--seed {seed}"]
        words += [f"--faults {self.faults}", f"--preset {self.preset}", f"--duration {self.duration_s:g}"]
        for option, value in (("loss", self.loss), ("delay", self.delay_ms), ("jitter", self.jitter_ms)):
            if value is not None:
                words.append(f"--{option} {value:g}")
        return " ".join([*words, "--trace"])

    def run(self, seed: int) -> Report:
        """Run the world of `seed`; raise `PromiseBroken`, or `UsageError` for impossible settings."""
        story = STORIES[self.faults]
        timing = story.timing_at(PRESETS[self.preset])
        first, last = (share * self.duration_s for share in WINDOW_SHARES)
        scenario = attrs.evolve(
            story.scenario(seed),
            nodes=self.nodes,
            faults=attrs.evolve(story.faults.stretched(story.pace(timing)), window_s=(first, last)),
            timing=timing,
            links=self._links(story.links_of(seed)),
            jobs=JOBS,
            lasts_s=self.duration_s,
        )
        return live_through(scenario)

    def _links(self, links: Links) -> Links:
        if self.loss is not None:
            links = attrs.evolve(links, loss=self.loss)
        if self.delay_ms is not None:
            links = attrs.evolve(links, delay_s=self.delay_ms / MILLISECONDS)
        if self.jitter_ms is not None:
            links = attrs.evolve(links, jitter_s=self.jitter_ms / MILLISECONDS)
        return links


@click.command(name="simulate")
@click.option("--nodes", type=click.IntRange(1, NODES_MAX), default=5, show_default=True, help="Workers in a world.")
@click.option("--seeds", type=click.IntRange(1, SEEDS_MAX), default=20, show_default=True, help="Worlds to run.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the first world.")
@click.option("--faults", type=click.Choice(list(STORIES)), default="crash", show_default=True, help="What happens.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="lan", show_default=True, help="Timing.")
@click.option("--loss", type=click.FloatRange(0, 1, max_open=True), help="Share of datagrams lost, 0 to 1.")
@click.option("--delay", "delay_ms", type=click.FloatRange(0, 60_000), help="One way, at least, in ms.")
@click.option("--jitter", "jitter_ms", type=click.FloatRange(0, 60_000), help="Up to so much more, in ms.")
@click.option(
    "--duration",
    "duration_s",
    type=click.FloatRange(1, 86_400),
    help="Virtual seconds of a world, which goes on until it has settled.  [default: 200 probe intervals]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--trace", "show_trace", is_flag=True, help="Print the last events of each world that broke a promise.")
def simulate(
    *,
    nodes: int,
    seeds: int,
    seed: int,
    faults: str,
    preset: str,
    loss: float | None,
    delay_ms: float | None,
    jitter_ms: float | None,
    duration_s: float | None,
    as_json: bool,
    show_trace: bool,
) -> None:
    """Run whole clusters in virtual time and check every promise at every step.

    Exit status: 0 if all were kept, 1 if one broke, 2 for bad arguments.
    """
    question = Question(
        nodes=nodes,
        faults=faults,
        preset=preset,
        duration_s=duration_s or DURATION_ROUNDS * PRESETS[preset].probe_interval_s,
        loss=loss,
        delay_ms=delay_ms,
        jitter_ms=jitter_ms,
    )
    reports: list[Report] = []
    breaches: list[PromiseBroken] = []
    for number, each in enumerate(range(seed, seed + seeds), start=1):
        try:
            reports.append(question.run(each))
        except UsageError as error:
            raise click.UsageError(str(error)) from error
        except PromiseBroken as broken:
            breaches.append(broken)
            if show_trace:
                click.echo(broken.trace, err=True)
        _show_progress(number, seeds, len(breaches))
    if as_json:
        click.echo(json.dumps(_as_json(question, reports, breaches), indent=2))
    else:
        for line in _as_table(question, reports, breaches):
            click.echo(line)
    if breaches:
        sys.exit(1)


def _show_progress(done: int, total: int, broken: int) -> None:
    """Say how far it is: on a terminal in place, elsewhere about ten times."""
    line = f"{done}/{total} worlds, {broken} broken"
    if sys.stderr.isatty():
        click.echo(f"\r{line}", err=True, nl=done == total)
    elif done == total or done % max(1, total // 10) == 0:
        click.echo(line, err=True)


def _percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the sorted `values` lie (nearest rank)."""
    return values[min(int(share * len(values)), len(values) - 1)]


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    """Return the spread of times in seconds, or nothing if there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return {
        "count": len(ordered),
        "p50": round(_percentile(ordered, 0.5), 3),
        "p99": round(_percentile(ordered, 0.99), 3),
        "max": round(ordered[-1], 3),
    }


def _spreads(reports: Sequence[Report]) -> dict[str, dict[str, float] | None]:
    return {
        "detection_s": _spread([time for report in reports for time in report.detection_s]),
        "reexecution_s": _spread([time for report in reports for time in report.reexecution_s]),
        "settling_s": _spread([report.settled_s for report in reports]),
    }


def _bytes_per_node_s(reports: Sequence[Report]) -> float:
    return sum(report.bytes_per_node_s for report in reports) / len(reports) if reports else 0.0


def _as_json(question: Question, reports: Sequence[Report], breaches: Sequence[PromiseBroken]) -> dict[str, object]:
    return {
        "settings": attrs.asdict(question),
        "worlds": len(reports) + len(breaches),
        "broken": [
            {
                "seed": broken.seed,
                "promise": broken.promise,
                "time_s": round(broken.time, 3),
                "detail": broken.detail,
                "replay": question.replay(broken.seed),
            }
            for broken in breaches
        ],
        **_spreads(reports),
        "crashes": sum(report.crashes for report in reports),
        "false_deaths": sum(report.false_deaths for report in reports),
        "leader_changes": sum(report.leader_changes for report in reports),
        "bytes_per_node_s": round(_bytes_per_node_s(reports), 1),
    }


def _as_table(question: Question, reports: Sequence[Report], breaches: Sequence[PromiseBroken]) -> list[str]:
    worlds = len(reports) + len(breaches)
    what = f"{counted(worlds, 'world')} of {counted(question.nodes, 'worker')}"
    lines = [f"{what}, timing {question.preset}, faults: {question.faults}", ""]
    names = {"detection_s": "death seen after", "reexecution_s": "ran again after", "settling_s": "settled after"}
    for key, spread in _spreads(reports).items():
        if spread is None:
            lines.append(f"{names[key]:<22} –")
        else:
            figures = f"p50 {spread['p50']:>7.2f} s   p99 {spread['p99']:>7.2f} s   max {spread['max']:>7.2f} s"
            lines.append(f"{names[key]:<22} {figures}   ({spread['count']:.0f})")
    lines += [
        f"{'crashes':<22} {sum(report.crashes for report in reports)}",
        f"{'false deaths':<22} {sum(report.false_deaths for report in reports)}",
        f"{'leader changes':<22} {sum(report.leader_changes for report in reports)}",
        f"{'sent by each worker':<22} {_bytes_per_node_s(reports):,.0f} B/s",
        f"{'broken promises':<22} {len(breaches)}",
    ]
    for broken in breaches:
        lines += ["", str(broken), f"  again: {question.replay(broken.seed)}"]
    return lines
