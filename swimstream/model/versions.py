"""What a new version of a job changes: which operators are out of date, and what no update can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.model.job import AT_MOST_ONE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from swimstream.model.job import JobSpec, OperatorSpec

CANCELLED_KEPT = 256
"""So many cancelled jobs stay known; beyond that the oldest of which nothing is left leave the plan."""
RETIRED_MAX = 4_096
"""So many operators that are not at-most-one can be taken from one job."""


def outdated(before: JobSpec, after: JobSpec) -> frozenset[str]:
    """Return the operators of `after` whose running instances must be restarted.

    Those whose definition differs, but for their parallelism, and those that see other neighbours than before.
    """
    known = {spec.name: spec for spec in before.operators}
    return frozenset(
        spec.name
        for spec in after.operators
        if spec.name in known
        and (
            _definition(known[spec.name]) != _definition(spec)
            or before.inputs_of(spec.name) != after.inputs_of(spec.name)
            or before.outputs_of(spec.name) != after.outputs_of(spec.name)
        )
    )


def removed(before: JobSpec, after: JobSpec) -> tuple[str, ...]:
    """Return the operators that are gone and were not at-most-one: a copy of them may go on where nobody reaches it."""
    kept = {spec.name for spec in after.operators}
    return tuple(spec.name for spec in before.operators if spec.name not in kept and spec.instances != AT_MOST_ONE)


def refusal_of_update(before: JobSpec, after: JobSpec, *, retired: Collection[str] = ()) -> str:
    """Return why `after` cannot follow on `before`, or nothing. `retired`: what earlier versions have `removed`."""
    known = {spec.name: spec.instances for spec in before.operators}
    for spec in after.operators:
        guarantee = known.get(spec.name)
        if guarantee is not None and guarantee != spec.instances:
            return (
                f"{spec.name}.instances: expected {guarantee!r} as before, got {spec.instances!r}: copies under the "
                "other guarantee may still run; give the operator another name"
            )
    if error := refusal_of_names((spec for spec in after.operators if spec.name not in known), retired):
        return error
    if len(retired) + len(removed(before, after)) > RETIRED_MAX:
        return f"operators: expected at most {RETIRED_MAX} to be taken from one job; submit another job instead"
    return ""


def refusal_of_names(operators: Iterable[OperatorSpec], retired: Collection[str]) -> str:
    """Return why these cannot begin in a job which had the `retired` ones before, or nothing."""
    for spec in operators:
        if spec.instances == AT_MOST_ONE and spec.name in retired:
            return (
                f"{spec.name}.instances: an earlier version had an operator of this name that was not at-most-one, "
                "and copies of it may still run; give this one another name"
            )
    return ""


def _definition(spec: OperatorSpec) -> OperatorSpec:
    return attrs.evolve(spec, parallelism=1)
