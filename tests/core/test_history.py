"""The lines of the history, and the values that can be read from them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from swimstream.model import history
from swimstream.model.changes import Assign, CancelJob, DeclareDead, Entry, Evict, Quarantine, SubmitJob, UpdateJob
from swimstream.model.history import Subject, describe, hosts_of, subject_of
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import JobSpec
from tests.strategies import entries, instances, names, runs

if TYPE_CHECKING:
    from swimstream.model.changes import Change

OP = InstanceId("job", "op", 0)


def subject(change: Change) -> Subject:
    return subject_of(describe(Entry(index=9, term=1, change=change)))


def assign(instance: InstanceId, run: Run) -> Assign:
    return Assign(instance=instance, run=run, failures=0, resume_from=b"", reason="", evidence=())


@given(instances, runs)
def test_who_was_given_what_comes_out_as_it_went_in(instance: InstanceId, run: Run) -> None:
    assert subject(assign(instance, run)) == Subject(deed=history.ASSIGN, instances=(instance,), run=run)


@given(names, names, st.booleans())
def test_what_was_done_to_a_job_names_it(name: str, by: str, fresh: bool) -> None:  # noqa: FBT001  # hypothesis gives it
    spec = JobSpec(name=name, operators=())
    assert subject(SubmitJob(job=spec)) == Subject(deed=history.ACCEPT, job=name)
    assert subject(CancelJob(job=name, asked_by=by)) == Subject(deed=history.CANCEL, job=name)
    deed = history.BEGIN if fresh else history.UPDATE
    assert subject(UpdateJob(job=spec, base=1, asked_by=by, fresh=fresh)) == Subject(deed=deed, job=name)


@given(runs, names)
def test_what_was_done_to_a_run_names_it(run: Run, by: str) -> None:
    assert subject(Evict(run=run, reason="", evidence=())) == Subject(deed=history.EVICT, run=run)
    assert subject(DeclareDead(run=run, asked_by=by)) == Subject(deed=history.DECLARE, run=run)


@given(entries)
def test_every_line_has_a_subject_and_only_an_assignment_is_one(entry: Entry) -> None:
    found = subject_of(describe(entry))
    assert (found.deed == history.ASSIGN) is isinstance(entry.change, Assign)
    assert (found.deed == history.QUARANTINE) is isinstance(entry.change, Quarantine)


def test_the_former_workers_of_an_instance_are_those_that_it_was_given_to_and_no_other_was() -> None:
    longer = InstanceId("job", "op", 10)
    told = [
        assign(OP, Run("a", 1)),
        assign(longer, Run("b", 1)),
        assign(OP, Run("c.d-e_f", 2)),
        assign(OP, Run("a", 3)),
    ]
    lines = [describe(Entry(index=number, term=1, change=each)) for number, each in enumerate(told, start=1)]
    assert hosts_of(lines, OP) == ("a", "c.d-e_f", "a")
