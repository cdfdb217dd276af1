"""`swimstream council`: see the council, change it, and put one in its place when its majority is lost for good."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003  # click reads the annotations
from typing import TYPE_CHECKING

import click

from swimstream.cli.asking import GONE_WORDS, ask, columns, group_options, options, show, told_in_one_line
from swimstream.errors import UsageError
from swimstream.model.changes import COUNCIL_SIZES
from swimstream.runtime.control_council import parse_cluster_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swimstream.runtime.control_client import Answer

UNABLE_STATUS = 1
WARNING = """\
Only when a majority of the seats is gone and will not come back. This worker alone takes the council's place:
  - what was committed at the lost seats and has not come here is lost;
  - if they are not lost but cut off, two councils decide side by side, and operators that run at most once may run
    twice until they meet; then what the old one has decided meanwhile is thrown away."""


@click.group(invoke_without_command=True)
@group_options
@click.pass_context
def council(context: click.Context, control: Path | None, *, as_json: bool) -> None:
    """Show who has a seat in the council, how far each has come, and whether it can decide.

    Exit status 1 unless a majority of the seats has answered that can vote.
    """
    if context.invoked_subcommand is not None:
        return
    if control is None:
        raise click.UsageError("Missing option '--control'.", context)
    answer = ask(control, "council")
    show(answer, as_json=as_json, lines=lambda: _lines(answer))
    if not answer["able"]:
        sys.exit(UNABLE_STATUS)


@council.command()
@click.argument("seats", type=int)
@options
def resize(seats: int, *, control: Path, as_json: bool) -> None:
    """Have the council grow or shrink to SEATS: 1, 3, 5 or 7. Seats change one after the other."""
    with told_in_one_line("council resize"):
        if seats not in COUNCIL_SIZES:
            raise UsageError(f"seats: expected one of {', '.join(map(str, COUNCIL_SIZES))}, got {seats}")
    answer = ask(control, "council-resize", command="council resize", seats=seats)
    show(answer, as_json=as_json, lines=lambda: [f"the council shall have {_seats(seats)}"])


@council.command()
@click.argument("name")
@options
def transfer(name: str, *, control: Path, as_json: bool) -> None:
    """Have the worker NAME lead, which must have a seat; before the leader's machine goes down, for example."""
    answer = ask(control, "council-transfer", command="council transfer", name=name)
    show(answer, as_json=as_json, lines=lambda: [f"{name} leads"])


@council.command()
@click.option("--confirm", metavar="CLUSTERID", default="", help="The cluster's id, instead of typing it.")
@options
def recover(confirm: str, *, control: Path, as_json: bool) -> None:
    """Put the asked worker alone in the place of a council whose majority is lost for good. Asks for confirmation."""
    seen = ask(control, "council", command="council recover")
    for line in [*_lines(seen), "", *WARNING.splitlines(), ""]:
        click.echo(line, err=True)
    with told_in_one_line("council recover"):
        if parse_cluster_id(confirm or _typed()) != seen["cluster_id"]:
            raise UsageError("cluster: that is another id; nothing was done")
    answer = ask(control, "council-recover", command="council recover", cluster=seen["cluster"])
    show(answer, as_json=as_json, lines=lambda: ["the council is recovered: this worker decides, and fills the seats"])


def _typed() -> str:
    try:
        text: str = click.prompt("Type the cluster's id to go on", default="", show_default=False, err=True)
    except click.Abort:  # the end of the input, or Ctrl-C
        raise UsageError("cluster: its id was not typed; nothing was done") from None
    return text


def _lines(answer: Answer) -> Sequence[str]:
    if not answer["cluster_id"]:
        return ["no cluster has been founded yet"]
    able = sum(row["standing"] is not None and row["has_memory"] for row in answer["seats"])
    lasts = f"{answer['isolation_s']:g} s" if answer["isolation_s"] else "not set yet"
    heads = ("SEAT", "SITE", "STATE", "ROLE", "TERM", "LAST", "COMMITTED", "LAG", "AUTHORITY", "BUT")
    return [
        f"cluster    {answer['cluster']}",
        f"leader     {_leader_words(answer)}, term {answer['term']}",
        f"council    {_seats(len(answer['seats']))}, {answer['seats_wanted']} wanted",
        f"quorum     {able} can vote, {answer['majority']} decide",
        f"authority  lasts {lasts}",
        "",
        *columns(heads, [_row(row) for row in answer["seats"]]),
    ]


def _leader_words(answer: Answer) -> str:
    """Return who leads; one that is away is named until another one is heard."""
    name: str = answer["leader"]
    states = {row["name"]: row["state"] for row in answer["seats"]}
    away = GONE_WORDS.get(states.get(name, ""))
    return f"{name}, which {away}" if away else name or "none known here"


def _seats(count: int) -> str:
    return f"{count} seat{'' if count == 1 else 's'}"


def _row(row: Answer) -> Sequence[object]:
    said = row["standing"]
    seat = (row["name"], row["site"], row["state"])
    if said is None:
        return (*seat, *[""] * 6, _why_silent(row))
    age_s = said["authority_age_s"]
    figures = (said["role"], said["term"], said["last_index"], said["commit"], row["lag"])
    return (*seat, *figures, "none" if age_s is None else f"{age_s:.1f} s", "")


def _why_silent(row: Answer) -> str:
    if row["state"] == "unknown":
        return "nobody of that name is remembered"
    if not row["has_memory"]:
        return "lost its memory, and with it this vote"
    if row["state"] not in ("alive", "suspect"):
        return "is away"
    return "is of an older version, which tells nothing" if row.get("is_older") else "did not answer"
