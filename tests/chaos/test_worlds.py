"""The sweep over the simulator's worlds: what it counts, what it calls ok, and how a breach is seen again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
from click.testing import CliRunner

from chaos.worlds.figures import judge, promises_of, summarise
from chaos.worlds.outcome import FAILED, Broken, Outcome, live
from chaos.worlds.run import document, main, tasks
from chaos.worlds.show import breach, table
from swimstream.simulator.promises import AGREEMENT, NO_FALSE_DEATH
from swimstream.simulator.scenarios import STORIES

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

KEPT = Outcome(
    story="crash",
    seed=3,
    nodes=6,
    crashes=1,
    detection_s=(1.0, 2.0),
    detection_s_max=10.0,
    members_settled_s=5.0,
    members_settling_s_max=20.0,
    settled_s=6.0,
    settling_s_max=30.0,
)
BROKEN = attrs.evolve(KEPT, seed=4, broken=Broken(promise=AGREEMENT, time_s=7.0, detail="two views differ", trace=""))


def verdict(*outcomes: Outcome, wanted: int) -> bool:
    found = document(outcomes, wanted=wanted, seeds=range(9), elapsed_s=1.0)
    json.dumps(found)
    return bool(found["ok"])


def test_a_sweep_is_ok_when_every_world_kept_every_promise() -> None:
    assert verdict(KEPT, wanted=1)


def test_one_broken_world_makes_a_sweep_not_ok() -> None:
    assert not verdict(KEPT, BROKEN, wanted=2)


def test_a_sweep_that_ended_early_is_not_ok() -> None:
    assert not verdict(KEPT, wanted=2)


def test_a_median_that_is_too_slow_makes_a_sweep_not_ok() -> None:
    assert not verdict(attrs.evolve(KEPT, detection_s=(4.0,)), wanted=1)


def test_the_median_is_judged_where_there_are_enough_accusers_and_no_crowd() -> None:
    slow = attrs.evolve(KEPT, detection_s=(9.0,))
    (target,) = judge([attrs.evolve(slow, nodes=3), attrs.evolve(slow, nodes=16), KEPT])
    assert target.value == 1.0


def test_each_time_is_a_share_of_the_bound_of_its_own_world() -> None:
    (row,) = summarise([KEPT, attrs.evolve(KEPT, seed=5, detection_s=(3.0,), detection_s_max=40.0)])
    assert (row.detection_share_max, row.members_share_max, row.settled_share_max) == (0.2, 0.25, 0.2)


def test_a_broken_world_counts_as_broken_and_gives_no_figures() -> None:
    (row,) = summarise([KEPT, BROKEN])
    assert (row.worlds, row.broken, row.crashes) == (2, 1, 1)


def test_a_breach_names_the_command_that_shows_it_again() -> None:
    assert "python -m chaos.worlds --story crash --first 4 --seeds 1 --trace" in breach(BROKEN)


def test_the_table_has_a_line_for_each_story() -> None:
    assert [line.split()[0] for line in table(summarise([KEPT, BROKEN])).splitlines()] == ["story", "crash"]


def test_all_stories_of_a_seed_come_together_so_that_an_early_end_leaves_some_of_each() -> None:
    assert tasks(["a", "b"], range(2), keeps_trace=False) == [
        ("a", 0, False), ("b", 0, False), ("a", 1, False), ("b", 1, False)
    ]  # fmt: skip


def test_a_world_that_fails_in_another_way_is_told_as_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(scenario: object) -> None:
        raise KeyError("w00")

    monkeypatch.setattr("chaos.worlds.outcome.live_through", fail)
    outcome = live(("calm", 1, False))
    assert outcome.broken is not None
    assert (outcome.broken.promise, outcome.broken.detail) == (FAILED, "KeyError: 'w00'")


def test_the_command_writes_its_verdict_and_says_it_by_its_exit_status(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "worlds.json"
    done = CliRunner().invoke(main, ["--story", "calm", "--seeds", "1", "--processes", "1", "--json", str(path)])
    found = json.loads(path.read_text())
    assert (done.exit_code, found["ok"], found["worlds"]) == (0, True, 1)
    assert found["stories"]["calm"]["false_deaths"] == 0


def test_the_world_of_a_seed_is_the_same_in_the_sweep_and_in_the_tests() -> None:
    """So that `--seed` of the one replays what the other has found."""
    scenario = STORIES["calm"].scenario(2)
    assert live(("calm", 2, False)).nodes == scenario.nodes


def test_the_stories_without_an_excuse_promise_that_nobody_healthy_is_declared_dead() -> None:
    """P2 is not lost by a change of a story's links unseen."""
    rough = {story for story in STORIES if NO_FALSE_DEATH not in promises_of(story)}
    assert rough == {
        "loss", "duel", "partition", "cut", "namesake-split", "authority", "longcut", "reunion", "decisions",
        "everything",
    }  # fmt: skip
