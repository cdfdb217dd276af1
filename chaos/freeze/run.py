"""The command: both modes, one after the other; the verdict as JSON."""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from chaos.freeze.scene import freeze
from chaos.orderly import end_orderly_on
from swimstream.worker_config import PEER_ISOLATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.freeze.judge import Verdict


def report(verdicts: Sequence[Verdict]) -> dict[str, object]:
    """Return everything as JSON's types. Only a peer apart is judged: one on a thread is shown beside it."""
    return {
        "ok": all(each.ok for each in verdicts if each.isolation == "process"),
        "modes": [attrs.asdict(each) for each in verdicts],
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "load_average": os.getloadavg(),
    }


def line(verdict: Verdict) -> str:
    """Return one mode as a line of text."""
    delays = "" if verdict.delay_s_median is None else f", {verdict.delay_s_median:.2f} s after its begin (median)"
    return (
        f"{verdict.isolation}: {verdict.holds} freezes; taken for dead {verdict.deaths}, suspected "
        f"{verdict.suspicions}; told while it lasted {verdict.told}{delays}, afterwards {verdict.told_late}, never "
        f"{verdict.missed}; wrong {verdict.wrong}, baseless {verdict.baseless}"
    )


@click.command()
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(1, 86_400), help="For each mode.")
@click.option("--hold", "hold_s", default=2.0, show_default=True, type=click.FloatRange(0.1, 60), help="At a time.")
@click.option("--pause", "pause_s", default=2.0, show_default=True, type=click.FloatRange(0.1, 60), help="In between.")
@click.option("--isolation", "modes", multiple=True, type=click.Choice(PEER_ISOLATIONS), help="Both if left out.")
@click.option("--json", "json_path", default=Path("build/reports/freeze.json"), type=click.Path(path_type=Path))
def main(*, seconds: float, hold_s: float, pause_s: float, modes: Sequence[str], json_path: Path) -> None:
    """Freeze a worker by C calls that keep the GIL, under four busy threads, and count what others make of it."""
    end_orderly_on(signal.SIGTERM, signal.SIGHUP)
    holds = max(1, round(seconds / (hold_s + pause_s)))
    verdicts = []
    for isolation in modes or PEER_ISOLATIONS:
        verdicts.append(freeze(isolation, holds=holds, hold_s=hold_s, pause_s=pause_s))
        click.echo(line(verdicts[-1]))
    document = report(verdicts)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(document, indent=1) + "\n")
    click.echo(f"{'ok' if document['ok'] else 'NOT ok'}: {json_path}")
    sys.exit(0 if document["ok"] else 1)
