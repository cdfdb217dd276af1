"""The command: the flood first, then every target side by side for so many minutes; the verdict as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from chaos.fuzz.flood import US_MAX, Flooded, run_floods
from chaos.fuzz.targets import TARGETS
from chaos.fuzz.worker import ATHERIS, LOOP, RSS_MB_MAX, has_atheris, load

if TYPE_CHECKING:
    from collections.abc import Sequence

GRACE_S = 120
"""A worker that has not ended by itself so long after its time hangs, which is a finding too."""
LOG_LINES = 40


@attrs.frozen(kw_only=True)
class Fuzzed:
    """What came of one target. Figures that the engine has not told are None."""

    target: str
    runs: int | None
    branches: int | None
    """How many branches of swimstream and of the attack were reached; None without atheris."""
    peak_rss_mb: int | None
    exit_status: int
    findings: tuple[str, ...]
    """Commands that do again what has failed."""
    log: str
    ok: bool


@attrs.define
class Attack:
    """One target under attack, in a process of its own."""

    target: str
    process: subprocess.Popen[bytes]
    log: Path
    began_at: float


def start(target: str, *, engine: str, seconds: int, seed: int, build_dir: Path) -> Attack:
    """Start a worker; its log and its findings go to `build_dir`."""
    corpus = build_dir / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    log = build_dir / f"{target}.log"
    prefix = build_dir / f"{target}-"
    arguments = [target, str(corpus), str(seconds), str(seed), str(prefix), engine]
    with log.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-m", "chaos.fuzz.worker", *arguments], stdout=sink, stderr=sink
        )
    return Attack(target, process, log, time.time())


def finish(attack: Attack, *, deadline: float, build_dir: Path) -> Fuzzed:
    """Wait for a worker and read what it says."""
    try:
        status = attack.process.wait(max(1.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        attack.process.kill()
        status = attack.process.wait()
    text = attack.log.read_text(errors="replace")
    found = sorted(path for path in build_dir.glob(f"{attack.target}-*") if path.stat().st_mtime >= attack.began_at - 1)
    return Fuzzed(
        target=attack.target,
        runs=_last(r"Done (\d+) runs", text),
        branches=_last(r"cov: (\d+)", text),
        peak_rss_mb=_last(r"stat::peak_rss_mb: +(\d+)", text),
        exit_status=status,
        findings=tuple(f"{sys.executable} -m chaos.fuzz --replay {shlex.quote(str(path))}" for path in found),
        log=str(attack.log),
        ok=status == 0 and not found,
    )


def fuzz(targets: Sequence[str], *, engine: str, minutes: float, seed: int, build_dir: Path) -> list[Fuzzed]:
    """Attack all targets side by side; no worker outlives this call."""
    seconds = max(1, round(60 * minutes))
    attacks: list[Attack] = []
    try:
        attacks.extend(  # one by one, so that all that were started are ended if one cannot be
            start(target, engine=engine, seconds=seconds, seed=seed, build_dir=build_dir) for target in targets
        )
        deadline = time.monotonic() + seconds + GRACE_S
        return [finish(attack, deadline=deadline, build_dir=build_dir) for attack in attacks]
    finally:
        for attack in attacks:
            if attack.process.poll() is None:
                attack.process.kill()
                attack.process.wait()


def replay(path: Path) -> None:
    """Do again what a finding did, here and now; raise what it raises."""
    target = path.name.partition("-")[0]
    if target not in TARGETS:
        raise click.ClickException(f"expected a file named after its target ({', '.join(TARGETS)}), got {path.name}")
    attack, _ = load(target)
    attack(path.read_bytes())
    click.echo("nothing was raised")


def show(floods: Sequence[Flooded], fuzzed: Sequence[Fuzzed]) -> None:
    """Write both tables, and the end of the log of whatever failed."""
    for each in floods:
        verdict = "ok" if each.ok else "NOT ok"
        click.echo(f"{verdict:6}  {each.us_each:6.2f} us  {each.packets:9,} packets  {each.node}: {each.kind}")
    for one in fuzzed:
        verdict = "ok" if one.ok else "NOT ok"
        click.echo(f"{verdict:6}  {one.target}: {one.runs} runs, {one.branches} branches, {one.peak_rss_mb} MB")
        if not one.ok:
            click.echo("\n".join(Path(one.log).read_text(errors="replace").splitlines()[-LOG_LINES:]))
            for command in one.findings:
                click.echo(f"again: {command}")


def _last(pattern: str, text: str) -> int | None:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else None


def _engine(wanted: str) -> tuple[str, str]:
    """Return the engine to use, and what to say of it."""
    if wanted != LOOP and has_atheris():
        return ATHERIS, f"atheris {importlib.metadata.version('atheris')}"
    if wanted == ATHERIS:
        raise click.ClickException("atheris is missing: pip install '.[fuzz]'")
    why = "as asked" if wanted == LOOP else "atheris is not installed here"
    return LOOP, f"own loop of seeded mutations, without coverage ({why})"


@click.command()
@click.option("--minutes", default=10.0, show_default=True, type=click.FloatRange(0, 1_440), help="For all targets.")
@click.option("--flood", "flood_packets", default=1_000_000, show_default=True, type=click.IntRange(0), help="Packets.")
@click.option("--target", "targets", multiple=True, default=tuple(TARGETS), type=click.Choice(tuple(TARGETS)))
@click.option("--engine", default="auto", show_default=True, type=click.Choice(["auto", ATHERIS, LOOP]))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(1, 2**31 - 1))
@click.option("--json", "json_path", default=Path("build/reports/fuzz.json"), type=click.Path(path_type=Path))
@click.option("--build", "build_dir", default=Path("build/fuzz"), show_default=True, type=click.Path(path_type=Path))
@click.option("--replay", "finding", type=click.Path(path_type=Path, exists=True), help="Do a finding again.")
def main(
    *,
    minutes: float,
    flood_packets: int,
    targets: Sequence[str],
    engine: str,
    seed: int,
    json_path: Path,
    build_dir: Path,
    finding: Path | None,
) -> None:
    """Attack the decoder, the seal and whole nodes. Exits with 0 only if nothing was found."""
    if finding is not None:
        replay(finding)
        return
    chosen, about = _engine(engine)
    click.echo(f"engine: {about}")
    floods = run_floods(flood_packets, seed=seed) if flood_packets else []
    unique = tuple(dict.fromkeys(targets))
    fuzzed = fuzz(unique, engine=chosen, minutes=minutes, seed=seed, build_dir=build_dir) if minutes else []
    show(floods, fuzzed)
    is_ok = all(each.ok for each in floods) and all(each.ok for each in fuzzed) and bool(floods or fuzzed)
    packets = sum(each.packets for each in floods)
    spent_us = sum(each.packets * each.us_each for each in floods)
    document = {
        "ok": is_ok,
        "engine": about,
        "minutes": minutes,
        "seed": seed,
        "targets": [attrs.asdict(each) for each in fuzzed],
        "flood": {
            "packets": packets,
            "us_each": round(spent_us / packets, 2) if packets else None,
            "us_each_max": US_MAX,
            "kinds": [attrs.asdict(each) for each in floods],
        },
        "rss_mb_max": RSS_MB_MAX,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "load_average": os.getloadavg(),
    }
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(document, indent=2) + "\n")
    click.echo(f"{'ok' if is_ok else 'NOT ok'}: {json_path}")
    sys.exit(0 if is_ok else 1)
