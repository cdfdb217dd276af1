"""`make chaos-netem`: what wants the kernel's own `tc netem`: on this kernel if it has that, else in a guest."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import click

from chaos.guest.boot import KERNELS
from chaos.guest.run import MEMORY_MB, run_guest
from chaos.minority.lab import TRY_S_MAX
from chaos.orderly import end_orderly_on
from chaos.peers.peer import ROOT

WITHOUT_STATUS = 2
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


def steps(out: Path) -> list[Step]:
    """Return what there is to run, in order; each step leaves its reports in `out`."""
    found = [Step(name="delays", command=(sys.executable, "-m", "chaos.guest.delays"))]
    if importlib.util.find_spec("chaos.conformance") is not None:
        report = str(out / "conformance.json")
        command = (sys.executable, "-m", "chaos.conformance", "--backend", "netem", "--json", report)
        found.append(Step(name="conformance", command=command))
    return found


def why_not_here() -> str:
    """Return why this kernel, or what we may do on it, is not enough; empty: it is."""
    try_it = "ip link set lo up && tc qdisc add dev lo root netem delay 1ms"
    said = ""
    for way in ([], ["--user", "--map-root-user"]):
        command = ["unshare", *way, "--net", "sh", "-c", try_it]
        try:
            done = subprocess.run(  # noqa: S603  # a fixed command
                command, capture_output=True, check=False, timeout=TRY_S_MAX
            )
        except FileNotFoundError as error:
            return str(error)
        if done.returncode == 0:
            return ""
        said = said or done.stderr.decode(errors="replace").strip()
    return said


def run_here(out: Path) -> bool:
    """Run every step, and write what came of it to `out`/report.json; return whether all went well."""
    out.mkdir(parents=True, exist_ok=True)
    results = []
    deadline = time.monotonic() + LIMIT_S
    for step in steps(out):
        click.echo(f"== {step.name}", err=True)
        began_at = time.monotonic()
        try:
            status = subprocess.run(  # noqa: S603  # our own commands
                step.command, cwd=ROOT, check=False, timeout=max(1.0, deadline - began_at)
            ).returncode
        except subprocess.TimeoutExpired:
            status = 124
        seconds = round(time.monotonic() - began_at, 1)
        click.echo(f"== {step.name}: {'ok' if status == 0 else f'NOT ok, status {status}'}, {seconds} s", err=True)
        results.append({"step": step.name, "command": list(step.command), "status": status, "seconds": seconds})
    is_ok = all(result["status"] == 0 for result in results)
    (out / "report.json").write_text(json.dumps({"ok": is_ok, "steps": results}, indent=2) + "\n")
    return is_ok


def run_in_guest(kind: str, out: Path) -> int:
    """Boot a guest that does it; return its exit status."""
    inside = (sys.executable, "-m", "chaos.guest.netem", "--inside", "--out", str(OUT_INSIDE))
    return run_guest(inside, out=out, kind=kind, memory_mb=MEMORY_MB, timeout_s=LIMIT_S + ENDING_S)


@click.command()
@click.option(
    "--kind", default="auto", show_default=True, type=click.Choice(["auto", *(each.name for each in KERNELS)])
)
@click.option("--out", default=OUT, show_default=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--guest", "is_guest_wanted", is_flag=True, help="Boot a guest even if this kernel has netem.")
@click.option("--inside", is_flag=True, hidden=True, help="This is the guest.")
def main(*, kind: str, out: Path, is_guest_wanted: bool, inside: bool) -> None:
    """Check the kernel's netem. Exit status: 0 all well, 1 not, 2 without netem here, 124 or 125 from the guest."""
    end_orderly_on(signal.SIGTERM)
    lacking = why_not_here()
    if inside and lacking:
        click.echo(f"no netem in the guest either: {lacking}", err=True)
        sys.exit(WITHOUT_STATUS)
    if lacking or (is_guest_wanted and not inside):
        click.echo(f"netem not on this kernel ({lacking}): booting a guest" if lacking else "booting a guest", err=True)
        status = run_in_guest(kind, out)
    else:
        status = 0 if run_here(out) else 1
    if not inside:
        click.echo(f"{'ok' if status == 0 else 'NOT ok'}: {out / 'report.json'}")
    sys.exit(status)


if __name__ == "__main__":
    main()
