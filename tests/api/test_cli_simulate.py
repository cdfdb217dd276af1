"""`swimstream simulate` lives through the worlds that a story is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from swimstream.cli.simulate import Question
from swimstream.config import LAN
from swimstream.simulator.scenarios import STORIES

if TYPE_CHECKING:
    from swimstream.simulator.scenarios import Scenario


class Seen(Exception):
    """What would have been run."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario


def asked(faults: str, monkeypatch: pytest.MonkeyPatch, *, loss: float | None = None) -> Scenario:
    """Return the world of seed 7 that the command would run."""

    def look(scenario: Scenario) -> None:
        raise Seen(scenario)

    monkeypatch.setattr("swimstream.cli.simulate.live_through", look)
    question = Question(
        nodes=5, faults=faults, preset="lan", duration_s=200.0, loss=loss, delay_ms=None, jitter_ms=None
    )
    with pytest.raises(Seen) as seen:
        question.run(7)
    return seen.value.scenario


@pytest.mark.parametrize("faults", STORIES)
def test_a_story_has_the_guarantees_on_the_command_line_that_it_has_in_the_sweep(
    faults: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario, story = asked(faults, monkeypatch), STORIES[faults]
    assert (scenario.has_guarantees, scenario.notes > 0) == (story.has_guarantees, story.has_guarantees)


@pytest.mark.parametrize("faults", STORIES)
def test_what_was_asked_for_stands_above_the_story(faults: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = asked(faults, monkeypatch, loss=0.125)
    assert (scenario.nodes, scenario.lasts_s, scenario.links.loss) == (5, 200.0, 0.125)
    assert scenario.timing.probe_interval_s == LAN.probe_interval_s
    assert scenario.faults.window_s == (50.0, 150.0)
