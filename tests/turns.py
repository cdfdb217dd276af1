"""Which worker of pytest-xdist runs what, when `make test` runs the tests on all cores.

What runs real processes and sockets wants a core within reach: two such tests at once starve each other on a machine of
two cores, and take turns instead, all on one worker. All else only computes, and goes to whoever is free, file by file;
of the simulator's worlds, which take seconds each, every batch on its own. Groups of many tests are handed out first
(xdist sorts them so), thus the turns begin at once, and the worlds fill up what is left at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

TAKE_TURNS = (
    "tests/api/",
    "tests/attached/",
    "tests/chaos/test_council.py",
    "tests/chaos/test_fence.py",
    "tests/chaos/test_freeze.py",
    "tests/chaos/test_guest.py",
    "tests/chaos/test_hostfaults.py",
    "tests/chaos/test_net_lab.py",
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

    assigned_work: dict[WorkerController, dict[str, dict[str, bool]]]
    """Of each worker the groups that it was given, and whether each test of them is done."""

    def _split_scope(self, nodeid: str) -> str:
        return turn_of(nodeid)

    def remove_node(self, node: WorkerController) -> str | None:
        """Take a worker away that has ended; return the test that it died in, which has failed and is not run again.

        A test that hangs is ended with its worker. Were it given to the next one, it would be the end of that as well.
        """
        groups = self.assigned_work.pop(node)
        left = [(group, test) for group in groups.values() for test, is_done in group.items() if not is_done]
        if not left:
            return None
        group, died_in = left[0]
        group[died_in] = True
        self.workqueue.update({name: group for name, group in groups.items() if not all(group.values())})
        for other in self.nodes:
            self._reschedule(other)
        return died_in
