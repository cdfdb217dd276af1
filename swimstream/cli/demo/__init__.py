"""`swimstream demo`: a real job on real processes; some are killed; the result is compared with a plain computation."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from swimstream.cli.demo.show import Wishes, play

WORKERS_MIN = 3
WORKERS_MAX = 64


@click.command()
@click.option(
    "--workers", type=click.IntRange(WORKERS_MIN, WORKERS_MAX), default=7, show_default=True, help="How many processes."
)
@click.option(
    "--kill",
    type=click.Choice(["none", "worker", "leader", "both"]),
    default="both",
    show_default=True,
    help="SIGKILL a worker that runs a window operator, the one that leads, or one after the other.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Directory with flights-*.csv.gz and weather-*.csv.gz, any number of months. Default: January 2013.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    help="Rows per second from each source. Default: so many that the replay takes about 40 s.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the result here, as CSV.")
@click.option("--state", type=click.Path(path_type=Path), help="New or empty directory for state, logs and result.db.")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses which worker is killed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last; everything else to standard error.")
def demo(
    *,
    workers: int,
    kill: str,
    data: Path | None,
    rate: float | None,
    out: Path | None,
    state: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Run a stream job on worker processes, kill some of them, and check that the result is what it should be.

    Exit status: 0 if the result is identical to that of a plain single-process computation, 1 if not, 2 for bad
    arguments or data that cannot be read.
    """
    wishes = Wishes(workers=workers, kill=kill, data=data, rate=rate, out=out, state=state, seed=seed, as_json=as_json)
    sys.exit(play(wishes))
