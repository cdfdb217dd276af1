"""`swimstream members`, `operators`, `leader`, `decisions` and `submit`: ask a worker through its control port."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from swimstream.cli.asking import GONE_WORDS, ask, columns, options, show, span, told_in_one_line
from swimstream.cli.explain import outcome_lines
from swimstream.job_file import load_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swimstream.runtime.control_client import Answer

TELLING_ERRORS = ("fatal", "infrastructure")
"""Kinds of failure that say what comes next; any other is tried again."""


@click.command()
@options
def members(control: Path, *, as_json: bool) -> None:
    """Show every worker that is remembered: who is alive, suspected, dead or gone, and who says so."""
    answer = ask(control, "members")  # of an older worker without tags and evidence

    def lines() -> Sequence[str]:
        heads = ("NAME", "STATE", "FOR", "SITE", "ADDRESS", "RTT", "CAPACITY", "TAGS", "ACCUSERS")
        rows = [
            (row["name"], ", ".join(filter(None, (row["state"], row.get("mode")))), span(row["for_s"]), row["site"],
             row["address"],
             "" if row.get("rtt_ms") is None else f"{row['rtt_ms']:.1f} ms", row["capacity"],
             " ".join(f"{key}={value}" for key, value in row.get("tags", {}).items()), ", ".join(row["accusers"]))
            for row in answer["members"]
        ]  # fmt: skip
        return columns(heads, rows) + _evidence_lines(answer)

    show(answer, as_json=as_json, lines=lines)


def _evidence_lines(answer: Answer) -> list[str]:
    """Return what the accusers of each suspected or dead worker saw."""
    lines = []
    for row in answer["members"]:
        if row["accusers"] and row["state"] != "left":  # else it was removed, by the only accuser, who saw nothing
            lines += ["", f"{row['name']} is {row['state']}:", *(f"  {line}" for line in row.get("evidence", ()))]
    return lines


@click.command()
@options
def operators(control: Path, *, as_json: bool) -> None:
    """Show every instance: where it runs, who keeps it warm, since which decision, and how far it has come."""
    answer = ask(control, "operators")

    def lines() -> Sequence[str]:
        heads = (
            *("INSTANCE", "STATE", "WORKER", "STANDBYS", "EPOCH", "PROGRESS", "BACKLOG", "WATERMARK", "FAILURES"),
            *("GUARANTEE", "STOPPED BY", "ENDPOINT", "CAUSE"),
        )
        rows = [_operator_row(row) for row in answer["operators"]]
        return (columns(heads, rows) if rows else ["no jobs"]) + _isolation_lines(answer)

    show(answer, as_json=as_json, lines=lines)


def _operator_row(row: dict[str, Any]) -> Sequence[object]:
    """Return the cells of a row; older workers know neither guarantees nor standbys, nor of an operator's input."""
    told = ["" if row.get(key) is None else row[key] for key in ("backlog", "watermark_ms")]
    cause = f"{row['error']}: {row['cause']}" if row.get("error") in TELLING_ERRORS else row["cause"]
    return [
        *(row[key] for key in ("instance", "state", "worker")),
        ", ".join(row.get("standbys", ())),
        *(row[key] for key in ("epoch", "progress")),
        *told,
        row["failures"],
        row.get("guarantee", ""),
        _stop_words(row),
        row["endpoint"],
        cause,
    ]


def _stop_words(row: dict[str, Any]) -> str:
    """Return which decision stops an instance, and what it says: its run is held, or this instance was taken back."""
    if not row.get("stopped_at"):
        return ""
    return f"{row['stopped_at']} ({'revoked' if row['stopped_at'] == row['revoked'] else 'held'})"


def _isolation_lines(answer: Answer) -> list[str]:
    """Return a warning if the worker that was asked cannot prove that a quorum stands."""
    authority = answer.get("authority", {})
    if not authority.get("isolated"):
        return []
    age_s = authority["age_s"]
    known = "it has no proof of a quorum" if age_s is None else f"its proof of a quorum is {span(age_s)} old"
    return ["", f"this worker is isolated: {known}; what runs at most once does not run here"]


@click.command()
@options
def leader(control: Path, *, as_json: bool) -> None:
    """Show who decides, in which term, and who may vote."""
    answer = ask(control, "leader")

    def lines() -> Sequence[str]:
        row = answer["leader"]
        if not row["cluster_id"]:
            return ["no cluster has been founded yet"]
        return [
            f"leader   {_leader_words(row)}",
            f"term     {row['term']}",
            f"plan     {row['index']}",
            f"council  {', '.join(row['council'])}",
        ]

    show(answer, as_json=as_json, lines=lines)


def _leader_words(row: dict[str, Any]) -> str:
    away = GONE_WORDS.get(row.get("state", ""))
    if away:
        return f"none known at present; the last one was {row['name']}, which {away}"
    return str(row["name"] or "none known at present")


@click.command()
@options
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest last.")
def decisions(control: Path, *, as_json: bool, last: int) -> None:
    """Show what was decided, why, and on whose evidence."""
    answer = ask(control, "decisions")
    answer["decisions"] = answer["decisions"][-last:]

    def lines() -> Sequence[str]:
        rows = [
            (row["index"], row["term"], row["what"], row["reason"], "; ".join(row["evidence"]))
            for row in answer["decisions"]
        ]
        return columns(("INDEX", "TERM", "WHAT", "REASON", "EVIDENCE"), rows) if rows else ["no decisions yet"]

    show(answer, as_json=as_json, lines=lines)


@click.command()
@click.argument("jobfile", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only show where its instances would go, and why.")
@click.option("--fresh", is_flag=True, help="Begin a job that was cancelled as if it had never run.")
@options
def submit(jobfile: Path, *, dry_run: bool, fresh: bool, control: Path, as_json: bool) -> None:
    """Have the job in the TOML file JOBFILE executed; return once it is part of the plan.

    A job that was cancelled is refused, unless with --fresh; `update` revives it from its last checkpoints.
    """
    with told_in_one_line("submit"):
        job = load_job(jobfile)
    if dry_run:
        told = ask(control, "dry-run", command="submit", job=attrs.asdict(job))
        show(told, as_json=as_json, lines=lambda: outcome_lines(told))
        return
    answer = ask(control, "submit", job=attrs.asdict(job), fresh=fresh)
    show(answer, as_json=as_json, lines=lambda: [f"job {answer['job']} is accepted"])


@click.command()
@click.argument("worker")
@options
def remove(worker: str, *, control: Path, as_json: bool) -> None:
    """Have everybody take the dead WORKER for one that has left; should it live, it comes back as a later run."""
    answer = ask(control, "remove", name=worker)
    show(answer, as_json=as_json, lines=lambda: [f"{worker} has been removed"])
