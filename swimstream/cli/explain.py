"""`swimstream explain` and `what-if`: why an instance is where it is, and what would come of a death."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swimstream.cli.asking import ask, columns, options, show
from swimstream.model.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swimstream.runtime.control_client import Answer

CHANGES = {
    "update": "A job of that name is there already. This is what 'update' would make of it; 'submit' changes none.",
    "revival": "The job was cancelled. This is what 'update' would do, which revives it from its last checkpoints; "
    "'submit' refuses it, and with --fresh begins it anew.",
}
"""What is said of the dry run of a job that is not new."""


@click.command()
@click.argument("instance")
@options
def explain(instance: str, *, control: Path, as_json: bool) -> None:
    """Show why INSTANCE, written JOB/OPERATOR[INDEX], is where it is, and what each worker would be for it."""
    answer = ask(control, "explain", instance=instance)
    show(answer, as_json=as_json, lines=lambda: _explanation_lines(answer))


def _explanation_lines(answer: Answer) -> Sequence[str]:
    where = f"on {answer['worker']}, epoch {answer['epoch']}" if answer["worker"] else "on no worker yet"
    lines = [f"{answer['instance']} is {answer['state']} {where}"]
    lines.append(f"  {answer['guarantee']}, version {answer['version']} of its job, progress {answer['progress']}")
    if answer["cause"]:
        lines.append(f"  it says: {answer['cause']}")
    if answer["standbys"]:
        lines.append(f"  kept warm by {', '.join(answer['standbys'])}")
    if answer["waits_for"]:
        lines.append(f"  waits: {answer['waits_for']}")
    made = answer["decision"]
    if made is not None:
        lines += [f"  why there: {made['reason']}", *(f"    {line}" for line in made["evidence"])]
    lines.append("")
    rows = [(row["worker"], "yes" if row["able"] else "no", row["why"]) for row in answer["candidates"]]
    lines += columns(("WORKER", "ABLE", "WHY"), rows)
    if answer["candidates_more"]:
        lines.append(f"and {answer['candidates_more']} more")
    if answer["history"]:
        history = [(row["index"], row["what"], row["reason"], "; ".join(row["evidence"])) for row in answer["history"]]
        lines += ["", *columns(("INDEX", "WHAT", "REASON", "EVIDENCE"), history)]
    return lines


@click.command(name="what-if")
@click.option("--kill", "names", multiple=True, metavar="WORKER", help="Suppose that it dies; may be given repeatedly.")
@click.option("--site", default="", metavar="SITE", help="Suppose that every worker of the site dies.")
@options
def what_if(names: tuple[str, ...], *, site: str, control: Path, as_json: bool) -> None:
    """Show what would run where, and what nowhere, if some workers died at once. Nobody is killed."""
    answer = ask(control, "what-if", kill=list(names), site=site)
    show(answer, as_json=as_json, lines=lambda: outcome_lines(answer))


def outcome_lines(answer: dict[str, Any]) -> Sequence[str]:
    """Return what would move where, and what would wait."""
    told = CHANGES.get(answer.get("change", ""))
    rows = [
        (row["instance"], row["from"] or "-", row["to"], row["reason"], row["evidence"][0] if row["evidence"] else "")
        for row in answer["moves"]
    ]
    lines = [told, ""] if told is not None else []
    lines += columns(("INSTANCE", "FROM", "TO", "REASON", "WHY THERE"), rows) if rows else ["nothing would move"]
    if answer["pending"]:
        waiting = [(row["instance"], row["why"]) for row in answer["pending"]]
        lines += ["", *columns(("WOULD RUN NOWHERE", "WHY"), waiting)]
    council = answer["council"]
    if not council["able"]:
        lines += [
            "",
            f"and nobody could decide that: {council['left']} of {counted(council['seats'], 'seat')} would be left",
        ]
    return lines
