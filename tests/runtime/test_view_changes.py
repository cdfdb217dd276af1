"""A view that is told by what is new in it is the same view."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from swimstream.model.changes import Entry, SubmitJob
from swimstream.model.identity import Run
from swimstream.model.member import Member, MemberState
from swimstream.runtime.view import View
from swimstream.runtime.view_changes import PlanChanges, ViewChanges
from tests import strategies

if TYPE_CHECKING:
    from swimstream.model.job import JobSpec
    from swimstream.model.plan import Plan

FEW_NAMES = st.sampled_from("abcd")
RUN = Run("a", 1)

members = st.builds(
    Member,
    run=st.builds(Run, FEW_NAMES, st.integers(1, 2)),
    incarnation=st.integers(0, 2),
    state=st.sampled_from(MemberState),
    profile=strategies.profiles,
    since=st.integers(0, 9).map(float),
)
views = st.builds(
    View,
    run=st.just(RUN),
    members=st.lists(members, max_size=4, unique_by=lambda member: member.run.name).map(
        lambda row: tuple(sorted(row, key=lambda member: member.run.name))
    ),
    statuses=st.lists(strategies.statuses, max_size=4, unique_by=lambda status: status.instance).map(
        lambda row: tuple(sorted(row, key=lambda status: status.instance))
    ),
    plan=strategies.plans(),
    mark=strategies.marks,
    tags=st.dictionaries(FEW_NAMES, st.dictionaries(FEW_NAMES, st.text(max_size=2), max_size=2), max_size=3),
    counters=st.dictionaries(FEW_NAMES, st.integers(0, 3), max_size=4),
    coordinates=st.dictionaries(FEW_NAMES, strategies.coordinates, max_size=3),
    is_isolated=st.booleans(),
    authority_issued_at=st.floats(allow_nan=False),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(views, min_size=1, max_size=3))
def test_views_are_the_same_on_the_other_side_of_a_pipe(shown: list[View]) -> None:
    known = told = View(run=RUN)
    for view in shown:
        changes = pickle.loads(pickle.dumps(ViewChanges.between(told, view)))
        known, told = changes.apply(known), view
        assert known == view


@settings(deadline=None, max_examples=20)
@given(views)
def test_of_what_has_not_changed_nothing_is_told(view: View) -> None:
    changes = ViewChanges.between(view, attrs.evolve(view, is_isolated=not view.is_isolated))
    assert changes.plan is None
    assert not any(row.replaced or row.table for row in (changes.members, changes.statuses))
    assert not any(each.put or each.removed for each in (changes.tags, changes.counters, changes.coordinates))
    assert changes.apply(view).members is view.members


@settings(deadline=None, max_examples=40)
@given(strategies.grown_plans, strategies.jobs())
def test_of_a_plan_only_what_an_entry_has_changed_is_told(before: Plan, job: JobSpec) -> None:
    entry = Entry(index=before.index + 1, term=before.term, change=SubmitJob(job=job))
    after = before.advance([entry])
    changes = PlanChanges.between(before, after)
    assert sum(len(table.put) for _, table in changes.tables) <= 1
    assert {each.index for each in changes.decisions} <= {entry.index}
    assert changes.apply(before) == after
