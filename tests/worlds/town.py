"""A simulated cluster without chance faults, in which a test does what goes wrong; its leader may die at a moment.

All promises are checked at every step, as in every world, and at the end everybody must agree and everything must run.
"""

from __future__ import annotations

import enum
import math
from functools import partial
from typing import TYPE_CHECKING

from swimstream.core.effects import EntriesRecord, Persist, StartInstance
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.simulator.ambushes import Ambush, Moment
from swimstream.simulator.clients import Clients
from swimstream.simulator.copy_judge import CopyJudge
from swimstream.simulator.faults import Faults
from swimstream.simulator.operators import KIND
from swimstream.simulator.scenarios import Scenario
from swimstream.simulator.striker import Striker
from swimstream.simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swimstream.core.effects import Effect
    from swimstream.model.changes import Change, Command, Entry
    from swimstream.model.history import Decision
    from swimstream.model.identity import InstanceId
    from swimstream.model.plan import Plan
    from swimstream.simulator.hosts import Host
    from swimstream.simulator.life import Life
    from swimstream.simulator.watches import Watch

STEP_S = 0.25
STEPS_MAX = 600
STEPS_AGREED = 4
ASKED_AGAIN_S = 1.0
LEADER_BACK_S = (0.3, 4.0)
EARLY = Faults(window_s=(1.0, 2.0))
"""No faults, but their window: the jobs are submitted in it."""


class Death(enum.Enum):
    """When a leader dies in the midst of what a scene is about."""

    NONE = "leader-lives"
    DECIDED = "leader-dies-with-the-decision-in-its-log-alone"
    COMMITTED = "leader-dies-when-it-is-committed-and-nobody-is-told"
    GIVEN = "leader-dies-before-the-copy-comes-up"


class Ears(Ambush):
    """Hears every step of everybody, and has a leader die in one of them; it is there from the beginning."""

    def __init__(self, town: Town) -> None:
        """Hear for `town`."""
        super().__init__(Moment.PROPOSES, share=0.0, spring=lambda *_: None)
        self._town = town
        self._about: set[tuple[int, int]] = set()
        """Index and term of the decisions that the death waits for."""

    def waits_for(self, life: Life, effects: Sequence[Effect]) -> bool:
        """Hear; this ambush itself is never met, since it has others die at once."""
        town = self._town
        town.downs.measure()
        for number, effect in enumerate(effects, start=1):
            if isinstance(effect, Persist) and isinstance(effect.record, EntriesRecord):
                self._hear_of(life, effect.record.entries, left=number, of=len(effects))
            elif isinstance(effect, StartInstance):
                town.starts.append((town.now, life.name, effect))
                if town.death is Death.GIVEN and town.is_given(effect):
                    town.kill_leader(life)
        if town.death is Death.COMMITTED and life.node.is_leader and self._learns_of(life):
            town.kill_leader(life)
        return False

    def _hear_of(self, life: Life, entries: Sequence[Entry], *, left: int, of: int) -> None:
        for entry in entries:
            if self._town.death in (Death.DECIDED, Death.COMMITTED) and self._town.about(entry.change):
                self._about.add((entry.index, entry.term))
                if self._town.death is Death.DECIDED and life.node.is_leader:
                    self._town.kill_leader(life, effects_left=self._town.rng.choice((left, left, of)))

    def _learns_of(self, life: Life) -> bool:
        if life.node.plan.index == life.watch.plan.index:
            return False
        known = {(made.index, made.term) for made in life.node.plan.decisions if made.index > life.watch.plan.index}
        return bool(known & self._about)


class Downs(CopyJudge):
    """Judges the copies as ever, and knows how many instances have run nowhere at a moment, of those that have run.

    What ran on a worker that crashed is not counted, until it runs again.
    """

    down: set[InstanceId]
    crashed: set[InstanceId]
    at_once: set[InstanceId]

    def watch(self) -> None:
        """Begin anew."""
        self.down, self.crashed, self.at_once = set(), set(), set()

    def measure(self) -> None:
        """Compare this moment with the worst one so far; called between two steps, so a crash is whole."""
        if len(self.down) > len(self.at_once):
            self.at_once = set(self.down)

    def come_up(self, watch: Watch, instance: InstanceId, epoch: int, *, guarantee: str) -> None:
        """Take note."""
        super().come_up(watch, instance, epoch, guarantee=guarantee)
        self.down.discard(instance)
        self.crashed.discard(instance)

    def go_down(self, watch: Watch, instance: InstanceId, epoch: int) -> None:
        """Take note."""
        super().go_down(watch, instance, epoch)
        if not any(copy.is_up for copy in self._copies[instance]) and instance not in self.crashed:
            self.down.add(instance)

    def lose(self, instance: InstanceId) -> None:
        """Take note."""
        super().lose(instance)
        self.down.discard(instance)
        self.crashed.add(instance)


class Town:
    """A world in which some jobs run; the test does the rest."""

    def __init__(self, *jobs: JobSpec, nodes: int, seed: int, death: Death, sites: int = 1) -> None:
        """Build it and wait until everything runs. The death waits for `doom`."""
        self.jobs = {job.name: job for job in jobs}
        self.world = World(Scenario(nodes=nodes, seed=seed, faults=EARLY, jobs=0, sites=sites), ())
        self.rng = self.world.random("town")
        self.death = Death.NONE
        self.about: Callable[[Change], bool] = lambda _: False
        self.is_given: Callable[[StartInstance], bool] = lambda _: False
        self.victim = ""
        """The leader that died."""
        self.starts: list[tuple[float, str, StartInstance]] = []
        """Every order to run an instance: when, on which host, what."""
        self.downs = Downs(self.world.observer.court, self.world.observer.findings)
        self.downs.watch()
        self._death = death
        self._striker = Striker(self.world)
        self.world.observer.copies = self.downs
        self.world.ambushes.append(Ears(self))
        for host in self.world.hosts:
            self.world.start(host)
        self.world.clients = Clients(self.world, self.jobs, rng=self.world.random("submit"))
        self.world.clients.arm(self.world.random("arm"))
        self.settle()
        self.downs.watch()

    # --- what goes wrong --------------------------------------------------------------------------

    def doom(
        self, about: Callable[[Change], bool], *, is_given: Callable[[StartInstance], bool] = lambda _: True
    ) -> None:
        """Have a leader die in the midst of this affair, once, if that is what this scene is to have.

        The affair is decided by a change that is `about` it, and taken up by an order to start that `is_given`.
        """
        self.death, self.about, self.is_given = self._death, about, is_given

    def kill_leader(self, seen_by: Life, *, effects_left: int = 0) -> None:
        """Crash who leads, in this very step if that is who is `seen_by` the ears; it comes back."""
        self.death = Death.NONE
        leader = self.leader()
        if leader is None:
            self.death = self._death  # nobody leads just now: the next time
            return
        self.victim = leader.name
        back_s = self.rng.uniform(*LEADER_BACK_S)
        if leader is seen_by and effects_left:
            self.crash(leader, back_s=back_s, effects_left=effects_left)
        else:
            self.world.clock.after(0.0, partial(self.crash, leader, back_s=back_s))

    def crash(self, life: Life, *, back_s: float, effects_left: int = 0) -> None:
        """Crash a process that lives, as fate does; it comes back."""
        if life.is_going_on:
            silent = self.rng.random() < 0.5
            self._striker._end(life, silent=silent, effects_left=effects_left, back_s=back_s)

    def withdraw(self, host: Host, *, within_s: float) -> None:
        """Restart a worker as people do: it hands over, leaves, and starts again once it has ended; wait for it."""
        self.wait_until(lambda: host.life is not None, f"{host.name} is back")
        former = host.life
        assert former is not None
        self.world.withdraw(former, within_s=within_s)
        self.wait_until(lambda: host.life is not former, f"{host.name} leaves")
        self.world.start(host)
        self.settle()

    def ask(self, change: Command, *, done: Callable[[Plan], bool]) -> None:
        """Have somebody ask for a change, and somebody else again until the plan shows it."""
        for _ in range(STEPS_MAX):
            self.world.clients._ask(self.rng.random(), lambda _plan, _by: change)
            self.pass_time(ASKED_AGAIN_S)
            if done(self.plan()):
                return
        raise AssertionError(f"never granted: {change}")

    def submit(self, job: JobSpec) -> None:
        """Have somebody submit one more job, and wait until everything runs."""
        self.jobs[job.name] = job
        self.world.clients._submit(job.name)
        self.settle()

    # --- time -------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Return the world's time."""
        return self.world.clock.now

    def pass_time(self, for_s: float) -> None:
        """Live on."""
        until = self.now + for_s
        while self.now < until:
            self.world.clock.run_until(min(until, self.now + STEP_S))
            self.world.observer.sample()

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        """Live on until it is so; it must be within two minutes and a half."""
        for _ in range(STEPS_MAX):
            if is_so():
                return
            self.pass_time(STEP_S)
        raise AssertionError(f"it never comes that {what}")

    def settle(self, *, down: Sequence[InstanceId] = ()) -> None:
        """Live on until all views agree with the truth and everything runs, but what must stay `down`."""
        agreed = 0
        problems: list[str] = []
        for _ in range(STEPS_MAX):
            self.pass_time(STEP_S)
            problems = self.world._strays() or self.world._problems()
            problems = [each for each in problems if not any(str(instance) in each for instance in down)]
            agreed = 0 if problems else agreed + 1
            if agreed == STEPS_AGREED:
                return
        raise AssertionError(f"it never settles: {problems}")

    # --- what is there ----------------------------------------------------------------------------

    def leader(self) -> Life | None:
        """Return who leads the newest term, if somebody does."""
        leading = [life for life in self.world.lives() if life.node.is_leader]
        return max(leading, key=lambda life: life.node.mark.term, default=None)

    def host(self, name: str) -> Host:
        """Return the host of that name, which is that of its worker as well."""
        return next(host for host in self.world.hosts if host.name == name)

    def follower(self) -> Life:
        """Return a worker that does not lead."""
        return self.rng.choice([life for life in self.world.lives() if not life.node.is_leader])

    def plan(self) -> Plan:
        """Return the newest plan."""
        return self.world.plan()

    def mode_of(self, name: str) -> str:
        """Return the mode of a worker by the newest plan."""
        return self.plan().directives.mode_of(name)

    def on(self, name: str) -> list[InstanceId]:
        """Return what the newest plan has on a worker."""
        return sorted(each for each, held in self.plan().assignments.items() if held.run.name == name)

    def epochs(self) -> dict[InstanceId, int]:
        """Return the epoch of each instance."""
        return {each: held.epoch for each, held in self.plan().assignments.items()}

    def running(self) -> dict[InstanceId, Life]:
        """Return where the copies of the plan's epochs run."""
        held = self.plan().assignments
        return {
            copy.instance: life
            for life in self.world.lives()
            for copy in life.bench.copies.values()
            if copy.running and copy.instance in held and held[copy.instance].epoch == copy.epoch
        }

    def decisions(self, words: str) -> list[Decision]:
        """Return the committed decisions that begin so."""
        return [made for made in self.world.observer.decisions if made.what.startswith(words)]

    def decided_at(self, made: Decision) -> float:
        """Return when somebody first knew that it is committed."""
        return self.world.observer._plan_judge.known_at(made.index)

    def assert_died(self) -> None:
        """Check that the scene was what it was to be."""
        assert bool(self.victim) == (self._death is not Death.NONE)

    def cut_off(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Let nothing through between these hosts and the others; return the pairs to mend."""
        self.world.observer.gentle_from = math.inf  # the world knows nothing of it
        others = [host.name for host in self.world.hosts if host.name not in names]
        pairs = [(one, two) for one in names for two in others]
        pairs += [(two, one) for one, two in pairs]
        self.world.network.cut(pairs)
        return pairs


def job(name: str, *operators: OperatorSpec) -> JobSpec:
    """Return a job."""
    return JobSpec(name=name, operators=operators)


def operator(name: str, parallelism: int = 1, **wants: object) -> OperatorSpec:
    """Return an operator of the kind that all workers run."""
    return OperatorSpec(name=name, kind=KIND, parallelism=parallelism, **wants)  # type: ignore[arg-type]  # any field
