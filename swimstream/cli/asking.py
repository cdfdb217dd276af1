"""What the commands share that ask a worker through its control port."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swimstream.errors import SwimstreamError
from swimstream.runtime.control_client import Answer, ControlClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

USAGE_STATUS = 2
GONE_WORDS = {"dead": "is dead", "left": "has left"}
"""State of a worker that is away → what to say of it."""


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what every command here takes."""
    return _with_options(command, required=True)


def group_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the same to a group that is a command of its own, too: its subcommands have their own `--control`."""
    return _with_options(command, required=False)


def _with_options(command: Callable[..., None], *, required: bool) -> Callable[..., None]:
    command = click.option(
        "--json", "as_json", is_flag=True, help="Print the worker's answer as JSON; a refusal, too."
    )(command)
    return click.option(
        "--control",
        type=click.Path(path_type=Path),
        envvar="SWIMSTREAM_CONTROL",
        required=required,
        metavar="PATH",
        show_envvar=True,
        help="Control socket of a worker; every worker of a cluster gives the same answers.",
    )(command)


@contextlib.contextmanager
def told_in_one_line(command: str) -> Iterator[None]:
    """Print an error of ours as one line on standard error and exit with status 2.

    With `--json` it is an object on standard output, too: who reads that with a program need not read the other.
    """
    try:
        yield
    except SwimstreamError as error:
        asked = click.get_current_context(silent=True)
        if asked is not None and asked.params.get("as_json"):
            click.echo(json.dumps({"ok": False, "error": str(error)}, indent=2))
        click.echo(f"swimstream {command}: {error}", err=True)
        sys.exit(USAGE_STATUS)


def ask(control: Path, verb: str, *, command: str = "", timeout_s: float = 90.0, **fields: object) -> Answer:
    """Return the worker's answer within `timeout_s`; an error ends the command, which is called like the verb."""
    with told_in_one_line(command or verb), ControlClient(control, timeout_s=timeout_s) as client:
        return client.ask(verb, **fields)


def show(answer: Answer, *, as_json: bool, lines: Callable[[], Sequence[str]]) -> None:
    """Print an answer, for programs or for people."""
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    for line in lines():
        click.echo(line)


def columns(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return lines of left-aligned columns, two spaces apart."""
    table = [list(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]


def span(seconds: float) -> str:
    """Return a duration that a person can take in: 12s, 4m05s, 3h10m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"
