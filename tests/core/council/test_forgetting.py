"""The guard at the log: when an at-most-one instance may leave the plan, and what a person's word is worth."""

from __future__ import annotations

import pytest

from swimstream.model.changes import CancelJob, Change, DeclareDead, Forget
from swimstream.model.identity import Run
from tests.core.council.test_guard import ONE, WAIT_S, B, Office, assign, held_by_a


def taken_from_its_job(*changes: Change) -> Office:
    """Return an office in which the job is cancelled, and `ONE` is left with run `a`, revoked."""
    return held_by_a(CancelJob(job="job", asked_by="a"), *changes)


def forget(office: Office) -> Forget:
    return Forget(instance=ONE, epoch=office.epoch(), reason="")


def test_what_may_still_run_is_not_forgotten() -> None:
    """Rule 16: it could be given to anybody then, as if nobody had ever had it."""
    office = taken_from_its_job()
    assert not office.admits(forget(office))
    office.now += WAIT_S * 0.999
    assert not office.admits(forget(office))
    office.now += WAIT_S * 0.002
    assert office.admits(forget(office))


def test_what_has_ended_is_forgotten_at_once() -> None:
    office = taken_from_its_job()
    office.ended.add((ONE, office.epoch()))
    assert office.admits(forget(office))


def test_what_is_given_out_anew_and_not_committed_yet_is_not_forgotten() -> None:
    office = held_by_a()
    office.ended.add((ONE, office.epoch()))
    office.append(assign(B))
    office.ended.add((ONE, office.log.last_index))
    assert not office.admits(Forget(instance=ONE, epoch=office.log.last_index, reason=""))


@pytest.mark.parametrize("declared", [Run("a", 1), Run("a", 2)])
def test_a_persons_word_is_proof_of_the_end_of_that_run_and_of_every_earlier_one(declared: Run) -> None:
    """Rule 11."""
    assert held_by_a(DeclareDead(run=declared, asked_by="b")).admits(assign(B))
    office = taken_from_its_job(DeclareDead(run=declared, asked_by="b"))
    assert office.admits(forget(office))


def test_a_persons_word_of_an_earlier_run_or_of_another_worker_proves_nothing() -> None:
    """Rule 11."""
    for other in (Run("a", 0), Run("c", 1)):
        assert not held_by_a(DeclareDead(run=other, asked_by="b")).admits(assign(B))
