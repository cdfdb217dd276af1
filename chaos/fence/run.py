"""The command: the fence alone, then a whole cluster; the verdict as JSON."""

from __future__ import annotations

import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from chaos.fence.alone import try_alone
from chaos.fence.cluster import try_cluster
from chaos.fence.processes import TrialError
from chaos.orderly import end_orderly_on
from swimstream.runners.fence import is_kernel_enforced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chaos.fence.judge import Trial, Verdict


def report(alone: Verdict | None, cluster: Verdict | None, trials: Sequence[Trial], *, why: str) -> dict[str, object]:
    """Return everything as JSON's types; `why` says what came to nothing, empty if nothing did."""
    verdicts = [each for each in (alone, cluster) if each is not None]
    moved_s = [each.moved_s for each in trials if each.moved_s is not None]
    return {
        "ok": bool(verdicts) and not why and all(each.ok for each in verdicts),
        "why": why,
        "kernel_enforced": is_kernel_enforced(),
        "alone": None if alone is None else attrs.asdict(alone),
        "cluster": None if cluster is None else attrs.asdict(cluster),
        "moved_s_median": statistics.median(moved_s) if moved_s else None,
        "moved_s_max": max(moved_s, default=None),
        "trials": [attrs.asdict(each) for each in trials],
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "load_average": os.getloadavg(),
    }


def _speaker() -> Callable[[str], None]:
    began_at = time.monotonic()
    return lambda text: click.echo(f"{time.monotonic() - began_at:7.1f} s  {text}")


@click.command()
@click.option("--trials", default=100, show_default=True, type=click.IntRange(0, 10_000), help="In a cluster of three.")
@click.option("--alone", "alone_trials", default=20, show_default=True, type=click.IntRange(0, 10_000), help="Without.")
@click.option("--isolation", "isolation_s", default=2.5, show_default=True, type=click.FloatRange(2.4, 60), help="L.")
@click.option("--json", "json_path", default=Path("build/reports/fence.json"), type=click.Path(path_type=Path))
@click.option("--keep", "kept", type=click.Path(path_type=Path, file_okay=False), help="Leave logs and stamps here.")
def main(*, trials: int, alone_trials: int, isolation_s: float, json_path: Path, kept: Path | None) -> None:
    """Pause at-most-one operators past their deadline and count what they write afterwards. Linux only."""
    end_orderly_on(signal.SIGTERM, signal.SIGHUP)
    say, why = _speaker(), ""
    alone = cluster = None
    made: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="swimstream-fence-") as temporary:
        directory = Path(temporary) if kept is None else kept
        (directory / "cluster").mkdir(parents=True, exist_ok=True)
        try:
            if alone_trials:
                alone = try_alone(alone_trials, isolation_s=isolation_s, directory=directory, say=say)
            if trials:
                cluster, made = try_cluster(trials, isolation_s=isolation_s, directory=directory / "cluster", say=say)
        except TrialError as error:
            why = str(error)
    document = report(alone, cluster, made, why=why)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(document, indent=1) + "\n")
    for name, verdict in (("alone", alone), ("cluster", cluster)):
        if verdict is not None:
            click.echo(
                f"{name}: {verdict.trials} pauses; after the deadline {verdict.late}, beside a later execution "
                f"{verdict.overlaps}, stale rows {verdict.stale}; refused by the token {verdict.refusals}"
            )
    click.echo(f"{'ok' if document['ok'] else 'NOT ok'}{': ' + why if why else ''}: {json_path}")
    sys.exit(0 if document["ok"] else 1)
