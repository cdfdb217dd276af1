"""A job: a dataflow of operators, each in `parallelism` instances. Validated as a whole, all errors at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import attrs

from swimstream.errors import UsageError
from swimstream.model.identity import NAME_PATTERN, InstanceId

PARALLELISM_MAX = 1_024
OPERATORS_MAX = 1_024
PARAMETERS_DEPTH_MAX = 4
HOLD_FOR_S_MAX = 604_800.0

AT_LEAST_ONE = "at-least-one"
"""Runs somewhere again as soon as its worker's death is decided; for a while it may run twice."""
AT_MOST_ONE = "at-most-one"
"""Never runs in two places at once; for a while it may run nowhere."""
PINNED = "pinned"
"""Belongs to the worker that it was first given to, and waits for that name to come back."""
GUARANTEES = (AT_LEAST_ONE, AT_MOST_ONE, PINNED)

PARAMETER_WORDS = "text, a number, a boolean, or a list or table of them"
Parameter = str | int | float | bool | Sequence["Parameter"] | Mapping[str, "Parameter"]


def _canonical(value: Parameter) -> Parameter:
    """Return `value` with tuples for lists and dicts for tables, so that equal jobs stay equal over the wire."""
    if isinstance(value, Mapping):
        return {key: _canonical(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_canonical(inner) for inner in value)
    return value


def _canonical_table(table: Mapping[str, Parameter]) -> Mapping[str, Parameter]:
    return {key: _canonical(value) for key, value in table.items()}


def _seconds(value: float) -> float:
    """Return a number in range as a float, and never as -0.0, so that equal jobs have equal bytes; else as it is."""
    return value + 0.0 if type(value) in (int, float) and 0 <= value <= HOLD_FOR_S_MAX else value


def _frozen_names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def _frozen_operators(operators: Iterable[OperatorSpec]) -> tuple[OperatorSpec, ...]:
    return tuple(operators)


@attrs.frozen(kw_only=True)
class OperatorSpec:
    """A node of the dataflow. `prefer_site` is a wish: the operator runs elsewhere when the site has no room."""

    name: str
    kind: str
    parallelism: int = 1
    inputs: tuple[str, ...] = attrs.field(default=(), converter=_frozen_names)
    """Names of the operators of the same job whose output it reads."""
    prefer_site: str = ""
    parameters: Mapping[str, Parameter] = attrs.field(factory=dict, converter=_canonical_table)
    """Handed to the operator; JSON-like values, with tuples for lists."""
    instances: str = AT_LEAST_ONE
    """The guarantee for each instance: one of `GUARANTEES`."""
    hold_for_s: float = attrs.field(default=0.0, converter=_seconds)
    """After its worker's death an instance is left alone for so long before it moves, 0 to 604,800 s."""


@attrs.frozen(kw_only=True)
class JobSpec:
    """A named dataflow. Equal specs are the same job: submitting one twice does nothing the second time."""

    name: str
    operators: tuple[OperatorSpec, ...] = attrs.field(converter=_frozen_operators)

    def operator(self, name: str) -> OperatorSpec:
        """Return the operator of that name; raise `KeyError` if the job has none."""
        for spec in self.operators:
            if spec.name == name:
                return spec
        raise KeyError(name)

    def has(self, instance: InstanceId) -> bool:
        """Return whether `instance` is one of this job's."""
        return any(spec.name == instance.operator and instance.index < spec.parallelism for spec in self.operators)

    def inputs_of(self, name: str) -> tuple[InstanceId, ...]:
        """Return all instances of the operators that `name` reads, in the order of its `inputs`."""
        return self._instances_of(self.operator(source) for source in self.operator(name).inputs)

    def outputs_of(self, name: str) -> tuple[InstanceId, ...]:
        """Return all instances of the operators that read `name`, in the order of the job."""
        return self._instances_of(spec for spec in self.operators if name in spec.inputs)

    def instances(self) -> Iterator[InstanceId]:
        """Yield every instance, in the order of the operators."""
        yield from self._instances_of(self.operators)

    def _instances_of(self, specs: Iterable[OperatorSpec]) -> tuple[InstanceId, ...]:
        return tuple(InstanceId(self.name, spec.name, index) for spec in specs for index in range(spec.parallelism))


def check_job(job: JobSpec) -> JobSpec:
    """Return `job` if it is well formed; else raise one `UsageError` that lists every fault with its field."""
    faults = list(_faults(job))
    if faults:
        raise UsageError("\n".join(faults))
    return job


def _faults(job: JobSpec) -> Iterator[str]:
    if not NAME_PATTERN.fullmatch(job.name):
        yield f"name: expected letters, digits, '.', '_' or '-', got {job.name!r}"
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
        yield f"{where}.name: expected letters, digits, '.', '_' or '-', got {spec.name!r}"
    if not NAME_PATTERN.fullmatch(spec.kind):
        yield f"{where}.kind: expected letters, digits, '.', '_' or '-', got {spec.kind!r}"
    if spec.prefer_site and not NAME_PATTERN.fullmatch(spec.prefer_site):
        yield f"{where}.prefer_site: expected the name of a site or nothing, got {spec.prefer_site!r}"
    copies: object = spec.parallelism
    if isinstance(copies, bool) or not isinstance(copies, int) or not 1 <= copies <= PARALLELISM_MAX:
        yield f"{where}.parallelism: expected an integer from 1 to {PARALLELISM_MAX}, got {copies!r}"
    yield from _guarantee_faults(where, spec)
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
