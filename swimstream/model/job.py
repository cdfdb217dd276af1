"""A job: a dataflow of operators, each in `parallelism` instances. `job_faults.py` validates it as a whole."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import attrs

from swimstream.model.identity import InstanceId
from swimstream.model.restart import USUAL_RESTART, RestartStrategy

PARALLELISM_MAX = 1_024
OPERATORS_MAX = 1_024
PARAMETERS_DEPTH_MAX = 4
HOLD_FOR_S_MAX = 604_800.0
STALL_AFTER_S_MIN = 0.2
"""Below that, what an operator says would arrive too late to excuse it."""
STALL_AFTER_S_MAX = 604_800.0
SLOTS_MAX = 1_024
STANDBY_MAX = 7
SITES_MAX = 64
LABELS_MAX = 32
LABEL_BYTES_MAX = 128

AT_LEAST_ONE = "at-least-one"
"""Runs somewhere again as soon as its worker's death is decided; for a while it may run twice."""
AT_MOST_ONE = "at-most-one"
"""Never runs in two places at once; for a while it may run nowhere."""
PINNED = "pinned"
"""Belongs to the worker that it was first given to, and waits for that name to come back."""
GUARANTEES = (AT_LEAST_ONE, AT_MOST_ONE, PINNED)

SCOPE_INSTANCE = "instance"
SCOPE_REGION = "region"
"""All instances that are tied to it by pipelined edges restart with it."""
SCOPE_JOB = "job"
SCOPES = (SCOPE_INSTANCE, SCOPE_REGION, SCOPE_JOB)

APART_NOT = ""
APART_WORKER = "worker"
APART_SITE = "site"
ANTI_AFFINITIES = (APART_NOT, APART_WORKER, APART_SITE)
"""No two instances of the operator on one worker, or in one site."""

KEEP_REPLACEMENT = "keep-replacement"
"""Whoever was given the instance since keeps it."""
FURTHEST_PROGRESS = "furthest-progress"
"""The copy that has come further is gone on with; see `core/recovery/conflicts.py`."""
CONFLICTS = (KEEP_REPLACEMENT, FURTHEST_PROGRESS)

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
    return {key: _canonical(value) for key, value in table.items()} if _is(table, Mapping) else table


def _seconds(value: float) -> float:
    """Return a number in range as a float, and never as -0.0, so that equal jobs have equal bytes; else as it is."""
    return value + 0.0 if type(value) in (int, float) and 0 <= value <= HOLD_FOR_S_MAX else value


def _labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    return dict(labels) if _is(labels, Mapping) else labels


def _is(value: object, kind: type) -> bool:
    """Return whether a value is what its field wants. If not it stays as it is, and `job_types.py` names the field."""
    return isinstance(value, kind) and not isinstance(value, str)


def _frozen_names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names) if _is(names, Iterable) else cast("tuple[str, ...]", names)


def _frozen_operators(operators: Iterable[OperatorSpec]) -> tuple[OperatorSpec, ...]:
    return tuple(operators) if _is(operators, Iterable) else cast("tuple[OperatorSpec, ...]", operators)


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
    blocking: tuple[str, ...] = attrs.field(default=(), converter=_frozen_names)
    """Those of `inputs` that must have finished before it begins; the other edges are pipelined."""
    restart: RestartStrategy = USUAL_RESTART
    failover: str = SCOPE_INSTANCE
    """What restarts when one of its instances fails or moves: one of `SCOPES`."""
    sites: tuple[str, ...] = attrs.field(default=(), converter=_frozen_names)
    """It runs in these sites only; empty: in any."""
    labels: Mapping[str, str] = attrs.field(factory=dict, converter=_labels)
    """It runs only on workers that have all these tags."""
    anti_affinity: str = APART_NOT
    """One of `ANTI_AFFINITIES`."""
    slots: int = 1
    """How much of a worker's capacity each instance takes, 1 to 1,024."""
    stall_after_s: float = attrs.field(default=0.0, converter=_seconds)
    """Without progress for so long while input waits it is STALLED, 0.2 to 604,800 s; 0: never."""
    standby: int = 0
    """So many workers keep each instance warm, 0 to 7, to take over at once."""
    on_conflict: str = KEEP_REPLACEMENT
    """What is done when a worker that was given up returns, and its copy has gone on: one of `CONFLICTS`."""


@attrs.frozen(kw_only=True)
class JobSpec:
    """A named dataflow. Equal specs are the same job: submitting one twice does nothing the second time."""

    name: str
    operators: tuple[OperatorSpec, ...] = attrs.field(converter=_frozen_operators)

    @functools.cached_property
    def _by_name(self) -> Mapping[str, OperatorSpec]:
        return {spec.name: spec for spec in self.operators}

    def operator(self, name: str) -> OperatorSpec:
        """Return the operator of that name; raise `KeyError` if the job has none."""
        return self._by_name[name]

    def has(self, instance: InstanceId) -> bool:
        """Return whether `instance` is one of this job's."""
        spec = self._by_name.get(instance.operator)
        return spec is not None and instance.index < spec.parallelism

    def inputs_of(self, name: str) -> tuple[InstanceId, ...]:
        """Return all instances of the operators that `name` reads, in the order of its `inputs`."""
        return self._instances_of(self.operator(source) for source in self.operator(name).inputs)

    def outputs_of(self, name: str) -> tuple[InstanceId, ...]:
        """Return all instances of the operators that read `name`, in the order of the job."""
        return self._instances_of(spec for spec in self.operators if name in spec.inputs)

    def region_of(self, name: str) -> tuple[str, ...]:
        """Return the operators that pipelined edges tie to `name`, itself included, in the order of the job.

        Every instance reads from all instances of an input, so they are tied as whole operators.
        """
        tied = [{spec.name, source} for spec in self.operators for source in spec.inputs if source not in spec.blocking]
        region, before = {name}, set[str]()
        while region != before:
            before = region
            region = region.union(*(pair for pair in tied if pair & region))
        return tuple(spec.name for spec in self.operators if spec.name in region)

    def instances_of(self, name: str) -> tuple[InstanceId, ...]:
        """Return all instances of one operator."""
        return self._instances_of([self.operator(name)])

    def instances(self) -> Iterator[InstanceId]:
        """Yield every instance, in the order of the operators."""
        yield from self._instances_of(self.operators)

    def _instances_of(self, specs: Iterable[OperatorSpec]) -> tuple[InstanceId, ...]:
        return tuple(InstanceId(self.name, spec.name, index) for spec in specs for index in range(spec.parallelism))
