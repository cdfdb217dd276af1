"""Those who ask the cluster of a world for something: jobs, another council, another leader. They keep a history."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from swimstream.model.changes import CORDONED, DRAINING, NORMAL, Command
from swimstream.model.history import ACCEPT, subject_of
from swimstream.simulator import promises
from swimstream.simulator.life import Phase
from swimstream.simulator.linear import Call, is_linearizable
from swimstream.simulator.operators import HOPELESS_JOB
from swimstream.simulator.participant import Governed
from swimstream.simulator.wishes import BURY, MODES, change_of_job, change_of_worker, mode_change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from swimstream.model.identity import Run
    from swimstream.model.job import JobSpec
    from swimstream.model.plan import Plan
    from swimstream.simulator.life import Life
    from swimstream.simulator.wishes import Wish
    from swimstream.simulator.world import World

RESUBMIT_S = 5.0
FREE_S = 1.0
BURY_S = 0.3
REQUEST_FIRST = 1_000
COMMAND, WISH = "", "*"
"""Stand for the name of a job where a request was none: a command for the council, a change of a job."""


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
        self._calls: dict[str, Call] = {}
        self._free_at: dict[str, float] = {}
        """When somebody wants a worker to be free again that was cordoned, or drained."""

    def arm(self, rng: Random) -> float:
        """Have every job submitted at a random time; return the last of the times.

        That is up to the end of the window of the faults; but where it matters how they fare in it, large jobs are
        there when it begins.
        """
        first_s, last_s = self._world.scenario.faults.window_s
        matters = self._world.scenario.has_guarantees or self._world.scenario.has_conflicts
        times = []
        for name, job in self._jobs.items():
            is_early = matters and len(job.operators) > 1
            times.append(rng.uniform(0.5, first_s if is_early else last_s))
            self._world.clock.at(times[-1], partial(self._submit, name))
        return max(times, default=0.0)

    def waiting(self) -> list[str]:
        """Return what nobody has answered yet: jobs, and workers that are to be free again."""
        jobs = sorted(f"job {name}" for name in self._jobs.keys() - self.accepted - self._refused)
        return jobs + [f"worker {name}" for name in self._confined()]

    def hear(self, life: Life, request: int, error: str) -> None:
        """Take an answer."""
        name = self._requests.pop(request)
        counters = self._world.network.counters
        if name == COMMAND:
            counters["council_commands_refused" if error else "council_commands_done"] += 1
        elif name == WISH:
            counters["wishes_refused" if error else "wishes_fulfilled"] += 1
        elif not error and name == HOPELESS_JOB.name:
            self._world.observer.broken(promises.AGREEMENT, f"job {name} was accepted, though no worker runs its kind")
        elif not error:
            self._accept(name, life.node.plan)
        elif name == HOPELESS_JOB.name:
            self._refused.add(name)
        else:
            counters["jobs_refused"] += 1  # asked again: nobody had joined yet who runs its kind

    def check_history(self) -> None:
        """Check that all answers so far fit one history of the plan."""
        calls = list(self._calls.values())
        if not is_linearizable(calls):
            told = "; ".join(
                f"{call.name} from {call.called_at:.3f} to {call.answered_at:.3f} s after {list(call.before)}"
                for call in calls
            )
            self._world.observer.broken(promises.LINEAR, told)

    def _accept(self, name: str, plan: Plan) -> None:
        if name not in plan.jobs:
            self._world.observer.broken(promises.AGREEMENT, f"job {name} was accepted by one whose plan lacks it")
        if name not in self.accepted:
            self.accepted.add(name)
            now = self._world.clock.now
            before = _accepted_before(name, plan)
            self._calls[name] = attrs.evolve(self._calls[name], answered_at=now, before=before)

    def _submit(self, name: str) -> None:
        """Submit to some worker, and again to another one until one of them has answered that it is in the plan."""
        if name in self.accepted or name in self._refused:
            return
        running = self._running()
        if running:
            life = self._rng.choice(running)
            request = self._number(name)
            if name != HOPELESS_JOB.name:
                self._calls.setdefault(name, Call(name=name, called_at=self._world.clock.now))
            life.command(lambda now: life.node.submit(request, self._jobs[name], now=now))
        self._world.clock.after(RESUBMIT_S, partial(self._submit, name))

    # --- commands for the council -----------------------------------------------------------------

    def resize(self, seats: int, *, pick: float) -> None:
        """Ask some worker for a council of so many seats."""
        self._command(pick, lambda node, request, now: node.resize_council(request, seats, now=now))

    def transfer(self, *, pick: float, to: float) -> None:
        """Ask some worker that the leadership go to some other one."""
        running = self._running()
        if running:
            name = running[int(to * len(running))].run.name
            self._command(pick, lambda node, request, now: node.transfer_leadership(request, name, now=now))

    def wish(self, wish: Wish) -> None:
        """Ask some worker for a change of a job that its plan has, or of a worker."""
        now = self._world.clock.now
        if wish.sort in MODES or wish.sort == BURY:
            names = sorted({life.run.name for life in self._running()})
            self._ask(wish.pick, lambda plan, by: change_of_worker(wish, plan, names, self._dead(plan), by=by))
            if wish.sort == BURY and now < wish.at + wish.for_s:
                self._world.clock.after(BURY_S, partial(self.wish, wish))
            elif wish.sort in MODES and names:
                self._free_later(names[int(wish.job * len(names))], now + wish.for_s)
            return
        accepted = {name: job for name, job in self._jobs.items() if name in self.accepted}
        self._ask(wish.pick, lambda plan, by: change_of_job(wish, plan, accepted, asked_by=by))

    def _free_later(self, name: str, at: float) -> None:
        if not self._free_at:
            self._world.clock.at(at, self._free)
        self._free_at[name] = max(at, self._free_at.get(name, at))

    def _free(self) -> None:
        """Ask again and again for what is still confined, as an earlier wish may come to be granted later."""
        for name in self._confined():
            if self._free_at[name] <= self._world.clock.now:
                self._ask(self._rng.random(), partial(_set_free, name))
        self._world.clock.after(FREE_S, self._free)

    def _confined(self) -> list[str]:
        """Return who is cordoned or drained by somebody's wish, as the newest plan has it."""
        plan = self._world.plan()
        return [name for name in sorted(self._free_at) if plan.directives.mode_of(name) in (CORDONED, DRAINING)]

    def _dead(self, plan: Plan) -> set[Run]:
        """Return the runs that `plan` waits for and that have ended in truth."""
        live = {run for life in self._world.lives() for run in (life.run, *life.watch.earlier, life.node.run)}
        return ({held.run for held in plan.assignments.values()} | plan.stops.keys()) - live

    def _ask(self, pick: float, change_of: Callable[[Plan, str], Command | None]) -> None:
        """Have somebody ask for what he wants, with the plan of his worker before him."""
        lives = self._running()
        life = lives[int(pick * len(lives))] if lives else None
        node = life.node if life is not None else None
        if life is None or not isinstance(node, Governed):
            return
        change = change_of(life.node.plan, life.run.name)
        if change is not None:
            request = self._number(WISH)
            life.command(lambda now: node.change(request, change, now=now))

    def _command(self, pick: float, command: Callable[[Governed, int, float], None]) -> None:
        lives = self._running()
        life = lives[int(pick * len(lives))] if lives else None
        node = life.node if life is not None else None
        if life is not None and isinstance(node, Governed):
            request = self._number(COMMAND)
            life.command(partial(command, node, request))

    def _running(self) -> list[Life]:
        return [life for life in self._world.lives() if life.phase is Phase.RUNNING]

    def _number(self, name: str) -> int:
        self._requests_made += 1
        request = REQUEST_FIRST + self._requests_made
        self._requests[request] = name
        return request


def _set_free(name: str, _: Plan, by: str) -> Command:
    return mode_change(name, NORMAL, asked_by=by)


def _accepted_before(name: str, plan: Plan) -> tuple[str, ...]:
    """Return the jobs that the history of `plan` shows before this one; a world makes fewer decisions than it keeps."""
    subjects = map(subject_of, plan.decisions)
    first = list(dict.fromkeys(each.job for each in subjects if each.deed == ACCEPT))
    return tuple(first[: first.index(name)])
