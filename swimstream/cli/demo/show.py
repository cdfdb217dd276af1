"""From the user's wishes to the exit status: check them, run the conductor, clear up, compare, report."""

from __future__ import annotations

import contextlib
import errno
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from swimstream.cli.demo.conductor import Conductor, Order
from swimstream.cli.demo.data import Example, Expected, Unreadable
from swimstream.cli.demo.janitor import DemoFailed, Janitor
from swimstream.cli.demo.report import Report
from swimstream.cli.demo.result import compare
from swimstream.cli.demo.screen import LiveScreen, PlainScreen, Screen
from swimstream.cli.demo.signals import Interrupted, Signals

if TYPE_CHECKING:
    from collections.abc import Iterator

REPLAY_S = 40.0
"""What the replay takes if nobody asks for a rate."""
RATE_MAX = 2_000.0
"""The largest rate chosen by default: what two cores manage with seven workers."""


@attrs.frozen(kw_only=True)
class Wishes:
    """The command line."""

    workers: int
    kill: str
    data: Path | None
    rate: float | None
    out: Path | None
    state: Path | None
    seed: int
    as_json: bool


def play(wishes: Wishes) -> int:
    """Run the demo; return its exit status."""
    signals = Signals()
    try:
        example = Example()
        data = (wishes.data or example.data).absolute()
        _check_paths(wishes)
        expected = example.compute(data)
        report = _perform(wishes, example, data, expected, signals)
    except (Unreadable, click.UsageError) as error:
        click.echo(f"error: {error}", err=True)
        return 2
    except Interrupted as interrupted:
        with contextlib.suppress(OSError):
            click.echo(f"ended by {interrupted}", err=True)
        return interrupted.exit_status
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):
            raise
        # Whoever read the output has gone. All is cleared up; Python must not stumble over the pipe when it ends.
        sys.stdout = sys.stderr = None
        return 1
    return _conclude(wishes, example, report)


def _conclude(wishes: Wishes, example: Example, report: Report) -> int:
    """Print what there is to say and write the result."""
    for line in report.lines():
        click.echo(line, err=wishes.as_json)
    if report.failure:
        click.echo(f"error: {report.failure}", err=True)
    if wishes.out is not None:
        try:
            with wishes.out.open("w", encoding="utf-8", newline="") as out:
                example.write_csv(report.comparison.rows, out)
        except OSError as error:
            click.echo(f"error: --out: {wishes.out} cannot be written: {error.strerror}", err=True)
            return 2
    if wishes.as_json:
        click.echo(report.as_json())
    return 0 if report.is_identical else 1


def _perform(wishes: Wishes, example: Example, data: Path, expected: Expected, signals: Signals) -> Report:
    """Run it and clear up, whatever happens."""
    signals.defer()
    with contextlib.ExitStack() as stack:
        stack.callback(signals.restore)
        janitor = Janitor()
        stack.callback(janitor.close)
        state = (wishes.state or janitor.directory / "state").absolute()
        try:
            state.mkdir(exist_ok=True, parents=True)
            (state / "logs").mkdir()
        except OSError as error:
            raise click.UsageError(f"--state: cannot write to {state}: {error.strerror}") from error
        order = _order(wishes, example, data, expected, state)
        screen = stack.enter_context(_screen(wishes))
        conductor = Conductor(order, janitor=janitor, screen=screen, signals=signals)
        failure = ""
        try:
            conductor.run()
        except DemoFailed as error:
            failure = str(error)
        finally:
            signals.ignore()
            conductor.close()
        return Report(
            workers=wishes.workers,
            elapsed_s=conductor.elapsed_s,
            story=conductor.story,
            comparison=compare(state / "result.db", expected.rows, example.columns),
            rows_expected=len(expected.rows),
            failure=failure,
        )


def _order(wishes: Wishes, example: Example, data: Path, expected: Expected, state: Path) -> Order:
    longest = max(expected.flights.values())
    rate = wishes.rate or min(RATE_MAX, max(1.0, float(math.ceil(longest / REPLAY_S))))
    return Order(
        workers=wishes.workers,
        kill_worker=wishes.kill in ("worker", "both"),
        kill_leader=wishes.kill in ("leader", "both"),
        seed=wishes.seed,
        rate=rate,
        flights=expected.flights,
        rows_total=len(expected.rows),
        job=example.job(data=data, database=state / "result.db", rate=rate),
        state=state,
        package_path=example.package_path,
    )


def _check_paths(wishes: Wishes) -> None:
    state = wishes.state
    if state is not None and state.exists() and not (state.is_dir() and not any(state.iterdir())):
        raise click.UsageError(f"--state: expected a new or empty directory, but {state} is not")
    if wishes.out is not None and not wishes.out.absolute().parent.is_dir():
        raise click.UsageError(f"--out: expected a file in a directory that exists, got {wishes.out}")


@contextlib.contextmanager
def _screen(wishes: Wishes) -> Iterator[Screen]:
    live = not wishes.as_json and sys.stdout.isatty()
    screen: Screen = LiveScreen() if live else PlainScreen(err=wishes.as_json)
    try:
        yield screen
    finally:
        screen.close()
