"""Those who ask the cluster of a world for something: jobs are submitted until somebody has answered."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from swimstream.simulator import promises
from swimstream.simulator.life import Phase
from swimstream.simulator.operators import HOPELESS_JOB

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from swimstream.model.job import JobSpec
    from swimstream.simulator.world import World

RESUBMIT_S = 5.0
REQUEST_FIRST = 1_000


class Clients:
    """Everybody who wants something of the cluster."""

    def __init__(self, world: World, jobs: Mapping[str, JobSpec], *, rng: Random) -> None:
        """Stand ready to submit `jobs`, each to workers drawn from `rng`."""
        self.accepted: set[str] = set()
        self._world = world
        self._jobs = jobs
        self._rng = rng
        self._refused: set[str] = set()
        self._requests: dict[int, str] = {}
        self._requests_made = 0

    def arm(self, rng: Random) -> float:
        """Have every job submitted at a random time within the window of the faults; return the last of the times."""
        last_s = self._world.scenario.faults.window_s[1]
        times = [rng.uniform(0.5, last_s) for _ in self._jobs]
        for at, name in zip(times, self._jobs, strict=True):
            self._world.clock.at(at, partial(self._submit, name))
        return max(times, default=0.0)

    def waiting(self) -> list[str]:
        """Return the names of the jobs that nobody has answered yet."""
        return sorted(self._jobs.keys() - self.accepted - self._refused)

    def hear(self, request: int, error: str) -> None:
        """Take an answer."""
        name = self._requests.pop(request)
        if not error and name == HOPELESS_JOB.name:
            self._world.observer.broken(promises.AGREEMENT, f"job {name} was accepted, though no worker runs its kind")
        elif not error:
            self.accepted.add(name)
        elif name == HOPELESS_JOB.name:
            self._refused.add(name)
        else:
            self._world.network.counters["jobs_refused"] += 1  # asked again: nobody had joined yet who runs its kind

    def _submit(self, name: str) -> None:
        """Submit to some worker, and again to another one until one of them has answered that it is in the plan."""
        if name in self.accepted or name in self._refused:
            return
        running = [life for life in self._world.lives() if life.phase is Phase.RUNNING]
        if running:
            life = self._rng.choice(running)
            self._requests_made += 1
            request = REQUEST_FIRST + self._requests_made
            self._requests[request] = name
            life.command(lambda now: life.node.submit(request, self._jobs[name], now=now))
        self._world.clock.after(RESUBMIT_S, partial(self._submit, name))
