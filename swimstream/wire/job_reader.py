"""CBOR items → jobs: what each field may hold. Nothing unknown passes; see `plan_codec.py`."""

from __future__ import annotations

import math
from typing import TypedDict

from swimstream.errors import UsageError, WireError
from swimstream.model.job import (
    ANTI_AFFINITIES,
    AT_LEAST_ONE,
    CONFLICTS,
    GUARANTEES,
    KEEP_REPLACEMENT,
    LABEL_BYTES_MAX,
    OPERATORS_MAX,
    PARALLELISM_MAX,
    SCOPE_INSTANCE,
    SCOPES,
    SITES_MAX,
    SLOTS_MAX,
    STANDBY_MAX,
    JobSpec,
    OperatorSpec,
    Parameter,
)
from swimstream.model.job_faults import check_job
from swimstream.model.restart import ATTEMPTS_MAX, STRATEGIES, USUAL_RESTART, RestartStrategy
from swimstream.wire import checks


def read_job(item: object) -> JobSpec:
    """Return the job of an item, well formed; raise `WireError` otherwise."""
    label, operators = checks.exactly(item, "Job", 2)
    job = JobSpec(
        name=checks.name(label, "Job.name"),
        operators=tuple(
            _read_operator(each) for each in checks.items(operators, "Job.operators", low=1, high=OPERATORS_MAX)
        ),
    )
    known = {spec.name for spec in job.operators}
    for spec in job.operators:
        # Before `check_job`, which names every fault at length: a stranger could make that long indeed.
        if not known.issuperset(spec.inputs):
            raise WireError("Job.inputs: expected names of operators of the job")
    try:
        return check_job(job)
    except UsageError as error:
        raise WireError(f"Job: {str(error)[:200]}") from error


def _read_operator(item: object) -> OperatorSpec:
    first, newer = checks.one_of_lengths(item, "Operator", 6, 8, 9)
    label, kind, parallelism, inputs, site, parameters = first
    if type(parameters) is not dict:
        raise WireError("Operator.parameters: expected a map")
    sources = checks.items(inputs, "Operator.inputs", high=OPERATORS_MAX)
    return OperatorSpec(
        name=checks.name(label, "Operator.name"),
        kind=checks.name(kind, "Operator.kind"),
        parallelism=checks.integer(parallelism, "Operator.parallelism", low=1, high=PARALLELISM_MAX),
        inputs=tuple(checks.name(each, "Operator.inputs") for each in sources),
        prefer_site=checks.name_or_empty(site, "Operator.prefer_site"),
        parameters={_key(key): _read_parameter(value) for key, value in parameters.items()},
        **_read_guarantee(newer[:2], may_be_usual=len(newer) > 2),
        **_read_wishes(newer[2:]),
    )


class _Guarantee(TypedDict, total=False):
    instances: str
    hold_for_s: float


def _read_guarantee(items: list[object], *, may_be_usual: bool) -> _Guarantee:
    """Return the fields that an operator has beyond the first six; `check_job` looks whether they make sense."""
    if not items:
        return {}
    instances, hold_for_s = items
    if type(hold_for_s) is not float:
        raise WireError(f"Operator.hold_for_s: expected a float, got {type(hold_for_s).__name__}")
    if instances == AT_LEAST_ONE and not hold_for_s and not may_be_usual:
        raise WireError("Operator: expected the shorter form, since nothing stands in the longer one")
    return {
        "instances": checks.text(instances, "Operator.instances", bytes_max=max(map(len, GUARANTEES))),
        "hold_for_s": hold_for_s,
    }


class _Wishes(TypedDict, total=False):
    blocking: tuple[str, ...]
    failover: str
    sites: tuple[str, ...]
    labels: dict[str, str]
    anti_affinity: str
    slots: int
    stall_after_s: float
    standby: int
    on_conflict: str
    restart: RestartStrategy


def _read_wishes(items: list[object]) -> _Wishes:
    """Return what an operator asks for beyond its guarantee; `check_job` looks whether it makes sense."""
    if not items:
        return {}
    (table,) = items
    if type(table) is not dict or not table:
        raise WireError("Operator: expected a table that is not empty, or the shorter form")
    read: _Wishes = {}
    for name, value in table.items():
        if not value:
            raise WireError("Operator: expected nothing where all is as usual")
        match name:
            case "blocking" | "sites":
                high = OPERATORS_MAX if name == "blocking" else SITES_MAX
                names = tuple(checks.name(each, f"Operator.{name}") for each in checks.items(value, name, high=high))
                read["blocking" if name == "blocking" else "sites"] = names
            case "failover":
                read["failover"] = _one_of(value, "Operator.failover", SCOPES, usual=SCOPE_INSTANCE)
            case "anti_affinity":
                read["anti_affinity"] = _one_of(value, "Operator.anti_affinity", ANTI_AFFINITIES, usual="")
            case "on_conflict":
                read["on_conflict"] = _one_of(value, "Operator.on_conflict", CONFLICTS, usual=KEEP_REPLACEMENT)
            case "slots":
                read["slots"] = checks.integer(value, "Operator.slots", low=2, high=SLOTS_MAX)
            case "standby":
                read["standby"] = checks.integer(value, "Operator.standby", low=1, high=STANDBY_MAX)
            case "stall_after_s":
                read["stall_after_s"] = _float(value, "Operator.stall_after_s")
            case "labels":
                read["labels"] = _read_labels(value)
            case "restart":
                read["restart"] = _read_restart(value)
            case _:
                raise WireError("Operator: expected none but the known wishes")
    return read


def _read_labels(item: object) -> dict[str, str]:
    if type(item) is not dict:
        raise WireError("Operator.labels: expected a map")
    return {
        checks.name(key, "Operator.labels"): checks.text(value, "Operator.labels", bytes_max=LABEL_BYTES_MAX)
        for key, value in item.items()
    }


def _read_restart(item: object) -> RestartStrategy:
    where = "Operator.restart"
    strategy, attempts, *delays, in_place = checks.exactly(item, where, 9)
    delay_s, delay_max_s, multiplier, jitter, reset_after_s, interval_s = (_float(each, where) for each in delays)
    made = RestartStrategy(
        strategy=_one_of(strategy, where, STRATEGIES, usual=""),
        attempts=checks.integer(attempts, where, high=ATTEMPTS_MAX),
        delay_s=delay_s,
        delay_max_s=delay_max_s,
        multiplier=multiplier,
        jitter=jitter,
        reset_after_s=reset_after_s,
        interval_s=interval_s,
        in_place=checks.integer(in_place, where, high=ATTEMPTS_MAX),
    )
    if made == USUAL_RESTART:
        raise WireError(f"{where}: expected nothing where all is as usual")
    return made


def _one_of(value: object, field: str, known: tuple[str, ...], *, usual: str) -> str:
    if type(value) is not str or value not in known or value == usual:
        raise WireError(f"{field}: expected one of {', '.join(each for each in known if each != usual)}")
    return value


def _float(value: object, field: str) -> float:
    if type(value) is not float or not math.isfinite(value):
        raise WireError(f"{field}: expected a finite float")
    return value


def _read_parameter(value: object) -> Parameter:
    """Return the canonical form of a parameter: arrays are tuples, tables are dicts, numbers are finite."""
    match value:
        case str() | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case list():
            return tuple(_read_parameter(inner) for inner in value)
        case dict():
            return {_key(key): _read_parameter(inner) for key, inner in value.items()}
        case _:
            raise WireError(f"Operator.parameters: expected JSON-like values, got {type(value).__name__}")


def _key(key: object) -> str:
    if type(key) is not str:
        raise WireError(f"Operator.parameters: expected keys of text, got {type(key).__name__}")
    return key
