"""Jobs → CBOR items; `job_reader.py` reads them back. An operator that asks for nothing new keeps its older form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from swimstream.model.job import (
    AT_LEAST_ONE,
    KEEP_REPLACEMENT,
    SCOPE_INSTANCE,
    JobSpec,
    OperatorSpec,
    Parameter,
)
from swimstream.model.restart import USUAL_RESTART

if TYPE_CHECKING:
    from swimstream.model.restart import RestartStrategy


def job_item(job: JobSpec) -> list[object]:
    """Return the item of a job that has passed `check_job`."""
    return [
        job.name,
        [
            [
                spec.name,
                spec.kind,
                spec.parallelism,
                list(spec.inputs),
                spec.prefer_site,
                _parameter_item(spec.parameters),
                *_later_items(spec),
            ]
            for spec in job.operators
        ],
    ]


def _later_items(spec: OperatorSpec) -> tuple[object, ...]:
    guarantee = (spec.instances, spec.hold_for_s)
    wishes = _wishes_item(spec)
    if wishes:
        return (*guarantee, wishes)
    return () if guarantee == (AT_LEAST_ONE, 0.0) else guarantee


def _wishes_item(spec: OperatorSpec) -> dict[str, object]:
    """Return what the operator asks for beyond its guarantee, by name; what is as usual is left out."""
    wishes: dict[str, object] = {
        "blocking": list(spec.blocking),
        "failover": "" if spec.failover == SCOPE_INSTANCE else spec.failover,
        "sites": list(spec.sites),
        "labels": dict(spec.labels),
        "anti_affinity": spec.anti_affinity,
        "slots": 0 if spec.slots == 1 else spec.slots,
        "stall_after_s": spec.stall_after_s,
        "standby": spec.standby,
        "on_conflict": "" if spec.on_conflict == KEEP_REPLACEMENT else spec.on_conflict,
        "restart": _restart_item(spec.restart) if spec.restart != USUAL_RESTART else [],
    }
    return {name: value for name, value in wishes.items() if value}


def _restart_item(made: RestartStrategy) -> list[object]:
    delays = (made.delay_s, made.delay_max_s, made.multiplier, made.jitter, made.reset_after_s, made.interval_s)
    return [made.strategy, made.attempts, *delays, made.in_place]


def _parameter_item(value: Parameter) -> object:
    match value:
        case str() | bool() | int() | float():
            return value
        case Mapping():
            return {key: _parameter_item(inner) for key, inner in value.items()}
        case _:
            return [_parameter_item(inner) for inner in value]
