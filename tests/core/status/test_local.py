"""The instances that this worker holds: what to start, what to stop, what to say."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.status.local import LocalInstances
from swimstream.model.identity import InstanceId, Run
from swimstream.model.plan import Assignment
from swimstream.model.report import Report
from swimstream.model.status import InstanceState, InstanceStatus

ME, OTHER, MY_NEXT_RUN = Run("a", 1), Run("b", 1), Run("a", 2)
ONE = InstanceId("j", "o", 0)
INTERVAL_S = 1.0


def local(counters: Counter[str] | None = None) -> LocalInstances:
    return LocalInstances(
        status_interval_s=INTERVAL_S, since_ms=5_000, counters=Counter() if counters is None else counters, now=0.0
    )


def follow(
    instances: LocalInstances, epoch: int | None, *, run: Run = ME, finished: bool = False, now: float = 0.0
) -> tuple[list[int], list[int]]:
    """Let the worker see a plan with one assignment; return the epochs that it starts and those that it stops."""
    assignments = {}
    if epoch is not None:
        assignments[ONE] = Assignment(instance=ONE, run=run, epoch=epoch, finished=finished)
    to_start, to_stop, _ = instances.follow_plan(ME, assignments, now)
    return [each.epoch for each in to_start], [each.epoch for each in to_stop]


def report(
    instances: LocalInstances,
    *,
    epoch: int = 1,
    now: float = 0.0,
    state: InstanceState | None = None,
    progress: int | None = None,
    checkpoint: bytes | None = None,
) -> InstanceStatus | None:
    return instances.report(
        Report(instance=ONE, epoch=epoch, state=state, progress=progress, checkpoint=checkpoint), now
    )


def test_what_the_plan_gives_to_this_run_is_started_once() -> None:
    instances = local()
    assert follow(instances, 1) == ([1], [])
    assert follow(instances, 1) == ([], [])


@pytest.mark.parametrize("run", [OTHER, MY_NEXT_RUN])
def test_what_the_plan_gives_to_another_run_is_not_started(run: Run) -> None:
    assert follow(local(), 1, run=run) == ([], [])


def test_what_has_finished_is_not_started() -> None:
    assert follow(local(), 1, finished=True) == ([], [])


@pytest.mark.parametrize("run", [OTHER, MY_NEXT_RUN])
def test_what_the_plan_gives_to_another_run_is_stopped_once(run: Run) -> None:
    instances = local()
    follow(instances, 1)
    assert follow(instances, 2, run=run) == ([], [1])
    assert follow(instances, 2, run=run) == ([], [])


def test_what_the_plan_does_not_know_any_more_is_stopped() -> None:
    instances = local()
    follow(instances, 1)
    assert follow(instances, None) == ([], [1])


def test_a_new_epoch_on_the_same_worker_stops_the_old_copy_and_starts_another() -> None:
    instances = local()
    follow(instances, 1)
    assert follow(instances, 2) == ([2], [1])


def test_what_has_ended_by_itself_is_not_stopped() -> None:
    instances = local()
    follow(instances, 1)
    report(instances, state=InstanceState.FAILED)
    assert follow(instances, 2, run=OTHER) == ([], [])


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from([ME, OTHER])), max_size=12))
def test_an_instance_is_only_ever_started_under_an_epoch_above_all_before(plans: list[tuple[int, Run]]) -> None:
    instances = local()
    started: list[int] = []
    for epoch, run in plans:
        started += follow(instances, epoch, run=run)[0]
    assert started == sorted(set(started))


def test_a_change_of_state_is_told_at_once_with_a_higher_seq() -> None:
    instances = local()
    follow(instances, 1)
    told = report(instances, state=InstanceState.RUNNING)
    assert told is not None
    assert (told.seq, told.state) == (2, InstanceState.RUNNING)


def test_progress_is_told_once_an_interval_and_as_it_is_by_then() -> None:
    instances = local()
    follow(instances, 1)
    assert [report(instances, progress=count, now=0.1 * count) for count in range(1, 6)] == [None] * 5
    assert instances.next_deadline() == INTERVAL_S
    assert instances.fire_timers(INTERVAL_S - 0.01) == []
    assert [(told.seq, told.progress) for told in instances.fire_timers(INTERVAL_S)] == [(2, 5)]
    assert instances.next_deadline() == float("inf")


def test_a_change_of_state_takes_the_latest_progress_along() -> None:
    instances = local()
    follow(instances, 1)
    report(instances, progress=7)
    told = report(instances, state=InstanceState.FINISHED)
    assert told is not None
    assert told.progress == 7
    assert instances.next_deadline() == float("inf")


def test_progress_never_falls_within_an_epoch() -> None:
    instances = local()
    follow(instances, 1)
    report(instances, progress=7)
    report(instances, progress=3)
    assert instances.fire_timers(INTERVAL_S)[0].progress == 7


def test_a_report_of_another_epoch_is_ignored() -> None:
    instances = local()
    follow(instances, 2)
    assert report(instances, epoch=1, state=InstanceState.FAILED) is None


def test_nothing_is_told_after_the_end() -> None:
    instances = local()
    follow(instances, 1)
    report(instances, state=InstanceState.FINISHED)
    assert report(instances, state=InstanceState.RUNNING) is None
    assert report(instances, progress=9) is None
    assert instances.next_deadline() == float("inf")


def test_a_report_that_says_nothing_new_is_not_told() -> None:
    instances = local()
    follow(instances, 1)
    assert report(instances, state=InstanceState.STARTING, progress=0) is None
    assert instances.next_deadline() == float("inf")


def test_a_state_is_dated_by_the_calendar() -> None:
    instances = local()
    follow(instances, 1)
    told = report(instances, state=InstanceState.RUNNING, now=2.5)
    assert told is not None
    assert told.since_ms == 7_500


# --- what is forgotten ----------------------------------------------------------------------------


def test_what_has_ended_and_left_the_plan_is_forgotten_and_counted_however_many_names_there_were() -> None:
    counters = Counter[str]()
    instances = local(counters)
    for epoch in range(1, 201):
        instance = InstanceId(f"job-{epoch}", "o", 0)
        held = Assignment(instance=instance, run=ME, epoch=epoch)
        instances.follow_plan(ME, {instance: held}, 0.0)
        instances.report(Report(instance=instance, epoch=epoch, state=InstanceState.STOPPED), 0.0)
    instances.follow_plan(ME, {}, 0.0)
    assert not instances._held
    assert counters == {"instances_forgotten": 200}


def test_what_has_left_the_plan_and_still_runs_is_kept_until_it_has_ended() -> None:
    instances = local()
    follow(instances, 1)
    assert follow(instances, None) == ([], [1])
    assert list(instances._held) == [ONE]
    told = report(instances, state=InstanceState.STOPPED)
    assert told is not None
    assert told.state is InstanceState.STOPPED
    follow(instances, None)
    assert not instances._held


def test_what_has_finished_is_kept_as_long_as_the_plan_has_it() -> None:
    instances = local()
    follow(instances, 1)
    report(instances, state=InstanceState.FINISHED)
    follow(instances, 1, finished=True)
    assert list(instances._held) == [ONE]
