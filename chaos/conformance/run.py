"""The command: put one backend through all cases, show what it did beside what it should do, and judge it."""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from chaos.conformance.cases import CASES, HOSTS, NEEDS_ADDRESSES, Stand
from chaos.conformance.checks import Check
from chaos.conformance.plot import draw
from chaos.conformance.probe import UdpProber
from chaos.net.backends import BACKENDS, open_lab, usual_backend
from chaos.net.spaces import LabError
from chaos.orderly import end_orderly_on, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


NO_VERDICT_STATUS = 2
TRIES_MAX = 3
STALLED_SHARE_MAX = 0.02
SLACK_MS = {"netem": 3.0, "tun": 3.0, "sim": 0.01}


@attrs.define
class Result:
    """What came out of one case."""

    checks: list[Check]
    seconds: float
    tries: int
    stalled_share: float
    """Of the time of the last try, that in which the machine gave us no CPU."""

    @property
    def is_met(self) -> bool:
        """Return whether all figures are as they should be."""
        return all(check.is_met for check in self.checks)

    @property
    def is_judged(self) -> bool:
        """Return whether the figures are those of the backend, not of a machine that stalls."""
        return self.is_met or self.stalled_share < STALLED_SHARE_MAX


@attrs.define
class Outcome:
    """What came out, by case; grows."""

    results: dict[str, Result] = attrs.field(factory=dict)

    @property
    def checks(self) -> list[Check]:
        """Return all figures."""
        return [check for result in self.results.values() for check in result.checks]

    def status(self, cases: Sequence[str]) -> int:
        """Return the exit status: 0 all of these met, 1 something missed or not tried, 2 not all could be judged."""
        if not cases or not set(cases) <= set(self.results):
            return 1
        if any(result.is_judged and not result.is_met for result in self.results.values()):
            return 1
        return 0 if all(result.is_met for result in self.results.values()) else NO_VERDICT_STATUS


@contextmanager
def standing(backend: str, *, slack_ms: float, seed: int) -> Iterator[Stand]:
    """Yield a lab of that backend with what sends packets through it; raise `LabError`."""
    if backend == "sim":
        from chaos.conformance.virtual import virtual_stand  # noqa: PLC0415  # the simulator is not small

        yield virtual_stand(slack_ms=slack_ms, seed=seed)
        return
    with open_lab(backend, hosts=HOSTS, seed=seed) as lab:
        yield Stand(lab=lab, prober=UdpProber(lab), slack_ms=slack_ms, has_addresses=True)


def run_cases(stand: Stand, cases: Sequence[str], outcome: Outcome) -> None:
    """Put the lab through these cases, telling on stderr how each came out.

    What is missed while the machine stalls is tried again.
    """
    for case in cases:
        began_at = time.monotonic()
        for tries in range(1, TRIES_MAX + 1):
            stand.stalled_s = stand.flown_s = 0.0
            checks = CASES[case](stand, case)
            stand.lab.clear()
            seconds = time.monotonic() - began_at
            result = Result(checks, seconds, tries, stalled_share=stand.stalled_s / max(0.001, stand.flown_s))
            if result.is_judged:
                break
        outcome.results[case] = result
        click.echo(line(case, result), err=True)


def line(case: str, result: Result) -> str:
    """Return in one line how a case came out."""
    word = "met" if result.is_met else "MISSED" if result.is_judged else "stalled"
    missed = [f"{check.what} {check.value:.4g} not {check.expected:.4g}" for check in result.checks if not check.is_met]
    again = f" (try {result.tries})" if result.tries > 1 else ""
    return f"{word:8s} {case:30s}{again} {'; '.join(missed)}".rstrip()


def table(checks: Sequence[Check]) -> str:
    """Return all figures in Markdown, without those that are 0 as they should be."""
    rows = [("case", "figure", "here", "expected", "within", "")]
    rows += [
        (
            check.case,
            check.what,
            f"{check.value:.3f}",
            f"{check.expected:.3f}",
            f"± {check.tolerance:.3f}",
            "met" if check.is_met else "**missed**",
        )
        for check in checks
        if not check.is_met or check.expected or check.tolerance
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def document(outcome: Outcome, cases: Sequence[str], conditions: dict[str, object]) -> dict[str, object]:
    """Return everything as JSON's types; what never came is None."""
    return {
        "ok": outcome.status(cases) == 0,
        **conditions,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "cases": {
            case: {
                "met": result.is_met,
                "judged": result.is_judged,
                "tries": result.tries,
                "seconds": result.seconds,
                "stalled_share": result.stalled_share,
                "checks": [plain({**attrs.asdict(check), "met": check.is_met}) for check in result.checks],
            }
            for case, result in outcome.results.items()
        },
    }


@click.command()
@click.option("--backend", default="auto", show_default=True, type=click.Choice(["auto", *BACKENDS, "sim"]))
@click.option("--case", "chosen", multiple=True, type=click.Choice(list(CASES)), help="Only these; default: all.")
@click.option("--slack", "slack_ms", type=click.FloatRange(0, 100), help="Of a median, ms; default 3, sim 0.01.")
@click.option("--seed", default=1, show_default=True, help="Of what befalls which packet; netem draws its own.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Default: build/reports.")
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), help="Write an SVG there; needs matplotlib.")
def main(
    *,
    backend: str,
    chosen: tuple[str, ...],
    slack_ms: float | None,
    seed: int,
    json_path: Path | None,
    plot_path: Path | None,
) -> None:
    """Show whether a backend does what faults say; `auto` is netem where the kernel has it, else tun.

    Exit status: 0 it does, 1 not, 2 it could not be judged.
    """
    end_orderly_on(signal.SIGTERM)
    backend = usual_backend() if backend == "auto" else backend
    slack_ms = SLACK_MS[backend] if slack_ms is None else slack_ms
    cases = ["no fault", *(case for case in CASES if case != "no fault" and (not chosen or case in chosen))]
    if backend == "sim":
        cases = [case for case in cases if case not in NEEDS_ADDRESSES]
    outcome = Outcome()
    try:
        with standing(backend, slack_ms=slack_ms, seed=seed) as stand:
            run_cases(stand, cases, outcome)
            counters = stand.lab.counters()
    except LabError as error:
        click.echo(f"not judged: {error}; `python -m chaos doctor` says what is missing")
        sys.exit(NO_VERDICT_STATUS)
    conditions = {"backend": backend, "slack_ms": slack_ms, "seed": seed, "counters": counters}
    found = document(outcome, cases, conditions)
    path = json_path or Path(f"build/reports/conformance-{backend}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
    if plot_path is not None:
        try:
            draw(plot_path, stand.flights, base_ms=stand.base_ms, title=f"conformance of {backend}")
        except ImportError:
            click.echo("no plot: matplotlib is missing: pip install '.[bench]'", err=True)
    click.echo(f"\n{table(outcome.checks)}\n\n{path}")
    status = outcome.status(cases)
    click.echo(
        {0: "ok", 1: "NOT ok", NO_VERDICT_STATUS: "not judged: the machine stalls; run it with less beside it"}[status]
    )
    sys.exit(status)
