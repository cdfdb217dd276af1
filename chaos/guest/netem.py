"""`make chaos-netem`: what wants the kernel's own `tc netem`: on this kernel if it has that, else in a guest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from chaos.guest.boot import KERNELS
from chaos.guest.run import MEMORY_MB, run_guest
from chaos.net.kernel import why_no_netem
from chaos.orderly import end_orderly_on
from chaos.peers.peer import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

UNJUDGED_STATUS = 2
TOO_LONG_STATUS = 124
WORDS = {0: "ok", UNJUDGED_STATUS: "not judged"}
LIMIT_S = 540
"""Of everything together."""
ENDING_S = 20
OUT = Path("build/reports/netem")
OUT_INSIDE = Path("/run/out")


@attrs.frozen(kw_only=True)
class Step:
    """One command, which judges by its exit status: 0 all well."""

    name: str
    command: tuple[str, ...]


def steps(out: Path, cases: Sequence[str]) -> list[Step]:
    """Return what there is to run, in order; each step leaves its reports in `out`. No cases: all of conformance."""
    chosen = tuple(word for case in cases for word in ("--case", case))
    report = ("--json", str(out / "conformance.json"))
    conformance = (sys.executable, "-m", "chaos.conformance", "--backend", "netem", *report, *chosen)
    return [Step(name="conformance", command=conformance)]


def run_here(out: Path, cases: Sequence[str]) -> int:
    """Run every step, write what came of it to `out`/report.json, and return the exit status of all."""
    out.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, object]] = []
    statuses = []
    deadline = time.monotonic() + LIMIT_S
    for step in steps(out, cases):
        click.echo(f"== {step.name}", err=True)
        began_at = time.monotonic()
        try:
            status = subprocess.run(  # noqa: S603  # our own commands
                step.command, cwd=ROOT, check=False, timeout=max(1.0, deadline - began_at)
            ).returncode
        except subprocess.TimeoutExpired:
            status = TOO_LONG_STATUS
        seconds = round(time.monotonic() - began_at, 1)
        click.echo(f"== {step.name}: {WORDS.get(status, f'NOT ok, status {status}')}, {seconds} s", err=True)
        results.append({"step": step.name, "command": list(step.command), "status": status, "seconds": seconds})
        statuses.append(status)
    status = overall(statuses)
    document = {"ok": status == 0, "kernel": os.uname().release, "steps": results}
    (out / "report.json").write_text(json.dumps(document, indent=2) + "\n")
    return status


def overall(statuses: Sequence[int]) -> int:
    """Return the exit status of all steps: 0 if all went well, 2 if some could not be judged, 1 if one went wrong."""
    if any(status not in WORDS for status in statuses):
        return 1
    return max(statuses, default=1)


def run_in_guest(kind: str, out: Path, cases: Sequence[str]) -> int:
    """Boot a guest that does it; return its exit status."""
    chosen = tuple(word for case in cases for word in ("--case", case))
    inside = (sys.executable, "-m", "chaos.guest.netem", "--inside", "--out", str(OUT_INSIDE), *chosen)
    return run_guest(inside, out=out, kind=kind, memory_mb=MEMORY_MB, timeout_s=LIMIT_S + ENDING_S)


@click.command()
@click.option(
    "--kind", default="auto", show_default=True, type=click.Choice(["auto", *(each.name for each in KERNELS)])
)
@click.option("--out", default=OUT, show_default=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--case", "cases", multiple=True, help="Of conformance; only these. [default: all]")
@click.option("--guest", "is_guest_wanted", is_flag=True, help="Boot a guest even if this kernel has netem.")
@click.option("--inside", is_flag=True, hidden=True, help="This is the guest.")
def main(*, kind: str, out: Path, cases: tuple[str, ...], is_guest_wanted: bool, inside: bool) -> None:
    """Check the kernel's netem. Exit status: 0 all well, 1 not, 2 not judged, 124 too long, 125 no guest."""
    end_orderly_on(signal.SIGTERM)
    lacking = why_no_netem()
    if inside and lacking:
        click.echo(f"nor in the guest: {lacking}", err=True)
        sys.exit(UNJUDGED_STATUS)
    if lacking or (is_guest_wanted and not inside):
        click.echo(f"{lacking or 'a guest is wanted'}: booting a guest", err=True)
        status = run_in_guest(kind, out, cases)
    else:
        status = run_here(out, cases)
    if not inside:
        click.echo(f"{WORDS.get(status, 'NOT ok')}: {out}/report.json")
    sys.exit(status)


if __name__ == "__main__":
    main()
