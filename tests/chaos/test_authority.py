"""Authority measured: towns of real nodes that run what their plan says, and verdicts over doctored outcomes."""

from __future__ import annotations

import json

import attrs
import pytest

from chaos.authority.figures import Outcomes, judge
from chaos.authority.run import report, tables
from chaos.authority.town import LEAST, SEATS, Town, instance_at
from chaos.authority.trials import (
    Freshness,
    Outcome,
    Recovery,
    RecoveryTrial,
    Stop,
    full_trials,
    quick_trials,
    settled,
)
from chaos.orderly import is_ok

RATES = {"packets_in": 1.0, "packets_out": 1.0, "bytes_in": 100.0, "bytes_out": 100.0}
FRESH = Freshness(
    pace="lan",
    workers=10,
    isolation_s=6.0,
    ages_s=(1.0, 2.0, 2.5),
    asked_per_s=1.0,
    council=RATES,
    leader=RATES,
    others={},
    stopped=0,
)
RECOVERY = Recovery(pace="local", victim="leader", at_least_one_s=2.0, at_most_one_s=6.0, stopped=0, healthy=9)
LONG = Stop(pace="local", cut_s=0.0, isolation_s=4.0, stopped_s=3.0, by_fence=False, back_s=0.5, overlapped=False)
SHORT = attrs.evolve(LONG, cut_s=2.0, stopped_s=float("inf"), back_s=0.0)


def outcomes(*found: Outcome) -> Outcomes:
    made = Outcomes()
    for each in found:
        made.add(each)
    return made


def missed(*found: Outcome) -> list[str]:
    return [target.claim for target in judge(outcomes(*found)) if target.met is not True]


def test_what_keeps_its_bounds_is_ok() -> None:
    assert missed(FRESH, RECOVERY, LONG, SHORT) == []
    assert is_ok(judge(outcomes(FRESH, RECOVERY, LONG, SHORT)))


def test_there_is_no_verdict_without_figures() -> None:
    assert not is_ok(judge(Outcomes()))


@pytest.mark.parametrize(
    ("wrong", "claim"),
    [
        (attrs.evolve(FRESH, ages_s=(3.1, 3.1)), "p99"),
        (attrs.evolve(FRESH, ages_s=(*[1.0] * 200, 4.9)), "oldest"),
        (attrs.evolve(FRESH, stopped=1), "in peace"),
        (attrs.evolve(RECOVERY, at_most_one_s=float("inf")), "never ran again"),
        (attrs.evolve(RECOVERY, at_least_one_s=float("inf")), "never ran again"),
        (attrs.evolve(RECOVERY, stopped=1), "share of healthy"),
        (attrs.evolve(SHORT, stopped_s=1.9), "cut of 2 s"),
        (attrs.evolve(LONG, stopped_s=4.1), "last stop"),
        (attrs.evolve(LONG, stopped_s=float("inf")), "last stop"),
        (attrs.evolve(LONG, by_fence=True), "fence alone"),
        (attrs.evolve(LONG, back_s=float("inf")), "never ran again"),
        (attrs.evolve(SHORT, overlapped=True), "two places"),
    ],
)
def test_each_promise_that_is_not_kept_is_missed(wrong: Outcome, claim: str) -> None:
    (found,) = missed(wrong)
    assert claim in found


def test_what_never_came_can_be_written_and_has_a_line_in_its_table() -> None:
    never = outcomes(FRESH, attrs.evolve(RECOVERY, at_most_one_s=float("inf")), LONG, SHORT)
    json.dumps(report(never, seed=1), allow_nan=False)
    assert [len(text.splitlines()) for name, text in tables(never).items() if name != "claims"] == [3, 3, 3, 4]


def test_a_town_elects_a_leader_of_its_seats_and_runs_what_its_plan_says() -> None:
    town = Town(workers=7, pace="local", seed="1", operators=(LEAST,))
    settled(town)
    leader = town.leader()
    assert leader in town.council
    assert len(town.council) == SEATS
    for number, host in enumerate(town.hosts.values()):
        assert list(host.running) == [instance_at(LEAST, number)]


def test_what_a_crashed_host_ran_is_started_elsewhere_under_a_higher_epoch() -> None:
    town = Town(workers=6, pace="local", seed="1", operators=(LEAST,))
    settled(town)
    victim = next(host for host in reversed(town.live()) if not host.node.is_leader)
    ((instance, epoch),) = victim.running.items()
    victim.crash()
    assert not town.all_run()
    assert town.run_until(town.all_run, limit_s=30.0)
    newest = town.started[-1]
    assert (newest.instance, newest.host != victim.name, newest.epoch > epoch) == (instance, True, True)


def test_a_cut_lets_nothing_through_until_it_is_mended() -> None:
    town = Town(workers=6, pace="local", seed="1", operators=(LEAST,))
    settled(town)
    host = town.live()[-1]
    pairs = town.cut_off(host)
    town.run_for(0.1)
    before = host.traffic["packets_in"]
    town.run_for(5.0)
    assert host.traffic["packets_in"] == before
    town.network.mend(pairs)
    town.run_for(5.0)
    assert host.traffic["packets_in"] > before


@pytest.mark.parametrize("victim", ["worker", "leader"])
def test_both_guarantees_are_recovered_and_the_same_seed_tells_the_same(victim: str) -> None:
    trial = RecoveryTrial(pace="local", victim=victim, seed=2, workers=6)
    first = trial.run()
    assert 0 < first.at_least_one_s < 20
    assert 0 < first.at_most_one_s < 30
    assert trial.run() == first


def test_the_whole_experiment_has_every_size_preset_victim_and_cut() -> None:
    full, quick = full_trials(1), quick_trials(1)
    assert len({repr(trial) for trial in full}) == len(full)
    sizes = {getattr(trial, "workers", 0) for trial in full}
    assert {10, 100, 1_000} <= sizes
    assert {(getattr(trial, "pace", ""), getattr(trial, "cut_s", None)) for trial in quick} >= {
        (pace, cut_s) for pace in ("local", "lan", "wan") for cut_s in (2.0, 4.0, 0.0)
    }
