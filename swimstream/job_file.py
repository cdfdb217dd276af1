"""A job as its author writes it: a TOML file, or the same table as JSON.

name = "flights"

[[operators]]
name = "positions"
kind = "source"
parallelism = 2
prefer_site = "edge"

[[operators]]
name = "delays"
kind = "window"
inputs = ["positions"]
[operators.parameters]
minutes = 5
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swimstream.errors import UsageError
from swimstream.model.job import JobSpec
from swimstream.model.job_faults import check_job
from swimstream.tables import read_toml, structure

if TYPE_CHECKING:
    import os


def load_job(path: str | os.PathLike[str]) -> JobSpec:
    """Return the job in the TOML file at `path`; raise one `UsageError` that lists every fault with its field."""
    file = Path(path)
    return job_from_table(read_toml(file), where=str(file))


def job_from_table(table: object, *, where: str = "") -> JobSpec:
    """Return the job that `table` describes; raise one `UsageError` with a line per fault, each after `where`."""
    job = structure(table, JobSpec, where=where)
    try:
        return check_job(job)
    except UsageError as error:
        prefix = f"{where}: " if where else ""
        raise UsageError("\n".join(prefix + line for line in str(error).splitlines())) from None
