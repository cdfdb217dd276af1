"""Which instances each run holds by a plan: an index of its assignments, kept up while the plan is being changed.

Without it, who wants to know what one worker holds looks through all that anybody holds, for each change of the plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from swimstream.model.assignment import Assignment
    from swimstream.model.identity import InstanceId, Run

NOTHING: frozenset[InstanceId] = frozenset()


def held_by_run(assignments: Iterable[Assignment]) -> dict[Run, AbstractSet[InstanceId]]:
    """Return what each run holds, finished or not; who holds nothing is left out."""
    held: dict[Run, set[InstanceId]] = {}
    for each in assignments:
        held.setdefault(each.run, set()).add(each.instance)
    return dict(held)


class HoldingsDraft:
    """The same while assignments change. Sets are copied when they first differ from those that it began with."""

    def __init__(self, base: Mapping[Run, AbstractSet[InstanceId]]) -> None:
        """Begin with `base`, which stays as it is."""
        self._held = dict(base)
        self._changed: dict[Run, set[InstanceId]] = {}

    def of(self, run: Run) -> AbstractSet[InstanceId]:
        """Return what a run holds."""
        return self._held.get(run, NOTHING)

    def runs_of(self, name: str) -> list[Run]:
        """Return the runs of a name that hold something, sorted."""
        return sorted(run for run in self._held if run.name == name)

    def take(self, instance: InstanceId, run: Run) -> None:
        """Take an instance from a run that holds it."""
        left = self._change(run)
        left.remove(instance)
        if not left:
            del self._held[run], self._changed[run]

    def give(self, instance: InstanceId, run: Run) -> None:
        """Give an instance to a run; nobody else may hold it."""
        self._change(run).add(instance)

    def held(self) -> dict[Run, AbstractSet[InstanceId]]:
        """Return what has become of it; the draft must not be changed any more."""
        return self._held

    def _change(self, run: Run) -> set[InstanceId]:
        changed = self._changed.get(run)
        if changed is None:
            changed = self._changed[run] = set(self.of(run))
            self._held[run] = changed
        return changed
