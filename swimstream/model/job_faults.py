"""What is wrong with a job: validated as a whole, all errors at once, each with its field."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from swimstream.errors import UsageError
from swimstream.model.identity import NAME_PATTERN, NAME_WORDS
from swimstream.model.job import (
    ANTI_AFFINITIES,
    APART_SITE,
    AT_LEAST_ONE,
    CONFLICTS,
    FURTHEST_PROGRESS,
    GUARANTEES,
    HOLD_FOR_S_MAX,
    KEEP_REPLACEMENT,
    LABEL_BYTES_MAX,
    LABELS_MAX,
    OPERATORS_MAX,
    PARALLELISM_MAX,
    PARAMETER_WORDS,
    PARAMETERS_DEPTH_MAX,
    PINNED,
    SCOPES,
    SITES_MAX,
    SLOTS_MAX,
    STALL_AFTER_S_MAX,
    STALL_AFTER_S_MIN,
    STANDBY_MAX,
    JobSpec,
    OperatorSpec,
    Parameter,
)
from swimstream.model.job_types import type_faults
from swimstream.model.restart import restart_faults


def check_job(job: JobSpec) -> JobSpec:
    """Return `job` if it is well formed; else raise one `UsageError` that lists every fault with its field."""
    faults = list(type_faults(job)) or list(_faults(job))
    if faults:
        raise UsageError("\n".join(faults))
    return job


def _faults(job: JobSpec) -> Iterator[str]:
    if not NAME_PATTERN.fullmatch(job.name):
        yield f"name: expected {NAME_WORDS}, got {job.name!r}"
    if not 1 <= len(job.operators) <= OPERATORS_MAX:
        yield f"operators: expected 1 to {OPERATORS_MAX}, got {len(job.operators)}"
    first: dict[str, int] = {}
    for position, spec in enumerate(job.operators):
        first.setdefault(spec.name, position)
    for position, spec in enumerate(job.operators):
        where = f"operators[{position}]"
        if first[spec.name] < position:
            yield f"{where}.name: {spec.name!r} is the name of operators[{first[spec.name]}] already"
        yield from _operator_faults(where, spec, first)
    yield from _cycle_faults(job)


def _operator_faults(where: str, spec: OperatorSpec, names: Mapping[str, int]) -> Iterator[str]:
    if not NAME_PATTERN.fullmatch(spec.name):
        yield f"{where}.name: expected {NAME_WORDS}, got {spec.name!r}"
    if not NAME_PATTERN.fullmatch(spec.kind):
        yield f"{where}.kind: expected {NAME_WORDS}, got {spec.kind!r}"
    if spec.prefer_site and not NAME_PATTERN.fullmatch(spec.prefer_site):
        yield f"{where}.prefer_site: expected the name of a site or nothing, got {spec.prefer_site!r}"
    copies: object = spec.parallelism
    if isinstance(copies, bool) or not isinstance(copies, int) or not 1 <= copies <= PARALLELISM_MAX:
        yield f"{where}.parallelism: expected an integer from 1 to {PARALLELISM_MAX}, got {copies!r}"
    yield from _guarantee_faults(where, spec)
    yield from _life_faults(where, spec)
    if len(set(spec.inputs)) < len(spec.inputs):
        yield f"{where}.inputs: expected each operator once, got {', '.join(spec.inputs)}"
    for source in spec.inputs:
        if source not in names:
            yield f"{where}.inputs: no operator of this job is named {source!r} (there are: {', '.join(names)})"
    for key, value in spec.parameters.items():
        yield from _key_faults(f"{where}.parameters", key)
        yield from _parameter_faults(f"{where}.parameters.{key}", value, PARAMETERS_DEPTH_MAX)


def _guarantee_faults(where: str, spec: OperatorSpec) -> Iterator[str]:
    if spec.instances not in GUARANTEES:
        yield f"{where}.instances: expected one of {', '.join(GUARANTEES)}, got {spec.instances!r}"
    hold: object = spec.hold_for_s
    if not isinstance(hold, float) or not 0 <= hold <= HOLD_FOR_S_MAX:
        yield f"{where}.hold_for_s: expected 0 to {HOLD_FOR_S_MAX:.0f} s, got {hold!r}"
    elif hold and spec.instances == PINNED:
        yield f"{where}.hold_for_s: expected nothing for a pinned operator, which never moves"


def _life_faults(where: str, spec: OperatorSpec) -> Iterator[str]:
    if len(set(spec.blocking)) < len(spec.blocking):
        yield f"{where}.blocking: expected each operator once, got {', '.join(spec.blocking)}"
    for source in spec.blocking:
        if source not in spec.inputs:
            yield f"{where}.blocking: expected one of its inputs ({', '.join(spec.inputs)}), got {source!r}"
    yield from restart_faults(f"{where}.restart", spec.restart)
    for field, value, known in (
        ("failover", spec.failover, SCOPES),
        ("anti_affinity", spec.anti_affinity, ANTI_AFFINITIES),
        ("on_conflict", spec.on_conflict, CONFLICTS),
    ):
        if value not in known:
            yield f"{where}.{field}: expected one of {', '.join(map(repr, known))}, got {value!r}"
    for field, count, low, high in (
        ("slots", spec.slots, 1, SLOTS_MAX),
        ("standby", spec.standby, 0, STANDBY_MAX),
    ):
        given: object = count
        if isinstance(given, bool) or not isinstance(given, int) or not low <= given <= high:
            yield f"{where}.{field}: expected an integer from {low} to {high}, got {given!r}"
    if spec.standby and spec.instances == PINNED:
        yield f"{where}.standby: expected 0 for a pinned operator, which never moves"
    if spec.on_conflict == FURTHEST_PROGRESS and spec.instances != AT_LEAST_ONE:
        yield (
            f"{where}.on_conflict: expected {KEEP_REPLACEMENT!r} for an operator that is {spec.instances}, "
            "of which there are never two copies"
        )
    stall: object = spec.stall_after_s
    if not isinstance(stall, float) or not (stall == 0 or STALL_AFTER_S_MIN <= stall <= STALL_AFTER_S_MAX):
        span = f"{STALL_AFTER_S_MIN} to {STALL_AFTER_S_MAX:.0f} s, or 0 for never"
        yield f"{where}.stall_after_s: expected {span}, got {stall!r}"
    yield from _place_faults(where, spec)


def _place_faults(where: str, spec: OperatorSpec) -> Iterator[str]:
    if len(spec.sites) > SITES_MAX or len(set(spec.sites)) < len(spec.sites):
        yield f"{where}.sites: expected at most {SITES_MAX} sites, each once, got {', '.join(map(str, spec.sites))}"
    for site in spec.sites:
        if not NAME_PATTERN.fullmatch(site):
            yield f"{where}.sites: expected names of sites, got {site!r}"
    if spec.prefer_site and spec.sites and spec.prefer_site not in spec.sites:
        yield f"{where}.prefer_site: expected one of its sites ({', '.join(spec.sites)}), got {spec.prefer_site!r}"
    if spec.anti_affinity == APART_SITE and spec.sites and len(spec.sites) < _count(spec.parallelism):
        yield (
            f"{where}.anti_affinity: {spec.parallelism} instances cannot each have a site of their own in "
            f"{len(spec.sites)} ({', '.join(spec.sites)})"
        )
    if len(spec.labels) > LABELS_MAX:
        yield f"{where}.labels: expected at most {LABELS_MAX}, got {len(spec.labels)}"
    for key, value in spec.labels.items():
        given: object = value
        if not NAME_PATTERN.fullmatch(key):
            yield f"{where}.labels: expected names of tags, got {key!r}"
        elif not isinstance(given, str) or len(given.encode("utf-8", "replace")) > LABEL_BYTES_MAX:
            yield f"{where}.labels.{key}: expected text of at most {LABEL_BYTES_MAX} bytes, got {given!r}"
        else:
            yield from _text_faults(f"{where}.labels.{key}", given)


def _count(parallelism: object) -> int:
    return parallelism if isinstance(parallelism, int) else 0


def _parameter_faults(where: str, value: Parameter, depth: int) -> Iterator[str]:
    if isinstance(value, bool | int | float | str):
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            yield f"{where}: expected an integer of 64 bits, got {value}"
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{where}: expected a finite number, got {value}"
        if isinstance(value, str):
            yield from _text_faults(where, value)
        return
    if depth == 0:
        yield f"{where}: expected at most {PARAMETERS_DEPTH_MAX} levels of nesting"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _key_faults(where, key)
            yield from _parameter_faults(f"{where}.{key}", inner, depth - 1)
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            yield from _parameter_faults(f"{where}[{position}]", inner, depth - 1)
    else:
        yield f"{where}: expected {PARAMETER_WORDS}, got {type(value).__name__}"


def _key_faults(where: str, key: object) -> Iterator[str]:
    if isinstance(key, str):
        yield from _text_faults(where, key)
    else:
        yield f"{where}: expected keys of text, got {key!r}"


def _text_faults(where: str, text: str) -> Iterator[str]:
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        yield f"{where}: expected text that is Unicode, got half a surrogate pair in {text!r}"


def _cycle_faults(job: JobSpec) -> Iterator[str]:
    names = {spec.name for spec in job.operators}
    graph = {spec.name: sorted(names.intersection(spec.inputs)) for spec in job.operators}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"operators: inputs must not form a cycle, but these do: {' → '.join(error.args[1])}"
