"""At-most-one instances: started with a fence, isolated without, and when their end is final."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest

from swimstream.core.status.local import ISOLATED_CAUSE, LocalInstances
from swimstream.model.identity import InstanceId, Run
from swimstream.model.plan import Assignment
from swimstream.model.report import Report
from swimstream.model.status import InstanceState, InstanceStatus

ME, MY_NEXT_RUN, OTHER = Run("a", 1), Run("a", 2), Run("b", 1)
ONE = InstanceId("j", "o", 0)
OURS = Assignment(instance=ONE, run=ME, epoch=4, resume_from=b"begin")
REVOKED = attrs.evolve(OURS, revoked=9)
STARTING, RUNNING, STOPPED = InstanceState.STARTING, InstanceState.RUNNING, InstanceState.STOPPED
FAILED, FINISHED, ISOLATED = InstanceState.FAILED, InstanceState.FINISHED, InstanceState.ISOLATED


class Bench:
    """One worker's instances; a proof that lasts until 100.0 unless said otherwise."""

    def __init__(self) -> None:
        self.local = LocalInstances(status_interval_s=1.0, since_ms=5_000, counters=Counter(), now=0.0)
        self.told: list[InstanceStatus] = []

    def follow(
        self, assigned: Assignment | None, *, fence_at: float | None = 100.0, run: Run = ME
    ) -> tuple[list[Assignment], list[int]]:
        """Let the worker see a plan with one assignment; return what it starts, and the epochs that it stops."""
        assignments = {} if assigned is None else {ONE: assigned}
        to_start, to_stop, news = self.local.follow_plan(run, assignments, 50.0, fenced={ONE}, fence_at=fence_at)
        self.told += news
        return to_start, [status.epoch for status in to_stop]

    def report(self, state: InstanceState, *, now: float = 60.0, checkpoint: bytes | None = None) -> None:
        status = self.local.report(Report(instance=ONE, epoch=4, state=state, checkpoint=checkpoint), now)
        self.told += [status] if status is not None else []

    def run(self) -> None:
        self.follow(OURS)
        self.report(RUNNING)

    def isolate(self) -> None:
        """Let it run, be stopped for want of a proof, and end."""
        self.run()
        assert [status.epoch for status in self.local.park()] == [4]
        self.report(STOPPED)

    def states(self) -> list[InstanceState]:
        return [status.state for status in self.told]


def test_without_a_proof_an_assignment_is_taken_up_as_isolated() -> None:
    bench = Bench()
    assert bench.follow(OURS, fence_at=None) == ([], [])
    assert [(status.state, status.epoch, status.cause) for status in bench.told] == [(ISOLATED, 4, ISOLATED_CAUSE)]


def test_other_instances_need_no_proof() -> None:
    local = LocalInstances(status_interval_s=1.0, since_ms=0, counters=Counter(), now=0.0)
    to_start, _, _ = local.follow_plan(ME, {ONE: OURS}, 0.0)
    assert to_start == [OURS]
    assert (local.may_go_on, local.park(), local.fenced_until) == (False, [], float("-inf"))


def test_with_a_proof_it_is_started_once() -> None:
    bench = Bench()
    assert bench.follow(OURS) == ([OURS], [])
    assert bench.follow(OURS) == ([], [])


def test_what_was_isolated_starts_under_the_same_epoch_once_there_is_a_proof() -> None:
    bench = Bench()
    bench.follow(OURS, fence_at=None)
    assert bench.follow(OURS) == ([OURS], [])
    assert bench.states() == [ISOLATED, STARTING]
    assert [status.seq for status in bench.told] == [1, 2]


def test_what_stopped_for_want_of_a_proof_is_isolated_not_stopped() -> None:
    bench = Bench()
    bench.isolate()
    assert bench.states() == [STARTING, RUNNING, ISOLATED]


def test_what_its_runner_ended_at_the_fence_is_isolated_too() -> None:
    bench = Bench()
    bench.run()
    bench.report(STOPPED, now=100.0)
    assert bench.states()[-1] is ISOLATED


def test_what_stopped_by_itself_before_the_fence_has_ended() -> None:
    bench = Bench()
    bench.run()
    bench.report(STOPPED, now=99.9)
    assert bench.states()[-1] is STOPPED


def test_it_starts_again_only_once_the_former_copy_has_ended() -> None:
    bench = Bench()
    bench.run()
    bench.local.park()
    assert bench.follow(OURS) == ([], [])
    bench.report(STOPPED, checkpoint=b"further")
    assert bench.follow(OURS) == ([attrs.evolve(OURS, resume_from=b"further")], [])


@pytest.mark.parametrize("state", [FAILED, FINISHED])
def test_what_ends_by_itself_while_it_is_stopped_for_want_of_a_proof_has_ended(state: InstanceState) -> None:
    bench = Bench()
    bench.run()
    bench.local.park()
    bench.report(state)
    assert bench.states()[-1] is state
    assert bench.follow(OURS) == ([], [])


@pytest.mark.parametrize("lost", [REVOKED, None, attrs.evolve(OURS, run=OTHER, epoch=9)])
def test_what_is_taken_away_is_stopped_and_its_end_is_final(lost: Assignment | None) -> None:
    bench = Bench()
    bench.run()
    assert bench.follow(lost) == ([], [4])
    bench.report(STOPPED)
    assert bench.states()[-1] is STOPPED
    assert bench.follow(lost) == ([], [])


def test_what_is_taken_away_while_it_stops_for_want_of_a_proof_has_a_final_end() -> None:
    bench = Bench()
    bench.run()
    bench.local.park()
    bench.follow(REVOKED)
    bench.report(STOPPED)
    assert bench.states()[-1] is STOPPED


@pytest.mark.parametrize("lost", [REVOKED, None])
def test_what_is_taken_away_while_isolated_has_ended_for_good_at_once(lost: Assignment | None) -> None:
    bench = Bench()
    bench.isolate()
    assert bench.follow(lost) == ([], [])
    assert bench.states()[-1] is STOPPED


def test_what_was_revoked_before_this_run_heard_of_it_is_never_started() -> None:
    bench = Bench()
    assert bench.follow(REVOKED) == ([], [])
    assert bench.states() == [STOPPED]
    assert bench.follow(OURS) == ([], []), "not even by an older plan"


def test_the_next_run_stops_what_the_former_one_held() -> None:
    bench = Bench()
    bench.run()
    assert bench.follow(OURS, run=MY_NEXT_RUN) == ([], [4])


def test_what_an_isolated_instance_is_still_said_to_do_is_of_its_former_copy() -> None:
    bench = Bench()
    bench.isolate()
    bench.report(RUNNING)
    assert bench.states()[-1] is ISOLATED


def test_fences_move_only_by_more_than_the_slack() -> None:
    bench = Bench()
    bench.run()
    assert not bench.local.renew(100.3, now=60.0, slack_s=0.3)
    assert bench.local.renew(100.4, now=60.0, slack_s=0.3)
    assert not bench.local.renew(100.6, now=60.0, slack_s=0.3)
    assert bench.local.fenced_until == 100.4


def test_the_fence_of_what_was_told_to_stop_stays_where_it_is() -> None:
    bench = Bench()
    bench.run()
    bench.follow(REVOKED)
    assert not bench.local.renew(200.0, now=60.0, slack_s=0.0)
    assert bench.local.fenced_until == 100.0


def test_nothing_is_fenced_any_more_once_it_has_ended() -> None:
    bench = Bench()
    bench.isolate()
    assert bench.local.fenced_until == float("-inf")


def test_a_fence_that_is_past_stays_past() -> None:
    bench = Bench()
    bench.run()
    assert not bench.local.renew(200.0, now=100.0, slack_s=0.0)
    assert bench.local.fenced_until == 100.0
    bench.report(STOPPED, now=100.0)
    assert bench.states()[-1] is ISOLATED


def test_of_several_copies_those_move_whose_fence_has_not_passed() -> None:
    local = LocalInstances(status_interval_s=1.0, since_ms=0, counters=Counter(), now=0.0)
    other = InstanceId("j", "o", 1)
    given = {ONE: OURS}
    local.follow_plan(ME, given, 50.0, fenced={ONE}, fence_at=60.0)
    given[other] = attrs.evolve(OURS, instance=other)
    local.follow_plan(ME, given, 50.0, fenced={ONE, other}, fence_at=100.0)
    assert local.renew(200.0, now=60.0, slack_s=0.0)
    stopped = [local.report(Report(instance=each, epoch=4, state=STOPPED), 60.0) for each in (ONE, other)]
    assert [status.state for status in stopped if status is not None] == [ISOLATED, STOPPED]


def test_what_waits_for_a_proof_says_so_once() -> None:
    bench = Bench()
    bench.follow(OURS, fence_at=None)
    assert bench.follow(OURS, fence_at=None) == ([], [])
    assert bench.states() == [ISOLATED]


def test_progress_is_told_an_interval_after_the_newest_status_and_not_after_the_first() -> None:
    local = LocalInstances(status_interval_s=1.0, since_ms=0, counters=Counter(), now=0.0)
    local.follow_plan(ME, {ONE: OURS}, 0.0)
    for state, progress in ((RUNNING, None), (None, 5)):
        local.report(Report(instance=ONE, epoch=4, state=state, progress=progress), 10.0)
    assert local.next_deadline() == 11.0
    assert local.fire_timers(10.5) == []
    assert [status.progress for status in local.fire_timers(11.0)] == [5]
