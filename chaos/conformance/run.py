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
from chaos.net.backends import BACKENDS, open_lab
from chaos.net.spaces import LabError
from chaos.orderly import end_orderly_on, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


NO_VERDICT_STATUS = 2
SLACK_MS = {"netem": 3.0, "tun": 3.0, "sim": 0.01}


@attrs.define
class Outcome:
    """What came out; grows."""

    checks: list[Check] = attrs.field(factory=list)
    seconds: dict[str, float] = attrs.field(factory=dict)
    """What each case took."""

    def is_ok(self, cases: Sequence[str]) -> bool:
        """Return whether all these cases were tried and nothing was missed."""
        return bool(cases) and set(cases) <= set(self.seconds) and all(check.is_met for check in self.checks)


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
    """Put the lab through these cases, telling on stderr how each came out."""
    for case in cases:
        began_at = time.monotonic()
        checks = CASES[case](stand, case)
        stand.lab.clear()
        outcome.checks += checks
        outcome.seconds[case] = time.monotonic() - began_at
        missed = [
            f"{check.what} {check.value:.4g} instead of {check.expected:.4g}" for check in checks if not check.is_met
        ]
        click.echo(f"{'MISSED' if missed else 'met   '} {case:32s} {'; '.join(missed)}", err=True)


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
    """Return everything as JSON's types."""
    return {
        "ok": outcome.is_ok(cases),
        **conditions,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "checks": [{**plain_check(check), "met": check.is_met} for check in outcome.checks],
        "seconds": outcome.seconds,
    }


def plain_check(check: Check) -> dict[str, object]:
    """Return a check's fields as JSON's types; what never came is None."""
    return {key: plain(value) for key, value in attrs.asdict(check).items()}


@click.command()
@click.option("--backend", required=True, type=click.Choice([*BACKENDS, "sim"]))
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
    """Show whether a backend does what faults say. Exit status: 0 it does, 1 not, 2 if it is not there."""
    end_orderly_on(signal.SIGTERM)
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
    click.echo("ok" if found["ok"] else "NOT ok")
    sys.exit(0 if found["ok"] else 1)
