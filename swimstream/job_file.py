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
[operators.restart]
strategy = "fixed-delay"
attempts = 3
[operators.parameters]
minutes = 5
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs

from swimstream.errors import UsageError
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.job_faults import check_job
from swimstream.model.restart import RestartStrategy
from swimstream.tables import read_toml, structure

if TYPE_CHECKING:
    import os

T = TypeVar("T", JobSpec, OperatorSpec, RestartStrategy)

UNNAMED = "unnamed"


def load_job(path: str | os.PathLike[str]) -> JobSpec:
    """Return the job in the TOML file at `path`; raise one `UsageError` that lists every fault with its field."""
    file = Path(path)
    return job_from_table(read_toml(file), where=str(file))


def job_from_table(table: object, *, where: str = "") -> JobSpec:
    """Return the job that `table` describes; raise one `UsageError` with a line per fault, each after `where`."""
    faults: list[str] = []
    try:
        job = structure(table, JobSpec)
    except UsageError as error:
        faults += str(error).splitlines()
        job = _what_is_readable(table)
    if not isinstance(table, Mapping):
        raise UsageError("\n".join(_at(where, faults)))
    try:
        check_job(job)
    except UsageError as error:
        told = {_field_of(line) for line in faults}
        faults += [line for line in str(error).splitlines() if _field_of(line) not in told]
    if faults:
        raise UsageError("\n".join(_at(where, faults)))
    return job


def _at(where: str, faults: list[str]) -> list[str]:
    return [f"{where}: {line}" if where else line for line in faults]


def _field_of(fault: str) -> str:
    return fault.partition(":")[0]


# --- faults of both kinds at once: what cannot be read at all must not hide what is wrong with the rest ------------


def _what_is_readable(table: object) -> JobSpec:
    """Return the job without the fields that cannot be read, for which the usual ones stand."""
    fields = table if isinstance(table, Mapping) else {}
    rows = fields.get("operators", ())
    rows = rows if isinstance(rows, list | tuple) else ()
    operators = [_readable_operator(row, position) for position, row in enumerate(rows)]
    name = fields.get("name")
    return JobSpec(name=name if isinstance(name, str) else UNNAMED, operators=operators)


def _readable_operator(row: object, position: int) -> OperatorSpec:
    fields = row if isinstance(row, Mapping) else {}
    plain = {"name": f"{UNNAMED}-{position}", "kind": UNNAMED}
    made = _readable(OperatorSpec, fields, plain)
    if fields.get("inputs") and not made.inputs:
        made = attrs.evolve(made, blocking=())  # nobody knows whether these are among its inputs
    restart = fields.get("restart")
    if isinstance(restart, Mapping):
        made = attrs.evolve(made, restart=_readable(RestartStrategy, restart, {}))
    return made


def _readable(cls: type[T], fields: Mapping[str, object], plain: Mapping[str, object]) -> T:
    """Return `plain` with each of `fields` that can be read by itself."""
    kept = dict(plain)
    for key, value in fields.items():
        try:
            structure({**plain, key: value}, cls)
        except UsageError:
            continue
        kept[key] = value
    return structure(kept, cls)
