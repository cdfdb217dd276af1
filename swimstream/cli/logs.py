"""`swimstream logs`: what an instance printed, wherever it runs."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from swimstream.cli.asking import ask, options, show, told_in_one_line
from swimstream.errors import UsageError
from swimstream.model.logs import TAIL_LINES_MAX
from swimstream.runtime.control_client import ControlClient

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swimstream.runtime.control_client import Answer

POLL_S = 0.5
CONTROL_CHARACTERS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}
"""What a terminal would obey rather than show."""


@click.command()
@click.argument("instance")
@options
@click.option(
    "--tail", type=click.IntRange(0, TAIL_LINES_MAX), default=100, show_default=True, help="Begin with so many lines."
)
@click.option("--follow", is_flag=True, help="Go on until the instance has finished for good, also when it moves.")
@click.option("--worker", default="", metavar="NAME", help="What this worker has of it, such as one it ran on before.")
def logs(instance: str, *, control: Path, as_json: bool, tail: int, follow: bool, worker: str) -> None:
    """Show what the process or command of INSTANCE (job/operator[index]) printed, wherever it runs."""
    if follow and as_json:
        raise click.UsageError("--follow shows text only; leave out --json")
    if follow:
        with told_in_one_line("logs"), ControlClient(control) as client:
            _follow(client, instance, tail=tail, worker=worker)
        return
    answer = ask(control, "logs", instance=instance, tail=tail, worker=worker)

    def lines() -> Sequence[str]:
        _say_where(answer)
        _print(answer)
        return ()

    show(answer, as_json=as_json, lines=lines)


def _follow(client: ControlClient, instance: str, *, tail: int, worker: str) -> None:
    """Print page after page. While nobody can be asked, as between two workers, say why once and ask again."""
    page = client.ask("logs", instance=instance, tail=tail, worker=worker)
    _say_where(page)
    trouble = ""
    while True:
        _print(page)
        if page["next"] >= page["end"]:
            if page["finished"] and not page["running"]:
                return
            time.sleep(POLL_S)
        try:
            later = client.ask("logs", instance=instance, start=page["next"], worker=worker)
            if later["worker"] != page["worker"]:
                _say_where(later)
                later = client.ask("logs", instance=instance, start=later["begun"], worker=worker)
        except UsageError as error:
            page = {**page, "data": ""}
            if str(error) != trouble:
                trouble = str(error)
                click.echo(f"swimstream logs: {trouble}", err=True)
        else:
            page, trouble = later, ""


def _say_where(page: Answer) -> None:
    former = f"; before on {', '.join(page['former'])}" if page["former"] else ""
    state = "runs" if page["running"] else "ran"
    click.echo(f"{page['instance']} {state} on {page['worker']}{former}", err=True)


def _print(page: Answer) -> None:
    """Print a page as it is, but for what would make a terminal do things."""
    if sys.stdout.isatty():
        click.echo(page["text"].translate(CONTROL_CHARACTERS), nl=False)
    else:
        sys.stdout.buffer.write(bytes.fromhex(page["data"]))
        sys.stdout.buffer.flush()
