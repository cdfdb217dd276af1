"""What is new in a view, so that a peer in another process need not send everything it knows ten times a second.

A view is one immutable value, most of which is the same as before: the very same objects, so that they are told apart
from new ones at the cost of a look. Members and statuses travel by their places, tables by their keys, and the plan, if
it has changed at all, field by field. Both sides hold the view that was sent last; nothing is lost on the way between
two processes of one machine, so no numbers are needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from swimstream.model.coordinate import Coordinate
from swimstream.model.history import Decision
from swimstream.model.identity import InstanceId, Run
from swimstream.model.member import Member
from swimstream.model.plan import DECISIONS_KEPT, Plan, PlanMark
from swimstream.model.status import InstanceStatus
from swimstream.runtime.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


Order = str | tuple[str, str, int]
K = TypeVar("K")
V = TypeVar("V")

PLAN_TABLES = ("jobs", "assignments")
"""The fields of a plan that are large, and change in few places at a time."""


@attrs.frozen
class TableChanges(Generic[K, V]):
    """From one table to the next."""

    put: Mapping[K, V]
    removed: tuple[K, ...]

    @classmethod
    def between(cls, old: Mapping[K, V], new: Mapping[K, V]) -> TableChanges[K, V]:
        """Return how `new` differs from `old`."""
        if new is old:
            return cls({}, ())
        # as a rule it is a copy with some values replaced and some keys behind: that is seen without hashing any
        if len(old) <= len(new) and all(one is other for one, other in zip(old, new, strict=False)):
            pairs = zip(old.values(), new.items(), strict=False)
            put = {key: after for before, (key, after) in pairs if not _is_same(before, after)}
            put |= itertools.islice(new.items(), len(old), None)
            return cls(put, ())
        put = {key: value for key, value in new.items() if not _is_same(old.get(key), value)}
        removed = tuple(key for key in old if key not in new)
        return cls(put, removed)

    def apply(self, old: Mapping[K, V]) -> Mapping[K, V]:
        """Return the table that follows `old`; the same one if nothing has changed."""
        if not self.put and not self.removed:
            return old
        new = {**old, **self.put}
        for key in self.removed:
            del new[key]
        return new


@attrs.frozen
class RowChanges(Generic[K, V]):
    """From one sorted row to the next."""

    replaced: Mapping[int, V]
    """What stands at some places now, if the row is as long as before: as a rule nothing has come or gone."""
    table: TableChanges[K, V] | None
    """Else what has changed by key."""

    @classmethod
    def between(cls, old: tuple[V, ...], new: tuple[V, ...], key_of: Callable[[V], K]) -> RowChanges[K, V]:
        """Return how `new` differs from `old`."""
        if new is old:
            return cls({}, None)
        if len(old) == len(new):
            pairs = enumerate(zip(old, new, strict=True))
            return cls({place: after for place, (before, after) in pairs if not _is_same(before, after)}, None)
        return cls({}, TableChanges.between(_table(old, key_of), _table(new, key_of)))

    def apply(self, old: tuple[V, ...], key_of: Callable[[V], K], order: Callable[[K], Order]) -> tuple[V, ...]:
        """Return the row that follows `old`; the same one if nothing has changed."""
        if self.table is not None:
            table = self.table.apply(_table(old, key_of))
            return tuple(table[key] for key in sorted(table, key=order))
        if not self.replaced:
            return old
        new = list(old)
        for place, value in self.replaced.items():
            new[place] = value
        return tuple(new)


@attrs.frozen
class PlanChanges:
    """From one plan to the next."""

    tables: tuple[tuple[str, TableChanges[object, object]], ...]
    decisions: tuple[Decision, ...]
    """Those above the newest one that is known."""
    others: tuple[tuple[str, object], ...]
    """Every other field, whole, if it is not the same."""

    @classmethod
    def between(cls, old: Plan, new: Plan) -> PlanChanges:
        """Return how `new` differs from `old`."""
        tables, others = [], []
        for field in attrs.fields(Plan):
            before, after = getattr(old, field.name), getattr(new, field.name)
            if field.name in PLAN_TABLES:
                tables.append((field.name, TableChanges.between(before, after)))
            elif field.name != "decisions" and not _is_same(before, after):
                others.append((field.name, after))
        newest = old.decisions[-1].index if old.decisions else 0
        decisions = tuple(each for each in new.decisions if each.index > newest)
        if (*old.decisions, *decisions)[-DECISIONS_KEPT:] != new.decisions:  # another history: as after a snapshot
            others.append(("decisions", new.decisions))
            decisions = ()
        return cls(tuple(tables), decisions, tuple(others))

    def apply(self, old: Plan) -> Plan:
        """Return the plan that follows `old`."""
        fields: dict[str, object] = {name: changes.apply(getattr(old, name)) for name, changes in self.tables}
        if self.decisions:
            fields["decisions"] = (*old.decisions, *self.decisions)[-DECISIONS_KEPT:]
        return attrs.evolve(old, **fields | dict(self.others))  # type: ignore[arg-type]  # the names are its fields


@attrs.frozen(kw_only=True)
class ViewChanges:
    """From one view to the next."""

    run: Run
    members: RowChanges[str, Member]
    statuses: RowChanges[InstanceId, InstanceStatus]
    plan: PlanChanges | None
    mark: PlanMark
    tags: TableChanges[str, Mapping[str, str]]
    counters: TableChanges[str, int]
    coordinates: TableChanges[str, Coordinate]
    is_isolated: bool
    authority_issued_at: float

    @classmethod
    def between(cls, old: View, new: View) -> ViewChanges:
        """Return how `new` differs from `old`. The cost is a look at every member and status that is not the same."""
        return cls(
            run=new.run,
            members=RowChanges.between(old.members, new.members, _name_of),
            statuses=RowChanges.between(old.statuses, new.statuses, _instance_of),
            plan=None if new.plan is old.plan else PlanChanges.between(old.plan, new.plan),
            mark=new.mark,
            tags=TableChanges.between(old.tags, new.tags),
            counters=TableChanges.between(old.counters, new.counters),
            coordinates=TableChanges.between(old.coordinates, new.coordinates),
            is_isolated=new.is_isolated,
            authority_issued_at=new.authority_issued_at,
        )

    def apply(self, old: View) -> View:
        """Return the view that follows `old`."""
        return View(
            run=self.run,
            members=self.members.apply(old.members, _name_of, order=str),
            statuses=self.statuses.apply(old.statuses, _instance_of, order=_natural),
            plan=old.plan if self.plan is None else self.plan.apply(old.plan),
            mark=self.mark,
            tags=self.tags.apply(old.tags),
            counters=self.counters.apply(old.counters),
            coordinates=self.coordinates.apply(old.coordinates),
            is_isolated=self.is_isolated,
            authority_issued_at=self.authority_issued_at,
        )


def _table(row: Iterable[V], key_of: Callable[[V], K]) -> dict[K, V]:
    return {key_of(each): each for each in row}


def _name_of(member: Member) -> str:
    return member.run.name


def _instance_of(status: InstanceStatus) -> InstanceId:
    return status.instance


def _natural(instance: InstanceId) -> tuple[str, str, int]:
    return (instance.job, instance.operator, instance.index)


def _is_same(old: object, new: object) -> bool:
    return old is new or old == new
