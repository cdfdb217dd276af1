"""The experiments with repair, small: who was cut off is found again, who died stays dead, and syncs are cheap."""

from __future__ import annotations

import math

import attrs
import pytest

from chaos.orderly import is_ok
from chaos.repair.busy import Busy, BusyTrial
from chaos.repair.cost import CostTrial
from chaos.repair.pair import Pair
from chaos.repair.reaping import ReapTrial
from chaos.repair.run import full_trials, report
from chaos.repair.splits import SplitTrial
from chaos.repair.verdict import RATIO_MAX, Outcomes, judge
from swimstream.config import LOCAL

SHORT = attrs.evolve(LOCAL, tombstone_s=60.0)


@pytest.mark.parametrize("cut_s", [15.0, 55.0])
def test_halves_that_were_cut_for_less_than_a_tombstone_find_each_other_without_seeds(cut_s: float) -> None:
    split = SplitTrial(cut_s=cut_s, nodes=4, timing=SHORT).run()
    assert split.deaths_in_the_cut == 8
    assert split.healed_s < split.bound_s
    assert split.deaths_by_healing == 0


def test_halves_that_were_cut_for_longer_stay_apart_without_seeds_and_come_together_with_them() -> None:
    alone, seeded = (SplitTrial(cut_s=75.0, nodes=4, timing=SHORT, has_seeds=seeds).run() for seeds in (False, True))
    assert alone.forgotten == seeded.forgotten == 8
    assert alone.healed_s == math.inf
    assert seeded.healed_s < seeded.bound_s
    assert seeded.deaths_by_healing == 0


@pytest.mark.parametrize("late", ["paused before", "paused after", "cut off before"])
def test_who_comes_late_does_not_bring_the_dead_back_and_is_back_itself_although_forgotten(late: str) -> None:
    reaped = ReapTrial(late=late, nodes=5).run()
    assert reaped.late_forgotten == 3
    assert reaped.late_held == ("ALIVE" if late == "paused before" else "DEAD")
    assert (reaped.brought_back, reaped.held_at_the_end) == (0, 0)
    assert reaped.is_whole


def test_those_who_agree_exchange_one_datagram() -> None:
    exchange = Pair(nodes=30, seed=1).compare()
    assert (exchange.packets, exchange.frames) == (1, 0)
    assert exchange.sync_bytes < 100


def test_a_sync_of_what_is_missing_costs_less_than_full_push_pull() -> None:
    cost = CostTrial(nodes=60, seed=1, lasts_s=300.0).run()
    assert list(cost.by_difference) == [0, 1]
    assert all(cost.ratio(exchange) < RATIO_MAX for exchange in cost.by_difference.values())
    assert cost.quiet_hour.ratio < cost.busy_hour.ratio < RATIO_MAX


def test_pairs_of_busy_workers_differ_in_progress_and_agree_in_what_lasts_and_on_the_last_word() -> None:
    busy = BusyTrial(workers=6, instances=20, lasts_s=12.0).run()
    assert busy.equal == 0
    assert busy.equal_in_what_lasts == busy.pairs
    assert busy.settled_s < busy.bound_s


def test_no_verdict_without_figures_and_a_miss_is_not_ok() -> None:
    assert not is_ok(judge(Outcomes()))
    slow = Busy(
        workers=2,
        instances=1,
        pairs=1,
        equal=0,
        equal_in_what_lasts=1,
        checks_in_agreement=0,
        syncs_opened=0,
        settled_s=math.inf,
        bound_s=1.0,
    )
    outcomes = Outcomes(busy=[slow])
    assert [target.met for target in judge(outcomes)] == [True, False]
    document = report(outcomes, seed=1)
    assert isinstance(document, dict)
    assert document["ok"] is False


def test_the_whole_experiment_holds_a_cut_of_23_hours_and_one_of_25() -> None:
    cuts = {trial.cut_s for trial in full_trials(1) if isinstance(trial, SplitTrial)}
    assert {60.0, 3_600.0, 23 * 3_600.0, 25 * 3_600.0} <= cuts
