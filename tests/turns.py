"""Which worker of pytest-xdist runs what, when `make test` runs the tests on all cores.

What runs real processes and sockets wants a core within reach: two such tests at once starve each other on a machine of
two cores, and take turns instead, all on one worker. All else only computes, and goes to whoever is free, file by file;
of the simulator's worlds, which take seconds each, every batch on its own. Groups of many tests are handed out first
(xdist sorts them so), thus the turns begin at once, and the worlds fill up what is left at the end.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

TAKE_TURNS = (
    "tests/api/",
    "tests/attached/",
    "tests/chaos/test_council.py",
    "tests/chaos/test_fence.py",
    "tests/chaos/test_freeze.py",
    "tests/chaos/test_peers.py",
    "tests/demo/",
    "tests/examples/test_commands_example.py",
    "tests/examples/test_typescript_worker.py",
    "tests/runtime/",
    "tests/test_fencing.py",
)
"""How the paths of the tests begin that run real processes or sockets, and wait for them."""
SPREAD = ("tests/worlds/test_worlds.py",)
"""Files whose tests need not be together: each takes seconds, and none prepares anything for the next."""


def turn_of(test: str) -> str:
    """Return the name of a test's group: those of one group run one after the other, on one worker."""
    file = test.partition("::")[0]
    if file.startswith(TAKE_TURNS):
        return "turns"
    return test if file in SPREAD else file


class Turns(LoadScopeScheduling):  # type: ignore[misc]  # xdist comes without types
    """Groups of tests, each to a worker that has little left to do."""

    def _split_scope(self, nodeid: str) -> str:
        return turn_of(nodeid)
