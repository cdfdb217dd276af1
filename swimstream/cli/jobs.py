"""`swimstream jobs`, `job`, `update`, `scale`, `cancel`, `restart`, `pardon`: see how jobs stand, and change them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from swimstream.cli.asking import ask, columns, options, show, told_in_one_line
from swimstream.job_file import load_job
from swimstream.model.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swimstream.runtime.control_client import Answer


@click.command()
@options
def jobs(control: Path, *, as_json: bool) -> None:
    """Show every job: its state, its version, how many instances are in which state, and what is the matter."""
    answer = ask(control, "jobs")

    def lines() -> Sequence[str]:
        rows = [(row["name"], row["state"], row["version"], _counts(row), row["why"]) for row in answer["jobs"]]
        return columns(("JOB", "STATE", "VERSION", "INSTANCES", "WHY"), rows) if rows else ["no jobs"]

    show(answer, as_json=as_json, lines=lines)


@click.command()
@click.argument("name")
@options
def job(name: str, *, control: Path, as_json: bool) -> None:
    """Show the job NAME: its state, and every instance, where it runs, how far it has come, or why it does not."""
    answer = ask(control, "job", name=name)

    def lines() -> Sequence[str]:
        row = answer["job"]
        heads = ("INSTANCE", "STATE", "WORKER", "EPOCH", "PROGRESS", "WHY")
        told = (
            (each["instance"], each["state"], each["worker"], each["epoch"] or "", each["progress"], each["why"])
            for each in row["instances"]
        )
        return [
            f"job        {row['name']}",
            f"state      {row['state']}",
            f"version    {row['version']}",
            f"operators  {', '.join(row['operators'])}",
            f"instances  {_counts(row)}",
            *_standbys(row),
            "",
            *columns(heads, list(told)),
        ]

    show(answer, as_json=as_json, lines=lines)


def _standbys(row: Answer) -> Sequence[str]:
    """Return one line that says by whom what is kept warm, none if nothing is."""
    told = [f"{each['instance']} by {', '.join(each['standbys'])}" for each in row["instances"] if each["standbys"]]
    return [f"kept warm  {'; '.join(told)}"] if told else []


def _counts(row: Answer) -> str:
    return ", ".join(f"{count} {state}" for state, count in row["counts"].items())


@click.command()
@click.argument("jobfile", type=click.Path(path_type=Path))
@click.option("--base", type=click.IntRange(min=1), help="Only if the job is at this version, and was not cancelled.")
@options
def update(jobfile: Path, *, base: int | None, control: Path, as_json: bool) -> None:
    """Have a running job become what the TOML file JOBFILE says; only what has changed is restarted.

    Revives a job that was cancelled.
    """
    with told_in_one_line("update"):
        spec = load_job(jobfile)
    answer = ask(control, "update", job=attrs.asdict(spec), base=base)
    show(answer, as_json=as_json, lines=lambda: [f"job {answer['job']} is at version {answer['version']}"])


@click.command()
@click.argument("job")
@click.argument("operator")
@click.argument("parallelism", type=int)
@options
def scale(job: str, operator: str, parallelism: int, *, control: Path, as_json: bool) -> None:
    """Have the OPERATOR of JOB executed in PARALLELISM instances."""
    answer = ask(control, "scale", job=job, operator=operator, parallelism=parallelism)
    show(answer, as_json=as_json, lines=lambda: [f"{job}/{operator} shall have {counted(parallelism, 'instance')}"])


@click.command()
@click.argument("job")
@options
def cancel(job: str, *, control: Path, as_json: bool) -> None:
    """Have nothing of JOB executed any more; `update` revives it."""
    answer = ask(control, "cancel", job=job)
    show(answer, as_json=as_json, lines=lambda: [f"job {job} is cancelled"])


@click.command()
@click.argument("target")
@options
def restart(target: str, *, control: Path, as_json: bool) -> None:
    """Have TARGET restarted: a job, 'job/operator', or 'job/operator[index]'."""
    answer = ask(control, "restart", target=target)
    show(answer, as_json=as_json, lines=lambda: [f"{target} is to be restarted"])


@click.command()
@click.argument("instance")
@options
def pardon(instance: str, *, control: Path, as_json: bool) -> None:
    """Have INSTANCE, which is in quarantine, executed again, with nothing held against it."""
    answer = ask(control, "pardon", instance=instance)
    show(answer, as_json=as_json, lines=lambda: [f"nothing is held against {instance} any more"])
