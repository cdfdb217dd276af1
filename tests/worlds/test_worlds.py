"""Whole clusters under seeded faults, every promise checked at every step.

`pytest tests/worlds --seed 7` replays one world of each story; add `-k everything` for a single one.
"""

from __future__ import annotations

import pytest

from swimstream.config import LOCAL
from swimstream.simulator.promises import PromiseBroken
from swimstream.simulator.scenarios import STORIES
from swimstream.simulator.world import simulate

BATCH = 5
WORLDS = {
    "calm": 5,
    "loss": 10,
    "crash": 20,
    "restart": 20,
    "diskless": 20,
    "leader": 20,
    "duel": 10,
    "partition": 20,
    "cut": 20,
    "pause": 15,
    "blackout": 10,
    "leave": 10,
    "everything": 20,
}
"""200 in all."""


def nodes_of(seed: int) -> int:
    """Return the size of the world of a seed: 3 to 9."""
    return 3 + seed % 7


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each batch of worlds, or for the one seed that was asked for."""
    seed = metafunc.config.getoption("--seed", default=None)
    count = metafunc.config.getoption("--seeds", default=None)
    cases = []
    for story, usual in WORLDS.items():
        seeds = range(count or usual) if seed is None else range(seed, seed + 1)
        cases += [(story, seeds[at : at + BATCH]) for at in range(0, len(seeds), BATCH)]
    names = [f"{story}-{seeds[0]}-{seeds[-1]}" for story, seeds in cases]
    metafunc.parametrize(("story", "seeds"), cases, ids=names)


@pytest.mark.timeout(600)
def test_every_promise_is_kept_in_the_world_of_each_seed(story: str, seeds: range) -> None:
    """Live through each world."""
    told = STORIES[story]
    for seed in seeds:
        nodes = nodes_of(seed)
        try:
            simulate(nodes=nodes, seed=seed, faults=told.faults, links=told.links, sites=told.sites, timing=LOCAL)
        except PromiseBroken as broken:
            pytest.fail(f"{broken}\nstory {story}, {nodes} nodes, replay: --seed {seed}\n{broken.trace}", pytrace=False)
