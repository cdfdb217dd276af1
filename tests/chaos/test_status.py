"""Statuses measured: a small city of real nodes, and verdicts over doctored outcomes."""

from __future__ import annotations

import json

import attrs
import pytest

from chaos.orderly import is_ok
from chaos.status.decision import Decision, decide
from chaos.status.figures import judge
from chaos.status.run import report, tables
from chaos.status.storm import Outcome, Rate, Storm

OUTCOME = Outcome(
    workers=10,
    instances=2,
    lost=2,
    sync_interval_s=15.0,
    quiet_bytes_per_s=(100.0, 200.0),
    storm_bytes_per_s=(300.0, 400.0),
    runs_s=(8.0, 9.0),
    knows_s=(9.5, 30.0),
    pairs_s=(8.5, 30.0),
    rates=(Rate(at_s=1.0, datagrams=10.0, streams=1.0),),
    counters={},
)
DECISION = Decision(workers=10, lost=2, moved=2, reviews=1, cpu_s=0.1, cpu_s_max=0.1, idle_cpu_s=0.01)
NEVER = float("inf")


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return Storm(workers=20, instances=3, seed=1).run()


def test_after_a_storm_everybody_knows_what_runs(outcome: Outcome) -> None:
    assert outcome.lost == 6
    assert outcome.runs_s[-1] <= outcome.knows_s[-1] < NEVER
    assert outcome.converged_s <= 2 * outcome.sync_interval_s


def test_nobody_talks_of_statuses_in_peace(outcome: Outcome) -> None:
    """All begin with the same ones: else what is measured is how they are told."""
    assert outcome.quiet_bytes_per_s[0] < 500


def test_the_same_seed_gives_the_same_storm(outcome: Outcome) -> None:
    assert Storm(workers=20, instances=3, seed=1).run() == outcome


def test_what_workers_share_changes_nothing_but_the_time(outcome: Outcome) -> None:
    assert Storm(workers=20, instances=3, seed=1, shares=False).run() == outcome


def test_every_lost_instance_is_given_to_somebody() -> None:
    made = decide(workers=20, instances=3)
    assert (made.lost, made.moved) == (6, 6)


@pytest.mark.parametrize(
    "worse",
    [
        attrs.evolve(OUTCOME, runs_s=(8.0, NEVER)),
        attrs.evolve(OUTCOME, knows_s=(9.5, NEVER)),
        attrs.evolve(OUTCOME, knows_s=(9.5, 39.1)),
    ],
    ids=["one never runs", "one never knows", "one knows too late"],
)
def test_a_storm_that_breaks_a_promise_is_not_ok(worse: Outcome) -> None:
    assert is_ok(judge([OUTCOME], [DECISION]))
    assert not is_ok(judge([worse], [DECISION]))


@pytest.mark.parametrize("worse", [attrs.evolve(DECISION, moved=1), attrs.evolve(DECISION, cpu_s=1.1)])
def test_a_decision_that_breaks_a_promise_is_not_ok(worse: Decision) -> None:
    assert not is_ok(judge([OUTCOME], [worse]))


def test_the_report_is_json_and_every_table_has_its_row() -> None:
    json.dumps(report([OUTCOME], [DECISION], seed=1), allow_nan=False)
    found = tables([OUTCOME], [DECISION])
    assert sorted(found) == ["bytes", "claims", "decision", "storm"]
    assert all("10" in text for text in found.values())
