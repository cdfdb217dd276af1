"""What ails operators in drawn worlds, and what they ask for there."""

from __future__ import annotations

import math
from random import Random

from swimstream.model.job import APART_NOT, PINNED
from swimstream.simulator.ailments import OperatorFailure, Stall, draw_ailments
from swimstream.simulator.faults import Faults
from swimstream.simulator.operators import TICK_S, draw_demands, draw_guarantees, draw_job
from tests.worlds.test_copies import Desk
from tests.worlds.views import INSTANCE


def test_failures_for_good_and_stalls_are_drawn_within_the_window_and_some_stalls_last() -> None:
    drawn = draw_ailments(Faults(window_s=(5.0, 19.0), fatal_failures=50, stalls=50), rng=Random(1))
    stalls = [each for each in drawn if isinstance(each, Stall)]
    assert all(5.0 <= each.at <= 19.0 for each in drawn)
    assert {each.is_fatal for each in drawn if isinstance(each, OperatorFailure)} == {True}
    assert {math.isinf(each.for_s) for each in stalls} == {True, False}
    assert all(each.at + each.for_s <= 19.0 for each in stalls if not math.isinf(each.for_s))


def test_every_demand_is_drawn_and_none_that_a_job_must_not_make() -> None:
    rng = Random(1)
    jobs = [draw_demands(draw_guarantees(draw_job(each, rng=rng), rng=rng), rng=rng) for each in range(100)]
    specs = [spec for job in jobs for spec in job.operators]
    assert {spec.standby for spec in specs} == {0, 1, 2}
    assert len({spec.anti_affinity for spec in specs}) == 3
    assert {spec.stall_after_s > TICK_S[1] for spec in specs} == {True, False}
    pinned = [spec for spec in specs if spec.instances == PINNED]
    assert {(spec.standby, spec.anti_affinity) for spec in pinned} == {(0, APART_NOT)}


def test_a_copy_that_is_stuck_comes_no_further_until_it_is_loose() -> None:
    desk = Desk()
    desk.start(3, fence_at=100.0)
    desk.clock.run_until(5.0)
    copy = desk.bench.copies[INSTANCE]
    desk.bench.stall(INSTANCE, 4.0)
    desk.bench.stall(INSTANCE, 2.0)
    before = copy.progress
    desk.clock.run_until(9.0)
    assert copy.progress == before > 0
    desk.clock.run_until(12.0)
    assert copy.progress > before
