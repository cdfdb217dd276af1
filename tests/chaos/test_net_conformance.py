"""Conformance: right backends are judged right, wrong ones are noticed; what the machine spoils is not judged."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

import attrs
import pytest
from click.testing import CliRunner

from chaos.conformance import run
from chaos.conformance.cases import CASES, NEEDS_ADDRESSES, Stand
from chaos.conformance.checks import Check
from chaos.conformance.flight import Arrival, Flight, distance
from chaos.conformance.run import Outcome, Result, main, run_cases, table
from chaos.conformance.virtual import virtual_stand
from chaos.net import model
from chaos.net.curves import CURVES, curve
from chaos.net.fault import Fault

if TYPE_CHECKING:
    from pathlib import Path


VIRTUAL = [case for case in CASES if case not in NEEDS_ADDRESSES]


def stand(seed: int = 1) -> Stand:
    return virtual_stand(slack_ms=0.01, seed=seed)


def missed(cases: list[str], seed: int = 1) -> list[str]:
    """Return the cases that the simulator, as it is now, does not meet."""
    outcome = Outcome()
    run_cases(stand(seed), cases, outcome)
    return [case for case, result in outcome.results.items() if not result.is_met]


def test_the_simulator_meets_every_case() -> None:
    assert missed(VIRTUAL, seed=3) == []


BREAKS: dict[str, dict[str, object]] = {
    "delay 50 ms": {"delay_ms": 51.0},
    "delay 50 ± 10 ms uniform": {"distribution": "normal"},
    "delay 50 ± 10 ms normal": {"distribution": "uniform"},
    "delay 50 ± 10 ms pareto": {"distribution": "normal"},
    "delay 50 ± 10 ms paretonormal": {"distribution": "uniform"},
    "loss 10 %": {"loss": 20.0},
    "bursts 5 %, 25 %": {"burst": (10.0, 50.0)},
    "duplicate 10 %": {"duplicate": 1.0},
    "reorder 25 % of 20 ms": {"reorder": 10.0},
    "reorder every 5th": {"gap": 4},
    "corrupt 10 %": {"corrupt": 0.0},
    "rate 256 kbit/s, limit 20": {"rate_kbit": 300},
    "limit 10 at 100 ms": {"limit": 12},
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_backend_that_does_something_else_is_noticed(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = model.Model

    def wrong(fault: Fault, *, rng: Random, counters: model.Counters, overhead_bytes: int) -> model.Model:
        changed = Fault(**{**attrs.asdict(fault), **BREAKS[case]})
        return right(changed, rng=rng, counters=counters, overhead_bytes=overhead_bytes)

    monkeypatch.setattr("chaos.net.sim.Model", wrong)
    assert missed([case]) == [case]


def test_a_backend_that_forgets_directions_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    both = stand()
    network_way = both.lab._network.set_way  # type: ignore[attr-defined]  # of the simulator's lab

    def set_both(source: str, target: str, way: object) -> None:
        network_way(source, target, way)
        network_way(target, source, way)

    monkeypatch.setattr(both.lab._network, "set_way", set_both)  # type: ignore[attr-defined]  # likewise
    outcome = Outcome()
    run_cases(both, ["one direction, one pair"], outcome)
    assert not outcome.results["one direction, one pair"].is_met


def flight(*numbers: int, damaged: int = 0) -> Flight:
    arrivals = [Arrival(number, 100.0 + rank, is_whole=True) for rank, number in enumerate(numbers)]
    arrivals += [Arrival(-1, 200.0, is_whole=False)] * damaged
    return Flight(sent=(0.0,) * 10, arrivals=tuple(arrivals), size=1)


def test_figures_of_a_flight_count_what_is_lost_doubled_damaged_and_overtaken() -> None:
    found = flight(0, 2, 1, 1, 5, 6, 9, damaged=2)
    assert found.lost_share() == pytest.approx(0.4)
    assert found.bursts() == [2, 2]
    assert found.doubled_share() == pytest.approx(0.1)
    assert found.damaged_share() == pytest.approx(0.2)
    assert found.overtaken_share() == pytest.approx(0.2)
    assert flight().median_ms() == float("inf")


def test_what_arrives_while_the_machine_stalls_is_not_timed_but_has_come() -> None:
    found = attrs.evolve(flight(0, 1, 2, 3), stalls=((50.0, 99.0), (101.5, 102.5)))
    assert found.delays() == {0: 100_000, 1: 101_000, 3: 103_000}
    assert found.lost_share() == pytest.approx(0.6)


@pytest.mark.parametrize("name", CURVES)
def test_the_distance_from_a_curve_is_small_for_its_own_draws_and_large_for_anothers(name: str) -> None:
    rng, values = Random(1), curve(name)
    drawn = [rng.choice(values) for _ in range(2_000)]
    assert distance(drawn, values) < 0.04
    others = [other for other in CURVES if other != name]
    assert all(distance(drawn, curve(other)) > 0.06 for other in others)
    assert distance([], values) == 1


def wrong_check() -> Check:
    return Check(case="cut", what="lost (%)", value=float("nan"), expected=100, tolerance=1)


@pytest.mark.parametrize(
    ("stalled_share", "checks", "status"),
    [(0.5, [], 0), (0.0, [wrong_check()], 1), (0.5, [wrong_check()], 2)],
)
def test_what_is_missed_while_the_machine_stalls_is_not_judged(
    stalled_share: float, checks: list[Check], status: int
) -> None:
    result = Result(checks, seconds=1, tries=1, stalled_share=stalled_share)
    assert Outcome({"cut": result}).status(["cut"]) == status
    assert Outcome({"cut": result}).status(["cut", "cleared"]) == 1, "one was not tried"


def test_no_case_at_all_is_no_verdict() -> None:
    assert Outcome().status([]) == 1


def test_a_missed_case_is_tried_again_only_if_the_machine_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def never(stand: Stand, case: str) -> list[Check]:
        calls.append(case)
        stand.flown_s, stand.stalled_s = 1.0, 0.5 if case == "cut" else 0.0
        return [wrong_check()]

    monkeypatch.setitem(CASES, "cut", never)
    monkeypatch.setitem(CASES, "cleared", never)
    outcome = Outcome()
    run_cases(stand(), ["cut", "cleared"], outcome)
    assert calls == ["cut"] * run.TRIES_MAX + ["cleared"]
    assert "**missed**" in table(outcome.checks)


def test_the_command_writes_its_report_and_says_how_it_came_out(tmp_path: Path) -> None:
    report = tmp_path / "deep" / "sim.json"
    done = CliRunner().invoke(main, ["--backend", "sim", "--case", "delay 50 ms", "--json", str(report)])
    assert done.exit_code == 0, done.output
    told = json.loads(report.read_text())
    assert told["ok"] is True
    assert list(told["cases"]) == ["no fault", "delay 50 ms"]
