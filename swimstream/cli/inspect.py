"""`swimstream members`, `operators`, `leader`, `decisions` and `submit`: ask a worker through its control port."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from swimstream.errors import SwimstreamError
from swimstream.job_file import load_job
from swimstream.runtime.control_client import Answer, ControlClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

USAGE_STATUS = 2


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what every command here takes."""
    command = click.option("--json", "as_json", is_flag=True, help="Print the worker's answer as JSON.")(command)
    return click.option(
        "--control",
        type=click.Path(path_type=Path),
        envvar="SWIMSTREAM_CONTROL",
        required=True,
        metavar="PATH",
        show_envvar=True,
        help="Control socket of a worker; every worker of a cluster gives the same answers.",
    )(command)


@contextlib.contextmanager
def _told_in_one_line(command: str) -> Iterator[None]:
    try:
        yield
    except SwimstreamError as error:
        click.echo(f"swimstream {command}: {error}", err=True)
        sys.exit(USAGE_STATUS)


def _ask(control: Path, verb: str, **fields: object) -> Answer:
    with _told_in_one_line(verb), ControlClient(control) as client:
        return client.ask(verb, **fields)


def _show(answer: Answer, *, as_json: bool, lines: Callable[[], Sequence[str]]) -> None:
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    for line in lines():
        click.echo(line)


def _columns(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return lines of left-aligned columns, two spaces apart."""
    table = [list(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]


def _span(seconds: float) -> str:
    """Return a duration that a person can take in: 12s, 4m05s, 3h10m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


@click.command()
@_options
def members(control: Path, *, as_json: bool) -> None:
    """Show every worker that is remembered: who is alive, suspected, dead or gone, and who says so."""
    answer = _ask(control, "members")

    def lines() -> Sequence[str]:
        heads = ("NAME", "STATE", "FOR", "SITE", "ADDRESS", "CAPACITY", "ACCUSERS")
        rows = [
            (row["name"], row["state"], _span(row["for_s"]), row["site"], row["address"], row["capacity"],
             ", ".join(row["accusers"]))
            for row in answer["members"]
        ]  # fmt: skip
        return _columns(heads, rows) + _evidence_lines(answer)

    _show(answer, as_json=as_json, lines=lines)


def _evidence_lines(answer: Answer) -> list[str]:
    """Return what the accusers of each suspected or dead worker saw."""
    lines = []
    for row in answer["members"]:
        if row["accusers"]:
            lines += ["", f"{row['name']} is {row['state']}:", *(f"  {line}" for line in row["evidence"])]
    return lines


@click.command()
@_options
def operators(control: Path, *, as_json: bool) -> None:
    """Show every instance of every job: where it runs, since which decision, and how far it has come."""
    answer = _ask(control, "operators")

    def lines() -> Sequence[str]:
        heads = ("INSTANCE", "STATE", "WORKER", "EPOCH", "PROGRESS", "FAILURES", "ENDPOINT", "CAUSE")
        rows = [_operator_row(row) for row in answer["operators"]]
        return _columns(heads, rows) if rows else ["no jobs"]

    _show(answer, as_json=as_json, lines=lines)


def _operator_row(row: dict[str, Any]) -> Sequence[object]:
    keys = ("instance", "state", "worker", "epoch", "progress", "failures", "endpoint", "cause")
    return [row[key] for key in keys]


@click.command()
@_options
def leader(control: Path, *, as_json: bool) -> None:
    """Show who decides, in which term, and who may vote."""
    answer = _ask(control, "leader")

    def lines() -> Sequence[str]:
        row = answer["leader"]
        if not row["cluster_id"]:
            return ["no cluster has been founded yet"]
        return [
            f"leader   {row['name'] or 'none known at present'}",
            f"term     {row['term']}",
            f"plan     {row['index']}",
            f"council  {', '.join(row['council'])}",
        ]

    _show(answer, as_json=as_json, lines=lines)


@click.command()
@_options
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest last.")
def decisions(control: Path, *, as_json: bool, last: int) -> None:
    """Show what was decided, why, and on whose evidence."""
    answer = _ask(control, "decisions")
    answer["decisions"] = answer["decisions"][-last:]

    def lines() -> Sequence[str]:
        rows = [
            (row["index"], row["term"], row["what"], row["reason"], "; ".join(row["evidence"]))
            for row in answer["decisions"]
        ]
        return _columns(("INDEX", "TERM", "WHAT", "REASON", "EVIDENCE"), rows) if rows else ["no decisions yet"]

    _show(answer, as_json=as_json, lines=lines)


@click.command()
@click.argument("jobfile", type=click.Path(path_type=Path))
@_options
def submit(jobfile: Path, *, control: Path, as_json: bool) -> None:
    """Have the job in the TOML file JOBFILE executed; return once it is part of the plan."""
    with _told_in_one_line("submit"):
        job = load_job(jobfile)
    answer = _ask(control, "submit", job=attrs.asdict(job))
    _show(answer, as_json=as_json, lines=lambda: [f"job {answer['job']} is accepted"])
