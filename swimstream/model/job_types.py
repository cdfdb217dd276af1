"""Which fields of a job are of another type than they should be: jobs are made by hand, in Python, without a checker.

`job_faults.py` asks first: it could not compare what is not comparable. A text is an iterable of letters, so it is
told from a list of names here: `sites="ams"` would mean three sites.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.restart import RestartStrategy

TEXTS = ("name", "kind", "prefer_site", "instances", "failover", "anti_affinity", "on_conflict")
LISTS = ("inputs", "blocking", "sites")
TABLES = ("parameters", "labels")


def type_faults(job: object) -> Iterator[str]:
    """Yield what is of a wrong type, with its field; nothing for a job whose values can be judged."""
    if not isinstance(job, JobSpec):
        yield f"job: expected a JobSpec, got {job!r}"
        return
    name: object = job.name
    if not isinstance(name, str):
        yield f"name: expected text, got {name!r}"
    operators: object = job.operators
    if not isinstance(operators, tuple):
        yield f"operators: expected a list of OperatorSpec, got {operators!r}"
        return
    for position, spec in enumerate(operators):
        if isinstance(spec, OperatorSpec):
            yield from _operator_faults(f"operators[{position}]", spec)
        else:
            yield f"operators[{position}]: expected an OperatorSpec, got {spec!r}"


def _operator_faults(where: str, spec: OperatorSpec) -> Iterator[str]:
    for field in TEXTS:
        text: object = getattr(spec, field)
        if not isinstance(text, str):
            yield f"{where}.{field}: expected text, got {text!r}"
    for field in LISTS:
        names: object = getattr(spec, field)
        if not isinstance(names, tuple) or not all(isinstance(each, str) for each in names):
            yield f"{where}.{field}: expected a list of texts, got {names!r}"
    for field in TABLES:
        table: object = getattr(spec, field)
        if not isinstance(table, Mapping):
            yield f"{where}.{field}: expected a table, got {table!r}"
    restart: object = spec.restart
    if not isinstance(restart, RestartStrategy):
        yield f"{where}.restart: expected a RestartStrategy, got {restart!r}"
