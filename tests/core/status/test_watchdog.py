"""STALLED is told from idle, from busy and from held up by others, by the peer's clock alone."""

from __future__ import annotations

from collections import Counter

import pytest

from swimstream.core.status.local import LocalInstances
from swimstream.model.identity import InstanceId, Run
from swimstream.model.plan import Assignment
from swimstream.model.report import Report
from swimstream.model.status import ErrorClass, InstanceState, InstanceStatus

ME = Run("a", 1)
ONE = InstanceId("j", "o", 0)
INTERVAL_S = 1.0
AFTER_S = 10.0
LATER = 15.0
"""When any other would be STALLED, and nobody has overslept."""


class Watched:
    """One RUNNING instance that may make no progress for `AFTER_S`, and what is said of it."""

    def __init__(self, *, after_s: float = AFTER_S) -> None:
        self.local = LocalInstances(status_interval_s=INTERVAL_S, since_ms=0, counters=Counter(), now=0.0)
        stall_after_s = {ONE: after_s} if after_s else {}
        self.local.follow_plan(ME, self.assigned(1), 0.0, stall_after_s=stall_after_s)
        self.say(0.0, state=InstanceState.RUNNING)

    def assigned(self, epoch: int) -> dict[InstanceId, Assignment]:
        return {ONE: Assignment(instance=ONE, run=ME, epoch=epoch)}

    def say(
        self,
        now: float,
        *,
        state: InstanceState | None = None,
        progress: int | None = None,
        backlog: int | None = None,
        busy_until: float | None = None,
        backpressured: bool | None = None,
        cause: str | None = None,
        watermark_ms: int | None = None,
    ) -> InstanceStatus | None:
        said = Report(
            instance=ONE, epoch=1, state=state, progress=progress, backlog=backlog, busy_until=busy_until,
            backpressured=backpressured, cause=cause, watermark_ms=watermark_ms, error=ErrorClass.RETRYABLE,
        )  # fmt: skip
        return self.local.report(said, now)

    def stalls(self, now: float) -> bool:
        """Return whether it becomes STALLED at that time, not before."""
        return [each.state for each in self.local.find_stalled(now)] == [InstanceState.STALLED]

    @property
    def state(self) -> InstanceState:
        return self.local._held[ONE].status.state

    @property
    def cause(self) -> str:
        return self.local._held[ONE].status.cause


def stalled() -> Watched:
    """Return one that is STALLED since 10.0."""
    watched = Watched()
    watched.say(0.0, backlog=3)
    assert watched.stalls(AFTER_S)
    return watched


def test_one_with_input_and_no_progress_is_stalled_after_its_time_and_not_before() -> None:
    watched = Watched()
    watched.say(0.0, backlog=3)
    assert not watched.stalls(AFTER_S - 0.001)
    assert watched.stalls(AFTER_S)
    assert watched.cause == "no progress for 10 s, backlog 3"


def test_the_watchdog_asks_to_be_called_just_then() -> None:
    watched = Watched()
    watched.say(0.0, backlog=3)
    watched.local.fire_timers(INTERVAL_S)
    assert watched.local.next_deadline() == AFTER_S
    assert watched.stalls(AFTER_S)
    assert watched.local.next_deadline() == float("inf")


def test_a_stall_is_told_once_with_a_higher_seq() -> None:
    watched = Watched()
    watched.say(0.0, backlog=3)
    before = watched.local._held[ONE].status.seq
    assert [each.seq for each in watched.local.find_stalled(AFTER_S)] == [before + 1]
    assert watched.local.find_stalled(2 * AFTER_S) == []


def test_progress_puts_it_off() -> None:
    watched = Watched()
    watched.say(0.0, backlog=3)
    watched.say(6.0, progress=1)
    assert not watched.stalls(15.0)
    assert watched.stalls(16.0)


def test_a_report_without_progress_does_not_put_it_off() -> None:
    watched = Watched()
    watched.say(0.0, backlog=3, progress=5)
    watched.say(6.0, backlog=9, progress=5, watermark_ms=4)
    assert watched.stalls(AFTER_S)


@pytest.mark.parametrize("backlog", [None, 0])
def test_idle_is_not_stalled(backlog: int | None) -> None:
    watched = Watched()
    watched.say(0.0, progress=1, backlog=backlog)
    assert not watched.stalls(LATER)


def test_silence_counts_from_when_input_begins_to_wait() -> None:
    watched = Watched()
    watched.say(0.0, backlog=0)
    watched.say(100.0, backlog=1)
    assert not watched.stalls(109.9)
    assert watched.stalls(110.0)


def test_more_input_does_not_put_it_off() -> None:
    watched = Watched()
    for second in range(10):
        watched.say(float(second), backlog=1 + second)
    assert watched.stalls(AFTER_S)


def test_inside_a_declared_step_it_is_not_stalled_until_that_is_over() -> None:
    watched = Watched()
    watched.say(0.0, backlog=3, busy_until=60.0)
    assert not watched.stalls(59.9)
    assert watched.stalls(60.0)


def test_a_declared_step_that_is_ended_early_excuses_no_longer() -> None:
    watched = Watched()
    watched.say(0.0, backlog=3, busy_until=60.0)
    watched.say(12.0, busy_until=12.0)
    assert watched.stalls(12.0)


def test_while_its_outputs_do_not_take_on_it_is_not_stalled_and_has_its_whole_time_afterwards() -> None:
    watched = Watched()
    watched.say(0.0, backlog=3, backpressured=True)
    assert not watched.stalls(15.0)
    watched.say(18.0, backpressured=False)
    assert not watched.stalls(27.9)
    assert watched.stalls(28.0)


def test_without_a_time_it_is_never_stalled() -> None:
    watched = Watched(after_s=0.0)
    watched.say(0.0, backlog=3)
    assert not watched.stalls(LATER)


@pytest.mark.parametrize(
    "state", [InstanceState.STARTING, InstanceState.STOPPING, InstanceState.FINISHED, InstanceState.FAILED]
)
def test_one_that_does_not_run_is_not_stalled(state: InstanceState) -> None:
    watched = Watched()
    watched.say(0.0, backlog=3, state=state)
    assert not watched.stalls(LATER)


def test_one_that_was_told_to_stop_is_not_stalled() -> None:
    watched = Watched()
    watched.say(0.0, backlog=3)
    watched.local.follow_plan(ME, {}, 1.0)
    assert not watched.stalls(LATER)


def test_one_whose_loop_is_frozen_for_so_long_is_stalled() -> None:
    watched = Watched()
    watched.say(0.0, backlog=3)
    watched.say(5.0, state=InstanceState.FROZEN)
    assert watched.stalls(AFTER_S)


def test_a_judge_that_has_overslept_begins_anew() -> None:
    """A machine that was asleep for an hour has let nobody make progress."""
    watched = Watched()
    watched.say(0.0, backlog=3)
    assert not watched.stalls(3_600.0)
    assert not watched.stalls(3_609.9)
    assert watched.stalls(3_610.0)


@pytest.mark.parametrize(
    "said", [{"progress": 1}, {"backlog": 0}, {"busy_until": 99.0}, {"backpressured": True}], ids=str
)
def test_it_runs_again_as_soon_as_the_silence_is_broken_or_excused(said: dict[str, int]) -> None:
    watched = stalled()
    told = watched.say(12.0, **said)  # type: ignore[arg-type]  # one word each
    assert told is not None
    assert (told.state, told.cause, told.since_ms) == (InstanceState.RUNNING, "", 12_000)


def test_a_copy_that_goes_on_from_a_checkpoint_after_it_was_isolated_makes_progress() -> None:
    """Though its epoch had come further before: that is what its status says still."""
    local = LocalInstances(status_interval_s=INTERVAL_S, since_ms=0, counters=Counter(), now=0.0)
    assigned = {ONE: Assignment(instance=ONE, run=ME, epoch=1)}

    def follow(now: float) -> None:
        local.follow_plan(ME, assigned, now, fenced={ONE}, fence_at=100.0, stall_after_s={ONE: AFTER_S})

    def say(now: float, *, state: InstanceState | None = None, progress: int | None = None) -> None:
        local.report(Report(instance=ONE, epoch=1, state=state, progress=progress, backlog=1), now)

    follow(0.0)
    say(0.0, state=InstanceState.RUNNING, progress=100)
    local.park()
    say(1.0, state=InstanceState.STOPPED)
    follow(2.0)
    say(2.0, state=InstanceState.RUNNING)
    say(8.0, progress=60)
    assert local.find_stalled(LATER) == []
    assert local.find_stalled(8.0 + AFTER_S) != []


def test_it_may_stall_again() -> None:
    watched = stalled()
    watched.say(12.0, progress=1)
    assert not watched.stalls(21.9)
    assert watched.stalls(22.0)


def test_where_it_stands_becomes_its_cause_and_no_change_of_state() -> None:
    watched = stalled()
    assert watched.say(10.1, state=InstanceState.STALLED, cause="stands at a.py:3 f") is None
    assert watched.cause == "stands at a.py:3 f"
    assert [each.cause for each in watched.local.fire_timers(20.0)] == ["stands at a.py:3 f"]


def test_where_it_stood_is_ignored_once_it_runs_again() -> None:
    watched = stalled()
    watched.say(12.0, progress=1)
    assert watched.say(12.1, state=InstanceState.STALLED, cause="stands at a.py:3 f") is None
    assert (watched.state, watched.cause) == (InstanceState.RUNNING, "")


def test_the_cause_of_a_stall_is_not_that_of_the_end() -> None:
    watched = stalled()
    told = watched.say(12.0, state=InstanceState.FINISHED)
    assert told is not None
    assert told.cause == ""


def test_a_watermark_never_falls_within_an_epoch() -> None:
    watched = Watched()
    watched.say(0.0, watermark_ms=50)
    watched.say(0.1, watermark_ms=20)
    assert watched.local._held[ONE].status.watermark_ms == 50


def test_an_epoch_begins_with_nothing_said() -> None:
    watched = stalled()
    watched.local.follow_plan(ME, watched.assigned(2), 20.0, stall_after_s={ONE: AFTER_S})
    status = watched.local._held[ONE].status
    assert (status.epoch, status.state, status.backlog, status.watermark_ms) == (2, InstanceState.STARTING, None, None)
