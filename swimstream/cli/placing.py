"""`swimstream cordon`, `uncordon`, `drain`, `assert-dead` and `rebalance`: say which workers are given instances."""

from __future__ import annotations

import sys
import time
from pathlib import Path  # noqa: TC003  # click reads the annotations
from typing import TYPE_CHECKING

import click

from swimstream.cli.asking import GONE_WORDS, ask, options, show, told_in_one_line
from swimstream.errors import UsageError
from swimstream.model.changes import REBALANCE_MOVES_MAX
from swimstream.model.job import AT_MOST_ONE

if TYPE_CHECKING:
    from swimstream.runtime.control_client import Answer

UNABLE_STATUS = 1
POLL_S = 5.0
"""How long one question for what is left may wait; then what is left is told."""
WARNING = """\
Only when you have seen that its process is gone. Nobody waits for its end any more: what runs at most once moves at
once. Should the process live, behind a cut for example, these run in two places, and both may write."""

reason_option = click.option("--reason", default="", metavar="TEXT", help="For those who read the decisions.")


@click.command()
@click.argument("name")
@reason_option
@options
def cordon(name: str, *, reason: str, control: Path, as_json: bool) -> None:
    """Have the worker NAME given nothing new; what it has stays. Holds until `uncordon`."""
    answer = ask(control, "cordon", name=name, reason=reason)
    show(answer, as_json=as_json, lines=lambda: [f"{name} is given nothing new"])


@click.command()
@click.argument("name")
@reason_option
@options
def uncordon(name: str, *, reason: str, control: Path, as_json: bool) -> None:
    """Have the worker NAME given instances again: ends `cordon`, `drain` and a quarantine for flapping."""
    answer = ask(control, "uncordon", name=name, reason=reason)
    show(answer, as_json=as_json, lines=lambda: [f"{name} is given instances again"])


@click.command()
@click.argument("name")
@reason_option
@click.option("--wait", is_flag=True, help="Return once it has no instances any more.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.001),
    help="Seconds to wait at most, then status 1; implies --wait.",
)
@options
def drain(name: str, *, reason: str, wait: bool, timeout_s: float | None, control: Path, as_json: bool) -> None:
    """Have what the worker NAME has moved elsewhere, and nothing new given to it, until `uncordon`.

    What is pinned to it stays, and what finds no room elsewhere.
    """
    answer = ask(control, "drain", name=name, reason=reason)
    if wait or timeout_s is not None:
        end_at = time.monotonic() + (float("inf") if timeout_s is None else timeout_s)
        answer = _until_drained(control, name, end_at)
    left: list[str] | None = answer.get("left")
    words = f"{name} is to be drained" if left is None else f"{name} has nothing any more"
    show(answer, as_json=as_json, lines=lambda: [f"{name} still has {', '.join(left)}" if left else words])
    if left:
        sys.exit(UNABLE_STATUS)


def _until_drained(control: Path, name: str, end_at: float) -> Answer:
    """Ask until nothing is left or `end_at` has come; tell on standard error what is left whenever that changes."""
    told = ""
    while True:
        patience_s = min(POLL_S, max(0.001, end_at - time.monotonic()))
        answer = ask(control, "drained", command="drain", name=name, patience_s=patience_s)
        if not answer["left"] or time.monotonic() >= end_at:
            return answer
        words = f"{name} still has {', '.join(answer['left'])}"
        if words != told:
            click.echo(words, err=True)
            told = words


@click.command("assert-dead")
@click.argument("name")
@click.option("--confirm", metavar="NAME", default="", help="The worker's name once more, instead of typing it.")
@options
def assert_dead(name: str, *, confirm: str, control: Path, as_json: bool) -> None:
    """Give your word that the worker NAME, which is seen as gone, is dead. Asks for confirmation.

    What runs at most once moves at once then, without the time that would prove its end.
    """
    members = ask(control, "members", command="assert-dead")["members"]
    alive = next((row["state"] for row in members if row["name"] == name and row["state"] not in GONE_WORDS), "")
    with told_in_one_line("assert-dead"):
        if alive:
            raise UsageError(f"name: {name} is {alive}; nobody may declare it dead")
    rows = ask(control, "operators", command="assert-dead")["operators"]
    hosted = [row for row in rows if row["worker"] == name and not row["finished"]]
    with told_in_one_line("assert-dead"):
        if not hosted and all(row["name"] != name for row in members):
            raise UsageError(f"name: no worker of the name {name!r} is known, and nothing is assigned to it")
    waiting = [row["instance"] for row in hosted if row["guarantee"] == AT_MOST_ONE]
    what = f"At most once, and assigned to {name}: {', '.join(waiting) or 'nothing'}."
    for line in [*WARNING.splitlines(), what, ""]:
        click.echo(line, err=True)
    with told_in_one_line("assert-dead"):
        if (confirm or _typed()) != name:
            raise UsageError(f"name: that is not {name!r}; nothing was done")
    answer = ask(control, "assert-dead", name=name)
    show(answer, as_json=as_json, lines=lambda: [f"{name} is dead, on your word"])


def _typed() -> str:
    try:
        text: str = click.prompt("Type the worker's name to go on", default="", show_default=False, err=True)
    except click.Abort:  # the end of the input, or Ctrl-C
        raise UsageError("name: it was not typed; nothing was done") from None
    return text.strip()


@click.command()
@click.argument("moves", metavar="MOVES")
@options
def rebalance(moves: str, *, control: Path, as_json: bool) -> None:
    """Have up to MOVES instances moved at a time to a worker that has joined; 'off': none, as it is at first."""
    with told_in_one_line("rebalance"):
        if moves != "off" and not (moves.isascii() and moves.isdigit()):
            raise UsageError(f"moves: expected a whole number from 0 to {REBALANCE_MOVES_MAX}, or 'off', got {moves!r}")
    count = 0 if moves == "off" else int(moves)
    answer = ask(control, "rebalance", moves=count)
    some = f"up to {count} instances are" if count != 1 else "1 instance is"
    words = f"{some} moved at a time to who joins" if count else "nothing is moved to who joins"
    show(answer, as_json=as_json, lines=lambda: [words])
