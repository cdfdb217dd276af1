"""Whole clusters under seeded faults, every promise checked at every step.

A sample of each story; `make worlds` lives through many more. `pytest tests/worlds --seed 7` replays one world of
each story; add `-k everything` for a single one.
"""

from __future__ import annotations

import pytest

from swimstream.simulator.promises import PromiseBroken
from swimstream.simulator.scenarios import CROWD_EVERY, STORIES
from swimstream.simulator.world import live_through

BATCH = 4
USUAL = 6
USUAL_WITH_CROWD = CROWD_EVERY
"""The last of these worlds is a crowd, so all of them together are lived through."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each batch of worlds, or for the one seed that was asked for."""
    seed = metafunc.config.getoption("--seed", default=None)
    count = metafunc.config.getoption("--seeds", default=None)
    cases = []
    for story, told in STORIES.items():
        usual = USUAL_WITH_CROWD if told.has_crowds else USUAL
        seeds = range(count or usual) if seed is None else range(seed, seed + 1)
        cases += [(story, seeds[at : at + BATCH]) for at in range(0, len(seeds), BATCH)]
    names = [f"{story}-{seeds[0]}-{seeds[-1]}" for story, seeds in cases]
    metafunc.parametrize(("story", "seeds"), cases, ids=names)


@pytest.mark.timeout(600)
def test_every_promise_is_kept_in_the_world_of_each_seed(story: str, seeds: range) -> None:
    """Live through each world."""
    for seed in seeds:
        scenario = STORIES[story].scenario(seed)
        try:
            live_through(scenario)
        except PromiseBroken as broken:
            pytest.fail(
                f"{broken}\nstory {story}, {scenario.nodes} nodes, replay: --seed {seed}\n{broken.trace}", pytrace=False
            )
