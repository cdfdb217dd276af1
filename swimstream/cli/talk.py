"""`swimstream tags`, `broadcast`, `send`, `query` and `ping`: speak to a cluster through one of its workers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from swimstream.cli.asking import ask, columns, options, show, told_in_one_line
from swimstream.errors import UsageError
from swimstream.model.talk import PATIENCE_MS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from swimstream.runtime.control_client import Answer

SILENT_STATUS = 1
SECONDS_MORE = 30.0
"""How much longer than a question lasts its result is waited for."""


def _whom(command: Callable[..., None]) -> Callable[..., None]:
    """Add what says whom to ask, and for how long."""
    patience = click.FloatRange(min=0.001, max=PATIENCE_MS_MAX / 1_000)
    command = click.option(
        "--timeout", "patience_s", type=patience, default=5.0, show_default=True, help="Seconds to wait for answers."
    )(command)
    return click.option("--worker", "names", multiple=True, metavar="NAME", help="Ask this worker; may be repeated.")(
        command
    )


@click.command()
@options
@click.option("--set", "to_set", multiple=True, metavar="KEY=VALUE", help="Set a tag of the worker that is asked.")
@click.option("--remove", "to_remove", multiple=True, metavar="KEY", help="Remove a tag of the worker that is asked.")
def tags(control: Path, *, as_json: bool, to_set: tuple[str, ...], to_remove: tuple[str, ...]) -> None:
    """Show the tags of every worker that has any; set or remove those of the worker itself first, if asked to."""
    with told_in_one_line("tags"):
        changes: dict[str, str | None] = dict.fromkeys(to_remove)
        changes.update(_key_and_value(each, field="--set") for each in to_set)
    if changes:
        ask(control, "set-tags", command="tags", changes=changes)
    answer = ask(control, "tags")

    def lines() -> Sequence[str]:
        rows = [(name, key, value) for name, held in answer["tags"].items() for key, value in held.items()]
        return columns(("WORKER", "KEY", "VALUE"), rows) if rows else ["no tags"]

    show(answer, as_json=as_json, lines=lines)


@click.command()
@click.argument("topic")
@click.argument("payload", default="")
@options
def broadcast(topic: str, payload: str, *, control: Path, as_json: bool) -> None:
    """Tell every application of the cluster TOPIC and PAYLOAD."""
    answer = ask(control, "broadcast", topic=topic, payload=payload)
    show(answer, as_json=as_json, lines=lambda: [f"{topic} is on its way"])


@click.command()
@click.argument("worker")
@click.argument("topic")
@click.argument("payload", default="")
@options
def send(worker: str, topic: str, payload: str, *, control: Path, as_json: bool) -> None:
    """Send the application of WORKER TOPIC and PAYLOAD; return once it has arrived."""
    answer = ask(control, "send", to=worker, topic=topic, payload=payload)
    show(answer, as_json=as_json, lines=lambda: [f"{topic} has arrived at {worker}"])


@click.command()
@click.argument("topic")
@click.argument("payload", default="")
@options
@_whom
@click.option("--tag", metavar="KEY=VALUE", help="Ask only workers with this tag.")
def query(
    topic: str,
    payload: str,
    *,
    control: Path,
    as_json: bool,
    names: tuple[str, ...],
    tag: str | None,
    patience_s: float,
) -> None:
    """Ask every application TOPIC and PAYLOAD: show who answers what, and who does not. Status 1 if one is silent."""
    with told_in_one_line("query"):
        wanted = None if tag is None else _key_and_value(tag, field="--tag")
    answer = ask(
        control,
        "query",
        timeout_s=patience_s + SECONDS_MORE,
        topic=topic,
        payload=payload,
        names=list(names),
        tag=wanted,
        patience_s=patience_s,
    )
    _show_result(answer, as_json=as_json)


@click.command()
@options
@_whom
def ping(*, control: Path, as_json: bool, names: tuple[str, ...], patience_s: float) -> None:
    """Ask every worker for a sign of life, which no application needs to answer. Status 1 if one is silent."""
    timeout_s = patience_s + SECONDS_MORE
    answer = ask(control, "ping", timeout_s=timeout_s, names=list(names), patience_s=patience_s)
    _show_result(answer, as_json=as_json)


def _show_result(answer: Answer, *, as_json: bool) -> None:
    def lines() -> Sequence[str]:
        rows = [(row["worker"], "answered", row.get("text", f"0x{row['payload']}")) for row in answer["answers"]]
        rows += [(name, "silent", "") for name in answer["silent"]]
        rows += [(name, "away", "") for name in answer["away"]]
        return columns(("WORKER", "STATE", "ANSWER"), rows) if rows else ["nobody was asked"]

    show(answer, as_json=as_json, lines=lines)
    if answer["silent"]:
        sys.exit(SILENT_STATUS)


def _key_and_value(text: str, *, field: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{field}: expected KEY=VALUE, got {text!r}")
    return key, value
